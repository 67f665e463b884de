"""The whole preparation on a made brain: recorded, repeatable, undoable, and its failures named."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from pydantic import ValidationError

from anomri.core.geometry import Geometry, apply_affine, orientation_code
from anomri.core.history import History
from anomri.core.prepared import Prepared
from anomri.core.region import Region
from anomri.core.scan import Scan
from anomri.errors import InputError, PreparationFailed
from anomri.pipeline.demo import tissue_maps
from anomri.preparation import RECIPES, Recipe, prepare, recipe_named
from anomri.preparation import bias as bias_step
from anomri.preparation.intensity import LANDMARK_PERCENTILES
from anomri.simulate import Anatomy, anatomy


@pytest.fixture(scope="module")
def before(made_brain: Anatomy) -> bytes:
    return made_brain.scan.voxels.tobytes()


@pytest.fixture(scope="module")
def prepared(made_brain: Anatomy, quick: Recipe, before: bytes) -> Prepared:  # noqa: ARG001 - taken before it runs
    return prepare(made_brain.scan, quick, covariates={"age": 30.0}, subject="someone")


def with_voxels(scan: Scan, voxels: np.ndarray) -> Scan:
    return dataclasses.replace(scan, voxels=voxels.astype(np.float32))


def test_the_prepared_scan_lies_on_the_recipe_s_grid_and_is_0_outside_the_brain(prepared, quick):
    assert prepared.scan.geometry.same_grid(quick.grid)
    assert orientation_code(prepared.scan.geometry.affine) == "RAS"
    assert prepared.region.mask.any()
    assert (prepared.scan.voxels[prepared.region.mask] > 0).mean() > 0.99
    assert prepared.scan.voxels.min() == 0
    assert prepared.scan.voxels.max() <= 1.5
    assert prepared.covariates == {"age": 30.0}
    assert prepared.subject == "someone"


def test_a_flip_about_the_middle_of_the_grid_is_a_flip_of_its_voxels(quick):
    affine = quick.grid.affine
    first, last = affine[0, 3], affine[0, 3] + affine[0, 0] * (quick.shape[0] - 1)
    assert first == pytest.approx(-last)


def test_every_step_is_recorded_in_order_and_each_begins_where_the_last_ended(prepared, made_brain):
    steps = prepared.history.steps
    assert [s.name for s in steps] == [
        "mask",
        "orient",
        "crop",
        "register",
        "quality",
        "resample",
        "intensity",
        "erode",
    ]
    assert prepared.history.original.same_grid(made_brain.scan.geometry, 1e-9)
    assert prepared.history.prepared.same_grid(prepared.scan.geometry, 1e-9)
    for one, other in pairwise(steps):
        assert one.after == other.before
    volume = made_brain.brain.sum() * made_brain.scan.geometry.voxel_ml
    assert prepared.history.measured("mask", "volume_ml") == pytest.approx(volume, rel=0.01)


def test_only_registration_moves_the_world(prepared):
    assert [s.name for s in prepared.history.steps if s.world is not None] == ["register"]


def test_the_examined_region_lies_deep_in_the_brain(prepared, quick):
    inside = prepared.inside.mask
    assert 0.4 < prepared.region.mask.sum() / inside.sum() < 0.9
    shell = np.argwhere(~inside)
    deep = np.argwhere(prepared.region.mask)[::97]
    for voxel in deep:
        assert (np.linalg.norm(shell - voxel, axis=1) * quick.spacing_mm).min() > quick.erode_mm - 1e-6


def test_preparing_again_gives_the_same_bytes_and_leaves_the_scan_unchanged(prepared, made_brain, quick, before):
    again = prepare(made_brain.scan, quick)
    assert again.scan.voxels.tobytes() == prepared.scan.voxels.tobytes()
    assert again.region.mask.tobytes() == prepared.region.mask.tobytes()
    assert again.history == prepared.history
    assert again.quality == prepared.quality
    assert made_brain.scan.voxels.tobytes() == before


def test_a_mask_that_says_the_same_gives_the_same_scan(prepared, made_brain, quick):
    mask = Region(prepared.brain.mask.copy(), made_brain.scan.geometry, "brain", "user")
    timings: dict[str, float] = {}
    given = prepare(made_brain.scan, quick, mask=mask, timings=timings)
    assert given.scan.voxels.tobytes() == prepared.scan.voxels.tobytes()
    assert given.brain is mask
    assert set(timings) == {s.name for s in given.history.steps}


def test_a_scan_normalised_before_is_prepared_as_if_it_had_not_been(prepared, made_brain, quick):
    voxels, brain = made_brain.scan.voxels, prepared.brain.mask
    scores = np.where(brain, (voxels - voxels[brain].mean()) / voxels[brain].std(), 0.0)
    found = prepare(with_voxels(made_brain.scan, scores), quick)
    np.testing.assert_array_equal(found.brain.mask, brain)
    assert found.history.measured("zero", "added") > 1.0
    both = found.inside.mask & prepared.inside.mask
    assert both.sum() > 0.98 * prepared.inside.mask.sum()
    assert np.abs(found.scan.voxels - prepared.scan.voxels)[both].mean() < 0.01


def test_a_mask_on_another_grid_is_refused(made_brain, quick):
    scan = made_brain.scan
    moved = scan.geometry.affine.copy()
    moved[0, 3] += 5.0
    mask = Region(made_brain.brain.copy(), Geometry(scan.geometry.shape, moved), "brain", "user")
    with pytest.raises(InputError) as error:
        prepare(scan, quick, mask=mask)
    assert error.value.code == "mask_grid"


def test_a_brain_too_small_for_an_adult_fails(made_brain, quick):
    scan = made_brain.scan
    small = scan.geometry.affine @ np.diag([0.7, 0.7, 0.7, 1.0])
    with pytest.raises(PreparationFailed) as error:
        prepare(dataclasses.replace(scan, geometry=Geometry(scan.geometry.shape, small)), quick)
    assert error.value.code == "mask_volume"


def test_a_brain_of_one_value_fails_to_be_prepared(made_brain, quick):
    with pytest.raises(PreparationFailed):
        prepare(with_voxels(made_brain.scan, 500.0 * made_brain.brain), quick)


def test_a_registration_below_the_recipe_s_limits_fails(made_brain, quick):
    strict = quick.model_copy(update={"least_correlation": 0.999})
    with pytest.raises(PreparationFailed) as error:
        prepare(made_brain.scan, strict)
    assert error.value.code == "registration"


def test_the_digest_of_a_recipe_changes_with_settings_and_with_the_version_of_a_step(monkeypatch, quick):
    same = Recipe.model_validate_json(quick.model_dump_json())
    assert same.sha256 == quick.sha256
    changes = {
        "registration": "rigid",
        "bias": True,
        "spacing_mm": 4.5,
        "shape": (40, 48, 42),
        "percentiles": (2.0, 99.0),
        "ceiling": None,
        "erode_mm": 3.0,
        "least_overlap": 0.8,
    }
    digests = {quick.model_copy(update={key: value}).sha256 for key, value in changes.items()}
    assert len(digests | {quick.sha256}) == len(changes) + 1
    before = quick.sha256
    monkeypatch.setattr(bias_step, "VERSION", bias_step.VERSION + 1)
    assert quick.sha256 not in {before, *digests}


def test_shipped_recipes_are_found_by_name():
    for name in RECIPES:
        assert recipe_named(name).name == name
    with pytest.raises(InputError) as error:
        recipe_named("brain-t3")
    assert error.value.code == "unknown_recipe"


def test_landmarks_belong_to_the_histogram(quick):
    fitting = tuple(float(p) for p in LANDMARK_PERCENTILES)
    Recipe(**{**quick.model_dump(), "intensity": "histogram", "landmarks": fitting})
    for change in ({"intensity": "histogram"}, {"landmarks": fitting}):
        with pytest.raises((InputError, ValidationError)):
            Recipe(**{**quick.model_dump(), **change})


def half_voxel_shift(one: np.ndarray, other: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Shift between two images, in voxels: where a parabola through three correlations has its top."""
    shift = np.zeros(3)
    for axis in range(3):
        correlations = []
        for step in (-1, 0, 1):
            moved, inside = np.roll(other, step, axis), mask & np.roll(mask, step, axis)
            correlations.append(np.corrcoef(one[inside], moved[inside])[0, 1])
        low, middle, high = correlations
        assert middle > max(low, high)
        shift[axis] = 0.5 * (low - high) / (low - 2 * middle + high)
    return shift


