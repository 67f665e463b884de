"""`anomri fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anomri.cli.inputs import normals
from anomri.cli.options import Device, DeviceOption, Include, Inputs, Jobs, More, ParticipantsFile, Seed
from anomri.cli.terminal import say

__all__ = ["fit"]


def fit(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="A method, or several joined by '+'.")],
    inputs: Inputs,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="MODEL", help="Model folder to write.")],
    more: More = None,
    preset: Annotated[str | None, typer.Option(help="Of each method, joined by '+'; the default if empty.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting of the preset.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the model; the folder's name if not given.")] = None,
    participants: ParticipantsFile = None,
    include: Include = None,
    device: DeviceOption = Device.auto,
    jobs: Jobs = None,
    seed: Seed = 0,
) -> None:
    """Learn a model from normal scans alone.

    It is calibrated on scores of scans that the part of the model which scored them had not seen.
    A fit that was killed goes on where it was when the same command is given again.

    \b
    anomri fit zatlas -i normals/ -o my-model
    anomri fit zatlas+iqm1c -i normals/ --participants participants.tsv -o my-model
    anomri fit autoencoder --preset autoencoder-small --set epochs=50 -i normals/ -o my-model
    """
    from anomri import pipeline

    methods = method.split("+")
    presets = [None] * len(methods) if preset is None else [part or None for part in preset.split("+")]
    if len(presets) != len(methods):
        raise typer.BadParameter(f"{len(presets)} presets for {len(methods)} methods", param_hint="--preset")
    pairs = [setting.partition("=") for setting in settings or []]
    if not all(key and equals for key, equals, _ in pairs):
        raise typer.BadParameter("a setting is KEY=VALUE", param_hint="--set")
    summary = pipeline.fit(
        methods,
        normals([*inputs, *(more or [])], include=include, participants=participants),
        out,
        name=out.resolve().name if name is None else name,
        preset=presets,
        settings={key: value for key, _, value in pairs},
        seed=seed,
        device=device.value,
        jobs=jobs,
        report=lambda line: say(line, error=True),
    )
    say(f"model: {summary.folder}")
    say(f"fit report: {summary.report}")
