"""`anomri score`, with a scorer that does what the files say."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

pytestmark = pytest.mark.usefixtures("faked")


@pytest.fixture
def files(tmp_path):
    def make(**commands: str) -> list[Path]:
        (tmp_path / "in").mkdir()
        paths = [tmp_path / "in" / f"{name}.nii" for name in commands]
        for path, command in zip(paths, commands.values(), strict=True):
            path.write_text(command)
        return paths

    return make


@pytest.mark.parametrize(
    ("commands", "options", "code"),
    [
        ({"a": "score 0.1"}, [], 0),
        ({"a": "score 0.95"}, [], 0),
        ({"a": "score 0.1", "b": "bad"}, [], 3),
        ({"a": "score 0.95", "b": "bad"}, ["--fail-on", "fail"], 4),
        ({"a": "score 0.95"}, ["--fail-on", "warn"], 4),
        ({"a": "score 0.1"}, ["--fail-on", "warn"], 0),
        ({"a": "bug"}, [], 1),
        ({"a": "score 0.1"}, ["--model", "missing"], 6),
        ({"a": "stop"}, [], 2),
    ],
    ids=["done", "fail", "bad-file", "fail-on-beats-bad-file", "fail-on-warn", "below", "bug", "model", "rate"],
)
def test_the_exit_code_says_how_it_ended(anomri, files, tmp_path, commands, options, code):
    assert anomri("score", "-i", *files(**commands), "-o", tmp_path / "out", "--jobs", 1, *options) == code


def test_other_settings_end_with_7_and_one_line(anomri, files, tmp_path, capsys):
    (path,) = files(a="score 0.1")
    assert anomri("score", "-i", path, "-o", tmp_path / "out", "--jobs", 1) == 0
    capsys.readouterr()
    assert anomri("score", "-i", path, "-o", tmp_path / "out", "--alarm-rate", 0.2) == 7
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].startswith("anomri: OutputConflict[other_settings]:")


def test_an_output_that_cannot_be_written_ends_with_5(anomri, files, tmp_path):
    (path,) = files(a="score 0.1")
    (tmp_path / "file").touch()
    assert anomri("score", "-i", path, "-o", tmp_path / "file" / "out") == 5


def test_a_wrong_command_ends_with_2(anomri, files, tmp_path, capsys):
    paths = files(a="score 0.1", b="score 0.2")
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    assert anomri("score", "-o", out) == 2
    assert anomri("score", "-i", tmp_path / "missing.nii", "-o", out) == 2
    assert anomri("score", "-i", tmp_path / "empty", "-o", out) == 2
    assert "no scans found" in capsys.readouterr().err
    assert anomri("score", "-i", *paths, "-o", out, "--mask", paths[0]) == 2
    assert anomri("score", "-i", paths[0].parent, "-o", paths[0].parent / "out") == 2
    assert "inside the input" in " ".join(capsys.readouterr().err.split())
    assert anomri("score", "-i", paths[0], "-o", out, "--alarm-rate", 2) == 2
    assert not out.exists()


def test_files_and_folders_may_be_named_in_every_way(anomri, files, tmp_path, capsys):
    first, second, third = files(a="score 0.1", b="score 0.2", c="score 0.3")
    out = tmp_path / "out"
    assert anomri("score", "-i", first, second, "--input", third, "-o", out, "--jobs", 1, "--json") == 0
    told = capsys.readouterr()
    answer = json.loads(told.out)
    assert [scan["scan_id"] for scan in answer["scans"]] == ["a", "b", "c"]
    assert answer["counts"] == {"pass": 3}
    assert Path(answer["index"]).is_file()
    assert "3 scans, 0 finished earlier; device cpu, workers 1" in told.err
    assert anomri("score", "-i", first.parent, "--include", "b*", "-o", out, "--jobs", 1, "--json") == 0
    assert [scan["scan_id"] for scan in json.loads(capsys.readouterr().out)["scans"]] == ["b"]


def test_scans_of_earlier_runs_are_told_apart(anomri, files, tmp_path, capsys):
    first, second = files(a="score 0.1", b="score 0.2")
    out = tmp_path / "out"
    anomri("score", "-i", first, "-o", out, "--jobs", 1)
    assert "earlier runs" not in capsys.readouterr().err
    anomri("score", "-i", second, "-o", out, "--jobs", 1)
    heard = capsys.readouterr()
    assert "holds one more scan of earlier runs" in heard.err
    assert "1 pass" in heard.out


def test_a_bad_rate_leaves_no_folder_behind(anomri, files, tmp_path, capsys):
    out = tmp_path / "out"
    (path,) = files(a="score 0.1")
    assert anomri("score", "-i", path, "-o", out, "--alarm-rate", 0.01) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not out.exists()
    assert anomri("score", "-i", path, "-o", out, "--jobs", 1) == 0
    assert anomri("score", "-i", path, "-o", out, "--jobs", 1, "--alarm-rate", 0.1) == 0


def test_a_table_that_fits_no_scan_is_told_at_the_start(anomri, files, tmp_path, capsys):
    (path,) = files(a="score 0.1")
    table = tmp_path / "participants.tsv"
    table.write_text("participant_id\tage\tsex\nsub-01\t45Y\t1\n")
    assert anomri("score", "-i", path, "-o", tmp_path / "out", "--jobs", 1, "--participants", table) == 0
    lines = capsys.readouterr().err.splitlines()
    assert "'45Y'" in lines[0]
    assert "'1'" in lines[1]
    assert "No scan" in lines[2]
    assert lines[3].startswith("1 scan, ")
    assert len(json.loads((tmp_path / "out" / "run.json").read_text())["notes"]) == 3


def test_what_was_passed_over_is_told_and_recorded(anomri, files, tmp_path, capsys):
    (path,) = files(a="score 0.1")
    (tmp_path / "b.nii").write_text("score 0.2")
    (path.parent / "b.nii").symlink_to(tmp_path / "b.nii")
    assert anomri("score", "-i", path.parent, "-o", tmp_path / "out", "--jobs", 1) == 0
    line = f"{path.parent}: skipped 1 links that lead out of the folder (b.nii)"
    assert capsys.readouterr().err.splitlines()[0] == line
    assert json.loads((tmp_path / "out" / "run.json").read_text())["notes"] == [line]


def test_a_name_in_any_script_is_the_name_of_its_folder_and_of_its_row(anomri, files, tmp_path):
    names = ["МРТ_Жук", "脑-01", "مخ", "स्कैन"]
    paths = files(**dict.fromkeys(names, "score 0.1"))
    assert anomri("score", "-i", *paths, "-o", tmp_path / "out", "--jobs", 1) == 0
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir() if path.is_dir()} == set(names)
    with (out / "summary.csv").open(encoding="utf-8", newline="") as table:
        assert {row["scan_id"] for row in csv.DictReader(table)} == set(names)
    links = re.findall(r'"([^"]+)/report.html"', (out / "index.html").read_text(encoding="utf-8"))
    assert {unquote(link).removeprefix("./") for link in links} == set(names)


def test_a_scan_named_like_an_output_is_scored(anomri, files, tmp_path):
    (path,) = files(**{"run.json": "score 0.1"})
    assert path.name == "run.json.nii"
    assert anomri("score", "-i", path, "-o", tmp_path / "out", "--jobs", 1) == 0
    assert (tmp_path / "out" / "scan-run.json" / "result.json").is_file()


def test_a_single_scan_gets_its_sentence(anomri, files, tmp_path, capsys):
    anomri("score", "-i", *files(a="score 0.95"), "-o", tmp_path / "out")
    assert capsys.readouterr().out.startswith("fail: It lies far from the normals.\n=a formula\n1 fail\nreport: ")
