import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomri.core.outcome import Outcome
from anomri.core.result import Result
from anomri.errors import InputError
from anomri.io import write_nifti, write_text
from anomri.report.folder import LAYERS, images_of, layers_of, outcome_of
from anomri.report.page import scan_page

Make = Callable[..., Outcome]


def saved(outcome: Outcome, folder: Path) -> Path:
    (folder / "maps").mkdir(parents=True)
    for name, (values, geometry) in images_of(outcome).items():
        write_nifti(folder / name, values, geometry)
    layers = layers_of(outcome)
    if layers is not None:
        write_text(folder / LAYERS, layers.model_dump_json())
    write_text(folder / "result.json", outcome.result.model_dump_json())
    return folder


def data_of(html: str) -> dict[str, Any]:
    found = re.search(r'id="scan-data">(.*?)</script>', html, re.S)
    assert found is not None
    data: dict[str, Any] = json.loads(found.group(1))
    return data


def test_the_page_of_a_folder_is_the_page_from_memory(make_outcome: Make, tmp_path: Path) -> None:
    outcome = make_outcome()
    memory, disk = scan_page(outcome), scan_page(outcome_of(saved(outcome, tmp_path / "out")))
    assert re.sub("scan-data.*", "", memory) == re.sub("scan-data.*", "", disk)
    first, second = data_of(memory), data_of(disk)
    assert np.allclose(first.pop("affine"), second.pop("affine"), atol=1e-4)
    assert first == second


def test_everything_comes_back(make_outcome: Make, tmp_path: Path) -> None:
    outcome = make_outcome()
    assert outcome.heatmap is not None
    assert outcome.brain is not None
    assert outcome.scan is not None
    residual = (outcome.heatmap.values * 2.0).astype(np.float32)
    outcome = Outcome(
        outcome.result, outcome.scan, outcome.heatmap, outcome.brain, outcome.expected, {"residual": residual}
    )
    assert outcome.heatmap is not None
    assert outcome.brain is not None
    assert outcome.scan is not None
    back = outcome_of(saved(outcome, tmp_path / "out"))
    assert back.heatmap is not None
    assert back.brain is not None
    assert back.scan is not None
    assert back.result == outcome.result
    assert (back.heatmap.scale, back.heatmap.method) == ("z", "zatlas")
    assert np.array_equal(back.heatmap.values, outcome.heatmap.values, equal_nan=True)
    assert np.array_equal(back.scan.voxels, outcome.scan.voxels)
    assert np.array_equal(back.brain.mask, outcome.brain.mask)
    assert np.array_equal(back.expected, outcome.expected, equal_nan=True)
    assert np.array_equal(back.maps["residual"], residual, equal_nan=True)


def test_what_further_branches_expected_comes_back(make_outcome: Make, tmp_path: Path) -> None:
    outcome = make_outcome()
    assert outcome.expected is not None
    further = (outcome.expected / 2).astype(np.float32)
    outcome = replace(outcome, expected_by={"dae-small": further})
    back = outcome_of(saved(outcome, tmp_path / "out"))
    assert set(back.expected_by) == {"dae-small"}
    assert not back.maps
    assert np.array_equal(back.expected_by["dae-small"], further, equal_nan=True)


def test_a_refused_scan_comes_back(make_refused: Callable[..., Result], tmp_path: Path) -> None:
    outcome = Outcome(result=make_refused())
    back = outcome_of(saved(outcome, tmp_path / "out"))
    assert back.scan is None
    assert scan_page(back) == scan_page(outcome)


@pytest.mark.parametrize("lost", ["maps/scan.nii.gz", "mask.nii.gz", "heatmap.nii.gz", "maps/expected.nii.gz"])
def test_any_image_may_be_missing(make_outcome: Make, tmp_path: Path, lost: str) -> None:
    folder = saved(make_outcome(), tmp_path / "out")
    (folder / lost).unlink()
    assert "Fail <span" in scan_page(outcome_of(folder))


@pytest.mark.parametrize("lost", ["maps/examined.nii.gz", LAYERS])
def test_a_heatmap_of_unknown_meaning_is_refused(make_outcome: Make, tmp_path: Path, lost: str) -> None:
    folder = saved(make_outcome(), tmp_path / "out")
    (folder / lost).unlink()
    with pytest.raises(InputError) as caught:
        outcome_of(folder)
    assert caught.value.code == "layers"
    assert caught.value.scan == "out"


def test_a_folder_without_a_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        outcome_of(tmp_path)
    assert caught.value.code == "no_result"


def test_a_damaged_result_is_refused(tmp_path: Path) -> None:
    write_text(tmp_path / "result.json", '{"verdict": "pass"}')
    with pytest.raises(InputError) as caught:
        outcome_of(tmp_path)
    assert caught.value.code == "result_format"


def test_images_on_different_grids_are_refused(make_outcome: Make, tmp_path: Path) -> None:
    outcome = make_outcome()
    folder = saved(outcome, tmp_path / "out")
    other = make_outcome(np.eye(3))
    assert other.brain is not None
    write_nifti(folder / "mask.nii.gz", other.brain.mask.astype(np.uint8), other.brain.geometry)
    with pytest.raises(InputError) as caught:
        outcome_of(folder)
    assert caught.value.code == "geometry"


@pytest.mark.parametrize("name", ["scan", "../up", "a b", ""])
def test_a_map_cannot_take_the_name_of_another_file(make_outcome: Make, name: str) -> None:
    outcome = make_outcome()
    assert outcome.heatmap is not None
    with pytest.raises(InputError) as caught:
        images_of(Outcome(outcome.result, outcome.scan, maps={name: outcome.heatmap.values}))
    assert caught.value.code == "map_name"
