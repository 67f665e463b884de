import json
from pathlib import Path

import pytest

from anomri.core.result import InputRecord, ModelRecord, Result, Thresholds

RESULT = Result(
    scan_id="a",
    input=InputRecord(sha256="1", format="nifti"),
    model=ModelRecord(name="m", version="1", sha256="2"),
    verdict="pass",
    reason="Nothing stands out.",
    score=1.0,
    robust_z=0.0,
    p_value=0.5,
    n_normals=3,
    reference_scores=(0.5, 1.0, 1.5),
    thresholds=Thresholds(warn=1.2, fail=1.4, warn_rate=0.1, fail_rate=0.05),
)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / "run" / name).mkdir(parents=True)
        content = RESULT.model_copy(update={"scan_id": name}).model_dump_json()
        (tmp_path / "run" / name / "result.json").write_text(content)
    return tmp_path / "run"


def test_the_page_is_made_from_result_files_alone(anomri, capsys, run_folder: Path, tmp_path: Path) -> None:
    code = anomri("cohort", run_folder, "-o", tmp_path / "page.html")
    assert code == 0
    assert capsys.readouterr().out.splitlines() == ["2 scans of 1 run", f"page: {tmp_path / 'page.html'}"]
    assert "0 fail, 0 warn, 2 pass" in (tmp_path / "page.html").read_text()


def test_a_damaged_result_is_told_and_ends_with_3(anomri, capsys, run_folder: Path, tmp_path: Path) -> None:
    (run_folder / "b" / "result.json").write_text(json.dumps({"scan_id": "b"}))
    code = anomri("cohort", run_folder, "-o", tmp_path / "page.html")
    assert code == 3
    assert capsys.readouterr().err.startswith("b: its result cannot be used")


@pytest.mark.parametrize(("page", "said"), [("page.txt", "End it in .html"), ("no/page.html", "there is no folder")])
def test_a_page_that_cannot_be_is_refused(
    anomri, capsys, run_folder: Path, tmp_path: Path, page: str, said: str
) -> None:
    code = anomri("cohort", run_folder, "-o", tmp_path / page)
    assert code == 2
    assert said in capsys.readouterr().err


def test_a_folder_without_results_is_named(anomri, capsys, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code = anomri("cohort", tmp_path / "empty", "-o", tmp_path / "page.html")
    assert code == 2
    assert str(tmp_path / "empty") in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()
