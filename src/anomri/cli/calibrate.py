"""`anomri calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anomri.cli.inputs import normals
from anomri.cli.options import Include, Inputs, Jobs, More, ParticipantsFile
from anomri.cli.terminal import say

__all__ = ["calibrate"]


def calibrate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A bundled model, or a model folder.")],
    inputs: Inputs,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="MODEL2", help="Model folder to write.")],
    site: Annotated[str, typer.Option(help="Name of the site, stated in every result.")],
    more: More = None,
    participants: ParticipantsFile = None,
    include: Include = None,
    jobs: Jobs = None,
) -> None:
    """Set a model's thresholds by a site's own normals.

    With fewer normals than a rate needs the scores are aligned to the site instead, and everything that rests on
    them says "approximate".

    \b
    anomri calibrate brain-t1 -i our-normals/ --site "Our hospital, 3T" -o brain-t1-ours
    anomri score -i scan.nii.gz --model brain-t1-ours -o results
    """
    from anomri import pipeline
    from anomri.models import Model

    summary = pipeline.calibrate(
        Model.load(model),
        normals([*inputs, *(more or [])], include=include, participants=participants),
        out,
        site=site,
        jobs=jobs,
        report=lambda line: say(line, error=True),
    )
    say(f"model: {summary.folder}")
