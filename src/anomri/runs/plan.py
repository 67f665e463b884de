"""What a run has to do: tasks with safe folders, without those whose result still stands."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anomri.core.result import Result
from anomri.errors import InputError, OutputConflict
from anomri.io.names import OUTPUTS, is_safe_id, shown
from anomri.io.write import TEMPORARY_PREFIX
from anomri.runs.journal import recorded_paths, recorded_settings
from anomri.runs.save import RESULT, remove, writing_to
from anomri.runs.scorer import Task
from anomri.runs.settings import Settings
from anomri.runs.summary import finished
from anomri.runs.worker import Job, file_sha256

if TYPE_CHECKING:
    from anomri.io.participants import Participants
    from anomri.io.walk import Found

__all__ = ["Plan", "make_plan", "make_tasks", "remove_leftovers"]


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
        if not is_safe_id(name) or name.casefold() in tasks or name.casefold() in OUTPUTS:
            raise InputError(
                f"the scan id {shown(name)} is taken twice or is no safe folder name",
                remedy="Rename the file.",
                code="scan_id",
            )
        folder = out / name
        if folder.is_symlink():
            raise OutputConflict(f"{folder} is a link", remedy="Remove the link.", code="link")
        covariates = {} if participants is None else participants.covariates(name)
        tasks[name.casefold()] = Task(name, scan.path, folder, mask, covariates, scan.members)
    return tuple(tasks.values())


def make_plan(tasks: Sequence[Task], out: Path, settings: Settings) -> Plan:
    """Split tasks into those to be done and those whose result stands; results that no longer stand are removed.

    Results of scans that are not asked for stay, unless one of the tasks has the same image under a new id.

    Raises
    ------
    OutputConflict : the folder holds results of another model or other settings, or of another image under the id of a
        task.
    """
    results = finished(out)
    for other in results.values():
        if not settings.made(other):
            raise _conflict(out, other, settings)
    _refuse_others_and_remove_renamed(tasks, out, results, recorded_paths(out, settings.digest))
    masks = {path: file_sha256(path) for path in {task.mask for task in tasks} if path is not None}
    jobs = []
    for task in tasks:
        mask_sha256 = None if task.mask is None else masks[task.mask]
        stamp = settings.stamp(mask_sha256=mask_sha256, covariates=task.covariates)
        result = results.get(task.scan_id)
        if result is None or not settings.stands(result, stamp=stamp, path=task.path, members=task.members):
            with writing_to(out):
                (task.folder / RESULT).unlink(missing_ok=True)
            jobs.append(Job(task, settings.keep, stamp, settings.retry_stamp))
    return Plan(tuple(jobs), len(tasks) - len(jobs))


def _refuse_others_and_remove_renamed(
    tasks: Sequence[Task], out: Path, results: Mapping[str, Result], earlier: Mapping[str, Path]
) -> None:
    for task in tasks:
        result, path = results.get(task.scan_id), earlier.get(task.scan_id)
        if result is None or path is None or not path.exists():
            continue
        moved = os.path.realpath(path) != os.path.realpath(task.path)
        if moved and result.input.sha256 != file_sha256(task.path, task.members):
            raise OutputConflict(
                f"{out} holds the result of another image of this name, {path}",
                remedy="Name both in one command and another output folder, or rename one.",
                code="other_image",
                scan=task.scan_id,
            )
    asked = {task.scan_id for task in tasks}
    # A folder or an archive holds many series, whose ids stay theirs.
    images = {os.path.realpath(task.path) for task in tasks if not task.members}
    for name, path in earlier.items():
        renamed = name in results and name not in asked and os.path.realpath(path) in images
        if renamed and not (out / name).is_symlink():
            remove(out / name)


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
        before, asked = {"protocol": "", **recorded_settings(out)}, asdict(settings)
        words = {
            "alarm_rate": "an alarm rate of {}",
            "keep": "--keep {}",
            "protocol": "the protocol reference '{}'",
            "anomri": "anomri {}",
        }
        differing = [
            f"{word.format(before[name])}, not {asked[name]}"
            for name, word in words.items()
            if name in before and before[name] != asked[name]
        ]
        difference = f"made with {' and '.join(differing) if differing else 'other settings'}"
    return OutputConflict(
        f"{out} holds results {difference}",
        remedy="Choose another output folder, or delete this one.",
        code="other_settings",
    )
