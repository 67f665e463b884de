"""What `anomri bids` wrote is read by the commands that read results: report, dicom, cohort, and the table."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from anomri.bids.derivatives import lay_out
from anomri.report import folder as result_folder
from anomri.report.page import scan_page
from anomri.runs import results_table
from anomri.runs.settings import Settings
from anomri.runs.worker import write_outcome
from dicom.conftest import Case, oblique, write_case

SETTINGS = Settings("brain-t1", "1", "b" * 64, 0.05, "all", "0")
VERDICT = "sub-17/anat/sub-17_desc-anomri_T1w.json"
SECOND = "sub-18/ses-1/anat/sub-18_ses-1_desc-anomri_T1w.json"


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return write_case(tmp_path_factory.mktemp("series"), oblique())


@pytest.fixture
def derivatives(case: Case, tmp_path: Path) -> Path:
    """Two scans of two participants."""
    out = tmp_path / "derivatives"
    out.mkdir()
    for scan_id in ("sub-17_T1w", "sub-18_ses-1_T1w"):
        result = case.outcome.result.model_copy(update={"scan_id": scan_id})
        outcome = type(case.outcome)(result, case.outcome.scan, case.outcome.heatmap, case.outcome.brain)
        stamp = SETTINGS.stamp(mask_sha256=None, covariates={})
        write_outcome(outcome, tmp_path / "work" / scan_id, keep="all", stamp=stamp, stages={})
    lay_out(tmp_path / "work", out, SETTINGS, sources={})
    return out


def test_reports_of_a_data_set_or_of_one_file_are_written_beside_it(anomri, case: Case, derivatives: Path, capsys):
    stamp = SETTINGS.stamp(mask_sha256=None, covariates={})
    native = derivatives.parent / "native"
    write_outcome(case.outcome, native, keep="all", stamp=stamp, stages={})
    pages = [(derivatives / name).with_suffix(ending) for name in (VERDICT, SECOND) for ending in (".html", ".pdf")]
    pages[0].unlink()
    assert anomri("report", derivatives, "--pdf") == 0
    assert capsys.readouterr().out.splitlines() == list(map(str, pages))
    assert pages[0].read_bytes() == scan_page(result_folder.outcome_of(native)).encode()
    pages[3].unlink()
    assert anomri("report", derivatives / SECOND, "--pdf") == 0
    assert capsys.readouterr().out.splitlines() == list(map(str, pages[2:]))
    assert pages[3].read_bytes().startswith(b"%PDF")


def test_one_result_becomes_dicom_and_of_several_one_is_asked_for(anomri, case: Case, derivatives: Path, capsys):
    out = derivatives.parent / "dicom"
    assert anomri("dicom", derivatives / VERDICT, "--source", case.folder, "-o", out, "--pdf") == 0
    assert len(list(out.iterdir())) == 5
    assert pydicom.dcmread(out / "report.dcm").Modality == "SR"
    capsys.readouterr()
    assert anomri("dicom", derivatives, "--source", case.folder, "-o", out) == 2
    said = capsys.readouterr().err
    assert "2 results" in said.replace("\n", " ")


def test_a_page_and_a_table_of_all_scans_link_what_is_there(anomri, derivatives: Path, capsys):
    page = derivatives.parent / "cohort.html"
    assert anomri("cohort", derivatives, "-o", page) == 0
    assert capsys.readouterr().out.splitlines()[0] == "2 scans of 1 run"
    text = page.read_text(encoding="utf-8")
    for name in (VERDICT, SECOND):
        address = f"./derivatives/{name}".removesuffix(".json")
        assert f'"{address}.html"' in text
        assert f"{address}.png" in text
    table = results_table(derivatives)
    assert list(table["scan_id"]) == ["sub-17_T1w", "sub-18_ses-1_T1w"]


def test_a_damaged_verdict_is_a_row_and_ends_with_3(anomri, derivatives: Path, capsys):
    (derivatives / VERDICT).write_text("{}")
    assert anomri("cohort", derivatives, "-o", derivatives.parent / "cohort.html") == 3
    assert capsys.readouterr().err.startswith("sub-17_T1w: its result cannot be used")


def test_what_is_no_result_is_refused_by_name_of_what_is_needed(anomri, derivatives: Path, capsys):
    for path in (derivatives / "sub-17" / "anat", derivatives / VERDICT.replace(".json", ".html")):
        assert anomri("report", path) == 3
        assert "no_result" in capsys.readouterr().err
