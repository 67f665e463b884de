"""The mask of a stripped scan on shapes whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from anomri.core.geometry import Geometry
from anomri.errors import PreparationFailed
from anomri.preparation.mask import PLAUSIBLE_ML, erode_mm, stripped_mask, verify_volume

SHAPE = (24, 28, 20)


def ellipsoid(shape: tuple[int, int, int] = SHAPE, share: float = 0.8) -> np.ndarray:
    away = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    return np.square(away / share).sum(axis=0) <= 1


def brain(inside: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.where(inside, rng.uniform(100, 1000, inside.shape), 0.0).astype(np.float32)


def test_the_mask_is_the_foreground():
    inside = ellipsoid()
    np.testing.assert_array_equal(stripped_mask(brain(inside)), inside)


def test_holes_are_filled_and_islands_left_out():
    inside = ellipsoid()
    voxels = brain(inside)
    voxels[11:13, 13:15, 9:11] = 0.0
    voxels[0, 0, 0] = voxels[23, 27, 18:20] = 500.0
    np.testing.assert_array_equal(stripped_mask(voxels), inside)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e5])
def test_ripples_of_a_resampling_are_background_at_any_scale(scale):
    inside = ellipsoid()
    ripples = np.random.default_rng(1).uniform(-9, 9, SHAPE)
    voxels = (np.where(inside, brain(inside), ripples) * scale).astype(np.float32)
    np.testing.assert_array_equal(stripped_mask(voxels), inside)


@pytest.mark.parametrize(("background", "nearest"), [(0.0, 1e-4), (0.25, 1e-4), (-5.0, 0.5)])
def test_a_scan_normalised_before_keeps_its_dark_half(background, nearest):
    inside = ellipsoid()
    values = np.random.default_rng(2).normal(size=SHAPE)
    # A z-score close to the background's, on the brain's surface, is brain.
    values[tuple(np.argwhere(inside)[0])] = background + nearest
    np.testing.assert_array_equal(stripped_mask(np.where(inside, values, background).astype(np.float32)), inside)


def test_the_mask_of_a_made_brain_is_the_same_after_it_was_normalised(made_brain):
    voxels, brain = made_brain.scan.voxels, made_brain.brain
    scores = np.where(brain, (voxels - voxels[brain].mean()) / voxels[brain].std(), 0.0).astype(np.float32)
    assert (scores[brain] < 0).mean() > 0.2
    np.testing.assert_array_equal(stripped_mask(scores), stripped_mask(voxels))


def test_where_no_value_has_most_of_the_border_the_background_is_0():
    inside = ellipsoid(share=1.3)  # cut off by the grid
    np.testing.assert_array_equal(stripped_mask(brain(inside)), inside)


@pytest.mark.parametrize("value", [0.0, -5.0])
def test_a_scan_without_foreground_has_no_brain(value):
    with pytest.raises(PreparationFailed) as error:
        stripped_mask(np.full(SHAPE, value, np.float32))
    assert error.value.code == "no_signal"


def test_only_the_volume_of_a_brain_is_plausible():
    inside = ellipsoid()
    for volume in (*PLAUSIBLE_ML, 1400.0):
        side = (volume * 1000 / inside.sum()) ** (1 / 3)
        for factor, plausible in ((1.0, True), (0.9, volume > PLAUSIBLE_ML[0]), (1.1, volume < PLAUSIBLE_ML[1])):
            # A hair towards the middle, so that rounding cannot decide the limits themselves.
            hair = 1 + 1e-6 * np.sign(1400.0 - volume)
            grid = Geometry(SHAPE, np.diag([side * hair * factor ** (1 / 3)] * 3 + [1.0]))
            if plausible:
                assert verify_volume(inside, grid) == pytest.approx(volume * factor, rel=1e-4)
            else:
                with pytest.raises(PreparationFailed) as error:
                    verify_volume(inside, grid)
                assert error.value.code == "mask_volume"


@pytest.mark.parametrize("depth_mm", [0.5, 2.0, 3.1, 4.5])
def test_erosion_keeps_what_lies_deeper_than_its_depth(depth_mm):
    spacing = (1.0, 1.5, 2.2)
    inside = ellipsoid((12, 11, 9), share=1.05)  # touches the border of the grid
    padded = np.pad(inside, 1)
    outside = np.argwhere(~padded) - 1
    expected = np.zeros_like(inside)
    for voxel in np.argwhere(inside):
        distance = np.linalg.norm((outside - voxel) * spacing, axis=1).min()
        expected[tuple(voxel)] = distance > depth_mm
    np.testing.assert_array_equal(erode_mm(inside, spacing, depth_mm), expected)


def test_eroding_more_leaves_less_and_at_last_nothing():
    inside = ellipsoid()
    sizes = [int(erode_mm(inside, (1.0, 1.0, 1.0), depth).sum()) for depth in (0.0, 1.0, 2.0, 4.0, 20.0)]
    assert sizes[0] == inside.sum()
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 0
    assert (ndimage.binary_dilation(erode_mm(inside, (1.0, 1.0, 1.0), 1.0)) <= inside).all()
