"""`anomri bids`."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomri.cli.exits import FailOn, exit_code
from anomri.cli.inputs import refuse_output_among_inputs, table_of
from anomri.cli.options import AlarmRate, Device, DeviceOption, Jobs
from anomri.cli.score import Kept
from anomri.cli.terminal import say
from anomri.errors import InputError

if TYPE_CHECKING:
    from anomri.bids import BidsScan
    from anomri.io.participants import Participants
    from anomri.runs.run import RunSummary

__all__ = ["bids"]


class Level(StrEnum):
    """The levels of a BIDS app."""

    participant = "participant"
    group = "group"


def bids(
    bids_dir: Annotated[Path, typer.Argument(metavar="BIDS_DIR", help="The data set; only ever read.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the derivatives; a re-run resumes in it.")],
    level: Annotated[
        Level,
        typer.Argument(metavar="participant|group", help="'participant' judges scans, 'group' sums up what is in OUT."),
    ],
    more: Annotated[list[str] | None, typer.Argument(hidden=True, help="More labels.")] = None,
    participant_label: Annotated[
        list[str] | None,
        typer.Option("--participant-label", "--participant_label", metavar="LABEL…", help="These participants alone."),
    ] = None,
    session_id: Annotated[
        list[str] | None,
        typer.Option("--session-id", "--session_id", metavar="LABEL…", help="These sessions alone."),
    ] = None,
    suffix: Annotated[
        str | None, typer.Option(help="Of the images; that of the model's training scans if not given.")
    ] = None,
    model: Annotated[str, typer.Option(metavar="NAME_OR_DIR", help="A bundled model, or a model folder.")] = "brain-t1",
    alarm_rate: AlarmRate = None,
    keep: Annotated[Kept, typer.Option(help="'summary' writes no images.")] = Kept.all,
    device: DeviceOption = Device.auto,
    jobs: Jobs = None,
    fail_on: Annotated[FailOn | None, typer.Option(help="End with code 4 from this verdict on.")] = None,
) -> None:
    """Judge a BIDS data set and write BIDS derivatives.

    The group level needs the derivatives alone, not the data set.

    \b
    anomri bids study study/derivatives/anomri participant
    anomri bids study study/derivatives/anomri participant --participant-label 01 02 --jobs 2
    anomri bids study study/derivatives/anomri group
    """
    import sys

    from anomri.bids import score_participants, selection
    from anomri.runs.progress import progress_on

    labels, sessions = _labels(participant_label or [], session_id or [], more or [])
    if level is Level.group:
        if labels or sessions:
            raise typer.BadParameter("labels belong to the participant level: the group is everybody in OUT")
        _group(out)
        return
    refuse_output_among_inputs(out, [bids_dir])
    notes: list[str] = []
    scans = _scans(bids_dir, model, suffix, labels, sessions, note=notes.append)
    summary = score_participants(
        scans,
        model,
        out,
        dataset=bids_dir,
        selected=selection(labels, sessions),
        participants=_table(bids_dir, scans),
        alarm_rate=alarm_rate,
        keep=keep.value,
        device=device.value,
        jobs=jobs,
        progress=progress_on(sys.stderr),
        notes=notes,
    )
    _tell(summary)
    raise typer.Exit(exit_code(summary, fail_on))


def _labels(participants: list[str], sessions: list[str], more: list[str]) -> tuple[list[str], list[str]]:
    """An option takes one value, so the rest of `--participant-label 01 02` arrives as `more`."""
    if more and bool(participants) == bool(sessions):
        raise typer.BadParameter(f"it is not plain which option {more[0]!r} belongs to. Repeat the option")
    return (participants + more, sessions) if participants else (participants, sessions + more)


def _scans(
    dataset: Path,
    model: str,
    suffix: str | None,
    labels: list[str],
    sessions: list[str],
    *,
    note: Callable[[str], None],
) -> tuple[BidsScan, ...]:
    """The scans that were asked for; a usage error where there are none."""
    from anomri.bids import find_scans, made_for

    def tell(line: str) -> None:
        say(line, error=True)
        note(line)

    try:
        suffix = made_for(model) if suffix is None else suffix
        return find_scans(dataset, suffix, participants=labels, sessions=sessions, report=tell)
    except InputError as error:
        # What the user typed is at fault here, no scan is.
        raise typer.BadParameter(f"{error.cause}. {error.remedy}") from error


def _table(dataset: Path, scans: tuple[BidsScan, ...]) -> Participants | None:
    from anomri.io.walk import Found

    path = dataset / "participants.tsv"
    return table_of(path, [Found(scan.path, str(scan.name)) for scan in scans]) if path.exists() else None


def _tell(summary: RunSummary) -> None:
    for scan_id, trouble in sorted(summary.troubles.items()):
        say(f"{scan_id}: {trouble}", error=True)
    say(", ".join(f"{count} {verdict}" for verdict, count in summary.counts().items()) or "no scan finished")
    say(f"derivatives: {summary.out}")


def _group(out: Path) -> None:
    from anomri.bids import write_group

    try:
        summary = write_group(out)
    except InputError as error:
        raise typer.BadParameter(f"{error.cause}. {error.remedy}", param_hint="OUT") from error
    verdicts = [result.verdict for result in summary.results]
    say(", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in sorted(set(verdicts))))
    say(f"table: {summary.table}")
    say(f"report: {summary.page}")
