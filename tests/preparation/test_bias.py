"""A known smooth field is found and removed, up to a factor."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from anomri.core.geometry import Geometry
from anomri.preparation.bias import correct_bias

SHAPE = (36, 40, 34)
GRID = Geometry(SHAPE, np.array([[-2.0, 0, 0, 35.0], [0, 0, 2.0, -30.0], [0, 2.0, 0, -20.0], [0, 0, 0, 1.0]]))


def tissue(share: float = 0.85) -> tuple[np.ndarray, np.ndarray]:
    """Three tissues in patches of a few mm inside an ellipsoid."""
    rng = np.random.default_rng(4)
    pattern = ndimage.gaussian_filter(rng.normal(size=SHAPE), 1.5)
    levels = np.digitize(pattern / pattern.std(), [-0.8, 0.3])
    away = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
    mask = np.square(away / share).sum(axis=0) <= 1
    voxels = np.choose(levels, [300.0, 650.0, 1000.0]) + rng.normal(0, 15, SHAPE)
    return np.where(mask, voxels, 0.0).astype(np.float32), mask


def log_field() -> np.ndarray:
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    return 0.3 * x - 0.2 * y * z + 0.15 * np.cos(2 * z)


def removed(before: np.ndarray, after: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.log(before[mask] / after[mask])


def test_a_known_field_is_removed():
    voxels, mask = tissue()
    field = log_field()
    biased = (voxels * np.exp(field)).astype(np.float32)
    corrected, strength = correct_bias(biased, mask, GRID)
    assert np.corrcoef(removed(biased, corrected, mask), field[mask])[0, 1] > 0.98
    left = np.log(corrected[mask] / voxels[mask])
    assert left.std() < 0.25 * field[mask].std()
    low, high = np.percentile(field[mask], [2, 98])
    assert strength == pytest.approx(high - low, rel=0.15)
    assert (corrected[~mask] == 0).all()


def test_where_there_is_no_field_hardly_any_is_found():
    voxels, mask = tissue()
    corrected, strength = correct_bias(voxels, mask, GRID)
    assert strength < 0.12
    assert removed(voxels, corrected, mask).std() < 0.04


def test_the_field_goes_on_to_the_border_of_the_grid():
    voxels, mask = tissue(share=1.2)
    assert mask[0].any()
    assert mask[-1].any()
    biased = (voxels * np.exp(log_field())).astype(np.float32)
    corrected, _ = correct_bias(biased, mask, GRID)
    divided = np.full(SHAPE, np.nan)
    divided[mask] = removed(biased, corrected, mask)
    steps = np.abs(np.diff(divided, axis=0))
    assert np.nanmax(steps[[0, -1]]) < 2 * np.nanmax(steps[3:-3])


def test_correcting_twice_gives_the_same_bytes_and_leaves_the_input():
    voxels, mask = tissue()
    before = voxels.tobytes()
    one, other = correct_bias(voxels, mask, GRID)[0], correct_bias(voxels, mask, GRID)[0]
    assert one.tobytes() == other.tobytes()
    assert voxels.tobytes() == before


def test_dark_and_negative_voxels_inside_the_mask_do_no_harm():
    voxels, mask = tissue()
    voxels = voxels.copy()
    voxels[14:20, 16:22, 14:18] = 0.0
    voxels[20, 20, 20] = -3.0
    corrected, strength = correct_bias(voxels, mask, GRID)
    assert np.isfinite(corrected).all()
    assert strength < 0.2
