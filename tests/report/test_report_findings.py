"""The pictures of a finding: the place that was found, as the branch that found it saw it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from anomri.core.outcome import Outcome
from anomri.report.display import heat_range, views_of
from anomri.report.findings import FindingView, finding_views

Make = Callable[..., Outcome]
LEVEL = 4.5


def seen(outcome: Outcome) -> tuple[FindingView, ...]:
    views = views_of(outcome)
    assert views is not None
    assert outcome.heatmap is not None
    return finding_views(outcome, views, heat_range(outcome.heatmap, LEVEL))


def coloured(pixels: np.ndarray) -> np.ndarray:
    """Where a picture is not grey."""
    return np.ptp(pixels.astype(int), axis=2) > 10


def middle(where: np.ndarray) -> np.ndarray:
    return np.argwhere(where).mean(axis=0)


def test_three_pictures_of_one_place_are_equally_large(make_outcome: Make) -> None:
    (view,) = seen(make_outcome())
    assert view.expected is not None
    assert view.scan.shape == view.expected.shape == view.map.shape
    assert max(view.scan.shape) == 192
    assert not coloured(view.scan).any()


def test_the_finding_is_in_the_middle_in_colour_and_outlined_where_it_was_expected_otherwise(
    make_outcome: Make,
) -> None:
    (view,) = seen(make_outcome())
    assert view.expected is not None
    # 72 mm are 192 pixels, voxels of 4 mm 11.
    for where in (coloured(view.map), coloured(view.expected)):
        assert np.abs(middle(where) - 96).max() < 16
    inside = coloured(view.map)
    assert inside.sum() > 300
    line = np.argwhere(coloured(view.expected))
    assert np.ptp(line, axis=0).min() < np.ptp(np.argwhere(inside), axis=0).max() + 16


@pytest.mark.parametrize("turn", [np.diag([1.0, 1.0, 1.0]), np.diag([1.0, -1.0, -1.0])], ids=["RAS", "RPI"])
def test_however_the_scan_is_stored_the_right_is_on_the_left(make_outcome: Make, turn: np.ndarray) -> None:
    (usual,), (turned,) = seen(make_outcome()), seen(make_outcome(turn))
    assert usual.expected is not None
    assert turned.expected is not None
    for one, other in ((usual.scan, turned.scan), (usual.expected, turned.expected), (usual.map, turned.map)):
        np.testing.assert_array_equal(one, other)


def test_a_finding_stands_beside_what_its_own_branch_expected(make_outcome: Make) -> None:
    outcome = make_outcome()
    assert outcome.expected is not None
    x_mirrored = np.flip(outcome.expected, axis=0).copy()
    found = outcome.result.findings[0].model_copy(update={"branch": "dae"})
    outcome = replace(outcome, result=outcome.result.model_copy(update={"findings": (found,)}))
    (of_first,), (of_dae,) = seen(outcome), seen(replace(outcome, expected_by={"dae": x_mirrored}))
    (alone,) = seen(replace(outcome, expected=x_mirrored))
    assert of_dae.expected is not None
    assert alone.expected is not None
    np.testing.assert_array_equal(of_dae.expected, alone.expected)
    assert of_first.expected is not None
    assert (of_first.expected != of_dae.expected).any()


def test_a_model_that_expects_nothing_has_two_pictures(make_outcome: Make) -> None:
    (view,) = seen(replace(make_outcome(), expected=None))
    assert view.expected is None


def test_a_large_finding_is_seen_whole_and_no_more_than_the_brain_is_shown(make_outcome: Make) -> None:
    outcome = make_outcome()
    large = outcome.result.findings[0].model_copy(update={"volume_mm3": 5e5})
    (view,) = seen(replace(outcome, result=outcome.result.model_copy(update={"findings": (large,)})))
    views = views_of(outcome)
    assert views is not None
    x, y = (n * s for n, s in zip(views.grid.shape[:2], views.grid.spacing_mm[:2], strict=True))
    assert view.scan.shape[0] / view.scan.shape[1] == pytest.approx(y / x, rel=0.02)
