"""`anomri datasets`: what there is, how to get it, what a folder holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from anomri.cli.app import app
from anomri.datasets import DATASETS, LEFT_OUT

runner = CliRunner()


@pytest.fixture
def ixi(tmp_path: Path) -> Path:
    for name in ("IXI002-Guys-0828-T1.nii.gz", "IXI012-HH-1211-T1.nii.gz", "IXI012-HH-1211-T2.nii.gz"):
        (tmp_path / name).touch()
    return tmp_path


def test_all_sets_are_listed_with_licence_and_way_to_get_them_and_what_is_left_out():
    lines = runner.invoke(app, ["datasets"]).stdout.splitlines()
    rows = {line.split("\t")[0]: line.split("\t") for line in lines}
    assert set(DATASETS) | set(LEFT_OUT) <= set(rows)
    assert rows["ixi"][3:5] == ["CC BY-SA 3.0", "open"]
    assert all(len(row) == 6 for row in rows.values())


def test_the_list_as_json():
    found = json.loads(runner.invoke(app, ["datasets", "--json"]).stdout)
    assert [entry["name"] for entry in found["datasets"]] == list(DATASETS)
    assert found["left_out"] == dict(LEFT_OUT)


def test_one_set_shows_its_citation_and_the_source_of_its_layout():
    said = runner.invoke(app, ["datasets", "wmh-2017"]).stdout
    assert "Kuijf" in said
    assert "https://wmh.isi.uu.nl" in said


def test_a_folder_is_counted_and_its_problems_are_said(ixi: Path):
    done = runner.invoke(app, ["datasets", "ixi", "-i", str(ixi)])
    assert done.exit_code == 0
    facts = dict(line.split("\t") for line in done.stdout.splitlines())
    assert facts["images"] == "3"
    assert facts["subjects"] == "2"
    assert facts["sites"] == "Guys 1, HH 2"
    assert "note: no IXI.csv: age, sex unknown" in done.stderr


def test_a_folder_as_json_names_every_record(ixi: Path):
    found = json.loads(runner.invoke(app, ["datasets", "ixi", "-i", str(ixi), "--json"]).stdout)
    assert [record["sequence"] for record in found["records"]] == ["T1w", "T1w", "T2w"]
    assert found["problems"] == ["no IXI.csv: age, sex unknown"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ixxi"], "Did you mean 'ixi'"),
        (["nfbs", "-i", "{folder}"], "holds no scan of nfbs"),
        (["ixi", "-i", "{folder}/absent"], "there is no"),
        (["-i", "{folder}"], "which data set"),
    ],
)
def test_what_was_typed_wrongly_is_a_usage_error(ixi: Path, arguments: list[str], said: str):
    done = runner.invoke(app, ["datasets", *(a.format(folder=ixi) for a in arguments)], terminal_width=300)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
