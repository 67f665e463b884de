"""Runs that are killed, starved of disk, or not alone: ``python faulty_runs.py FAULT FOLDER``; the report as JSON.

A process of its own without threads, so that a run can be forked in a millisecond instead of started in seconds. The
runs are real but for their scorer, their pictures and pages, and how long they wait for a lock.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from fake_scorer import open_fake

import anomri.io.write
import anomri.report.figures
import anomri.report.page
import anomri.runs.lock
import anomri.runs.run
from anomri.core.result import Result
from anomri.errors import AnomriError
from anomri.io.walk import Found
from anomri.runs.run import run
from anomri.runs.scorer import Request, Task
from anomri.runs.summary import write_summary
from anomri.runs.worker import Job, judge

SCANS = 10
KILLS = 100
PAIRS = 10
REFUSED = 3

_real_context = multiprocessing.get_context


def fast_runs() -> None:
    """Fork workers, wait a tenth of a second for a lock, and write pages that cost nothing to make."""
    multiprocessing.get_context = lambda _method=None: _real_context("fork")
    anomri.runs.run.Lock = functools.partial(anomri.runs.lock.Lock, beat_s=0.02, stale_s=0.1)
    anomri.report.page.scan_page = lambda outcome: f"<html>{outcome.result.scan_id}</html>" * 500
    anomri.report.figures.preview_png = lambda outcome: outcome.result.scan_id.encode() * 500


def warm_up(root: Path) -> None:
    """Import here what every run would import anew."""
    root.mkdir()
    (root / "x").write_text("score 0.5")
    job = Job(Task("x", root / "x", root / "out" / "x"), "all", "warm", "up")
    judge(open_fake(Request("fake")), job)
    write_summary(root / "out", [Result.model_validate_json((root / "out" / "x" / "result.json").read_bytes())])


def scans(folder: Path) -> list[Found]:
    folder.mkdir(exist_ok=True)
    for number in range(SCANS):
        (folder / f"s{number}").write_text("bad" if number % 5 == 3 else f"score 0.{number}")
    return [Found(folder / f"s{number}", f"s{number}") for number in range(SCANS)]


def begin(found: list[Found], out: Path, before: Callable[[], None] = lambda: None) -> int:
    """Start a run in a process group of its own; its process id."""
    pid = os.fork()
    # Said on both sides, since either may be the first to go on.
    os.setpgid(pid, pid)
    if pid == 0:
        code = 1
        try:
            before()
            summary = run(found, "fake", out, jobs=2, scorer="fake_scorer:open_fake")
            code = REFUSED if "unreadable" in summary.counts() and not summary.troubles else 1
        except AnomriError as error:
            print(error, file=sys.stderr)
            code = error.exit_code
        finally:
            sys.stderr.flush()
            os._exit(code)
    return pid


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, ``run.json`` apart."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "run.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def half_done(out: Path, whole: dict[str, bytes]) -> list[str]:
    """What is wrong in a folder whose run ended early: a result that is not the right one, or not all of it there."""
    now, wrong = tree(out), []
    for name in [name for name in now if name.endswith("result.json")]:
        Result.model_validate_json(now[name])
        folder = name.removesuffix("result.json")
        files = {path for path in whole if path.startswith(folder)}
        wrong += [path for path in files if now.get(path) != whole[path]]
    if (out / "run.json").exists():
        json.loads((out / "run.json").read_text(encoding="utf-8"))
    return wrong


def resumed(found: list[Found], out: Path, whole: dict[str, bytes]) -> list[str]:
    """What is wrong once the same run was started again and came to its end."""
    code = ended(begin(found, out))
    now = tree(out)
    return [
        *([f"exit code {code}"] if code != REFUSED else []),
        *(name for name in now.keys() | whole.keys() if now.get(name) != whole.get(name)),
    ]


def killed(root: Path) -> dict[str, object]:
    """SIGKILL at random instants: the run alone, with its workers, or a worker alone."""
    found = scans(root / "in")
    began = time.monotonic()
    ended(begin(found, root / "whole"))
    usual_s = time.monotonic() - began
    whole = tree(root / "whole")
    rng = np.random.default_rng(0)
    wrong: list[object] = []
    hits = unfinished = 0
    while hits < KILLS:
        out = root / f"out{hits}"
        pid = begin(found, out)
        time.sleep(rng.uniform(0, usual_s))
        kill = (os.kill, os.killpg)[hits % 2]
        # Not yet waited for, so that the number is still its own.
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            hits += 1
            kill(pid, signal.SIGKILL)
        ended(pid)
        if not all_gone(pid):
            wrong.append((hits, "workers outlive their run"))
        if out.exists():
            wrong += [(hits, "half done", name) for name in half_done(out, whole)]
            unfinished += len(list(out.glob("*/result.json"))) < SCANS
        wrong += [(hits, "resumed", name) for name in resumed(found, out, whole)]
        shutil.rmtree(out)
    return {"kills": hits, "unfinished": unfinished, "files": len(whole), "wrong": wrong}


def all_gone(group: int) -> bool:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def together(root: Path) -> dict[str, object]:
    """Two runs of the same scans into one folder, the second begun a moment after the first."""
    found = scans(root / "in")
    began = time.monotonic()
    ended(begin(found, root / "whole"))
    usual_s = time.monotonic() - began
    whole, wrong, codes = tree(root / "whole"), [], []
    for number in range(PAIRS):
        out = root / f"out{number}"
        first = begin(found, out)
        time.sleep(usual_s * number / PAIRS)
        pair = (ended(second) if (second := begin(found, out)) else 0, ended(first))
        codes.append(sorted(pair))
        now = tree(out)
        wrong += [name for name in now.keys() | whole.keys() if now.get(name) != whole.get(name)]
    return {"codes": codes, "wrong": wrong}


def file_limit(root: Path) -> dict[str, object]:
    """No file may grow beyond a limit, as on a disk that is full."""
    found = scans(root / "in")
    ended(begin(found, root / "whole"))
    whole = tree(root / "whole")
    sizes = sorted({len(content) for content in whole.values()})
    wrong, codes = [], []
    for number, size in enumerate([1, 20, *sizes[:: max(1, len(sizes) // 6)]]):
        out = root / f"out{number}"

        def limit(size: int = size) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, resource.RLIM_INFINITY))

        codes.append(ended(begin(found, out, limit)))
        left = [name for name in tree(out) if ".anomri" in name] if out.exists() else []
        wrong += [(size, name) for name in (*left, *half_done(out, whole))]
        wrong += [(size, "resumed", name) for name in resumed(found, out, whole)]
        shutil.rmtree(out)
    return {"codes": codes, "wrong": wrong}


def small_disk(root: Path) -> dict[str, object]:
    """A file system of a few hundred kilobytes, which then grows; in a mount namespace of its own."""
    found = scans(root / "in")
    ended(begin(found, root / "whole"))
    whole = tree(root / "whole")
    disk = root / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", str(disk)], check=True)
    too_little = ended(begin(found, disk / "out"))
    at_start = sorted(tree(disk / "out")) if (disk / "out").exists() else []
    anomri.runs.run.check_disk = lambda *_args: None
    codes, wrong, done = [], [], []
    for kilobytes in range(120, 600, 80):
        subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(disk)], check=True)
        codes.append(ended(begin(found, disk / "out")))
        wrong += [(kilobytes, name) for name in half_done(disk / "out", whole)]
        wrong += [(kilobytes, name) for name in tree(disk / "out") if ".anomri" in name]
        done.append(len(list((disk / "out").glob("*/result.json"))))
    subprocess.run(["mount", "-o", "remount,size=64M", str(disk)], check=True)
    wrong += [("resumed", name) for name in resumed(found, disk / "out", whole)]
    return {"too_little": too_little, "at_start": at_start, "codes": codes, "done": done, "wrong": wrong}


def read_only(root: Path) -> dict[str, object]:
    """An output folder on a file system mounted read-only: new, and with finished results; and such an input."""
    found = scans(root / "in")
    ended(begin(found, root / "whole"))
    whole = tree(root / "whole")
    subprocess.run(["mount", "--bind", str(root / "in"), str(root / "in")], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(root / "in")], check=True)
    wrong = [("input", name) for name in resumed(found, root / "out", whole)]
    (root / "disk" / "old").mkdir(parents=True)
    shutil.copytree(root / "whole", root / "disk" / "old", dirs_exist_ok=True)
    before = tree(root / "disk")
    subprocess.run(["mount", "--bind", str(root / "disk"), str(root / "disk")], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(root / "disk")], check=True)
    codes = [ended(begin(found, root / "disk" / name)) for name in ("new", "old", "old/s1")]
    return {"codes": codes, "wrong": wrong, "untouched": tree(root / "disk") == before}


if __name__ == "__main__":
    fast_runs()
    warm_up(Path(sys.argv[2]) / "warm")
    faults = {fault.__name__: fault for fault in (killed, together, file_limit, small_disk, read_only)}
    print(json.dumps(faults[sys.argv[1]](Path(sys.argv[2]))))
