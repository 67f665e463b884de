"""A folder of every bad input beside a good scan: each gets its row and reason, and the good one is none the worse."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from anomri.io.walk import find_images
from anomri.io.write import write_nifti
from anomri.pipeline.demo import demo_normal, tissue_maps
from anomri.pipeline.score import NO_SCAN_TO_JUDGE
from bad_inputs import MARKUP, SKIPPED, Bad, bad_inputs, write_bad_inputs
from brains import made_brain

JUDGED = ("pass", "warn", "fail")
ROOT = Path(__file__).parents[2]


def score(out: Path, *inputs: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "anomri", "score", "--model", "demo-brain", "-o", str(out)]
    return subprocess.run([*command, "-i", *map(str, inputs)], capture_output=True, text=True, check=False)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@dataclass(frozen=True)
class Judged:
    """The folder after its run: by scan id what was expected, and the row of the table."""

    ended: subprocess.CompletedProcess[str]
    out: Path
    expected: dict[str, Bad]
    rows: dict[str, dict[str, str]]
    alone: Path


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    root = tmp_path_factory.mktemp("bad")
    folder, coarse, brain = root / "in", made_brain(50).scan, demo_normal(tissue_maps(), 1_000_000).scan
    folder.mkdir()
    write_nifti(folder / "good.nii.gz", brain.voxels, brain.geometry)
    write_nifti(root / "coarse.nii", coarse.voxels, coarse.geometry)
    written = write_bad_inputs(folder, bad_inputs((root / "coarse.nii").read_bytes()))
    named = [path for path in written if path.suffix in (".png", ".txt")]
    ids = {scan.path: scan.scan_id for scan in find_images([folder, *named])}
    ended = score(root / "out", folder, *named)
    score(root / "alone", folder / "good.nii.gz")
    with (root / "out" / "summary.csv").open(newline="", encoding="utf-8") as table:
        rows = {row["scan_id"]: row for row in csv.DictReader(table)}
    return Judged(ended, root / "out", {ids[path]: bad for path, bad in written.items()}, rows, root / "alone")


@pytest.mark.slow
class TestAFolderOfBadInputs:
    def test_ends_with_3_and_a_row_each(self, judged: Judged):
        assert judged.ended.returncode == 3
        assert set(judged.rows) == {"good", *judged.expected}
        assert "Traceback" not in judged.ended.stderr

    def test_every_one_becomes_what_it_must_and_says_why(self, judged: Judged):
        wrong = []
        for name, bad in judged.expected.items():
            row = judged.rows[name]
            right = row["verdict"] in (JUDGED if bad.becomes == "judged" else (bad.becomes,))
            if not right or bad.says not in (row["notes"] if bad.becomes == "judged" else row["reason"]):
                wrong.append((name, bad.becomes, bad.says, row["verdict"], row["reason"], row["notes"]))
        assert not wrong

    def test_what_only_differs_in_how_it_is_stored_scores_the_same(self, judged: Judged):
        same = ("coarse", "plain-named-gz", "packed-named-plain", "big-endian", "one-volume-in-four-dimensions")
        assert len({(judged.rows[name]["score"], judged.rows[name]["p_value"]) for name in same}) == 1
        assert judged.rows["coarse"]["score"] != judged.rows["clipped"]["score"]

    def test_the_good_scan_is_none_the_worse(self, judged: Judged):
        assert judged.rows["good"]["verdict"] in JUDGED
        assert content(judged.out / "good") == content(judged.alone / "good")

    def test_nothing_half_written_is_left(self, judged: Judged):
        names = set(content(judged.out))
        assert not [name for name in names if ".anomri" in name]
        for name, row in judged.rows.items():
            assert {f"{name}/{file}" for file in ("result.json", "report.html", "preview.png")} <= names
            result = json.loads((judged.out / name / "result.json").read_text(encoding="utf-8"))
            assert result["verdict"] == row["verdict"]
            assert (f"{name}/heatmap.nii.gz" in names) == (row["verdict"] in JUDGED)
            assert (row["score"] == "") == (row["verdict"] not in JUDGED)

    def test_what_was_passed_over_is_recorded(self, judged: Judged):
        notes = " ".join(json.loads((judged.out / "run.json").read_text(encoding="utf-8"))["notes"])
        assert all(name in notes for name in SKIPPED)
        assert "hidden" not in notes

    def test_no_name_runs_hides_or_steers(self, judged: Judged):
        for path in (*judged.out.glob("*.html"), *judged.out.glob("*/*.html"), *judged.out.glob("*.csv")):
            text = path.read_text(encoding="utf-8")
            assert MARKUP not in text
            assert not set(text) & {"\x1b", "\u202e"}
        assert not [cell for row in judged.rows.values() for cell in row.values() if re.match(r"[=+@\t]", cell)]
        assert not set(judged.ended.stderr + judged.ended.stdout) & {"\x1b", "\u202e"}


def test_the_verdicts_of_codes_in_the_page_on_dicom_are_those_of_the_code():
    page = (ROOT / "docs" / "how-to" / "dicom.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \| `(out_of_scope|unreadable)` \|", page, re.MULTILINE)
    said = {code: verdict for codes, verdict in rows for code in re.findall(r"`(\w+)`", codes)}
    assert {code for code, verdict in said.items() if verdict == "out_of_scope"} == NO_SCAN_TO_JUDGE - {
        "geometry_conflict"
    }
    assert set(said) > NO_SCAN_TO_JUDGE - {"geometry_conflict"}


def test_every_code_that_means_out_of_scope_is_one_that_is_raised():
    page = (ROOT / "docs" / "reference" / "codes.md").read_text(encoding="utf-8")
    assert not {code for code in NO_SCAN_TO_JUDGE if f"| `{code}` |" not in page}
