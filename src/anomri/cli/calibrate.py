"""`anomri calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomri.cli.inputs import normals, refuse_output_among_inputs, refuse_rate
from anomri.cli.options import AlarmRate, Include, Inputs, Jobs, More, ParticipantsFile
from anomri.cli.terminal import say

if TYPE_CHECKING:
    from anomri.pipeline import CalibrateSummary

__all__ = ["calibrate"]


def calibrate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A bundled model, or a model folder.")],
    inputs: Inputs,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="MODEL2", help="Model folder to write.")],
    site: Annotated[str, typer.Option(help="Name of the site, stated in every result.")],
    more: More = None,
    participants: ParticipantsFile = None,
    include: Include = None,
    alarm_rate: AlarmRate = None,
    adapt: Annotated[bool, typer.Option("--adapt", help="Move the model's statistics to the site, too.")] = False,
    jobs: Jobs = None,
) -> None:
    """Set a model's thresholds by a site's own normals.

    With fewer normals than a rate needs the scores are aligned to the site instead, and everything that rests on
    them says "approximate". With --adapt the branches themselves are moved first: what is normal for a voxel or a
    quality metric is learnt again as far as these scans can say; networks keep their weights.

    \b
    anomri calibrate brain-t1 -i our-normals/ --site "Our hospital, 3T" -o brain-t1-ours
    anomri score -i scan.nii.gz --model brain-t1-ours -o results
    """
    from anomri.models import Model
    from anomri.pipeline import calibrate as calibrate_model
    from anomri.runs.room import default_jobs

    scans = normals([*inputs, *(more or [])], include=include, participants=participants)
    refuse_output_among_inputs(out, [*inputs, *(more or [])])
    loaded = Model.load(model)
    if alarm_rate is not None:
        # Where the site has too few, the model's own normals stand in for them.
        refuse_rate(alarm_rate, max(len(scans), len(loaded.calibrated().normals)))
    summary = calibrate_model(
        loaded,
        scans,
        out,
        site=site,
        alarm_rate=alarm_rate,
        adapt=adapt,
        jobs=default_jobs(len(scans)) if jobs is None else jobs,
        report=lambda line: say(line, error=True),
    )
    _tell(summary)


def _tell(summary: CalibrateSummary) -> None:
    limits = summary.thresholds
    say(f"normals: {summary.n_normals} used, {len(summary.dropped)} left out")
    for dropped in summary.dropped:
        say(f"  {dropped.scan_id}: {dropped.reason}")
    say(f"warn from {limits.warn:.4g}, at a false-alarm rate of {limits.warn_rate:g}")
    say(f"fail from {limits.fail:.4g}, at a false-alarm rate of {limits.fail_rate:g}")
    if summary.fail_interval is not None:
        low, high = summary.fail_interval
        say(f"95 % interval of the fail threshold: {low:.4g} to {high:.4g}")
    say(f"the smallest false-alarm rate that {summary.n_normals} normals can promise: {summary.smallest_rate:.3g}")
    if summary.approximate:
        say("approximate: too few normals for this rate; scores are aligned to the site, and nothing is promised")
    say(f"model: {summary.model.folder}")
