"""`anomri fit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomri.cli.inputs import normals, refuse_output_among_inputs, refuse_rate
from anomri.cli.options import AlarmRate, Device, DeviceOption, Include, Inputs, Jobs, More, ParticipantsFile, Seed
from anomri.cli.terminal import say

if TYPE_CHECKING:
    from anomri.pipeline import FitSummary

__all__ = ["fit"]

# CPU time of one 1 mm scan from file to prepared, measured on a two-core machine.
SECONDS_TO_PREPARE = 6.0
_USUAL_RATE = 0.05


def fit(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="A method, or several joined by '+'.")],
    inputs: Inputs,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="MODEL", help="Model folder to write.")],
    more: More = None,
    preset: Annotated[str | None, typer.Option(help="Of each method, joined by '+'; the default if empty.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting of the preset.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Another preparation than the preset's, e.g. brain-any or pelvis-t2."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the model; the folder's name if not given.")] = None,
    participants: ParticipantsFile = None,
    include: Include = None,
    alarm_rate: AlarmRate = None,
    device: DeviceOption = Device.auto,
    jobs: Jobs = None,
    seed: Seed = 0,
) -> None:
    """Learn a model from normal scans alone.

    It is calibrated on scores of scans that the part of the model which scored them had not seen. A false-alarm rate
    that so few scans cannot promise is refused, with the number it takes.
    A fit that was killed goes on where it was when the same command is given again.

    \b
    anomri fit zatlas -i normals/ -o my-model
    anomri fit zatlas+iqm1c -i normals/ --participants participants.tsv -o my-model
    anomri fit zatlas --recipe brain-any -i flair/ -o my-flair
    anomri fit autoencoder --preset autoencoder-small --set epochs=50 -i normals/ -o my-model
    """
    from anomri.pipeline import fit as fit_model
    from anomri.pipeline.specs import branch_specs
    from anomri.runs.fit_report import write_fit_report
    from anomri.runs.room import default_jobs

    methods, presets, values = _parsed(method, preset, settings or [])
    branch_specs(methods, presets, values, recipe=recipe)  # refuses what cannot be, before anything is announced
    scans = normals([*inputs, *(more or [])], include=include, participants=participants)
    refuse_output_among_inputs(out, [*inputs, *(more or [])])
    refuse_rate(alarm_rate, len(scans))
    workers = default_jobs(len(scans)) if jobs is None else jobs
    _announce(methods, presets, scans=len(scans), workers=workers, device=device)
    summary = fit_model(
        methods,
        scans,
        out,
        name=out.resolve().name if name is None else name,
        preset=presets,
        settings=values,
        recipe=recipe,
        alarm_rate=_USUAL_RATE if alarm_rate is None else alarm_rate,
        seed=seed,
        device=device.value,
        jobs=workers,
        report=lambda line: say(line, error=True),
    )
    page = write_fit_report(summary, out)
    _tell(summary)
    say(f"report: {page}")


def _parsed(method: str, preset: str | None, settings: list[str]) -> tuple[list[str], list[str | None], dict[str, str]]:
    methods = method.split("+")
    given = [""] * len(methods) if preset is None else preset.split("+")
    presets = [part or None for part in given]
    if len(presets) != len(methods):
        raise typer.BadParameter(f"{len(presets)} presets for {len(methods)} methods", param_hint="--preset")
    pairs = [setting.partition("=") for setting in settings]
    if not all(key and equals for key, equals, _ in pairs):
        raise typer.BadParameter("a setting is KEY=VALUE", param_hint="--set")
    return methods, presets, {key: value for key, _, value in pairs}


def _announce(methods: list[str], presets: list[str | None], *, scans: int, workers: int, device: Device) -> None:
    """What will be done, and about how long it takes: a preset states its own time, on a machine it names."""
    from anomri.methods import entry_of, load_preset
    from anomri.runs.room import device_used

    for method, preset in zip(methods, presets, strict=True):
        name, found = load_preset(method, preset)
        say(f"{name}: {found.claim}", error=True)
    used = device_used(device.value, networks=any(entry_of(method).needs_torch for method in methods))
    minutes = scans * SECONDS_TO_PREPARE / workers / 60
    say(f"scans {scans}, workers {workers}, device {used}", error=True)
    preparing = "less than a minute" if minutes < 1 else f"{minutes:.0f} min"
    say(f"estimate: {preparing} to prepare the scans, then six trainings: five folds and the model", error=True)


def _tell(summary: FitSummary) -> None:
    calibration = summary.model.calibrated()
    scores = calibration.reference_scores
    say(f"normals: {len(scores)} used, {len(summary.dropped)} left out")
    for dropped in summary.dropped:
        say(f"  {dropped.scan_id}: {dropped.reason}")
    say(f"out-of-fold scores: {scores[0]:.3g} to {scores[-1]:.3g}, median {scores[len(scores) // 2]:.3g}")
    for scan_id, robust_z in summary.outlying:
        say(f"  worth a look: {scan_id}, {robust_z:.1f} robust standard deviations above the median")
    for rate, count in sorted(summary.normals_needed.items()):
        say(f"a false-alarm rate of {rate:g} needs {count} normals")
    for note in summary.notes:
        say(note)
    say(f"model: {summary.model.folder}")
