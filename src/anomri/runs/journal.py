"""``run.json``: what was run, where, when, and how long each scan took. The one file that differs from run to run."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from anomri.runs.save import RESULT, writing_to
from anomri.runs.scorer import Task
from anomri.runs.settings import Settings
from anomri.runs.worker import Done

__all__ = ["JOURNAL", "Journal", "recorded_days", "recorded_paths", "recorded_settings"]

JOURNAL = "run.json"
# Rewritten at most this often, so that a run of many thousand scans does not spend its time on it.
_REWRITE_S = 10.0


class Journal:
    """Keeps ``run.json``; what an earlier run of the same settings said of a scan stays as long as its result does.

    Parameters
    ----------
    notes : sentences on what this run was given.
    """

    def __init__(
        self,
        out: Path,
        settings: Settings,
        tasks: Sequence[Task],
        *,
        jobs: int,
        device: str,
        notes: Sequence[str] = (),
    ) -> None:
        self._file = out / JOURNAL
        self._started_s = time.monotonic()
        self._written_s = self._started_s
        earlier = _earlier_scans(out, settings.digest)
        self._scans = {name: scan for name, scan in earlier.items() if (out / name / RESULT).is_file()}
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
            "notes": list(notes),
        }
        self._write()

    def done(self, done: Done) -> None:
        """Note a finished scan."""
        self._scans[done.scan_id].update(
            ended=_now(),
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


def recorded_settings(out: Path) -> dict[str, object]:
    """The settings of the last run into a folder; empty where it left no record."""
    try:
        return dict(json.loads((out / JOURNAL).read_text(encoding="utf-8"))["settings"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def recorded_paths(out: Path, digest: str) -> dict[str, Path]:
    """Where the images of a folder's scans were, by scan id, as far as a run of these settings recorded it."""
    return {name: Path(str(scan["path"])) for name, scan in _earlier_scans(out, digest).items() if "path" in scan}


def recorded_days(out: Path) -> dict[str, str]:
    """The day (UTC, ``YYYY-MM-DD``) on which each scan of a folder was judged, by scan id, as far as it is recorded."""
    return {name: str(scan["ended"])[:10] for name, scan in _earlier_scans(out).items() if "ended" in scan}


def _earlier_scans(out: Path, digest: str | None = None) -> dict[str, dict[str, object]]:
    """What ``run.json`` says of each scan; nothing where a `digest` of settings is asked for and it has another."""
    try:
        record = json.loads((out / JOURNAL).read_text(encoding="utf-8"))
        scans = {str(name): dict(scan) for name, scan in record["scans"].items()}
        return scans if digest in (None, record["settings_digest"]) else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
