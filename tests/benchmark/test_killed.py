"""A benchmark that is ended from outside, at any moment of any stage, ends with the same tables when run again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import small_run
from anomri.benchmark.run import STAGES
from small_benchmark import Site

# Not index.html, which shows times.
TABLES = ("figures.csv", "scores.csv", "tables.md", "tables.tex", "split.json", "method-1.html")
# Lines that a whole run says of each stage; the tables come after the last one.
PREPARED, FITTED = 13, 6


def started(site: Site, out: Path, until: str) -> subprocess.Popen[str]:
    # With what bans the network, see tests/conftest.py.
    path = os.pathsep.join([str(Path(small_run.__file__).parent), os.environ["PYTHONPATH"]])
    return subprocess.Popen(
        [sys.executable, str(small_run.__file__), str(site.data["t1w-site-a"]), str(out), until],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "MPLBACKEND": "Agg"},
    )


def killed(run: subprocess.Popen[str], lines: int, delay_s: float) -> bool:
    """Kill it some time after it has said so many lines; whether it was still at work."""
    assert run.stdout is not None
    for _ in range(lines):
        assert run.stdout.readline(), "it ended before"
    time.sleep(delay_s)
    run.kill()
    run.stdout.close()
    return run.wait() == -signal.SIGKILL


@pytest.mark.slow
def test_a_run_that_is_killed_in_every_stage_ends_with_the_same_tables(site: Site, tmp_path: Path) -> None:
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    run = started(site, whole, "tables")
    said = run.communicate()[0].splitlines()
    assert run.returncode == 0
    assert [line.startswith("prepared") for line in said] == [True] * PREPARED + [False] * FITTED
    rng = np.random.default_rng(4)
    hits = 0
    for stage in ("prepare", *STAGES):
        first = 0 if stage == "prepare" else PREPARED
        last = PREPARED - 1 if stage == "prepare" else PREPARED + FITTED - 1
        lines = PREPARED + FITTED if stage == "tables" else int(rng.integers(first, last + 1))
        hits += killed(started(site, torn, stage), lines, rng.uniform(0, 0.5 if stage == "tables" else 0.05))
        lock = torn / ".anomri.lock"
        if lock.is_file():
            # A minute later: nobody waits for a heartbeat.
            os.utime(lock, (time.time() - 60, time.time() - 60))
    assert hits >= 3
    assert started(site, torn, "tables").communicate()[0]
    for name in TABLES:
        assert (torn / name).read_bytes() == (whole / name).read_bytes(), name
