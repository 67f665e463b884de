"""Runs over many scans, with a scorer that does what the files say."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from anomri.core.result import Result
from anomri.errors import CalibrationError, EnvironmentProblem, InputError, ModelError, OutputConflict
from anomri.io.names import OUTPUTS
from anomri.io.participants import Participants
from anomri.io.walk import Found
from anomri.runs.jobs import Crew, Lost, Worker, WorkerTrouble, opened_worker
from anomri.runs.plan import make_plan
from anomri.runs.progress import Silent
from anomri.runs.run import run
from anomri.runs.scorer import Request, Task
from anomri.runs.settings import Settings
from anomri.runs.worker import Job, Ready

FAKE = "fake_scorer:open_fake"
FILES = {"result.json", "report.html", "preview.png", "heatmap.nii.gz", "mask.nii.gz"}
MAPS = {"maps/layers.json", "maps/examined.nii.gz", "maps/expected.nii.gz", "maps/scan.nii.gz", "maps/zatlas.nii.gz"}


def read_table(out: Path) -> list[dict[str, str]]:
    with (out / "summary.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


class Heard(Silent):
    """Remembers which scans were worked on."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.skipped = 0

    def begin(self, total, *, skipped, workers, device):
        super().begin(total, skipped=skipped, workers=workers, device=device)
        self.skipped = skipped

    def done(self, done):
        self.names.append(done.scan_id)


def test_jobs_and_order_leave_no_trace(scans, tree, tmp_path):
    found = scans({"b": "score 0.95", "a": "score 0.1", "c": "bad", "d": "score 0.3"})
    one = run(found, "fake", tmp_path / "one", jobs=1, scorer=FAKE)
    run(found[::-1], "fake", tmp_path / "two", jobs=2, scorer=FAKE)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert {path.name for path in (tmp_path / "one").iterdir()} == {
        *"abcd",
        "summary.csv",
        "index.html",
        "run.json",
    }
    assert one.counts() == {"fail": 1, "pass": 2, "unreadable": 1}


def test_a_scan_gets_a_whole_folder_and_a_row(scans, tree, tmp_path):
    out = tmp_path / "out"
    run(scans({"b": "score 0.95", "a": "bad"}), "fake", out, jobs=1, scorer=FAKE)
    assert set(tree(out / "b")) == FILES | MAPS
    assert set(tree(out / "a")) == {"result.json", "report.html", "preview.png"}
    rows = read_table(out)
    assert [row["scan_id"] for row in rows] == ["a", "b"]
    assert rows[0]["verdict"] == "unreadable"
    assert "truncated" in rows[0]["reason"]
    assert rows[1]["verdict"] == "fail"
    assert rows[1]["notes"] == "'=a formula"
    record = json.loads((out / "run.json").read_text())
    assert record["scans"]["b"]["path"].endswith("b.txt")
    assert record["scans"]["b"]["stages_s"]["examine"] == 0.0
    assert record["scans"]["b"]["peak_memory_mb"] > 0


def test_keep_summary_writes_no_images(scans, tree, tmp_path):
    run(scans({"a": "score 0.1"}), "fake", tmp_path / "out", keep="summary", jobs=1, scorer=FAKE)
    assert set(tree(tmp_path / "out" / "a")) == {"result.json", "report.html", "preview.png"}


def test_a_second_run_does_only_what_changed(scans, tree, tmp_path):
    out = tmp_path / "out"
    found = scans({"a": "score 0.1", "b": "score 0.2", "c": "score 0.3"})
    run(found, "fake", out, jobs=1, scorer=FAKE)
    before = tree(out)

    again = Heard()
    summary = run(found, "fake", out, jobs=1, progress=again, scorer=FAKE)
    assert again.names == []
    assert summary.skipped == 3
    assert len(summary.results) == 3
    assert tree(out) == before

    scans({"a": "score 0.95"})
    (out / "b" / "result.json").write_text('{"scan_id": "b"')
    changed = Heard()
    summary = run(found, "fake", out, jobs=1, progress=changed, scorer=FAKE)
    assert sorted(changed.names) == ["a", "b"]
    assert summary.results[0].verdict == "fail"


