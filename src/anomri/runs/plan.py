"""What a run has to do: tasks with safe folders, without those whose result still stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anomri.core.result import Result
from anomri.errors import InputError, OutputConflict
from anomri.io.names import shown
from anomri.io.write import TEMPORARY_PREFIX
from anomri.runs.journal import JOURNAL
from anomri.runs.save import RESULT, writing_to
from anomri.runs.scorer import Task
from anomri.runs.settings import Settings
from anomri.runs.summary import INDEX, TABLE, finished
from anomri.runs.worker import Job, file_sha256

if TYPE_CHECKING:
    from anomri.io.participants import Participants
    from anomri.io.walk import Found

__all__ = ["Plan", "make_plan", "make_tasks", "remove_leftovers"]

_SAFE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,149}")
_TAKEN = {TABLE, INDEX, JOURNAL}


@dataclass(frozen=True, slots=True)
class Plan:
    """Jobs to be done, by scan id, and how many need not be."""

    jobs: tuple[Job, ...]
    skipped: int


def make_tasks(
    found: Sequence[Found], out: Path, *, mask: Path | None, participants: Participants | None
) -> tuple[Task, ...]:
    """One task a scan, by scan id.

    Raises
    ------
    InputError : two scans share an id, or differ in upper and lower case alone, or an id is no safe file name.
    OutputConflict : the folder of a scan would be a link to somewhere else.
    """
    tasks: dict[str, Task] = {}
    for scan in sorted(found, key=lambda scan: scan.scan_id):
        name = scan.scan_id
        if not _SAFE_ID.fullmatch(name) or name.casefold() in tasks or name in _TAKEN:
            raise InputError(
                f"the scan id {shown(name)} is taken twice or is no safe folder name",
                remedy="Rename the file.",
                code="scan_id",
            )
        folder = out / name
        if folder.is_symlink():
            raise OutputConflict(f"{folder} is a link", remedy="Remove the link.", code="link")
        covariates = {} if participants is None else participants.covariates(name)
        tasks[name.casefold()] = Task(name, scan.path, folder, mask, covariates)
    return tuple(tasks.values())


def make_plan(tasks: Sequence[Task], out: Path, settings: Settings) -> Plan:
    """Split tasks into those to be done and those whose result stands; results that no longer stand are removed.

    Raises
    ------
    OutputConflict : the folder holds results of another model or other settings.
    """
    results = finished(out)
    for other in results.values():
        if not settings.made(other):
            raise _conflict(out, other, settings)
    masks = {path: file_sha256(path) for path in {task.mask for task in tasks} if path is not None}
    jobs = []
    for task in tasks:
        mask_sha256 = None if task.mask is None else masks[task.mask]
        stamp = settings.stamp(mask_sha256=mask_sha256, covariates=task.covariates)
        result = results.get(task.scan_id)
        if result is None or not settings.stands(result, stamp=stamp, path=task.path):
            with writing_to(out):
                (task.folder / RESULT).unlink(missing_ok=True)
            jobs.append(Job(task, settings.keep, stamp, settings.retry_stamp))
    return Plan(tuple(jobs), len(tasks) - len(jobs))


def remove_leftovers(out: Path) -> None:
    """Remove half-written files of a dead run. Whoever holds the lock of `out` knows that no other run lives."""
    with writing_to(out):
        for pattern in ("", "*/", "*/maps/"):
            for file in sorted(out.glob(f"{pattern}{TEMPORARY_PREFIX}*")):
                file.unlink(missing_ok=True)


def _conflict(out: Path, result: Result, settings: Settings) -> OutputConflict:
    made_by, now = result.model, (settings.model_name, settings.model_version, settings.model_sha256)
    if (made_by.name, made_by.version, made_by.sha256) != now:
        difference = f"of the model {made_by.name} {made_by.version} ({made_by.sha256[:8]})"
    else:
        difference = "made with another alarm rate, other files kept, or another version of anomri"
    return OutputConflict(
        f"{out} holds results {difference}",
        remedy="Choose another output folder, or delete this one.",
        code="other_settings",
    )
