"""Resampling of a masked volume: what the target cannot show is gone, what it can show stays, the border is whole."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from anomri.core.geometry import Geometry, apply_affine
from anomri.preparation.resample import resample


def cube(
    shape: tuple[int, int, int], spacing_mm: tuple[float, float, float] | float, turn_deg: float = 0.0
) -> Geometry:
    """A grid centred on the origin of the world, turned about an oblique axis."""
    linear = Rotation.from_rotvec(np.radians(turn_deg) * np.array([0.48, -0.6, 0.64])).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = linear @ np.diag(np.broadcast_to(spacing_mm, 3))
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2.0
    return Geometry(shape, affine)


def world_points(grid: Geometry) -> np.ndarray:
    """(X, Y, Z, 3) place of every voxel, mm."""
    return apply_affine(grid.affine, np.indices(grid.shape).reshape(3, -1).T.astype(float)).reshape(*grid.shape, 3)


def ball(grid: Geometry, radius_mm: float) -> np.ndarray:
    return np.linalg.norm(world_points(grid), axis=-1) <= radius_mm


COARSE = cube((24, 24, 24), 2.0)


@pytest.mark.parametrize("spacing_mm", [0.7, 1.0, (1.0, 1.0, 3.0), 2.0, 3.5])
def test_a_constant_stays_constant_up_to_the_border_whatever_the_background(spacing_mm):
    source = cube((48, 48, 48), spacing_mm, turn_deg=11)
    mask = ball(source, 15.0)
    values, within = resample(np.where(mask, np.float32(7.0), np.float32(0.0)), mask, source, COARSE)
    np.testing.assert_allclose(values[within], 7.0, rtol=1e-5)
    assert (values[~within] == 0).all()
    volume = mask.sum() * source.voxel_ml
    assert within.sum() * COARSE.voxel_ml == pytest.approx(volume, rel=0.08)


@pytest.mark.parametrize("cycles_per_mm", [0.36, 0.4, 0.45])
def test_waves_that_the_coarser_grid_would_alias_are_taken_out(cycles_per_mm):
    source = cube((64, 64, 64), 1.0)
    wave = np.cos(2 * np.pi * cycles_per_mm * world_points(source)[..., 0]).astype(np.float32)
    values, within = resample(wave, np.ones(source.shape, bool), source, COARSE)
    # The target's Nyquist frequency is 0.25 per mm: this would come out as a slow wave of full height.
    assert values[within].std() < 0.2 * wave.std()


def test_noise_comes_out_as_small_as_a_blur_of_half_a_voxel_leaves_it():
    source = cube((64, 64, 64), 1.0)
    noise = np.random.default_rng(0).normal(size=source.shape).astype(np.float32)
    values, within = resample(noise, np.ones(source.shape, bool), source, COARSE)
    blurred = ndimage.gaussian_filter(noise, 0.5 * np.sqrt(3.0))
    # Every second plane of voxels lies on a half: the mean of two neighbours along each axis.
    for axis in range(3):
        blurred = (blurred + np.roll(blurred, -1, axis)) / 2
    assert values[within].std() == pytest.approx(blurred.std(), rel=0.05)


@pytest.mark.parametrize("spacing_mm", [2.0, 2.6])
def test_onto_a_grid_as_fine_or_finer_it_is_interpolation_alone(spacing_mm):
    source = cube((22, 22, 22), spacing_mm)
    values = np.random.default_rng(1).normal(size=source.shape).astype(np.float32)
    found, within = resample(values, np.ones(source.shape, bool), source, COARSE)
    points = apply_affine(source.world_to_voxel, world_points(COARSE)[within])
    expected = ndimage.map_coordinates(values, points.T, order=1, mode="nearest")
    inner = (points >= 0).all(axis=1) & (points <= 21).all(axis=1)
    np.testing.assert_allclose(found[within][inner], expected[inner], atol=1e-5)


def test_only_the_axes_that_are_finer_are_low_passed():
    source = cube((48, 48, 16), (1.0, 1.0, 3.0))
    alternating = np.where(np.arange(16) % 2 == 0, 1.0, -1.0) * np.ones(source.shape)
    values, within = resample(alternating.astype(np.float32), np.ones(source.shape, bool), source, COARSE)
    assert np.abs(values[within]).max() > 0.65  # two of three planes lie a third of a voxel away


@pytest.mark.parametrize("turn_deg", [0.0, 17.0])
def test_a_peak_stays_home(turn_deg):
    source = cube((56, 56, 56), 1.0, turn_deg)
    centre = np.array([3.3, -2.1, 4.7])
    blob = np.exp(-0.5 * np.square(world_points(source) - centre).sum(axis=-1) / 3.0**2).astype(np.float32)
    values, _ = resample(blob, np.ones(source.shape, bool), source, COARSE)
    found = np.average(world_points(COARSE).reshape(-1, 3), axis=0, weights=values.ravel())
    np.testing.assert_allclose(found, centre, atol=0.02)


def test_what_the_mask_leaves_out_has_no_say():
    source = cube((48, 48, 48), 1.0)
    mask = ball(source, 15.0)
    inside = np.where(mask, np.random.default_rng(2).normal(5.0, 1.0, source.shape), 0.0).astype(np.float32)
    values, within = resample(inside, mask, source, COARSE)
    assert values[within].min() > 2.0
