"""From what a user names to the scans it stands for."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from anomri.cli.terminal import say
from anomri.errors import InputError

if TYPE_CHECKING:
    from anomri.io.participants import Participants
    from anomri.io.protocol import ProtocolReference
    from anomri.io.walk import Found
    from anomri.pipeline import FitInput

__all__ = [
    "found_images",
    "normals",
    "protocol_of",
    "refuse_output_among_inputs",
    "refuse_rate",
    "require_file",
    "results_at",
    "table_of",
]


def found_images(
    inputs: Sequence[Path],
    *,
    include: str | None,
    argument: str = "--input",
    note: Callable[[str], None] = lambda _line: None,
) -> tuple[Found, ...]:
    """The images among files and folders; a usage error where there are none.

    What was passed over is told on stderr, and to `note`.
    """
    from anomri.io.walk import find_images

    def tell(line: str) -> None:
        say(line, error=True)
        note(line)

    try:
        return find_images(inputs, include=include, report=tell)
    except InputError as error:
        # What the user typed is at fault here, no scan is.
        raise typer.BadParameter(f"{error.cause}. {error.remedy}", param_hint=argument) from error


def refuse_output_among_inputs(out: Path, inputs: Sequence[Path]) -> None:
    """Results among the scans would be taken for scans by the next run; a folder ``derivatives`` is left alone."""
    for folder in inputs:
        within = out.resolve().is_relative_to(folder.resolve()) and folder.is_dir()
        if within and "derivatives" not in out.resolve().relative_to(folder.resolve()).parts:
            raise typer.BadParameter(
                f"{out} lies inside the input {folder}. Choose a folder elsewhere", param_hint="--out"
            )


def refuse_rate(rate: float | None, count: int) -> None:
    """Refuse a rate that so few normals cannot show: before the work, not after it.

    Raises
    ------
    CalibrationError
    """
    from anomri.calibration import threshold

    if rate is not None:
        threshold([0.0] * count, rate)


def require_file(path: Path, argument: str) -> None:
    """Refuse what is no file that can be read."""
    if not os.access(path, os.R_OK) or path.is_dir():
        raise typer.BadParameter(f"there is no file {path} that can be read", param_hint=argument)


def table_of(path: Path | None, found: Sequence[Found]) -> Participants | None:
    """The table of participants; what is odd about it, or does not fit the scans, is told on stderr."""
    from anomri.io.names import shown
    from anomri.io.participants import read_participants

    if path is None:
        return None
    require_file(path, "--participants")
    try:
        table = read_participants(path)
    except InputError as error:
        raise typer.BadParameter(f"{path}: {error.cause}. {error.remedy}", param_hint="--participants") from error
    for note in table.notes_on([scan.scan_id for scan in found]):
        say(f"{shown(path)}: {note}", error=True)
    return table


def protocol_of(path: Path | None) -> ProtocolReference | None:
    """The reference that headers are compared with."""
    from anomri.io.protocol import read_protocol

    if path is None:
        return None
    require_file(path, "--protocol")
    try:
        return read_protocol(path)
    except InputError as error:
        raise typer.BadParameter(f"{path}: {error.cause}. {error.remedy}", param_hint="--protocol") from error


def results_at(path: Path) -> list[Path]:
    """Results that a path names: its folder, a file under a BIDS name, or all files of a data set of derivatives."""
    from anomri.runs.gather import derivative_results
    from anomri.runs.save import RESULT

    if path.name == RESULT:
        return [path.parent]
    found = [] if (path / RESULT).is_file() else derivative_results(path)
    return found if found else [path]


def normals(inputs: Sequence[Path], *, include: str | None, participants: Path | None) -> tuple[FitInput, ...]:
    """Normal scans with subject and covariates, for `fit` and `calibrate`."""
    from anomri.pipeline import FitInput

    found = found_images(inputs, include=include)
    table = table_of(participants, found)
    return tuple(
        FitInput(
            path=scan.path,
            scan_id=scan.scan_id,
            subject=_subject(scan),
            covariates={} if table is None else table.covariates(scan.scan_id),
            members=scan.members,
        )
        for scan in found
    )


def _subject(scan: Found) -> str:
    """Whom a scan belongs to: as its name says; of a series without such a name all of one examination are one's."""
    from anomri.io.participants import subject_of

    named = subject_of(scan.scan_id)
    return f"study-{scan.study}" if scan.study and named == scan.scan_id else named
