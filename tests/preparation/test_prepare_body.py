"""Stacks of a body: what belongs to it, where it comes to lie, that no slice is mixed with another, the way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from anomri.core.geometry import apply_affine
from anomri.core.history import History
from anomri.errors import PreparationFailed
from anomri.io import read
from anomri.preparation import Recipe, prepare, recipe_named
from anomri.preparation.body import body_mask
from bodies import body, body_scan

QUICK = Recipe(
    name="quick-body", registration="body", bias=False, spacing_mm=5.0, slice_mm=3.0, shape=(80, 64, 24),
    intensity="percentile", erode_mm=8.0,
)  # fmt: skip


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum())


@pytest.mark.parametrize("seed", [0, 1])
def test_the_body_is_told_from_air_dark_muscle_and_all(seed):
    values, truth = body(seed)
    assert dice(body_mask(values.astype("f4"), body_scan(values).geometry), truth) > 0.98


@pytest.mark.parametrize("half_mm", [(260.0, 190.0), (230.0, 115.0), (165.0, 190.0)])
def test_where_the_field_of_view_cuts_the_body_off_muscle_at_its_edge_belongs_to_it(half_mm):
    values, truth = body(2, half_mm=half_mm)
    assert (values[0] < 150).any() or (values[:, 0] < 150).any()
    assert dice(body_mask(values.astype("f4"), body_scan(values).geometry), truth) > 0.96


def test_rows_without_signal_are_no_body():
    values, _ = body(3, half_mm=(260.0, 190.0))
    values[:6], values[:, -5:] = 0, 0
    mask = body_mask(values.astype("f4"), body_scan(values).geometry)
    assert not mask[:6].any()
    assert not mask[:, -5:].any()
    assert mask.mean() > 0.8


def test_the_order_and_direction_of_the_axes_change_nothing():
    values, _ = body(4)
    scan = body_scan(values)
    order, flips = (2, 0, 1), (0, 2)
    turned = np.flip(values.transpose(order), flips)
    affine = scan.geometry.affine @ np.vstack([np.column_stack([np.eye(3)[:, list(order)], np.zeros(3)]), [0, 0, 0, 1]])
    mirror = np.eye(4)
    for axis in flips:
        mirror[axis, axis], mirror[axis, 3] = -1, turned.shape[axis] - 1
    one, other = prepare(scan, QUICK), prepare(body_scan(turned, affine @ mirror), QUICK)
    np.testing.assert_allclose(one.scan.voxels, other.scan.voxels, atol=1e-5)
    np.testing.assert_array_equal(one.region.mask, other.region.mask)


def test_every_slice_is_a_slice_of_the_grid_and_millimetres_stay_in_plane():
    values, truth = body(5)
    prepared = prepare(body_scan(values), QUICK)
    assert prepared.scan.geometry.spacing_mm == (5.0, 5.0, 3.0)
    filled = np.flatnonzero(prepared.inside.mask.any(axis=(0, 1)))
    assert list(filled) == list(range(5, 5 + 14))
    across = prepared.inside.mask.any(axis=2)
    for axis in (0, 1):
        width_mm = np.ptp(np.flatnonzero(across.any(axis=1 - axis))) * 5.0
        true_mm = np.ptp(np.flatnonzero(truth.any(axis=tuple({0, 1, 2} - {axis})))) * 4.0
        assert width_mm == pytest.approx(true_mm, abs=10)
        assert width_mm == pytest.approx(prepared.history.measured("body", ("width_mm", "depth_mm")[axis]), abs=10)
    # A mark in one slice alone stays in one slice.
    marked = values.copy()
    marked[40:56, 30:42, 7] = 900
    apart = np.abs(prepare(body_scan(marked), QUICK).scan.voxels - prepared.scan.voxels) > 0.2
    assert list(np.flatnonzero(apart.any(axis=(0, 1)))) == [5 + 7]


def test_the_rim_is_not_examined_and_the_ends_of_the_stack_are_no_rim():
    prepared = prepare(body_scan(body(6)[0]), QUICK)
    used = [np.flatnonzero(mask.any(axis=(0, 1))) for mask in (prepared.region.mask, prepared.inside.mask)]
    np.testing.assert_array_equal(*used)
    assert 0.02 < 1 - prepared.region.mask.sum() / prepared.inside.mask.sum() < 0.25


@given(
    angles=st.tuples(*[st.floats(-25, 25)] * 3),
    spacing=st.tuples(st.floats(3.0, 5.0), st.floats(3.0, 5.0), st.floats(5.0, 8.0)),
    at=st.tuples(*[st.floats(0.15, 0.85)] * 3),
)
@settings(max_examples=12, deadline=None)
def test_a_peak_comes_home_to_its_voxel_of_an_oblique_stack(angles, spacing, at):
    values, _ = body(7)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(spacing)
    affine[:3, 3] = 12.0, -30.0, 55.0
    prepared = prepare(body_scan(values, affine), QUICK)
    history = History.model_validate_json(prepared.history.model_dump_json())
    deep = np.argwhere(prepared.region.mask)
    low, high = deep.min(axis=0), deep.max(axis=0)
    voxel = low + np.array(at) * (high - low)
    away = np.indices(prepared.scan.geometry.shape) - voxel[:, None, None, None]
    home = np.nan_to_num(history.undo(np.exp(-0.5 * np.square(away).sum(axis=0) / 2.0**2)))
    # Slices stay slices: in the scan the peak lies as many slices from the first as on the grid.
    peak = np.unravel_index(int(home.argmax()), home.shape)
    assert abs(peak[2] - (voxel[2] - low[2])) <= 1
    # In plane distances are millimetres on both grids, from the middle of the body.
    mask = prepared.brain.mask.any(axis=2)
    for axis in (0, 1):
        used = np.flatnonzero(mask.any(axis=1 - axis))
        away_mm = (peak[axis] - (used[0] + used[-1]) / 2) * spacing[axis]
        expected_mm = (voxel[axis] - (QUICK.shape[axis] - 1) / 2) * QUICK.spacing_mm
        assert abs(away_mm - expected_mm) <= max(spacing[axis], QUICK.spacing_mm)


def test_the_prepared_image_comes_home_onto_the_scan():
    values, truth = body(8)
    prepared = prepare(body_scan(values), QUICK)
    home = prepared.history.undo(np.where(prepared.inside.mask, prepared.scan.voxels, np.nan))
    known = np.isfinite(home)
    assert (known & truth).sum() > 0.96 * truth.sum()
    assert np.corrcoef(home[known], values[known])[0, 1] > 0.93


def test_more_slices_than_the_grid_holds_leave_the_outer_ones_unexamined():
    prepared = prepare(body_scan(body(9, shape=(96, 72, 40))[0]), QUICK)
    home = prepared.history.undo(np.where(prepared.region.mask, 1.0, np.nan))
    assert list(np.flatnonzero(np.isfinite(home).any(axis=(0, 1)))) == list(range(8, 32))


def test_the_same_bytes_again_and_another_gain_changes_nothing():
    values, _ = body(10)
    one, again, louder = (prepare(body_scan(values * gain), QUICK) for gain in (1.0, 1.0, 8.0))
    assert one.scan.voxels.tobytes() == again.scan.voxels.tobytes()
    np.testing.assert_allclose(one.scan.voxels, louder.scan.voxels, atol=1e-4)


def test_a_slice_a_sagittal_stack_and_no_body_are_refused():
    values, _ = body(11)
    sagittal = np.zeros((4, 4))
    sagittal[0, 2], sagittal[1, 0], sagittal[2, 1], sagittal[3, 3] = 5.0, 3.0, 3.0, 1.0
    for scan, code in (
        (body_scan(values[:, :, :1]), "dimensions"),
        (body_scan(values, sagittal), "dimensions"),
        (body_scan(np.where(np.indices(values.shape).sum(axis=0) % 97 == 0, 500.0, 1.0)), "mask_empty"),
    ):
        with pytest.raises(PreparationFailed) as caught:
            prepare(scan, QUICK)
        assert caught.value.code == code


def test_metrics_that_need_tissue_classes_are_undefined_and_the_rest_measured():
    quality = prepare(body_scan(body(12)[0]), QUICK).quality
    known = {name for name, value in quality.items() if value is not None}
    assert known >= {"noise_level", "gradient_energy", "intensity_entropy", "correlation_length_z"}
    assert not known & {"white_share", "brain_volume", "slice_jump", "edge_slope"}


@pytest.mark.slow
def test_the_shipped_recipe_corrects_a_field_and_keeps_its_grid():
    values, truth = body(13)
    bent = values * np.exp(0.6 * (np.arange(96) / 95 - 0.5))[:, None, None]
    recipe = recipe_named("pelvis-t2")
    prepared = prepare(body_scan(bent), recipe)
    assert prepared.scan.geometry.same_grid(recipe.grid)
    assert prepared.history.measured("bias", "log_range") > 0.3
    home = prepared.history.undo(np.where(prepared.inside.mask, prepared.scan.voxels, np.nan))
    fat = np.isfinite(home) & truth & (np.abs(values - 500) < 60)
    left, right = home[:30][fat[:30]].mean(), home[-30:][fat[-30:]].mean()
    assert right / left < 1.15  # 1.45 in the scan


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["T2_axial_series_03.mha", "T2_axial_series_15.mha"])
def test_a_real_pelvis_is_prepared_whole_and_comes_home(name, shared_data):
    scan = read(shared_data / "pelvis_t2" / name)
    prepared = prepare(scan, recipe_named("pelvis-t2"))
    # Both fields of view lie within the body.
    assert prepared.history.measured("mask", "share") > 0.95
    home = prepared.history.undo(np.where(prepared.inside.mask, prepared.scan.voxels, np.nan))
    known = np.isfinite(home)
    assert known.mean() > 0.93
    assert np.corrcoef(home[known], scan.voxels[known])[0, 1] > 0.9
    corner = apply_affine(prepared.history.world @ scan.geometry.affine, np.array([[0.0, 0, 0], [100, 50, 10]]))
    expected_mm = 0.5 * np.hypot(100, 50) if "03" in name else 0.75 * np.hypot(100, 50)
    assert np.linalg.norm((corner[1] - corner[0])[:2]) == pytest.approx(expected_mm, abs=1e-3)
