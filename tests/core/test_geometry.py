"""Grids, and maps carried between them, over random oblique and flipped affines and against slow oracles."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from anomri.core.geometry import Geometry, apply_affine, carry, carry_known, orientation_code, whole_voxels
from anomri.errors import InputError

SHAPE = (9, 11, 8)
seeds = st.integers(0, 2**32 - 1)


def random_affine(rng: np.random.Generator, *, shift_mm: float = 100.0) -> np.ndarray:
    """Any rotation, any flips and axis order, spacings of 0.6–2.5 mm."""
    flips = np.diag(rng.choice([-1.0, 1.0], 3))
    affine = np.eye(4)
    affine[:3, :3] = Rotation.random(rng=rng).as_matrix() @ flips @ np.diag(rng.uniform(0.6, 2.5, 3))
    affine[:3, 3] = rng.uniform(-shift_mm, shift_mm, 3)
    return affine


def random_world(rng: np.random.Generator) -> np.ndarray:
    """A matrix between two worlds: small rotation, scale, shear and shift."""
    world = np.eye(4)
    turn = Rotation.from_rotvec(rng.uniform(-0.4, 0.4, 3)).as_matrix()
    world[:3, :3] = turn @ np.diag(rng.uniform(0.8, 1.25, 3)) @ (np.eye(3) + np.triu(rng.uniform(-0.1, 0.1, (3, 3)), 1))
    world[:3, 3] = rng.uniform(-20, 20, 3)
    return world


def by_hand(values: np.ndarray, source: Geometry, target: Geometry, world: np.ndarray) -> np.ndarray:
    """The oracle of `carry`: a world point for every target voxel, one by one interpolation from a padded source."""
    voxels = np.stack(np.meshgrid(*(np.arange(n) for n in target.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    there = apply_affine(target.affine, voxels.astype(float))
    home = apply_affine(np.linalg.inv(source.affine), apply_affine(np.linalg.inv(world), there))
    padded = np.pad(values.astype(np.float64), 2)
    found = ndimage.map_coordinates(padded, (home + 2).T, order=1, mode="constant", cval=0.0)
    return found.reshape(target.shape)


@settings(max_examples=50)
@given(seeds)
def test_a_point_goes_to_voxels_and_back(seed):
    rng = np.random.default_rng(seed)
    grid = Geometry(SHAPE, random_affine(rng))
    points = rng.uniform(-300, 300, (20, 3))
    back = apply_affine(grid.affine, apply_affine(grid.world_to_voxel, points))
    assert np.abs(back - points).max() < 1e-6


@settings(max_examples=40)
@given(seeds)
def test_carrying_equals_the_oracle(seed):
    rng = np.random.default_rng(seed)
    source = Geometry(SHAPE, random_affine(rng, shift_mm=4.0))
    target = Geometry((7, 10, 12), random_affine(rng, shift_mm=4.0))
    world = random_world(rng)
    values = rng.normal(size=SHAPE)
    expected = by_hand(values, source, target, world)
    np.testing.assert_allclose(carry(values, source, target, world), expected, atol=2e-5)


@settings(max_examples=40)
@given(seeds)
def test_carrying_onto_the_same_grid_changes_nothing_not_even_at_the_border(seed):
    rng = np.random.default_rng(seed)
    grid = Geometry(SHAPE, random_affine(rng))
    values = rng.normal(size=SHAPE).astype(np.float32)
    np.testing.assert_allclose(carry(values, grid, grid), values, atol=1e-5)


@settings(max_examples=40)
@given(seeds)
def test_beyond_its_edge_a_grid_goes_on_where_asked(seed):
    rng = np.random.default_rng(seed)
    source = Geometry(SHAPE, random_affine(rng, shift_mm=4.0))
    target = Geometry((7, 10, 12), random_affine(rng, shift_mm=40.0))
    carried = carry(np.full(SHAPE, 3.0), source, target, outside="edge")
    np.testing.assert_allclose(carried, 3.0, rtol=1e-6)


def test_a_linear_ramp_is_carried_exactly():
    rng = np.random.default_rng(3)
    source = Geometry((20, 20, 20), random_affine(rng, shift_mm=0.0))
    centre = apply_affine(source.affine, np.full((1, 3), 9.5))[0]
    affine = np.diag([0.5, 0.5, 0.5, 1.0])
    affine[:3, 3] = centre - 1.0
    target = Geometry((5, 5, 5), affine)
    slope = np.array([0.3, -0.2, 0.7])

    def ramp(grid: Geometry) -> np.ndarray:
        voxels = np.indices(grid.shape).reshape(3, -1).T.astype(float)
        return (apply_affine(grid.affine, voxels) @ slope).reshape(grid.shape)

    np.testing.assert_allclose(carry(ramp(source), source, target), ramp(target), atol=1e-4)


@settings(max_examples=40)
@given(seeds)
def test_what_is_unknown_stays_unknown_and_never_dilutes_what_is_known(seed):
    rng = np.random.default_rng(seed)
    source = Geometry(SHAPE, random_affine(rng, shift_mm=2.0))
    target = Geometry((12, 13, 11), random_affine(rng, shift_mm=6.0))
    values = np.where(rng.random(SHAPE) < 0.5, 5.0, np.nan)
    carried = carry_known(values, source, target)
    known = np.isfinite(carried)
    np.testing.assert_allclose(carried[known], 5.0, rtol=1e-5)
    weight = by_hand(np.isfinite(values).astype(float), source, target, np.eye(4))
    clear = np.abs(weight - 0.5) > 1e-4
    np.testing.assert_array_equal(known[clear], (weight >= 0.5)[clear])


@settings(max_examples=40)
@given(seeds)
def test_what_is_known_of_a_part_arrives_wherever_it_reaches(seed):
    rng = np.random.default_rng(seed)
    source = Geometry(SHAPE, random_affine(rng, shift_mm=4.0))
    target = Geometry((14, 16, 15), random_affine(rng, shift_mm=12.0))
    world = random_world(rng)
    values = np.full(SHAPE, np.nan)
    start = [int(rng.integers(0, n - 1)) for n in SHAPE]
    part = tuple(slice(first, int(rng.integers(first + 1, n + 1))) for first, n in zip(start, SHAPE, strict=True))
    values[part] = rng.normal(5.0, 1.0, values[part].shape)
    weight = by_hand(np.isfinite(values).astype(float), source, target, world)
    total = by_hand(np.nan_to_num(values), source, target, world)
    carried = carry_known(values, source, target, world)
    clear = np.abs(weight - 0.5) > 1e-4
    np.testing.assert_array_equal(np.isfinite(carried)[clear], (weight >= 0.5)[clear])
    known = np.isfinite(carried)
    np.testing.assert_allclose(carried[known], (total / np.maximum(weight, 0.1))[known], rtol=1e-4)


def test_a_map_far_from_the_grid_is_unknown_there():
    near, far = np.eye(4), np.eye(4)
    far[0, 3] = 1e4
    assert np.isnan(carry_known(np.ones(SHAPE), Geometry(SHAPE, near), Geometry(SHAPE, far))).all()


def test_the_known_border_is_the_mean_of_its_known_neighbours():
    grid = Geometry((4, 1, 1), np.eye(4))
    shifted = Geometry((4, 1, 1), np.array([[1.0, 0, 0, 0.25], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    values = np.array([1.0, 2.0, np.nan, np.nan]).reshape(4, 1, 1)
    carried = carry_known(values, grid, shifted).ravel()
    assert carried[0] == pytest.approx(1.25)
    assert carried[1] == pytest.approx(2.0)
    assert np.isnan(carried[2:]).all()


def test_a_map_that_knows_nothing_stays_unknown():
    grid = Geometry(SHAPE, np.eye(4))
    assert np.isnan(carry_known(np.full(SHAPE, np.nan), grid, grid)).all()


@pytest.mark.parametrize(("order", "signs"), list(product(permutations(range(3)), product((1, -1), repeat=3))))
def test_all_48_orientations_are_named(order, signs):
    linear = np.zeros((3, 3))
    expected = []
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        linear[world, axis] = sign * (axis + 0.7)
        expected.append("RAS"[world] if sign > 0 else "LPI"[world])
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_rotvec([0.2, -0.15, 0.25]).as_matrix() @ linear
    assert orientation_code(affine) == "".join(expected)


@settings(max_examples=50)
@given(seeds)
def test_an_orientation_names_every_world_axis_once(seed):
    code = orientation_code(random_affine(np.random.default_rng(seed)))
    assert sorted({"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}[letter] for letter in code) == [0, 1, 2]


def test_the_same_grid_is_one_whose_corners_agree():
    grid = Geometry((100, 100, 100), np.eye(4))
    assert grid.same_grid(Geometry((100, 100, 100), np.eye(4)))
    assert not grid.same_grid(Geometry((100, 100, 99), np.eye(4)))
    turned = np.eye(4)
    turned[0, 1] = 1e-4  # 0.01 mm a hundred voxels away
    assert not grid.same_grid(Geometry((100, 100, 100), turned))
    assert grid.same_grid(Geometry((100, 100, 100), turned), tol_mm=0.02)
    moved = np.eye(4)
    moved[:3, 3] = 0.08  # 0.14 mm along the diagonal
    assert not grid.same_grid(Geometry((100, 100, 100), moved), tol_mm=0.1)


def test_spacing_and_volume_are_those_of_the_columns():
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_rotvec([0.3, 0.1, -0.7]).as_matrix() @ np.diag([1.0, -2.0, 3.0])
    grid = Geometry((2, 2, 2), affine)
    assert grid.spacing_mm == pytest.approx((1.0, 2.0, 3.0))
    assert grid.voxel_ml == pytest.approx(0.006)


@pytest.mark.parametrize(
    ("shape", "affine"),
    [
        ((3, 3), np.eye(4)),
        ((3, 0, 3), np.eye(4)),
        ((3, 3, 3), np.eye(3)),
        ((3, 3, 3), np.diag([1.0, 0.0, 1.0, 1.0])),
        ((3, 3, 3), np.diag([1.0, np.nan, 1.0, 1.0])),
    ],
)
def test_a_grid_that_is_none_is_refused(shape, affine):
    with pytest.raises(InputError):
        Geometry(shape, affine)


def test_an_affine_cannot_be_changed_afterwards_and_is_not_shared():
    mine = np.eye(4)
    grid = Geometry((2, 2, 2), mine)
    mine[0, 0] = 7.0
    assert grid.spacing_mm[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 0] = 2.0


@pytest.mark.parametrize(("length_mm", "spacing_mm", "voxels"), [(5, 1, 5), (5, 2, 2), (3, 2, 2), (1, 3, 0), (1, 2, 0)])
@pytest.mark.parametrize("rounded", [1 - 1e-6, 1.0, 1 + 1e-6])
def test_a_whole_number_of_voxels_does_not_hang_on_the_last_bits_of_the_spacing(length_mm, spacing_mm, voxels, rounded):
    assert whole_voxels(length_mm, spacing_mm * rounded) == voxels
