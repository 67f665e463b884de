"""A training scan is known again in whatever file it comes."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from anomri import io
from anomri.core.prepared import Prepared
from anomri.errors import DataLeak, InputError
from anomri.pipeline import FitInput, calibrate, score
from anomri.pipeline.gather import gather
from anomri.pipeline.store import load_prepared, save_prepared
from brains import QUICK


def compressed_more(given: Path, folder: Path) -> Path:
    path = folder / "anew.nii.gz"
    path.write_bytes(gzip.compress(gzip.decompress(given.read_bytes()), 9, mtime=1))
    return path


def unpacked(given: Path, folder: Path) -> Path:
    path = folder / "anew.nii"
    path.write_bytes(gzip.decompress(given.read_bytes()))
    return path


def rewritten(given: Path, folder: Path) -> Path:
    """By another program, its axes turned."""
    image = nib.load(given)
    turned = image.as_reoriented([[1, -1], [0, 1], [2, -1]])
    nib.save(turned, folder / "anew.nii.gz")
    return folder / "anew.nii.gz"


Rewrite = Callable[[Path, Path], Path]
WAYS = [compressed_more, unpacked, rewritten]


@pytest.mark.slow
@pytest.mark.parametrize("rewrite", WAYS)
def test_a_training_scan_written_anew_is_judged_by_its_out_of_fold_score(
    fitted_brains: Any, tmp_path: Path, rewrite: Rewrite
) -> None:
    given, model = fitted_brains.inputs[3], fitted_brains.model
    path = rewrite(given.path, tmp_path)
    assert path.read_bytes() != given.path.read_bytes()
    (normal,) = (n for n in model.calibrated().normals if n.scan_id == given.scan_id)
    result = score(io.read(path), model).result
    assert result.in_training
    assert result.score == normal.score


@pytest.mark.slow
@pytest.mark.parametrize("rewrite", WAYS)
def test_a_training_scan_written_anew_cannot_calibrate(fitted_brains: Any, tmp_path: Path, rewrite: Rewrite) -> None:
    path = rewrite(fitted_brains.inputs[3].path, tmp_path)
    with pytest.raises(DataLeak) as error:
        calibrate(fitted_brains.model, [FitInput(path, "guest", "guest")], tmp_path / "there", site="there")
    assert error.value.scan == "guest"
    assert not (tmp_path / "there").exists()


@pytest.mark.slow
def test_one_scan_in_two_files_is_a_leak_among_normals(fitted_brains: Any, tmp_path: Path) -> None:
    given = fitted_brains.inputs[3]
    twin = FitInput(unpacked(given.path, tmp_path), "twin", "somebody-else")
    with pytest.raises(DataLeak) as error:
        gather([given, twin], QUICK, tmp_path / "prepared", jobs=1, report=lambda _line: None)
    assert error.value.code == "duplicate"


def test_what_an_older_version_prepared_is_not_taken_for_whole(people: list[Prepared], tmp_path: Path) -> None:
    path = tmp_path / "kept.safetensors"
    noted = dataclasses.replace(people[0].scan.source, notes=("clipped",))
    save_prepared(dataclasses.replace(people[0], scan=dataclasses.replace(people[0].scan, source=noted)), path)
    again = load_prepared(path)
    assert again is not None
    assert again.scan.source == noted
    with safe_open(path, framework="numpy") as file:
        record = json.loads(file.metadata()["record"])
    source = record["source"]
    older = [source["format"], source["reader"], source["sha256"], source["orientation"], source["notes"]]
    for found in (older, {name: value for name, value in source.items() if name != "image_sha256"}):
        save_file(load_file(path), tmp_path / "older", {"record": json.dumps({**record, "source": found})})
        assert load_prepared(tmp_path / "older") is None


def test_a_scan_left_out_is_told_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "letter.nii"
    path.write_text("a letter about somebody")
    told: list[str] = []
    with pytest.raises(InputError, match="not one of the scans"):
        gather([FitInput(path, "letter", "somebody")], QUICK, tmp_path / "prepared", jobs=1, report=told.append)
    assert str(path) in told[0]
