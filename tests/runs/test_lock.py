from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

import psutil
import pytest

from anomri.errors import EnvironmentProblem, OutputConflict
from anomri.runs.lock import Lock

NAME = ".anomri.lock"


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def leave(folder, *, host=None, pid=None, started=1.0, age_s=60.0):
    content = {"host": socket.gethostname() if host is None else host, "pid": pid, "started": started}
    (folder / NAME).write_text(json.dumps(content))
    then = time.time() - age_s
    os.utime(folder / NAME, (then, then))


def test_a_second_run_is_refused_and_the_lock_is_gone_after(tmp_path):
    with Lock(tmp_path):
        with pytest.raises(OutputConflict, match=str(os.getpid())), Lock(tmp_path):
            pass
        assert (tmp_path / NAME).exists()
    assert not (tmp_path / NAME).exists()


def test_the_heart_beats(tmp_path):
    with Lock(tmp_path, beat_s=0.02):
        before = (tmp_path / NAME).stat().st_mtime_ns
        time.sleep(0.2)
        assert (tmp_path / NAME).stat().st_mtime_ns > before


def test_the_lock_of_a_dead_run_is_taken(tmp_path):
    leave(tmp_path, pid=dead_pid())
    with Lock(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()


def test_a_process_that_took_over_the_number_does_not_hold_the_lock(tmp_path):
    leave(tmp_path, pid=os.getpid(), started=psutil.Process().create_time() - 1000)
    with Lock(tmp_path):
        pass


def test_a_dead_process_whose_heart_beat_lately_is_waited_for(tmp_path):
    leave(tmp_path, pid=dead_pid(), age_s=0.0)
    started = time.monotonic()
    with Lock(tmp_path, stale_s=0.5):
        assert time.monotonic() - started >= 0.4


def test_a_heart_that_beats_without_a_process_here_is_a_run_elsewhere(tmp_path):
    leave(tmp_path, pid=dead_pid(), age_s=0.0)
    code = f"import os, time\nfor _ in range(100): os.utime({str(tmp_path / NAME)!r}); time.sleep(0.05)"
    beating = subprocess.Popen([sys.executable, "-c", code])
    try:
        with pytest.raises(OutputConflict), Lock(tmp_path, stale_s=3.0):
            pass
    finally:
        beating.kill()
        beating.wait()


def test_another_host_is_never_presumed_dead(tmp_path):
    leave(tmp_path, host="another-host", pid=1, age_s=1e6)
    with pytest.raises(OutputConflict, match="another-host"), Lock(tmp_path):
        pass


def test_a_torn_lock_is_taken_once_it_is_old(tmp_path):
    (tmp_path / NAME).write_text('{"host": "h')
    with Lock(tmp_path, stale_s=0.3):
        pass


def test_a_folder_that_cannot_be_written_is_an_environment_problem(tmp_path):
    with pytest.raises(EnvironmentProblem), Lock(tmp_path / "missing"):
        pass
