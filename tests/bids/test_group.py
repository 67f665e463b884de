from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest

from anomri.bids import find_scans, score_participants, write_group
from anomri.bids.group import DICTIONARY
from anomri.errors import InputError
from anomri.runs.summary import COLUMNS

FAKE = "fake_scorer:open_fake"


@pytest.fixture(scope="module")
def derivatives(tmp_path_factory) -> Path:
    """Derivatives whose raw data are gone."""
    root, out = tmp_path_factory.mktemp("study"), tmp_path_factory.mktemp("derivatives")
    for place, command in {
        "sub-02/ses-1/anat/sub-02_ses-1_run-1": "score 0.95",
        "sub-01/anat/sub-01": "score 0.2",
        "sub-03/anat/sub-03": "bad",
    }.items():
        file = root / f"{place}_T1w.nii.gz"
        file.parent.mkdir(parents=True)
        file.write_text(command)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "runs")
        score_participants(find_scans(root, "T1w"), "fake", out, dataset=root, jobs=1, scorer=FAKE)
    shutil.rmtree(root)
    return out


@pytest.fixture
def scored(derivatives, tmp_path) -> Path:
    return Path(shutil.copytree(derivatives, tmp_path / "out"))


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_the_group_needs_no_raw_data(scored):
    summary = write_group(scored)
    rows = rows_of(summary.table)
    assert [(row["bids_name"], row["participant_id"], row["session_id"], row["verdict"]) for row in rows] == [
        ("sub-01_T1w", "sub-01", "n/a", "pass"),
        ("sub-02_ses-1_run-1_T1w", "sub-02", "ses-1", "fail"),
        ("sub-03_T1w", "sub-03", "n/a", "unreadable"),
    ]
    assert [row["score"] for row in rows] == ["0.2", "0.95", "n/a"]
    assert not [value for row in rows for value in row.values() if value == ""]
    assert [result.verdict for result in summary.results] == ["pass", "fail", "unreadable"]


def test_every_column_is_explained(scored):
    summary = write_group(scored)
    explained = json.loads(summary.table.with_suffix(".json").read_text())
    assert list(rows_of(summary.table)[0]) == list(DICTIONARY)
    assert set(explained) == set(DICTIONARY) == {"bids_name", "participant_id", "session_id", *COLUMNS} - {"scan_id"}
    assert all(column["Description"] for column in explained.values())


def test_the_page_leads_to_reports_and_previews_that_are_there(scored):
    page = write_group(scored).page
    addresses = set(re.findall(r'\./sub-[^"\\]+?\.(?:html|png)', page.read_text(encoding="utf-8")))
    assert len(addresses) == 6
    assert all((scored / address).is_file() for address in addresses)


def test_a_second_time_gives_the_same_bytes(scored, files):
    write_group(scored)
    before = files(scored)
    write_group(scored)
    assert files(scored) == before


def test_the_whole_is_valid(scored, complaints):
    write_group(scored)
    assert complaints(scored) == []


def test_a_damaged_verdict_is_named(scored):
    (scored / "sub-01" / "anat" / "sub-01_desc-anomri_T1w.json").write_text("{}")
    with pytest.raises(InputError, match=r"sub-01_desc-anomri_T1w\.json") as caught:
        write_group(scored)
    assert caught.value.code == "result_format"


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(InputError) as caught:
        write_group(tmp_path)
    assert caught.value.code == "no_results"
