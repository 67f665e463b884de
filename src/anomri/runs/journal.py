"""``run.json``: what was run, where, when, and how long each scan took. The one file that differs from run to run."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from anomri.runs.save import writing_to
from anomri.runs.scorer import Task
from anomri.runs.settings import Settings
from anomri.runs.worker import Done

__all__ = ["JOURNAL", "Journal"]

JOURNAL = "run.json"
# Rewritten at most this often, so that a run of many thousand scans does not spend its time on it.
_REWRITE_S = 10.0


class Journal:
    """Keeps ``run.json``; what an earlier run of the same settings said of a scan stays until the scan is redone."""

    def __init__(self, out: Path, settings: Settings, tasks: Sequence[Task], *, jobs: int, device: str) -> None:
        self._file = out / JOURNAL
        self._started_s = time.monotonic()
        self._written_s = self._started_s
        self._scans = _earlier_scans(self._file, settings.digest)
        for task in tasks:
            self._scans[task.scan_id] = {**self._scans.get(task.scan_id, {}), "path": str(task.path.absolute())}
        self._record: dict[str, object] = {
            "settings": asdict(settings),
            "settings_digest": settings.digest,
            "started": _now(),
            "ended": None,
            "elapsed_s": None,
            "interrupted_by_signal": None,
            "jobs": jobs,
            "device": device,
            "machine": {"system": platform.platform(), "python": platform.python_version()},
        }
        self._write()

    def done(self, done: Done) -> None:
        """Note a finished scan."""
        self._scans[done.scan_id].update(
            elapsed_s=round(done.elapsed_s, 3),
            stages_s={stage: round(seconds, 3) for stage, seconds in done.stages.items()},
            peak_memory_mb=round(done.peak_memory_mb, 1),
            trouble=done.trouble,
        )
        if time.monotonic() - self._written_s > _REWRITE_S:
            self._write()

    def end(self, *, interrupted: int | None) -> None:
        """Note the end of the run."""
        elapsed = round(time.monotonic() - self._started_s, 3)
        self._record.update(ended=_now(), elapsed_s=elapsed, interrupted_by_signal=interrupted)
        self._write()

    def _write(self) -> None:
        from anomri.io.write import write_json

        with writing_to(self._file.parent):
            write_json(self._file, {**self._record, "scans": self._scans})
        self._written_s = time.monotonic()


def _earlier_scans(file: Path, digest: str) -> dict[str, dict[str, object]]:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        scans = {str(name): dict(scan) for name, scan in record["scans"].items()}
        return scans if record["settings_digest"] == digest else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
