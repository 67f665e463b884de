"""Brains of any contrast: the same place as in T1, and what lies turned over is still told."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from anomri.core.prepared import Prepared
from anomri.core.scan import Scan
from anomri.errors import PreparationFailed
from anomri.io import read
from anomri.models import Model
from anomri.preparation import Recipe, prepare, recipe_named
from anomri.preparation.mask import stripped_mask
from anomri.preparation.register import register
from anomri.simulate import Anatomy

# Signal of CSF, grey and white matter in a T2-weighted scan and in FLAIR, in arbitrary units.
CONTRASTS = {"T2": (900.0, 450.0, 300.0), "FLAIR": (60.0, 420.0, 330.0)}


@pytest.fixture(scope="module")
def any_contrast(quick: Recipe) -> Recipe:
    settings = {"registration": "affine-any", "least_correlation": recipe_named("brain-any").least_correlation}
    return quick.model_copy(update=settings)


def with_contrast(made: Anatomy, signal: tuple[float, float, float]) -> Scan:
    values = np.array([0.0, *signal])[made.labels] * np.random.default_rng(0).normal(1, 0.05, made.labels.shape)
    return dataclasses.replace(made.scan, voxels=np.maximum(values, made.brain).astype(np.float32))


@pytest.fixture(scope="module")
def as_t1(made_brain: Anatomy, quick: Recipe) -> Prepared:
    return prepare(made_brain.scan, quick)


@pytest.mark.parametrize("name", CONTRASTS)
def test_a_brain_of_another_contrast_comes_to_lie_where_its_t1_does(made_brain, as_t1, any_contrast, name):
    prepared = prepare(with_contrast(made_brain, CONTRASTS[name]), any_contrast)
    corners = np.array([[x, y, z, 1.0] for x in (-60, 60) for y in (-90, 60) for z in (-40, 60)])
    apart = (prepared.history.world @ np.linalg.inv(as_t1.history.world) - np.eye(4)) @ corners.T
    assert np.linalg.norm(apart[:3], axis=0).max() < 4.0
    assert prepared.history.measured("register", "upright") > 0.2
    assert list(prepared.quality) == list(as_t1.quality)


def test_a_t2_that_the_recipe_for_t1_refuses_is_prepared(made_brain, quick, any_contrast):
    scan = with_contrast(made_brain, CONTRASTS["T2"])
    with pytest.raises(PreparationFailed) as caught:
        prepare(scan, quick)
    assert caught.value.code == "registration"
    assert prepare(scan, any_contrast).history.measured("register", "correlation") > 0.6


@pytest.mark.parametrize("name", CONTRASTS)
def test_a_brain_turned_over_is_told_whatever_its_contrast(made_brain, any_contrast, name):
    scan = with_contrast(made_brain, CONTRASTS[name])
    # Three flips turn it upside down, and front to back; left and right look alike.
    voxels = np.ascontiguousarray(scan.voxels[::-1, ::-1, ::-1])
    alignment = register(voxels, voxels > 0, scan.geometry, any_contrast=True)
    assert alignment.upright < 0.05
    assert alignment.correlation < any_contrast.least_correlation


def test_recipes_that_models_were_made_with_have_kept_their_digest():
    model = Model.load("brain-t1")
    assert model.recipe.sha256 == recipe_named("brain-t1").sha256 == model.calibrated().recipe_sha256


@pytest.mark.data
@pytest.mark.slow
def test_real_contrasts_of_one_brain_come_to_lie_alike(shared_data):
    worlds = []
    for name in ("T1", "T2", "FLAIR"):
        scan = read(shared_data / "ms_mni" / f"patient26_{name}.nii.gz")
        mask = stripped_mask(scan.voxels)
        voxels = np.where(mask, scan.voxels, np.float32(0))
        found = register(voxels, mask, scan.geometry, any_contrast=True)
        assert found.correlation > 0.6
        assert found.upright > 0.3
        worlds.append(found.world)
    corners = np.array([[x, y, z, 1.0] for x in (-60, 60) for y in (-90, 60) for z in (-40, 60)])
    for world in worlds[1:]:
        assert np.linalg.norm(((world - worlds[0]) @ corners.T)[:3], axis=0).max() < 3.0
