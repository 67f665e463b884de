import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomri.core.geometry import Geometry, apply_affine
from anomri.core.outcome import Outcome
from anomri.report.display import DisplayGrid, blocks, glance_of, heat_range, views_of, whole_grid

Make = Callable[..., Outcome]


def turns() -> list[np.ndarray]:
    found = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            turn = np.zeros((3, 3))
            for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
                turn[world, axis] = sign
            found.append(turn)
    return found


@pytest.mark.parametrize("turn", turns()[::5], ids=str)
def test_every_orientation_shows_the_same_picture(make_outcome: Make, turn: np.ndarray) -> None:
    usual = views_of(make_outcome(np.eye(3), (40, 40, 40)))
    turned = views_of(make_outcome(turn, (40, 40, 40)))
    assert usual is not None
    assert turned is not None
    assert np.allclose(turned.grid.affine, usual.grid.affine)
    assert np.abs(turned.scan.astype(int) - usual.scan.astype(int)).max() <= 1


@settings(deadline=None, max_examples=40)
@given(turn=st.sampled_from(turns()), step=st.integers(1, 3), seed=st.integers(0, 99))
def test_a_block_lies_where_its_voxels_lie(turn: np.ndarray, step: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = turn * np.array([1.0, 1.5, 2.0])
    affine[:3, 3] = rng.normal(size=3) * 20
    grid = whole_grid(Geometry((12, 9, 6), affine)).with_step(step)
    centres = apply_affine(affine, np.indices((12, 9, 6)).reshape(3, -1).T)
    for axis in range(3):
        shown = np.asarray(grid.cut(centres[:, axis].reshape(12, 9, 6)), dtype=np.float32)
        if any(n % step for n in shown.shape):
            continue
        joined = blocks(shown, step, np.mean)
        index = np.indices(grid.shape).reshape(3, -1).T
        assert np.allclose(joined.ravel(), apply_affine(grid.affine, index)[:, axis], atol=1e-3)


def test_world_axes_grow_with_the_display_axes_even_on_an_oblique_grid() -> None:
    angle = np.deg2rad(20.0)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-1.0, 2.0, -1.0])
    grid = whole_grid(Geometry((10, 11, 12), affine))
    assert (np.diag(grid.affine)[:3] > 0).all()


def test_a_world_point_is_found_in_its_voxel(make_outcome: Make) -> None:
    outcome = make_outcome()
    views = views_of(outcome)
    assert views is not None
    assert views.heat is not None
    peak = np.unravel_index(int(np.nanargmax(views.heat)), views.heat.shape)
    found = views.grid.block_at((24.0, -28.0, 20.0))
    assert np.abs(np.array(found) - np.array(peak)).max() <= 1
    assert np.abs(apply_affine(views.grid.affine, np.array([found]))[0] - [24.0, -28.0, 20.0]).max() <= 2.001
    assert views.grid.block_at((1e4, -1e4, 0.0))[:2] == (views.grid.shape[0] - 1, 0)


def test_a_slice_of_the_input_is_found_on_the_display_axis() -> None:
    affine = np.diag([1.0, 1.0, -2.0, 1.0])
    grid = whole_grid(Geometry((8, 8, 20), affine))
    box = DisplayGrid(grid.source, grid.axes, grid.flips, (0, 0, 5), (8, 8, 15), step=2)
    assert box.block_of_slice(2, 14) == 0
    assert box.block_of_slice(2, 5) == 4
    assert box.block_of_slice(2, 15) is None


def test_nothing_outside_the_brain_is_shown(make_outcome: Make) -> None:
    views = views_of(make_outcome())
    assert views is not None
    assert views.scan[0, 0, 0] == 0
    assert (views.scan > 0).mean() < 0.65


def test_without_a_mask_only_three_slices_are_shown(make_outcome: Make) -> None:
    outcome = make_outcome()
    assert outcome.scan is not None
    assert views_of(Outcome(result=outcome.result, scan=outcome.scan)) is None
    assert glance_of(outcome.scan).shape == (48, 3 * 40)


def test_an_expected_image_reads_the_same_with_zeros_for_unknown(make_outcome: Make) -> None:
    outcome = make_outcome()
    assert outcome.expected is not None
    on_disk = Outcome(outcome.result, outcome.scan, outcome.heatmap, outcome.brain, np.nan_to_num(outcome.expected))
    first, second = views_of(outcome), views_of(on_disk)
    assert first is not None
    assert second is not None
    assert first.expected is not None
    assert np.array_equal(first.expected, second.expected)


def test_the_colour_scale_holds_the_finding_level(make_outcome: Make) -> None:
    heatmap = make_outcome().heatmap
    assert heatmap is not None
    span = heat_range(heatmap, 50.0)
    assert span.low == 0.0
    assert span.high > 50.0
    assert span.threshold == 50.0
    assert span.is_finding_level
    without = heat_range(heatmap, None)
    assert without.threshold == pytest.approx(np.nanpercentile(heatmap.values, 99.0))
    assert not without.is_finding_level
