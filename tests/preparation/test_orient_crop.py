"""Turning, flipping and cutting move voxels and nothing else: each keeps its value and its place in the world."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from anomri.core.geometry import Geometry, apply_affine, orientation_code
from anomri.preparation.crop import box_of, crop
from anomri.preparation.orient import orient

seeds = st.integers(0, 2**32 - 1)
SHAPE = (4, 5, 6)
UNIQUE = np.arange(1, 121, dtype=np.float32).reshape(SHAPE)


def places(values: np.ndarray, grid: Geometry) -> dict[float, np.ndarray]:
    """World point of every value that is not 0."""
    voxels = np.argwhere(values)
    points = apply_affine(grid.affine, voxels.astype(float))
    return {float(values[tuple(v)]): p for v, p in zip(voxels, points, strict=True)}


def assert_same_places(one: dict[float, np.ndarray], other: dict[float, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for value, point in one.items():
        np.testing.assert_allclose(point, other[value], atol=1e-9)


def affine_of(order: tuple[int, ...], signs: tuple[int, ...], turn: float = 0.0) -> np.ndarray:
    linear = np.zeros((3, 3))
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        linear[world, axis] = sign * (1.0 + axis)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_rotvec([turn, -turn, turn]).as_matrix() @ linear
    affine[:3, 3] = (10.0, -20.0, 30.0)
    return affine


@pytest.mark.parametrize(("order", "signs"), list(product(permutations(range(3)), product((1, -1), repeat=3))))
def test_every_orientation_becomes_ras_and_no_voxel_moves(order, signs):
    for turn in (0.0, 0.2):
        before = Geometry(SHAPE, affine_of(order, signs, turn))
        mask = UNIQUE % 3 == 0
        voxels, inside, after = orient(UNIQUE, mask, before)
        assert orientation_code(after.affine) == "RAS"
        assert voxels.shape == inside.shape == after.shape
        assert_same_places(places(voxels, after), places(UNIQUE, before))
        np.testing.assert_array_equal(inside, voxels % 3 == 0)
        again, _, once_more = orient(voxels, inside, after)
        np.testing.assert_array_equal(again, voxels)
        np.testing.assert_array_equal(once_more.affine, after.affine)


@settings(max_examples=60)
@given(
    seeds,
    st.tuples(*[st.integers(-6, 8)] * 3),
    st.tuples(*[st.integers(1, 12)] * 3),
)
def test_a_box_keeps_every_voxel_in_its_place_and_pads_with_nothing(seed, start, shape):
    rng = np.random.default_rng(seed)
    affine = affine_of((2, 0, 1), (1, -1, 1), rng.uniform(-0.5, 0.5))
    grid = Geometry(SHAPE, affine)
    values, after = crop(UNIQUE, grid, start, shape)
    assert values.shape == after.shape == shape
    kept = places(values, after)
    everything = places(UNIQUE, grid)
    assert_same_places(kept, {value: everything[value] for value in kept})
    overlap = [max(0, min(s + n, m) - max(s, 0)) for s, n, m in zip(start, shape, SHAPE, strict=True)]
    assert len(kept) == np.prod(overlap)
    back, home = crop(values, after, tuple(-s for s in start), SHAPE)
    assert home.same_grid(grid, 1e-9)
    np.testing.assert_array_equal(back[back != 0], UNIQUE[back != 0])


@settings(max_examples=40)
@given(seeds, st.integers(0, 3))
def test_the_box_of_a_mask_is_the_smallest_that_holds_it_with_its_margin(seed, margin):
    mask = np.random.default_rng(seed).random((7, 8, 9)) < 0.02
    mask[3, 4, 5] = True
    start, shape = box_of(mask, margin)
    where = np.argwhere(mask)
    low = np.maximum(where.min(axis=0) - margin, 0)
    high = np.minimum(where.max(axis=0) + margin, np.array(mask.shape) - 1)
    assert start == tuple(low)
    assert shape == tuple(high - low + 1)