def test_a_run_over_other_scans_adds_to_the_table(scans, tmp_path):
    out = tmp_path / "out"
    found = scans({"a": "score 0.1", "b": "score 0.2"})
    run(found[:1], "fake", out, jobs=1, scorer=FAKE)
    summary = run(found[1:], "fake", out, jobs=1, scorer=FAKE)
    assert [result.scan_id for result in summary.results] == ["b"]
    assert [row["scan_id"] for row in read_table(out)] == ["a", "b"]


def test_a_scan_of_an_earlier_run_is_counted_apart(scans, tmp_path):
    out = tmp_path / "out"
    found = scans({"a": "score 0.1", "b": "score 0.2", "c": "score 0.3"})
    assert run(found, "fake", out, jobs=1, scorer=FAKE).others == 0
    summary = run(found[:1], "fake", out, jobs=1, scorer=FAKE)
    assert (summary.others, summary.counts()) == (2, {"pass": 1})
    assert set(json.loads((out / "run.json").read_text())["scans"]) == {"a", "b", "c"}


def test_another_image_of_the_same_name_replaces_nothing(scans, tree, tmp_path):
    out = tmp_path / "out"
    (first,) = scans({"a": "score 0.1"})
    run([first], "fake", out, jobs=1, scorer=FAKE)
    before = tree(out)
    (tmp_path / "other").mkdir()
    second = Found(tmp_path / "other" / "a.txt", "a")
    second.path.write_text("score 0.95")
    with pytest.raises(OutputConflict, match="another image of this name") as caught:
        run([second], "fake", out, jobs=1, scorer=FAKE)
    assert str(first.path) in str(caught.value)
    assert tree(out) == before

    # A copy of it is the same image; and where the first is gone the data have moved, and may have been mended.
    second.path.write_text("score 0.1")
    assert run([second], "fake", out, jobs=1, scorer=FAKE).skipped == 1
    run([first], "fake", out, jobs=1, scorer=FAKE)
    first.path.rename(tmp_path / "gone.txt")
    second.path.write_text("score 0.95")
    assert run([second], "fake", out, jobs=1, scorer=FAKE).counts() == {"fail": 1}


def test_a_scan_that_got_another_id_is_listed_once(scans, tmp_path):
    out = tmp_path / "out"
    (given,) = scans({"a": "score 0.1"})
    run([given], "fake", out, jobs=1, scorer=FAKE)
    (tmp_path / "link").symlink_to(given.path.parent)
    (out / "a" / "mine.txt").write_text("a note of the user's")
    renamed = Found(tmp_path / "link" / given.path.name, "a-0a1b2c3d")
    assert run([renamed], "fake", out, jobs=1, scorer=FAKE).others == 0
    assert [row["scan_id"] for row in read_table(out)] == ["a-0a1b2c3d"]
    assert [path.name for path in (out / "a").iterdir()] == ["mine.txt"]
    run([Found(given.path, "a-second")], "fake", out, jobs=1, scorer=FAKE)
    assert not (out / "a-0a1b2c3d").exists()


@pytest.mark.parametrize("rate", [0.05, 1e-9])
def test_a_rate_that_cannot_be_leaves_no_trace(scans, tmp_path, rate):
    out = tmp_path / "out"
    found = scans({"a": "bad", "b": "score 0.1"})
    with pytest.raises(CalibrationError):
        run(found, "fake", out, alarm_rate=rate, jobs=1, scorer=FAKE)
    assert not out.exists()


def test_the_models_own_rate_may_be_said_or_not(scans, tmp_path):
    found = scans({"a": "score 0.1"})
    run(found, "fake", tmp_path / "out", jobs=1, scorer=FAKE)
    assert run(found, "fake", tmp_path / "out", alarm_rate=0.1, jobs=1, scorer=FAKE).skipped == 1


