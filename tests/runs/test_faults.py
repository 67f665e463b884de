"""Runs that are killed, starved of disk or not alone end right: whole results, or none and the next run makes them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from anomri.errors import EnvironmentProblem
from anomri.runs.scorer import Request, Task
from anomri.runs.worker import Job, judge

DRIVER = Path(__file__).parent / "faulty_runs.py"
# User namespaces let anybody mount; not every machine offers them.
OWN_MOUNTS = ["unshare", "--user", "--map-root-user", "--mount"]


def report_of(fault: str, folder: Path, *, mounts: bool = False) -> dict[str, Any]:
    trial = [*OWN_MOUNTS, "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    if mounts and (
        shutil.which("unshare") is None or subprocess.run(trial, check=False, capture_output=True).returncode != 0
    ):
        pytest.skip("this machine lets nobody mount a file system of one's own")
    command = [*(OWN_MOUNTS if mounts else []), sys.executable, str(DRIVER), fault, str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    report: dict[str, Any] = json.loads(ended.stdout)
    return report


@pytest.mark.slow
def test_a_run_killed_at_any_of_100_instants_leaves_whole_results_and_is_resumed_to_the_same_bytes(tmp_path):
    report = report_of("killed", tmp_path)
    assert report["wrong"] == []
    assert report["kills"] == 100
    # The kills came while there was work to do.
    assert report["unfinished"] >= 30


@pytest.mark.slow
def test_of_two_runs_into_one_folder_one_works_and_the_other_refuses_or_finds_all_done(tmp_path):
    report = report_of("together", tmp_path)
    assert report["wrong"] == []
    assert {tuple(codes) for codes in report["codes"]} <= {(3, 7), (3, 3)}
    assert [3, 7] in report["codes"]


@pytest.mark.slow
def test_where_files_cannot_grow_the_run_ends_with_5_and_later_goes_on(tmp_path):
    report = report_of("file_limit", tmp_path)
    assert report["wrong"] == []
    assert set(report["codes"]) == {5}


@pytest.mark.slow
def test_a_disk_that_fills_ends_the_run_with_5_and_keeps_what_is_finished(tmp_path):
    report = report_of("small_disk", tmp_path, mounts=True)
    assert report["wrong"] == []
    # Found before the work where it can be.
    assert report["too_little"] == 5
    assert report["at_start"] == []
    assert set(report["codes"]) <= {3, 5}
    assert report["codes"][0] == 5
    assert report["done"] == sorted(report["done"])


@pytest.mark.slow
def test_a_read_only_output_is_found_at_the_start_and_a_read_only_input_is_enough(tmp_path):
    report = report_of("read_only", tmp_path, mounts=True)
    assert report["wrong"] == []
    assert report["codes"] == [5, 5, 5]
    assert report["untouched"]


FALLIBLE = ("os.open", "os.fsync", "pathlib.Path.replace", "pathlib.Path.mkdir", "pathlib.Path.unlink", "os.fdopen")


@pytest.mark.parametrize("call", FALLIBLE)
def test_whichever_call_fails_a_result_is_whole_or_absent(call, tmp_path, monkeypatch, tree):
    """Fail the first such call, the second, and so on, until a scan passes untouched."""
    from fake_scorer import open_fake

    monkeypatch.setattr("anomri.report.page.scan_page", lambda _outcome: "page")
    monkeypatch.setattr("anomri.report.figures.preview_png", lambda _outcome: b"picture")
    scorer, image = open_fake(Request("fake")), tmp_path / "x"
    image.write_text("score 0.5")
    judge(scorer, Job(Task("x", image, tmp_path / "whole"), "all", "stamp", "retry"))
    whole, failures = tree(tmp_path / "whole"), 0
    for number in range(1, 100):
        folder = tmp_path / f"out{number}"
        # Over an older result, which must not be taken for the new one.
        judge(scorer, Job(Task("x", image, folder), "all", "older", "retry"))
        with monkeypatch.context() as patch:
            calls = _fail_from(patch, call, number)
            try:
                judge(scorer, Job(Task("x", image, folder), "all", "stamp", "retry"))
            except EnvironmentProblem:
                failures += 1
        left = tree(folder)
        if "result.json" in left:
            assert left in (whole, left | {"result.json": left["result.json"]})
            assert b'"older' in left["result.json"] or left == whole
        if calls[0] < number:
            break
    assert left == whole
    assert failures == number - 1 > 0


def _fail_from(patch: pytest.MonkeyPatch, call: str, number: int) -> list[int]:
    """Let a call fail once, the `number`-th time it is made; how often it was made."""
    made = [0]
    owner: Any = os if call.startswith("os.") else Path
    name = call.rpartition(".")[2]
    real = getattr(owner, name)

    def failing(*args: Any, **more: Any) -> Any:
        made[0] += 1
        if made[0] == number:
            raise OSError(28, "No space left on device")
        return real(*args, **more)

    patch.setattr(owner, name, failing)
    return made
