from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anomri.core.result import ModelRecord
from anomri.errors import InputError
from anomri.io.walk import Found
from anomri.runs import results_table, save
from anomri.runs.cohort import write_cohort
from anomri.runs.gather import gather
from anomri.runs.run import run
from anomri.runs.summary import TABLE

Scans = Callable[[Mapping[str, str]], list[Found]]
MODEL = ModelRecord(name="fake", version="1", sha256="a" * 64)


def saved(folder: Path, scan_id: str = "a", sha256: str = "1", **changes: Any) -> Path:
    outcome = importlib.import_module("fake_scorer").outcome_of(scan_id, 0.3, MODEL, sha256=sha256)
    save(replace(outcome, result=outcome.result.model_copy(update=changes)), folder, keep="summary")
    return folder


def judged_on(run_folder: Path, days: Mapping[str, str]) -> None:
    scans = {name: {"ended": f"{day}T09:30:00+00:00"} for name, day in days.items()}
    (run_folder / "run.json").write_text(json.dumps({"settings_digest": "x", "scans": scans}))


def test_runs_and_single_results_are_gathered_each_once(tmp_path: Path) -> None:
    for name in ("b", "a"):
        saved(tmp_path / "one" / name, name)
    alone = saved(tmp_path / "two" / "c", "c")
    found = list(gather([tmp_path / "one", alone, tmp_path / "one" / "a"]))
    assert [(one.run, one.scan_id) for one in found] == [("one", "a"), ("one", "b"), ("two", "c")]


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for site in ("x", "y"):
        saved(tmp_path / site / "out" / "a")
    assert [one.run for one in gather([tmp_path / "x" / "out", tmp_path / "y" / "out"])] == ["x/out", "y/out"]


def test_a_scan_has_the_day_its_run_noted(tmp_path: Path) -> None:
    for name in ("a", "b"):
        saved(tmp_path / "out" / name, name)
    judged_on(tmp_path / "out", {"a": "2026-02-03"})
    assert [one.judged_on for one in gather([tmp_path / "out"])] == ["2026-02-03", ""]


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        list(gather([tmp_path]))
    assert caught.value.code == "no_result"
    assert str(tmp_path) not in str(caught.value)


def test_a_damaged_result_is_a_row_that_says_so(tmp_path: Path) -> None:
    saved(tmp_path / "out" / "a")
    (tmp_path / "out" / "b").mkdir()
    (tmp_path / "out" / "b" / "result.json").write_text("{}")
    table = results_table(tmp_path / "out")
    assert list(table["verdict"]) == ["pass", "unreadable"]
    assert "not a result of this version" in table["reason"][1]
    summary = write_cohort([tmp_path / "out"], tmp_path / "page.html")
    assert (summary.scans, summary.damaged) == (2, ("b",))
    assert "1 fail" not in (tmp_path / "page.html").read_text()
    assert "1 pass, 1 not judged" in (tmp_path / "page.html").read_text()


def test_the_page_links_results_wherever_it_lies(tmp_path: Path) -> None:
    saved(tmp_path / "results" / "january" / "a")
    (tmp_path / "pages").mkdir()
    write_cohort([tmp_path / "results" / "january"], tmp_path / "pages" / "all.html")
    html = (tmp_path / "pages" / "all.html").read_text()
    assert '"./../results/january/a/report.html"' in html
    assert str(tmp_path) not in html


@pytest.mark.slow
def test_a_run_ends_as_a_table_of_all_its_scans(scans: Scans, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(scans({"a": "score 0.3", "b": "score 0.95", "c": "bad"}), "fake", out, jobs=1, scorer="fake_scorer:open_fake")
    table = results_table(out)
    assert list(table["scan_id"]) == ["a", "b", "c"]
    assert list(table["verdict"]) == ["pass", "fail", "unreadable"]
    assert list(table["score"].fillna(-1.0)) == [0.3, 0.95, -1.0]
    # None of the ten normals, 0 to 0.9, scores as high.
    assert table["p_value"][1] == 1 / 11
    assert table["score"].dtype == "float64"
    assert table["in_training"].dtype == "boolean"
    assert table["n_normals"].dtype == "Int64"
    assert table["judged_on"].str.fullmatch(r"\d{4}-\d\d-\d\d").all()
    header = (out / TABLE).read_text().splitlines()[0].split(",")
    assert list(table.columns)[: len(header)] == header


def test_quality_metrics_are_columns(tmp_path: Path) -> None:
    for name, quality in {"a": {"noise_level": 0.1, "air_noise": None}, "b": {"noise_level": 0.2}}.items():
        saved(tmp_path / "out" / name, name, quality=quality)
    table = results_table(tmp_path / "out")
    assert list(table["quality_noise_level"]) == [0.1, 0.2]
    assert table["quality_air_noise"].isna().all()
    assert table["quality_air_noise"].dtype == "float64"


def test_ratings_stand_beside_the_verdicts(tmp_path: Path) -> None:
    saved(tmp_path / "out" / "a", "a", sha256="1")
    saved(tmp_path / "out" / "b", "b", sha256="2")
    content = {
        "format": "anomri-ratings",
        "schema_version": 1,
        "rater": "R",
        "ratings": [{"scan_id": "was-b", "input_sha256": "2", "rating": "exclude", "comment": "moved"}],
    }
    (tmp_path / "ratings.json").write_text(json.dumps(content))
    table = results_table(tmp_path / "out", ratings=tmp_path / "ratings.json")
    assert list(table["rating"]) == [None, "exclude"]
    assert list(table["comment"]) == [None, "moved"]
    assert list(table["rater"]) == [None, "R"]