def test_a_refusal_says_which_setting_differs(scans, tmp_path):
    out = tmp_path / "out"
    found = scans({"a": "score 0.1"})
    run(found, "fake", out, jobs=1, scorer=FAKE)
    with pytest.raises(OutputConflict, match=r"an alarm rate of 0\.1, not 0\.2 and --keep all, not summary"):
        run(found, "fake", out, alarm_rate=0.2, keep="summary", jobs=1, scorer=FAKE)
    (out / "run.json").unlink()
    with pytest.raises(OutputConflict, match="other settings"):
        run(found, "fake", out, alarm_rate=0.2, jobs=1, scorer=FAKE)


def test_what_was_odd_about_the_participants_is_recorded(scans, tmp_path):
    found = scans({"a": "score 0.1", "sub-01": "score 0.2"})
    table = Participants({"01": {"age": 40.0}}, ("The age in 1 line is odd.",))
    run(found, "fake", tmp_path / "out", participants=table, jobs=1, scorer=FAKE)
    notes = json.loads((tmp_path / "out" / "run.json").read_text())["notes"]
    assert notes[0] == "The age in 1 line is odd."
    assert "1 of 2 scans" in notes[1]


def test_no_scan_can_be_named_like_a_file_that_a_run_writes(scans, tmp_path):
    run(scans({"a": "score 0.1"}), "fake", tmp_path / "out", jobs=1, scorer=FAKE)
    written = {path.name for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert written | {"result.json"} == OUTPUTS


def test_the_table_says_where_no_rate_is_promised(scans, tmp_path):
    run(scans({"a": "score 0.1"}), "fake", tmp_path / "out", jobs=1, scorer=FAKE)
    assert read_table(tmp_path / "out")[0]["approximate"].lower() == "false"


def test_other_settings_or_another_model_are_refused(scans, tree, tmp_path):
    out = tmp_path / "out"
    found = scans({"a": "score 0.1"})
    run(found, "fake", out, jobs=1, scorer=FAKE)
    before = tree(out)
    with pytest.raises(OutputConflict, match="alarm rate"):
        run(found, "fake", out, alarm_rate=0.2, jobs=1, scorer=FAKE)
    with pytest.raises(OutputConflict, match="model fake 1"):
        run(found, "other", out, jobs=1, scorer=FAKE)
    assert tree(out) == before


def test_a_mask_or_an_age_that_changed_means_doing_it_again(scans, tmp_path):
    out, mask = tmp_path / "out", tmp_path / "mask.nii"
    mask.write_bytes(b"one")
    found = scans({"a": "score 0.1"})
    run(found, "fake", out, mask=mask, jobs=1, scorer=FAKE)

    def jobs(**given):
        settings = Settings.of(result.model, alarm_rate=0.1, keep="all")
        folder = out / "a"
        before = (folder / "result.json").read_bytes()
        plan = make_plan([Task("a", found[0].path, folder, **given)], out, settings)
        folder.joinpath("result.json").write_bytes(before)
        return len(plan.jobs)

    result = Result.model_validate_json((out / "a" / "result.json").read_bytes())
    assert jobs(mask=mask) == 0
    assert jobs(mask=mask, covariates={"age": 30.0}) == 1
    assert jobs() == 1
    mask.write_bytes(b"two")
    assert jobs(mask=mask) == 1


@pytest.mark.slow
def test_a_worker_that_dies_costs_its_scan_alone(scans, tmp_path):
    out = tmp_path / "out"
    found = scans({"a": "die", "b": "score 0.1", "c": f"die-once {tmp_path / 'marker'}", "d": "memory"})
    summary = run(found, "fake", out, jobs=2, scorer=FAKE)
    by_id = {result.scan_id: result for result in summary.results}
    assert [by_id[name].verdict for name in "abcd"] == ["unreadable", "pass", "pass", "unreadable"]
    assert "SIGSEGV" in by_id["a"].reason
    assert "crashed" in by_id["a"].reason
    assert "memory ran out" in by_id["d"].reason
    assert summary.troubles == {}

    # What anomri did not survive is worth another try, unlike a file that is bad.
    (found[0].path).write_text("score 0.2")
    heard = Heard()
    run(found[:3], "fake", out, jobs=1, progress=heard, scorer=FAKE)
    assert heard.names == ["a"]


def test_a_scan_past_its_deadline_is_given_up(scans, tmp_path):
    found = scans({"a": "sleep 60", "b": "score 0.1"})
    summary = run(found, "fake", tmp_path / "out", jobs=1, deadline_s=3.0, scorer=FAKE)
    assert [result.verdict for result in summary.results] == ["unreadable", "pass"]
    assert "timed_out" in summary.results[0].reason


def test_a_bug_makes_its_scan_unreadable_and_is_told(scans, tmp_path):
    summary = run(scans({"a": "bug", "b": "score 0.1"}), "fake", tmp_path / "out", jobs=1, scorer=FAKE)
    assert [result.verdict for result in summary.results] == ["unreadable", "pass"]
    assert "ZeroDivisionError" in summary.troubles["a"]
    assert "nobody foresaw" not in (tmp_path / "out" / "a" / "result.json").read_text()


def test_an_error_that_meets_every_scan_ends_the_run(scans, tmp_path):
    with pytest.raises(CalibrationError):
        run(scans({"a": "stop", "b": "score 0.1"}), "fake", tmp_path / "out", jobs=1, scorer=FAKE)
    assert not list((tmp_path / "out").glob(".anomri*"))


def test_the_process_of_a_run_opens_no_model(scans, tmp_path):
    files = scans({"a": "score 0.1", "b": "bad", "c": "die", "d": "sleep 60"})
    done = run(files, "not-here", tmp_path / "out", jobs=2, deadline_s=8.0, scorer=FAKE)
    assert [result.verdict for result in done.results] == ["pass", "unreadable", "unreadable", "unreadable"]
    assert ["crashed" in result.reason for result in done.results] == [False, False, True, False]
    assert "timed_out" in done.results[3].reason
    stages = json.loads((tmp_path / "out" / "run.json").read_text())["scans"]
    assert stages["d"]["elapsed_s"] >= 8.0
    # What anomri itself failed at is tried again, what is wrong with a file is not.
    assert run(files[:3], "not-here", tmp_path / "out", jobs=2, scorer=FAKE).skipped == 2


def test_a_model_that_cannot_be_opened_ends_the_run(scans, tmp_path):
    found = scans({"a": "score 0.1"})
    with pytest.raises(ModelError):
        run(found, "missing", tmp_path / "out", scorer=FAKE)
    with pytest.raises(EnvironmentProblem, match="opened the model"):
        run(found, "dies-at-start", tmp_path / "out", scorer=FAKE)
    with pytest.raises(EnvironmentProblem, match="opening the model took longer than 1 s"):
        run(found, "slow 60", tmp_path / "out", scorer=FAKE, deadline_s=1.0)
    with pytest.raises(WorkerTrouble, match="nobody foresaw this"):
        run(found, "unforeseen", tmp_path / "out", scorer=FAKE)
    assert not (tmp_path / "out").exists()


def test_a_run_that_may_not_begin_leaves_no_worker(scans, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentProblem):
        run(scans({"a": "score 0.1"}), "fake", tmp_path / "file" / "out", scorer=FAKE)
    assert not [
        child for child in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(child.cmdline())
    ]


def test_a_worker_that_died_waiting_counts_as_dead_on_its_first_job(scans, tmp_path):
    crew = Crew(1, FAKE, Request("fake"), 30.0, lambda: False)
    task = Task("a", scans({"a": "score 0.1"})[0].path, tmp_path / "a")
    with opened_worker(FAKE, Request("fake"), deadline_s=30.0) as (worker, ready):
        assert (ready.model.name, ready.alarm_rate, ready.device) == ("fake", 0.1, "cpu")
        psutil.Process(worker.pid).kill()
        events = list(crew.work([Job(task, "summary", "stamp", "again")], worker))
    assert [event.error.code for event in events if isinstance(event, Lost)] == ["crashed"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_worker_starts_is_its_parents_to_handle(signum):
    worker = Worker(FAKE, Request("fake"))
    try:
        os.kill(worker.pid, signum)
        assert isinstance(worker.receive(), Ready)
    finally:
        worker.kill()


@pytest.mark.parametrize("ids", [("a", "A"), ("../x", "y"), ("run.json", "y"), (".hidden", "y")])
def test_names_that_are_not_safe_are_refused(ids, tmp_path):
    found = [Found(tmp_path / "x", name) for name in ids]
    with pytest.raises(InputError, match="scan id"):
        run(found, "fake", tmp_path / "out", scorer=FAKE)


def test_a_folder_that_leads_elsewhere_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputConflict, match="link"):
        run([Found(tmp_path / "x", "a")], "fake", tmp_path / "out", scorer=FAKE)


def test_an_output_folder_that_cannot_be_is_found_at_once(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentProblem):
        run([Found(tmp_path / "x", "a")], "fake", tmp_path / "file" / "out", scorer=FAKE)


def start(found: list[Found], out: Path, jobs: int) -> subprocess.Popen[str]:
    code = (
        f"import sys; from pathlib import Path; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from anomri.io.walk import Found; from anomri.runs.run import run\n"
        f"found = [Found(Path(p), n) for p, n in {[(str(f.path), f.scan_id) for f in found]!r}]\n"
        f"summary = run(found, 'fake', {str(out)!r}, jobs={jobs}, scorer={FAKE!r})\n"
        "sys.exit(0 if summary.interrupted is None else 128 + summary.interrupted)"
    )
    return subprocess.Popen([sys.executable, "-c", code], text=True, stderr=subprocess.PIPE)


def wait_for_results(out: Path, count: int) -> None:
    until = time.monotonic() + 30
    while len(list(out.glob("*/result.json"))) < count:
        assert time.monotonic() < until, "the run makes no headway"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(scans, tree, tmp_path):
    found = scans({"a": "score 0.1", "b": "sleep 0.5", "c": "sleep 0.5", "d": "sleep 0.5", "e": "bad"})
    run(found, "fake", tmp_path / "whole", jobs=2, scorer=FAKE)

    out = tmp_path / "killed"
    process = start(found, out, jobs=2)
    wait_for_results(out, 2)
    workers = psutil.Process(process.pid).children()
    process.kill()
    process.communicate()
    assert not psutil.wait_procs(workers, timeout=5)[1], "workers outlive their run"
    (out / ".anomri-1-abc").write_bytes(b"half a file")
    assert len(list(out.glob("*/result.json"))) < 5

    heard = Heard()
    run(found, "fake", out, jobs=1, progress=heard, scorer=FAKE)
    assert heard.skipped >= 2
    assert tree(out) == tree(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_ends_in_order(scans, tmp_path, signum, code):
    out = tmp_path / "out"
    process = start(scans({"a": "score 0.1", "b": "sleep 1", "c": "score 0.3", "d": "score 0.2"}), out, jobs=1)
    wait_for_results(out, 1)
    os.kill(process.pid, signum)
    process.communicate(timeout=20)
    assert process.returncode == code
    # The scan in work is finished where eight seconds are enough for it; none is begun after the signal.
    assert [row["scan_id"] for row in read_table(out)] in (["a"], ["a", "b"])
    assert not (out / ".anomri.lock").exists()
    assert json.loads((out / "run.json").read_text())["interrupted_by_signal"] == signum


def test_results_hold_to_the_schema(scans, tmp_path):
    run(scans({"a": "score 0.1"}), "fake", tmp_path / "out", jobs=1, scorer=FAKE)
    result = Result.model_validate_json((tmp_path / "out" / "a" / "result.json").read_bytes())
    assert result.versions["anomri"] == "0"
    assert "." in result.versions["settings"]
