"""The way home: over random grids and worlds, from JSON, in another process."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.spatial.transform import Rotation

from anomri.core.geometry import Geometry, apply_affine
from anomri.core.history import Grid, History, Step, rows_of

seeds = st.integers(0, 2**32 - 1)
PREPARED = Geometry(
    (24, 26, 22), np.array([[2.0, 0, 0, -23.0], [0, 2.0, 0, -25.0], [0, 0, 2.0, -21.0], [0, 0, 0, 1.0]])
)


def step(name: str, before: Geometry, after: Geometry, **more: object) -> Step:
    return Step(name=name, version=1, before=Grid.of(before), after=Grid.of(after), **more)


def random_history(seed: int) -> History:
    """An oblique, flipped original grid, two moves of the world, and the prepared grid around the same place."""
    rng = np.random.default_rng(seed)
    linear = Rotation.random(rng=rng).as_matrix() @ np.diag(rng.choice([-1.0, 1.0], 3) * rng.uniform(0.8, 1.8, 3))
    worlds = []
    for _ in range(2):
        world = np.eye(4)
        world[:3, :3] = Rotation.from_rotvec(rng.uniform(-0.3, 0.3, 3)).as_matrix() @ np.diag(rng.uniform(0.9, 1.1, 3))
        world[:3, 3] = rng.uniform(-15, 15, 3)
        worlds.append(world)
    shape = np.ceil(64.0 / np.linalg.norm(linear, axis=0)).astype(int)
    # The prepared grid's middle comes home to the middle of the original one.
    middle = apply_affine(np.linalg.inv(worlds[1] @ worlds[0]), rng.uniform(-2, 2, (1, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = middle - linear @ ((shape - 1) / 2.0)
    original = Geometry((int(shape[0]), int(shape[1]), int(shape[2])), affine)
    first = Geometry(original.shape, worlds[0] @ original.affine)
    second = Geometry(original.shape, worlds[1] @ first.affine)
    return History(
        steps=(
            step("first", original, first, world=rows_of(worlds[0])),
            step("second", first, second, world=rows_of(worlds[1]), measured={"correlation": 0.5}),
            step("resample", second, PREPARED),
        )
    )


def blob(centre: np.ndarray, sigma: float = 2.5) -> np.ndarray:
    away = np.indices(PREPARED.shape) - centre[:, None, None, None]
    return np.exp(-0.5 * np.square(away).sum(axis=0) / sigma**2).astype(np.float32)


def home_of(history: History, voxel: np.ndarray) -> np.ndarray:
    """Where a prepared voxel lies in the original grid, by three matrices one after the other."""
    point = apply_affine(history.prepared.affine, voxel[None])
    point = apply_affine(np.linalg.inv(np.array(history.steps[1].world)), point)
    point = apply_affine(np.linalg.inv(np.array(history.steps[0].world)), point)
    return apply_affine(np.linalg.inv(history.original.affine), point)[0]


@settings(max_examples=50)
@given(seeds)
def test_a_point_goes_to_the_prepared_world_and_back_within_a_tenth_of_a_millimetre(seed):
    history = random_history(seed)
    points = np.random.default_rng(seed).uniform(-200, 200, (20, 3))
    back = apply_affine(np.linalg.inv(history.world), apply_affine(history.world, points))
    assert np.abs(back - points).max() < 0.1


@settings(max_examples=25)
@given(seeds)
def test_a_peak_comes_home_within_half_a_voxel(seed):
    history = random_history(seed)
    voxel = np.random.default_rng(seed).uniform(8, 14, 3)
    truth = home_of(history, voxel)
    map_home = history.undo(blob(voxel))
    assert map_home.shape == history.original.shape
    weight = np.nan_to_num(map_home)
    weight[weight < 0.2 * weight.max()] = 0.0
    found = np.array([np.average(axis, weights=weight) for axis in np.indices(weight.shape)])
    assert np.abs(found - truth).max() <= 0.5
    peak = np.array(np.unravel_index(np.argmax(weight), weight.shape))
    step_mm = np.linalg.norm(history.original.affine[:3, :3] @ (peak - truth))
    assert step_mm <= np.linalg.norm(history.original.spacing_mm)


@settings(max_examples=25)
@given(seeds)
def test_home_is_unknown_where_nothing_was_examined_and_undiluted_where_it_was(seed):
    history = random_history(seed)
    examined = np.square(np.indices(PREPARED.shape) - 11.0).sum(axis=0) <= 64
    map_home = history.undo(np.where(examined, 4.0, np.nan))
    known = np.isfinite(map_home)
    np.testing.assert_allclose(map_home[known], 4.0, rtol=1e-5)
    ball_mm3 = examined.sum() * 8.0 / np.linalg.det(history.world[:3, :3])
    assert known.sum() * history.original.voxel_ml * 1000 == pytest.approx(ball_mm3, rel=0.05)
    centre = home_of(history, np.full(3, 11.0))
    assert np.abs(np.argwhere(known).mean(axis=0) - centre).max() < 0.5


def test_a_history_without_a_moved_world_has_the_identity():
    grid = Geometry((4, 5, 6), np.diag([1.0, 2.0, 3.0, 1.0]))
    history = History(steps=(step("orient", grid, grid),))
    np.testing.assert_array_equal(history.world, np.eye(4))
    values = np.arange(120.0, dtype=np.float32).reshape(4, 5, 6)
    np.testing.assert_allclose(history.undo(values), values)


def test_a_history_comes_back_from_json_exactly():
    history = random_history(5)
    again = History.model_validate_json(history.model_dump_json())
    assert again == history
    np.testing.assert_array_equal(again.world, history.world)
    np.testing.assert_array_equal(again.original.affine, history.original.affine)


def test_another_process_brings_the_same_map_home_from_json(tmp_path):
    history = random_history(6)
    values = np.where(blob(np.full(3, 11.0)) > 0.01, blob(np.full(3, 11.0)), np.nan)
    (tmp_path / "history.json").write_text(history.model_dump_json())
    np.save(tmp_path / "map.npy", values)
    code = (
        "import sys, numpy as np; from pathlib import Path; from anomri.core.history import History; "
        "here = Path(sys.argv[1]); history = History.model_validate_json((here / 'history.json').read_text()); "
        "np.save(here / 'home.npy', history.undo(np.load(here / 'map.npy')))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)
    assert np.load(tmp_path / "home.npy").tobytes() == history.undo(values).tobytes()


def test_what_a_step_measured_is_found_by_name():
    history = random_history(7)
    assert history.measured("second", "correlation") == 0.5
    for unknown in (("second", "overlap"), ("third", "overlap")):
        with pytest.raises(KeyError):
            history.measured(*unknown)


def test_a_measurement_that_json_cannot_hold_is_refused():
    with pytest.raises(ValidationError):
        step("mask", PREPARED, PREPARED, measured={"volume_ml": float("nan")})
