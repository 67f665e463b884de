import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomri.core.result import Thresholds, Verdict
from anomri.report.spread import Spread, spread

LIMITS = Thresholds(warn=4.0, fail=5.0, warn_rate=0.1, fail_rate=0.05)
NORMALS = tuple(float(v) for v in np.linspace(1.0, 6.0, 40))


def drawn(scores: list[tuple[float, Verdict]]) -> Spread:
    found = spread(NORMALS, LIMITS, scores)
    assert found is not None
    return found


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_no_scan_and_no_normal_is_lost(scores: list[float]) -> None:
    found = drawn([(score, "pass") for score in scores])
    assert sum(bar.normals for bar in found.bars) == pytest.approx(1.0)
    assert sum(share for bar in found.bars for _, share in bar.scans) == pytest.approx(1.0)
    assert found.scans == len(scores)


def test_a_bar_holds_the_scans_between_its_ends() -> None:
    scores: list[tuple[float, Verdict]] = [(1.2, "pass"), (1.3, "pass"), (4.4, "warn"), (5.9, "fail")]
    found = drawn(scores)
    low, high = 1.0 - 0.02 * 5.0, 6.0 + 0.02 * 5.0
    for bar in found.bars:
        left, right = (low + end * (high - low) for end in (bar.left, bar.right))
        for verdict in ("pass", "warn", "fail"):
            inside = sum(left <= score < right and v == verdict for score, v in scores)
            assert dict(bar.scans).get(verdict, 0.0) == pytest.approx(inside / 4)


def test_scans_far_out_are_counted_at_the_edge_and_leave_the_axis_readable() -> None:
    found = drawn([(3.0, "pass"), (1000.0, "fail"), (2000.0, "fail"), (-500.0, "pass")])
    assert (found.below, found.above) == (1, 2)
    assert dict(found.bars[-1].scans)["fail"] == pytest.approx(0.5)
    assert found.fail is not None
    assert found.warn is not None
    assert 0.3 < found.warn < found.fail < 0.7


def test_thresholds_and_ticks_stand_where_their_scores_are() -> None:
    found = drawn([(3.0, "pass")])
    positions, ticks = zip(*found.axis_ticks, strict=True)
    assert np.interp([4.0, 5.0], ticks, positions) == pytest.approx([found.warn, found.fail], abs=1e-3)


@pytest.mark.parametrize("normals", [(), (2.0,), (2.0, 2.0, 2.0)])
def test_few_or_equal_normals(normals: tuple[float, ...]) -> None:
    found = spread(normals, None, [(2.0, "pass"), (2.5, "pass")])
    assert (found is None) == (not normals)
    assert found is None or sum(bar.normals for bar in found.bars) == pytest.approx(1.0)


def test_without_scores_there_is_no_chart() -> None:
    assert spread(NORMALS, LIMITS, []) is None
