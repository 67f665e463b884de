import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomri.core.result import Thresholds
from anomri.report.drift import Drift, Step, drift, running_median

NORMALS = tuple(float(v) for v in np.random.default_rng(2).normal(10.0, 2.0, size=80))
LIMITS = Thresholds(warn=13.0, fail=14.0, warn_rate=0.1, fail_rate=0.05)


def steps_of(z: list[float], days: list[str] | None = None) -> list[Step]:
    days = [""] * len(z) if days is None else days
    return [Step(i, value, day, NORMALS, LIMITS) for i, (value, day) in enumerate(zip(z, days, strict=True))]


def drawn(z: list[float], days: list[str] | None = None) -> Drift:
    found = drift(steps_of(z, days))
    assert found is not None
    return found


def test_thresholds_are_those_of_the_scores_on_the_scale_of_robust_z() -> None:
    centre = np.median(NORMALS)
    width = 1.4826 * np.median(np.abs(np.array(NORMALS) - centre))
    fail, warn = (14.0 - centre) / width, (13.0 - centre) / width
    found = drawn([fail, warn, 0.0])
    (stretch,) = found.stretches
    assert stretch.fail == pytest.approx(found.points[0].y, abs=1e-4)
    assert stretch.warn == pytest.approx(found.points[1].y, abs=1e-4)
    assert stretch.low is not None
    assert stretch.high is not None
    assert stretch.low < found.points[2].y < stretch.high


def test_another_model_begins_another_stretch() -> None:
    other = Thresholds(warn=15.0, fail=16.0, warn_rate=0.1, fail_rate=0.05)
    steps = [Step(i, 0.0, "", NORMALS, LIMITS if i < 3 else other) for i in range(4)]
    found = drift(steps)
    assert found is not None
    assert [(s.left, s.right) for s in found.stretches] == [(0.0, 0.75), (0.75, 1.0)]
    assert found.stretches[0].fail is not None
    assert found.stretches[1].fail is not None
    assert found.stretches[0].fail < found.stretches[1].fail


def test_a_scan_far_out_lies_at_the_edge_and_presses_nothing_together() -> None:
    found = drawn([0.0, 1.0, 900.0])
    assert found.beyond == 1
    assert found.points[2].y == 1.0
    assert found.points[1].y - found.points[0].y > 0.05


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=60))
def test_points_keep_their_order_and_stay_inside(z: list[float]) -> None:
    found = drawn(z)
    assert [point.index for point in found.points] == list(range(len(z)))
    across = [point.x for point in found.points]
    assert across == sorted(across)
    assert all(0.0 <= point.y <= 1.0 for point in found.points)


@given(st.lists(st.floats(-1e3, 1e3), min_size=7, max_size=40), st.sampled_from([1, 3, 7]))
def test_the_line_is_the_median_of_its_window(values: list[float], window: int) -> None:
    line = running_median(np.array(values), window)
    assert list(line) == [float(np.median(values[i : i + window])) for i in range(len(values) - window + 1)]


def test_the_line_stands_in_the_middle_of_its_window() -> None:
    found = drawn([0.0] * 10 + [3.0] * 10)
    assert found.window == 7
    assert found.median[0][0] == found.points[3].x
    assert found.median[-1][0] == found.points[-4].x
    assert found.median[0][1] < found.median[-1][1]


def test_few_scans_have_no_line_and_one_has_no_chart() -> None:
    assert drawn([0.0] * 9).median == ()
    assert drift(steps_of([1.0])) is None


def test_days_are_named_where_they_begin_as_far_as_there_is_room() -> None:
    days = ["2026-01-01"] * 5 + ["2026-01-02"] + ["2026-01-03"] * 4
    assert drawn([0.0] * 10, days).x_ticks == ((0.05, "2026-01-01"), (0.55, "2026-01-02"))


def test_without_days_scans_are_counted() -> None:
    assert drawn([0.0] * 5).x_ticks == ((0.1, "1"), (0.5, "3"), (0.9, "5"))


def test_equal_normals_give_no_thresholds() -> None:
    found = drift([Step(i, 0.0, "", (1.0, 1.0), LIMITS) for i in range(2)])
    assert found is not None
    assert found.stretches[0].fail is None
