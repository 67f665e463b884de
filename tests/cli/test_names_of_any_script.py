"""Whatever script a scan or a patient is named in, every output has the name, and nothing breaks on it."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from pathlib import Path
from shutil import which
from urllib.parse import unquote

import pydicom
import pytest

from anomri.io.names import is_safe_id, safe_id
from anomri.report.sheet import drawable
from anomri.runs.save import save
from dicom.conftest import PATIENT, oblique, outcome_on, write_case
from dicom_slices import series, write

NAMES = [
    "Müller_01", "МРТ Жук", "脑-01", "مخ", "स्कैन", "한국어", "e\u0301", "\U0001f9e0 brain", "a  b", "ab" * 120,
    "脑" * 80,
]  # fmt: skip


@pytest.mark.usefixtures("faked")
def test_score_report_and_cohort_take_every_name(anomri, tmp_path: Path):
    for number, name in enumerate(NAMES):
        (tmp_path / f"{name}.nii").write_text(f"score 0.{number}")
    out = tmp_path / "out"
    assert anomri("score", "-i", *sorted(tmp_path.glob("*.nii")), "-o", out, "--jobs", 1) == 0
    ids = {safe_id(Path(f"{name}.nii")) for name in NAMES}
    assert len(ids) == len(NAMES)
    assert all(map(is_safe_id, ids))
    assert {path.parent.name for path in out.glob("*/result.json")} == ids
    assert anomri("report", *sorted(out.glob("*/")), "--pdf") == 0
    assert anomri("cohort", out, "-o", tmp_path / "cohort.html") == 0
    pages = {"index.html": out / "index.html", "cohort.html": tmp_path / "cohort.html"}
    for page in pages.values():
        links = {unquote(link) for link in re.findall(r'"([^"]+)/report\.html"', page.read_text(encoding="utf-8"))}
        assert {link.rpartition("/")[2] for link in links} == ids
    with (out / "summary.csv").open(encoding="utf-8", newline="") as table:
        assert {row["scan_id"] for row in csv.DictReader(table)} == ids
    for name in ids:
        assert json.loads((out / name / "result.json").read_text(encoding="utf-8"))["scan_id"] == name
        assert name in (out / name / "report.html").read_text(encoding="utf-8")
        assert (out / name / "report.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.usefixtures("faked")
@pytest.mark.skipif(which("pdftotext") is None, reason="pdftotext is not installed")
@pytest.mark.parametrize("name", ["Müller_01", "МРТ_Жук", "脑-01"])
def test_the_name_can_be_read_in_the_pdf(anomri, tmp_path: Path, name: str):
    (tmp_path / f"{name}.nii").write_text("score 0.5")
    anomri("score", "-i", tmp_path / f"{name}.nii", "-o", tmp_path / "out", "--jobs", 1)
    anomri("report", tmp_path / "out" / name, "--pdf")
    report = tmp_path / "out" / name / "report.pdf"
    text = subprocess.run(["pdftotext", "-enc", "UTF-8", str(report), "-"], capture_output=True, check=True).stdout
    assert drawable(name) in text.decode("utf-8")


def test_a_letter_without_a_shape_is_told_by_its_number():
    assert drawable("Müller МРТ 脑-01") == r"Müller МРТ \u8111-01"
    assert all("□" not in drawable(name) for name in NAMES)


@pytest.mark.parametrize(
    ("characters", "patient"),
    [("ISO_IR 100", "Müßig^Jörg"), ("ISO_IR 144", "Жуков^Иван"), ("GB18030", "王^小东"), ("ISO_IR 192", "김^희중")],
)
def test_dicom_results_hold_every_script_in_one_character_set(anomri, tmp_path: Path, characters: str, patient: str):
    geometry = oblique()
    case = write_case(tmp_path / "unused", geometry)
    named = {**PATIENT, "SpecificCharacterSet": characters, "PatientName": patient}
    source = write(tmp_path / "series", series(case.voxels, geometry.affine, **named))
    said = {"reason": "Очаг – 脑.", "notes": ("Größer als 3 µm²", "मस्तिष्क")}
    outcome = outcome_on(geometry, case.voxels, scan_id="脑-Müller-Жук", **said)
    save(outcome, tmp_path / "results" / "脑-Müller-Жук")
    folder = tmp_path / "results" / "脑-Müller-Жук"
    assert anomri("dicom", folder, "--source", source, "-o", tmp_path / "dicom", "--pdf") == 0
    made = sorted((tmp_path / "dicom").iterdir())
    assert len(made) == 5
    for path in made:
        found = pydicom.dcmread(path)
        assert found.SpecificCharacterSet == "ISO_IR 192"
        assert str(found.PatientName) == patient
        assert patient.encode("utf-8") in path.read_bytes()
    report = (tmp_path / "dicom" / "report.dcm").read_bytes().decode("utf-8", "ignore")
    assert all(text in report for text in (said["reason"], *said["notes"]))
