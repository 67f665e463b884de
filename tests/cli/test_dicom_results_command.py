"""`anomri dicom` and `anomri report`: a finished result again, as DICOM objects and on paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from anomri.runs.save import save
from dicom.conftest import PATIENT, Case, oblique, write_case
from dicom_slices import series, write


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return write_case(tmp_path_factory.mktemp("series"), oblique())


@pytest.fixture
def result(case: Case, tmp_path: Path) -> Path:
    save(case.outcome, tmp_path / "results" / "sub-17_T1w")
    return tmp_path / "results" / "sub-17_T1w"


def test_a_result_becomes_dicom(anomri, case: Case, result: Path, tmp_path: Path, capsys):
    out = tmp_path / "dicom"
    assert anomri("dicom", result, "--source", case.folder, "-o", out, "--pdf") == 0
    names = ["report", "preview", "heatmap", "findings", "document"]
    assert capsys.readouterr().out.split() == [str(out / f"{name}.dcm") for name in names]
    document = pydicom.dcmread(out / "document.dcm")
    assert document.EncapsulatedDocument.startswith(b"%PDF")
    segments = pydicom.dcmread(out / "findings.dcm")
    assert np.count_nonzero(segments.pixel_array) == 48


def test_another_series_is_refused_in_one_line_and_nothing_is_written(anomri, result: Path, tmp_path: Path, capsys):
    other = write_case(tmp_path / "other", oblique(turn_deg=0.0))
    assert anomri("dicom", result, "--source", other.folder, "-o", tmp_path / "dicom") == 3
    assert capsys.readouterr().err.startswith("anomri: InputError[other_grid]")
    assert not (tmp_path / "dicom").exists()


def test_another_patient_of_the_same_protocol_is_refused(anomri, case: Case, result: Path, tmp_path: Path, capsys):
    theirs = np.random.default_rng(5).integers(0, 2000, case.geometry.shape).astype(np.uint16)
    other = write(tmp_path / "other", series(theirs, case.geometry.affine, **{**PATIENT, "PatientID": "OTHER"}))
    assert anomri("dicom", result, "--source", other, "-o", tmp_path / "dicom") == 3
    assert capsys.readouterr().err.startswith("anomri: InputError[other_series]")
    assert not (tmp_path / "dicom").exists()


def test_results_are_not_written_among_the_series(anomri, case: Case, result: Path):
    assert anomri("dicom", result, "--source", case.folder, "-o", case.folder / "results") == 2


def test_reports_are_written_again_from_the_folder_alone(anomri, result: Path, capsys):
    names = ("report.html", "report.pdf")
    (result / "report.html").unlink()
    assert anomri("report", result, "--pdf") == 0
    assert capsys.readouterr().out.split() == [str(result / name) for name in names]
    assert "A bright place – brighter" in (result / "report.html").read_text("utf-8")
    first = [(result / name).read_bytes() for name in names]
    assert anomri("report", result, "--pdf") == 0
    assert [(result / name).read_bytes() for name in names] == first


def test_a_new_result_takes_an_older_pdf_away(anomri, case: Case, result: Path):
    anomri("report", result, "--pdf")
    save(case.outcome, result)
    assert not (result / "report.pdf").exists()


def test_a_folder_without_result_is_refused(anomri, tmp_path: Path, capsys):
    assert anomri("report", tmp_path) == 3
    assert "no_result" in capsys.readouterr().err
