from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

import nibabel
import numpy as np
import pytest

from anomri.core.result import ModelRecord
from anomri.errors import EnvironmentProblem, InputError
from anomri.runs import save


@pytest.fixture
def outcome():
    fake = importlib.import_module("fake_scorer")
    return fake.outcome_of("scan", 0.95, ModelRecord(name="fake", version="1", sha256="0" * 64), sha256="1" * 64)


def values(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj)


def test_images_lie_on_the_grid_of_the_scan(outcome, tmp_path):
    save(outcome, tmp_path / "new" / "out")
    for file in (tmp_path / "new" / "out").rglob("*.nii.gz"):
        image = nibabel.load(file)
        assert image.shape == outcome.scan.geometry.shape
        np.testing.assert_allclose(image.affine, outcome.scan.geometry.affine)


def test_nothing_unknown_and_nothing_outside_the_brain_is_shown(outcome, tmp_path):
    save(outcome, tmp_path)
    heat = values(tmp_path / "heatmap.nii.gz")
    examined = outcome.heatmap.examined.mask
    assert (heat[~examined] == 0).all()
    np.testing.assert_array_equal(heat[examined], outcome.heatmap.values[examined])
    shown = values(tmp_path / "maps" / "scan.nii.gz")
    assert (shown[~outcome.brain.mask] == 0).all()
    np.testing.assert_array_equal(shown[outcome.brain.mask], outcome.scan.voxels[outcome.brain.mask])
    for name, mask in (("mask", outcome.brain.mask), ("maps/examined", examined)):
        written = values(tmp_path / f"{name}.nii.gz")
        assert written.dtype == np.uint8
        np.testing.assert_array_equal(written, mask)


def test_a_repeat_gives_the_same_bytes(outcome, tmp_path, tree):
    save(outcome, tmp_path / "a")
    save(outcome, tmp_path / "b")
    save(outcome, tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_an_older_result_leaves_nothing_behind(outcome, tmp_path, tree):
    save(outcome, tmp_path / "a")
    bare = dataclasses.replace(outcome, scan=None, heatmap=None, brain=None, expected=None, maps={})
    save(bare, tmp_path / "a")
    save(bare, tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_a_failed_write_leaves_no_result(outcome, tmp_path):
    save(outcome, tmp_path)
    (tmp_path / "maps" / "zatlas.nii.gz").unlink()
    (tmp_path / "maps" / "zatlas.nii.gz").mkdir()
    with pytest.raises((EnvironmentProblem, OSError)):
        save(outcome, tmp_path)
    assert not (tmp_path / "result.json").exists()


def test_a_map_may_not_take_the_name_of_another(outcome, tmp_path):
    clash = dataclasses.replace(outcome, maps={"scan": outcome.maps["zatlas"]})
    with pytest.raises(InputError, match="scan"):
        save(clash, tmp_path)
