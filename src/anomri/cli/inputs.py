"""From what a user names to the scans it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from anomri.errors import InputError

if TYPE_CHECKING:
    from anomri.io.walk import Found
    from anomri.pipeline import FitInput

__all__ = ["found_images", "normals", "refuse_output_among_inputs"]


def found_images(inputs: Sequence[Path], *, include: str | None) -> tuple[Found, ...]:
    """The images among files and folders; a usage error where there are none."""
    from anomri.io.walk import find_images

    try:
        return find_images(inputs, include=include)
    except InputError as error:
        # What the user typed is at fault here, no scan is.
        raise typer.BadParameter(f"{error.cause}. {error.remedy}", param_hint="--input") from error


def refuse_output_among_inputs(out: Path, inputs: Sequence[Path]) -> None:
    """Results among the scans would be taken for scans by the next run; a folder ``derivatives`` is left alone."""
    for folder in inputs:
        within = out.resolve().is_relative_to(folder.resolve()) and folder.is_dir()
        if within and "derivatives" not in out.resolve().relative_to(folder.resolve()).parts:
            raise typer.BadParameter(f"{out} lies inside the input {folder}", param_hint="--out")


def normals(inputs: Sequence[Path], *, include: str | None, participants: Path | None) -> tuple[FitInput, ...]:
    """Normal scans with subject and covariates, for `fit` and `calibrate`."""
    from anomri.io.participants import read_participants, subject_of
    from anomri.pipeline import FitInput

    table = None if participants is None else read_participants(participants)
    return tuple(
        FitInput(
            path=scan.path,
            scan_id=scan.scan_id,
            subject=subject_of(scan.scan_id),
            covariates={} if table is None else table.covariates(scan.scan_id),
        )
        for scan in found_images(inputs, include=include)
    )
