"""Many normal scans, read and prepared for a fit: in parallel, remembered on disk, the unfit ones listed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from anomri import io
from anomri.core.prepared import Prepared
from anomri.errors import DataLeak, InputError
from anomri.extraction import EXTRACTION
from anomri.io.formats import is_picture
from anomri.io.members import members_sha256
from anomri.io.names import shown
from anomri.pipeline.brain import brain_of
from anomri.pipeline.processes import each
from anomri.pipeline.store import load_prepared, save_prepared
from anomri.preparation import Recipe, prepare

__all__ = ["Dropped", "FitInput", "gather"]


@dataclass(frozen=True, slots=True)
class FitInput:
    """A normal scan on disk.

    Parameters
    ----------
    subject : whom it belongs to; all scans of a subject stay on one side of every split.
    members : the files of a series in the folder or archive `path`; empty for a file.
    """

    path: Path
    scan_id: str
    subject: str
    covariates: Mapping[str, float] = field(default_factory=dict)
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dropped:
    """A scan that could not be used, and why."""

    scan_id: str
    reason: str


def gather(
    scans: Sequence[FitInput],
    recipe: Recipe,
    folder: Path,
    *,
    jobs: int,
    report: Callable[[str], None],
) -> tuple[tuple[Prepared, ...], tuple[Dropped, ...]]:
    """Read and prepare normal scans.

    Parameters
    ----------
    folder : where prepared scans are kept between runs.
    jobs : processes.
    report : called with a line of progress.

    Returns
    -------
    The prepared scans, sorted by their id, and those dropped because they could not be read, prepared, or are not
    what the recipe is for.

    Raises
    ------
    DataLeak : the same scan stands twice.
    InputError : not one scan could be used; where all are pictures and the recipe is for volumes before any is read.
    """
    _refuse_pictures(scans, recipe)
    folder.mkdir(parents=True, exist_ok=True)
    kept: list[Prepared] = []
    dropped: list[Dropped] = []
    tasks = [(scan, recipe, folder) for scan in sorted(scans, key=lambda s: s.scan_id)]
    for number, (answer, (given, _, _)) in enumerate(zip(each(_prepare_one, tasks, jobs), tasks, strict=True), start=1):
        if isinstance(answer, Dropped):
            dropped.append(answer)
            report(f"[{number}/{len(tasks)}] {answer.scan_id} left out: {answer.reason} [{shown(given.path)}]")
            continue
        prepared = load_prepared(answer)
        if prepared is None:
            raise InputError("a prepared scan vanished while fitting", remedy="Run the same command again.")
        # What is stored hangs on the image alone; who it is of may have been corrected since.
        kept.append(replace(prepared, subject=given.subject, covariates=dict(given.covariates)))
        report(f"[{number}/{len(tasks)}] {prepared.scan.scan_id} prepared")
    if not kept:
        raise InputError("not one of the scans could be used", remedy="See the reasons above.", code="no_scans")
    _refuse_duplicates(kept)
    return tuple(kept), tuple(dropped)


def _refuse_pictures(scans: Sequence[FitInput], recipe: Recipe) -> None:
    if not recipe.for_slices and scans and all(not scan.members and is_picture(scan.path) for scan in scans):
        raise InputError(
            "every one of the scans is a picture, which is a single slice, and this method is for volumes",
            remedy="Choose a preset for slices; `anomri methods` lists them.",
            code="dimensions",
        )


def _refuse_duplicates(kept: Sequence[Prepared]) -> None:
    # By the image: it can stand in several files, compressed and not.
    seen: dict[str, str] = {}
    for prepared in kept:
        digest = prepared.scan.source.image_sha256
        if digest in seen:
            raise DataLeak(
                f"the same image stands twice among the normals, also as {seen[digest]}",
                remedy="Give each scan once.",
                scan=prepared.scan.scan_id,
                code="duplicate",
            )
        seen[digest] = prepared.scan.scan_id


def _prepare_one(task: tuple[FitInput, Recipe, Path]) -> Path | Dropped:
    given, recipe, folder = task
    # Only what is wrong with a scan leaves it out: a full disk must not decide what a model learns from.
    try:
        digest = members_sha256(given.path, given.members) if given.members else _file_sha256(given.path)
        known = folder / f"{given.scan_id}-{digest[:16]}-{recipe.sha256[:16]}-{EXTRACTION}.safetensors"
        if load_prepared(known) is None:
            scan = io.read(given.path, members=given.members, scan_id=given.scan_id)
            found = brain_of(scan, recipe)
            if found.reasons:
                return Dropped(given.scan_id, "; ".join(found.reasons))
            prepared = prepare(scan, recipe, mask=found.region)
            save_prepared(prepared, known)
        return known
    except InputError as error:
        return Dropped(given.scan_id, f"{error.cause} ({error.code})")


def _file_sha256(path: Path) -> str:
    try:
        # Opening a pipe would wait for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError("the input is not a file", remedy="Give an image file.", code="not_a_file")
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"the file cannot be read: {os.strerror(error.errno or 0)}", remedy="Check the file.", code="read_failed"
        ) from error
