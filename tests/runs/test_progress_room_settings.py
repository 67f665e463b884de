from __future__ import annotations

import io
from pathlib import Path

import pytest

from anomri.core.result import ModelRecord
from anomri.errors import EnvironmentProblem
from anomri.io import ProtocolReference
from anomri.runs import room
from anomri.runs.progress import Bar, Lines, progress_on
from anomri.runs.settings import Settings
from anomri.runs.worker import Done

MODEL = ModelRecord(name="m", version="1", sha256="ab")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def tell(progress) -> None:
    progress.begin(3, skipped=1, workers=2, device="cpu")
    progress.done(Done("a", Path("in/a.nii"), "pass", "Among the normals.", 0.5, 1.0))
    progress.done(Done("b", Path("in/b.nii"), "fail", "far out \x1b[31m\u202e\nnew line", 0.01, 2.0))
    progress.end()


def test_off_a_terminal_there_is_one_line_a_scan():
    stream = io.StringIO()
    tell(progress_on(stream))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "3 scans, 1 finished earlier; device cpu, workers 2"
    assert lines[1].startswith("[2/3] a  pass  p 0.5  1.0 s")
    assert len(lines) == 3
    assert isinstance(progress_on(stream), Lines)


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["file", "terminal"])
def test_a_reason_cannot_steer_the_terminal(stream):
    tell(progress_on(stream))
    assert "\x1b[31m\u202e" not in stream.getvalue()
    assert "\u202e" not in stream.getvalue()


def test_on_a_terminal_there_is_a_bar():
    stream = Terminal()
    progress = progress_on(stream)
    assert isinstance(progress, Bar)
    tell(progress)
    assert "scoring" in stream.getvalue()


def test_memory_bounds_the_workers(monkeypatch):
    monkeypatch.setattr(room, "free_memory_gb", lambda: 7.0)
    assert room.default_jobs(1) == 1
    assert room.default_jobs(100) <= 2
    monkeypatch.setattr(room, "free_memory_gb", lambda: 1.0)
    assert room.default_jobs(100) == 1


def test_a_container_limit_counts(tmp_path):
    limit = tmp_path / "memory.max"
    limit.write_text(str(1024**3 // 2))
    assert room.free_memory_gb(limit) == 0.5
    limit.write_text("max\n")
    assert room.free_memory_gb(limit) == pytest.approx(room.free_memory_gb(tmp_path / "none"), rel=0.2)


def test_too_little_disk_is_said_at_the_start(tmp_path):
    room.check_disk(tmp_path, 1, "summary")
    with pytest.raises(EnvironmentProblem, match="GB"):
        room.check_disk(tmp_path, 10**9, "summary")


def test_a_stamp_changes_with_all_that_a_result_depends_on():
    settings = Settings.of(MODEL, alarm_rate=0.05, keep="all")
    stamps = {
        settings.stamp(mask_sha256=None, covariates={}),
        settings.stamp(mask_sha256="c", covariates={}),
        settings.stamp(mask_sha256=None, covariates={"age": 30.0}),
        Settings.of(MODEL, alarm_rate=0.1, keep="all").stamp(mask_sha256=None, covariates={}),
        Settings.of(MODEL, alarm_rate=0.05, keep="summary").stamp(mask_sha256=None, covariates={}),
        Settings.of(MODEL.model_copy(update={"sha256": "x"}), alarm_rate=0.05, keep="all").stamp(
            mask_sha256=None, covariates={}
        ),
        Settings.of(MODEL, alarm_rate=0.05, keep="all", protocol=ProtocolReference()).stamp(
            mask_sha256=None, covariates={}
        ),
        Settings.of(MODEL, alarm_rate=0.05, keep="all", protocol=ProtocolReference(te_ms=(1.0, 2.0))).stamp(
            mask_sha256=None, covariates={}
        ),
        settings.retry_stamp,
    }
    assert len(stamps) == 9
    first = settings.stamp(mask_sha256=None, covariates={"age": 1.0, "sex": 0.0})
    assert first == settings.stamp(mask_sha256=None, covariates={"sex": 0.0, "age": 1.0})