@pytest.mark.slow
def test_the_real_recipe_brings_peaks_and_images_home_within_half_a_voxel():
    made = anatomy(tissue_maps(), seed=8, spacing_mm=2.0)
    scan = made.scan
    prepared = prepare(scan, RECIPES["brain-t1"])
    history = History.model_validate_json(prepared.history.model_dump_json())
    for fraction in (0.2, 0.5, 0.8):
        deep = np.argwhere(prepared.region.mask)
        voxel = deep[int(fraction * len(deep))].astype(float)
        away = np.indices(prepared.scan.geometry.shape) - voxel[:, None, None, None]
        home = np.nan_to_num(history.undo(np.exp(-0.5 * np.square(away).sum(axis=0) / 2.0**2)))
        home[home < 0.2 * home.max()] = 0
        found = np.array([np.average(axis, weights=home) for axis in np.indices(home.shape)])
        point = apply_affine(np.linalg.inv(history.world), apply_affine(history.prepared.affine, voxel[None]))
        truth = apply_affine(scan.geometry.world_to_voxel, point)[0]
        assert np.abs(found - truth).max() <= 0.5
    # Independent of every matrix: the prepared image itself, brought home, lies on the scan it came from.
    image = history.undo(np.where(prepared.inside.mask, prepared.scan.voxels, np.nan))
    known = np.isfinite(image) & made.brain
    assert known.sum() > 0.9 * made.brain.sum()
    assert np.corrcoef(image[known], scan.voxels[known])[0, 1] > 0.9
    assert np.abs(half_voxel_shift(scan.voxels, np.nan_to_num(image), known)).max() < 0.25


@pytest.mark.parametrize("spacing_mm", [2.0, 2.5])
def test_what_another_program_rounds_in_the_header_changes_nothing(spacing_mm):
    """The same grid written twice differs by 1e-13 mm; into 5 mm go 2.5 and 2 voxels."""
    brain = anatomy(tissue_maps(), seed=4, spacing_mm=spacing_mm).scan
    recipe = Recipe(name="all", spacing_mm=4.0, shape=(40, 48, 40), intensity="percentile", ceiling=1.5, erode_mm=4.0)
    plain = prepare(brain, recipe)
    for n in range(4):
        error = np.zeros((4, 4))
        error[:3] = np.random.default_rng(n).uniform(-1e-12, 1e-12, (3, 4))
        moved = Geometry(brain.geometry.shape, brain.geometry.affine + error)
        again = prepare(dataclasses.replace(brain, geometry=moved), recipe)
        assert np.abs(again.scan.voxels - plain.scan.voxels).max() < 1e-4
        for name, value in plain.quality.items():
            assert again.quality[name] == (value if value is None else pytest.approx(value, rel=1e-6)), name
