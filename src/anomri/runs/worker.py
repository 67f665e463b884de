"""The process that judges scans: opens its scorer once, then takes one task after the other.

It ignores interrupts, which are its parent's to handle, and ends when its parent does.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import connection as channels
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING

from anomri.errors import AnomriError, InputError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from anomri.core.outcome import Outcome
    from anomri.core.result import ModelRecord
    from anomri.runs.save import Keep
    from anomri.runs.scorer import Request, Scorer, Task

__all__ = ["IGNORED", "OUT_OF_MEMORY", "Done", "Job", "Ready", "Trouble", "file_sha256", "serve", "write_outcome"]

# Signals that are the parent's to handle.
IGNORED = (signal.SIGINT, signal.SIGTERM)
# Exit status of a worker whose memory ran out, so that its parent can tell this from other deaths.
OUT_OF_MEMORY = 77


@dataclass(frozen=True, slots=True)
class Job:
    """A task, and how its result is to be written.

    Parameters
    ----------
    stamp : written into the result; says with which settings it was made.
    retry_stamp : written instead where the failure was anomri's own, so that the next run tries again.
    lost : what became of the workers that were on it; it is recorded and not tried again.
    """

    task: Task
    keep: Keep
    stamp: str
    retry_stamp: str
    lost: InputError | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """The scorer is open.

    Parameters
    ----------
    model, alarm_rate, device : see `Scorer`.
    """

    model: ModelRecord
    alarm_rate: float
    device: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Opening the scorer, or recording a failure, ended with an error nobody foresaw."""

    traceback: str


@dataclass(frozen=True, slots=True)
class Done:
    """A scan whose result is written.

    Parameters
    ----------
    path : the image; a result holds no path, so that who runs anomri is told it here.
    stages : seconds by stage.
    peak_memory_mb : of the worker so far.
    trouble : a traceback, where the scan is unreadable because of an error nobody foresaw.
    """

    scan_id: str
    path: Path
    verdict: str
    reason: str
    p_value: float | None
    elapsed_s: float
    stages: dict[str, float] = field(default_factory=dict)
    peak_memory_mb: float = 0.0
    trouble: str | None = None


def serve(channel: Connection, reference: str, request: Request) -> None:
    """Judge the jobs that come in, until None comes in.

    Sends `Ready` first, then one `Done` a job; an AnomriError that concerns more than one scan, or a `Trouble`,
    instead of either ends the worker.
    """
    from anomri.runs.scorer import opener

    for each in IGNORED:
        signal.signal(each, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        scorer = opener(reference)(request)
        channel.send(Ready(scorer.model, scorer.alarm_rate, scorer.device))
        while (job := channel.recv()) is not None:
            channel.send(judge(scorer, job))
    except AnomriError as error:
        channel.send(error)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except EOFError:
        return
    except Exception:
        channel.send(Trouble(traceback.format_exc()))


def judge(scorer: Scorer, job: Job) -> Done:
    """Score one scan and write its result folder; a scan that cannot be judged gets its reason as the result.

    Raises
    ------
    AnomriError : anything but an InputError: it would meet every other scan too.
    MemoryError
    """
    started = time.perf_counter()
    task, stages, trouble = job.task, dict[str, float](), None
    try:
        if job.lost is not None:
            raise job.lost
        outcome = scorer.score(task, stages)
        write_outcome(outcome, task.folder, keep=job.keep, stamp=job.stamp, stages=stages)
    except InputError as error:
        outcome = scorer.unreadable(task.scan_id, error, sha256=file_sha256(task.path, task.members))
        write_outcome(outcome, task.folder, keep=job.keep, stamp=job.stamp, stages=stages)
    except (AnomriError, MemoryError):
        raise
    except Exception as error:
        trouble = traceback.format_exc()
        told = InputError(
            f"anomri itself failed ({type(error).__name__})", remedy="Please report this.", code="internal"
        )
        outcome = scorer.unreadable(task.scan_id, told, sha256=file_sha256(task.path, task.members))
        write_outcome(outcome, task.folder, keep=job.keep, stamp=job.retry_stamp, stages=stages)
    result = outcome.result
    return Done(
        scan_id=task.scan_id,
        path=task.path,
        verdict=result.verdict,
        reason=result.reason,
        p_value=result.p_value,
        elapsed_s=time.perf_counter() - started,
        stages=stages,
        peak_memory_mb=_peak_memory_mb(),
        trouble=trouble,
    )


def write_outcome(outcome: Outcome, folder: Path, *, keep: Keep, stamp: str, stages: dict[str, float]) -> None:
    """`save`, with the settings it was made with noted in the result."""
    from anomri.runs.save import save

    started = time.perf_counter()
    versions = {**outcome.result.versions, "settings": stamp}
    save(replace(outcome, result=outcome.result.model_copy(update={"versions": versions})), folder, keep=keep)
    stages["write"] = time.perf_counter() - started


def file_sha256(path: Path, members: Sequence[str] = ()) -> str:
    """SHA-256 of a file's bytes as stored, or of these files of a series in turn; empty where they cannot be read."""
    from anomri.io.members import members_sha256

    if members:
        return members_sha256(path, members)
    if not path.is_file():  # opening a pipe would wait for ever
        return ""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        channels.wait([parent.sentinel])
        os._exit(1)


def _peak_memory_mb() -> float:
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024.0**2 if sys.platform == "darwin" else 1024.0)
