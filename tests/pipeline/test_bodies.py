"""From stacks of normal bodies to a model by another recipe than the preset's, and to a verdict with its map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anomri.io import read
from anomri.io.write import write_nifti
from anomri.models import Model
from anomri.pipeline.fit import fit
from anomri.pipeline.gather import FitInput
from anomri.pipeline.score import score
from anomri.preparation import RECIPES
from bodies import body, body_scan


def written(folder: Path, name: str, values: np.ndarray) -> Path:
    scan = body_scan(values)
    write_nifti(folder / f"{name}.nii.gz", scan.voxels, scan.geometry)
    return folder / f"{name}.nii.gz"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("bodies")
    scans = [FitInput(written(folder, f"b{n}", body(100 + n)[0]), f"b{n}", f"b{n}") for n in range(22)]
    quick = RECIPES["pelvis-t2"].model_copy(update={"bias": False, "spacing_mm": 5.0, "shape": (80, 64, 24)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "pelvis-t2", quick)
        return fit(["zatlas", "iqm1c"], scans, folder / "model", name="bodies", recipe="pelvis-t2").model


def test_a_normal_body_passes_and_a_mark_is_found_where_it_lies(model, tmp_path):
    assert model.recipe.registration == "body"
    assert score(read(written(tmp_path, "n", body(150)[0])), model).result.verdict in ("pass", "warn")
    values, _ = body(151)
    x, y, z = np.indices(values.shape)
    marked = values + 900 * np.exp(-((x - 70) ** 2 + (y - 40) ** 2 + (z - 6) ** 2) / 8)
    outcome = score(read(written(tmp_path, "m", marked)), model)
    assert outcome.result.verdict == "fail"
    assert outcome.heatmap.geometry.same_grid(outcome.scan.geometry)
    peak = np.unravel_index(int(np.nanargmax(outcome.heatmap.values)), values.shape)
    assert np.abs(np.array(peak) - (70, 40, 6)).max() <= 3
    assert outcome.brain.name == "body"


def test_another_size_of_body_a_slice_and_a_sagittal_stack_are_out_of_scope(model, tmp_path):
    values, _ = body(152)
    thin = body(153, half_mm=(80.0, 60.0))[0]
    sagittal = np.array([[0.0, 0, 5, 0], [3, 0, 0, 0], [0, 3, 0, 0], [0, 0, 0, 1]])
    for scan, said in (
        (read(written(tmp_path, "thin", thin)), "the body is not as wide"),
        (body_scan(values[:, :, :1]), "it is a single slice"),
        (body_scan(values, sagittal), "its slices are not axial"),
    ):
        result = score(scan, model).result
        assert result.verdict == "out_of_scope"
        assert said in result.reason
