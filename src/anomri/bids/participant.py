"""The participant level: scans of a BIDS data set are scored, and their results laid out as BIDS derivatives."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from anomri.bids.dataset import describe, refuse_foreign, source_link
from anomri.bids.derivatives import first_result, lay_out, seed
from anomri.bids.find import BidsScan
from anomri.errors import OutputConflict
from anomri.runs.journal import JOURNAL
from anomri.runs.lock import Lock
from anomri.runs.save import Keep, writing_to
from anomri.runs.scorer import DEFAULT_SCORER, Request, opener
from anomri.runs.settings import Settings

if TYPE_CHECKING:
    from anomri.io.participants import Participants
    from anomri.runs.progress import Progress
    from anomri.runs.run import RunSummary

__all__ = ["score_participants", "selection"]

# Hidden, so that the validator and other tools pass over it.
_WORK = ".anomri"
_LONGEST = 60


def selection(participants: Sequence[str] = (), sessions: Sequence[str] = ()) -> str:
    """What a choice of labels is called: ``all``, or ``sub-01_ses-2``; a long one is cut and ends in a hash.

    Runs over different selections may be at work in one output folder at a time: an array job for each participant.
    """
    subjects = sorted({f"sub-{label.removeprefix('sub-')}" for label in participants})
    name = "_".join([*subjects, *sorted({f"ses-{label.removeprefix('ses-')}" for label in sessions})])
    if len(name) > _LONGEST:
        return f"{name[:_LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return name if name else "all"


def score_participants(
    scans: Sequence[BidsScan],
    model: str | Path,
    out: Path,
    *,
    dataset: Path,
    selected: str = "all",
    participants: Participants | None = None,
    alarm_rate: float | None = None,
    keep: Keep = "all",
    device: str = "auto",
    jobs: int | None = None,
    progress: Progress | None = None,
    scorer: str = DEFAULT_SCORER,
    notes: Sequence[str] = (),
) -> RunSummary:
    """Judge scans as `anomri.runs.run.run` does, and lay the results out as BIDS derivatives in `out`.

    A scan whose verdict is in its place is not judged again while its bytes, the model and the settings are the same.

    Parameters
    ----------
    scans : of one suffix, at least one.
    dataset : where they come from; only ever read.
    selected : `selection` of the labels that were asked for.
    participants, alarm_rate, keep, device, jobs, progress, scorer, notes : as for a run.

    Raises
    ------
    OutputConflict : `out` is another data set, holds derivatives of another suffix, model or other settings, or a run
        over the same selection is at work in it.
    InputError : the description of the data set is damaged.
    ModelError, CalibrationError, EnvironmentProblem : as a run does.
    """
    from anomri.io.walk import Found
    from anomri.runs.run import run

    judge = opener(scorer)(Request(str(model), alarm_rate, device))
    settings = Settings.of(judge.model, alarm_rate=judge.alarm_rate, keep=keep)
    refuse_foreign(out)
    # Without a link to the data set a URI into it leads nowhere.
    linked = source_link(dataset, out) is not None
    sources = {str(s.name): f"bids:raw:{s.name.folder / s.path.name}" for s in scans} if linked else {}
    place, log = out / _WORK / selected, out / "logs" / f"anomri_{selected}.json"
    work = place / "scans"
    is_new = _holds_nothing_else(out, scans, settings)
    with writing_to(out):
        place.mkdir(parents=True, exist_ok=True)
    with Lock(place):
        describe(out, source=dataset, settings=settings, anew=is_new)
        lay_out(work, out, settings, sources=sources)
        _clear(work, log)
        seed(work, out, [scan.name for scan in scans])
        with writing_to(out), suppress(FileNotFoundError):
            log.replace(work / JOURNAL)
        try:
            summary = run(
                [Found(scan.path, str(scan.name)) for scan in scans],
                model,
                work,
                participants=participants,
                alarm_rate=alarm_rate,
                keep=keep,
                device=device,
                jobs=jobs,
                progress=progress,
                scorer=scorer,
                notes=notes,
            )
        finally:
            lay_out(work, out, settings, sources=sources)
            _clear(work, log)
    for emptied in (place, place.parent):
        with suppress(OSError):
            emptied.rmdir()
    return replace(summary, out=out)


def _holds_nothing_else(out: Path, scans: Sequence[BidsScan], settings: Settings) -> bool:
    """Refuse an output folder with derivatives of another kind; whether it has none at all."""
    root = os.path.realpath(out)
    for scan in scans:
        if not Path(os.path.realpath(out / scan.name.folder)).is_relative_to(root):
            raise OutputConflict(f"{out / scan.name.folder} leads out of {out}", remedy="Remove the link.", code="link")
    found = first_result(out)
    if found is None:
        return True
    name, result = found
    if name.suffix != scans[0].name.suffix:
        difference = f"of {name.suffix} images"
    elif not settings.made(result):
        made_by = f"the model {result.model.name} {result.model.version} ({result.model.sha256[:8]})"
        other = result.model.sha256 != settings.model_sha256
        difference = f"of {made_by}" if other else "made with another alarm rate, --keep or version of anomri"
    else:
        return False
    raise OutputConflict(
        f"{out} holds results {difference}",
        remedy="Choose another output folder, or delete this one.",
        code="other_settings",
    )


def _clear(work: Path, log: Path) -> None:
    """Remove the work folder; what its journal says of times, memory and paths goes to the log."""
    with writing_to(log.parent):
        log.parent.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):
            (work / JOURNAL).replace(log)
        shutil.rmtree(work, ignore_errors=True)
