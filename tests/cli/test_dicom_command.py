"""A folder or a zip of DICOM goes through the commands as files do: each series is a scan with a row of its own."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from anomri.cli import inputs
from anomri.io import read
from dicom_slices import ROOT, series, write

AFFINE = np.diag([-1.5, -1.5, 3.0, 1.0])
MARK = "ZQXMARKER"


def block(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 900, (36, 36, 12)).astype(np.int16)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A sound series, a localizer, and one with a gap."""
    folder = tmp_path / "study"
    named = {"PatientName": MARK, "PatientID": MARK, "SeriesDescription": MARK, "InstitutionName": MARK}
    write(folder, series(block(), AFFINE, **named), name="A")
    localizer = series(block(1), AFFINE, SeriesInstanceUID=f"{ROOT}8", SeriesNumber=1, **named)
    for one in localizer:
        one.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    write(folder, localizer, name="B")
    gap = series(block(2), AFFINE, SeriesInstanceUID=f"{ROOT}9", SeriesNumber=9, **named)
    write(folder, gap[:5] + gap[6:], name="C")
    return folder


def test_info_lists_the_series_of_a_folder_and_of_a_zip(anomri, study, tmp_path, capsys):
    assert anomri("info", study, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["images"] == 3
    listed = {one["scan_id"][:10]: one for one in facts["series"]}
    sound = listed["series-007"]
    assert (sound["slices"], sound["shape"], sound["spacing_mm"]) == (12, [36, 36, 12], [1.5, 1.5, 3.0])
    assert (sound["orientation"], sound["problem"]) == ("LPS", None)
    assert "not_a_volume" in listed["series-001"]["problem"]
    assert "1 slice is missing, between InstanceNumber 5 and 7" in listed["series-009"]["problem"]
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as packed:
        for file in study.iterdir():
            packed.write(file, file.name)
    assert anomri("info", tmp_path / "study.zip", "--json") == 0
    assert json.loads(capsys.readouterr().out)["series"] == facts["series"]
    assert anomri("info", study) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "images\t3"
    assert lines[2].startswith("scan_id\tslices")
    assert MARK not in "".join(lines)


def test_all_series_of_an_examination_are_one_subjects_unless_folders_name_it(study, tmp_path):
    subjects = {one.subject for one in inputs.normals([study], include=None, participants=None)}
    assert len(subjects) == 1
    assert subjects.pop().startswith("study-")
    shutil.move(study, tmp_path / "sub-04")
    given = inputs.normals([tmp_path / "sub-04"], include=None, participants=None)
    assert {one.subject for one in given} == {"sub-04"}
    assert all(one.members for one in given)


@pytest.mark.slow
def test_every_series_gets_its_row_and_stands_on_a_second_run(anomri, study, tmp_path, capsys):
    out = tmp_path / "out"
    assert anomri("score", "-i", study, "-o", out, "--jobs", 1) == 3
    with (out / "summary.csv").open(encoding="utf-8") as file:
        rows = {row["scan_id"][:10]: row for row in csv.DictReader(file)}
    assert rows["series-007"]["verdict"] == "out_of_scope"
    assert "not_a_volume" in rows["series-001"]["reason"]
    assert "missing_slices" in rows["series-009"]["reason"]
    before = {p: p.stat().st_mtime_ns for p in out.rglob("result.json")}
    assert anomri("score", "-i", study, "-o", out, "--jobs", 1) == 3
    assert {p: p.stat().st_mtime_ns for p in out.rglob("result.json")} == before
    for path in (p for p in out.rglob("*") if p.is_file()):
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        assert MARK.encode() not in content
    # A slice that is added later makes the scan anew.
    late = series(block(2), AFFINE, SeriesInstanceUID=f"{ROOT}9", SeriesNumber=9)[5]
    write(study, [late], name="D")
    assert anomri("score", "-i", study, "-o", out, "--jobs", 1) == 3
    with (out / "summary.csv").open(encoding="utf-8") as file:
        rows = {row["scan_id"][:10]: row for row in csv.DictReader(file)}
    assert rows["series-009"]["verdict"] == "out_of_scope"
    capsys.readouterr()


@pytest.mark.slow
def test_what_departs_from_a_protocol_reference_is_noted_in_the_result_and_another_one_needs_another_folder(
    anomri, study, tmp_path, capsys
):
    protocol, out = tmp_path / "protocol.json", tmp_path / "out"
    protocol.write_text('{"body_part": "BRAIN", "te_ms": [2.5, 3.5]}')
    common = ("score", "-i", study, "-o", out, "--model", "demo-brain", "--jobs", 1)
    assert anomri(*common, "--protocol", protocol) == 3
    (result,) = (json.loads(path.read_text()) for path in out.glob("series-007*/result.json"))
    assert "the header gives no TE; the protocol reference says 2.5–3.5 ms" in result["notes"]
    assert "the header names no body part; the protocol reference says BRAIN" in result["notes"]
    assert str(protocol) not in (out / "summary.csv").read_text()
    capsys.readouterr()
    assert anomri(*common) == 7
    assert "protocol reference" in capsys.readouterr().err
    protocol.write_text('{"te_ms": 3}')
    assert anomri(*common, "--protocol", protocol) == 2
    assert "te_ms" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.data
def test_a_real_scan_scores_the_same_as_nifti_as_dicom_and_as_a_zip(shared_data, tmp_path):
    import anomri as package

    image = nib.load(shared_data / "t1w_site_a" / "sub-05_T1w.nii.gz")
    voxels = np.asarray(image.dataobj.get_unscaled())
    # A slope that both formats hold to the last digit, so that both are the same image to the last bit.
    nifti = nib.Nifti1Image(voxels, image.affine)
    nifti.header.set_slope_inter(4.25, 0)
    nib.save(nifti, tmp_path / "x.nii.gz")
    # A series is right-handed; the file is not.
    turn = np.diag([1.0, 1.0, -1.0, 1.0])
    turn[2, 3] = voxels.shape[2] - 1
    write(
        tmp_path / "dicom", series(voxels[:, :, ::-1], image.affine @ turn, RescaleSlope="4.25", RescaleIntercept="0")
    )
    with zipfile.ZipFile(tmp_path / "dicom.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for file in (tmp_path / "dicom").iterdir():
            packed.write(file, file.name)
    scans = [read(tmp_path / name) for name in ("x.nii.gz", "dicom", "dicom.zip")]
    assert len({scan.source.image_sha256 for scan in scans}) == 1
    model = package.Model.load("brain-t1")
    results = [package.score(scan, model).result for scan in scans]
    assert {result.verdict for result in results} <= {"pass", "warn", "fail"}
    np.testing.assert_allclose([result.score for result in results[1:]], results[0].score, rtol=1e-3)


@pytest.mark.data
def test_the_real_series_is_read_as_itk_reads_it_and_is_no_brain(shared_data):
    import SimpleITK as sitk

    from anomri import Model, load, score

    folder = shared_data / "pelvis_t2" / "dicom_series_13"
    scan = load(folder)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    np.testing.assert_array_equal(scan.voxels, sitk.GetArrayFromImage(image).transpose(2, 1, 0))
    for corner in [(x, y, z) for x in (0, 319) for y in (0, 255) for z in (0, 19)]:
        there = np.diag([-1.0, -1.0, 1.0]) @ image.TransformIndexToPhysicalPoint(corner)
        np.testing.assert_allclose((scan.geometry.affine @ [*corner, 1])[:3], there, atol=1e-4)
    assert scan.sequence == "T2w"
    assert score(scan, Model.load("brain-t1")).result.verdict == "out_of_scope"
