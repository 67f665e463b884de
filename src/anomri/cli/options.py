"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "AlarmRate",
    "AsJson",
    "Device",
    "DeviceOption",
    "Include",
    "Inputs",
    "Jobs",
    "More",
    "ParticipantsFile",
    "Seed",
]


class Device(StrEnum):
    """Where networks compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Inputs = Annotated[
    list[Path],
    typer.Option("--input", "-i", metavar="INPUT…", help="Images, or folders that are walked for images."),
]
# Lets `-i a.nii b.nii` and `-i *.nii.gz` mean what they say: an option takes one value, so the rest arrive here.
More = Annotated[list[Path] | None, typer.Argument(hidden=True, help="More inputs.")]
Include = Annotated[
    str | None, typer.Option(metavar="GLOB", help="Of the images in folders, only those whose path matches.")
]
ParticipantsFile = Annotated[
    Path | None, typer.Option("--participants", metavar="TSV", help="Table of age and sex by participant, as in BIDS.")
]


def _possible_rate(rate: float | None) -> float | None:
    if rate is not None and not 0.0 < rate < 0.5:
        raise typer.BadParameter(f"{rate:g} is not above 0 and below 0.5")
    return rate


AlarmRate = Annotated[
    float | None,
    typer.Option(
        "--alarm-rate",
        metavar="R",
        callback=_possible_rate,
        help="False-alarm rate of 'fail', above 0 and below 0.5; the model's own, or for a fit 0.05, if not given.",
    ),
]
DeviceOption = Annotated[Device, typer.Option("--device", help="'auto' takes CUDA where it is.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Workers; as many as cores and memory allow if not given.")]
Seed = Annotated[int, typer.Option(min=0, help="Of all randomness.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a machine to read.")]
