"""`anomri score`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomri.cli.exits import FailOn, exit_code
from anomri.cli.inputs import found_images, protocol_of, refuse_output_among_inputs, require_file, table_of
from anomri.cli.options import AlarmRate, AsJson, Device, DeviceOption, Include, Inputs, Jobs, More, ParticipantsFile
from anomri.cli.terminal import say, say_json

if TYPE_CHECKING:
    from anomri.runs.run import RunSummary

__all__ = ["score", "tell"]


class Kept(StrEnum):
    """What stays of a scan."""

    all = "all"
    summary = "summary"


def score(
    inputs: Inputs,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="OUT", help="Output folder; a re-run resumes in it.")],
    more: More = None,
    model: Annotated[str, typer.Option(metavar="NAME_OR_DIR", help="A bundled model, or a model folder.")] = "brain-t1",
    mask: Annotated[Path | None, typer.Option(help="Your own brain mask, for a single scan.")] = None,
    participants: ParticipantsFile = None,
    include: Include = None,
    alarm_rate: AlarmRate = None,
    protocol: Annotated[
        Path | None,
        typer.Option(metavar="JSON", help="Ranges that DICOM headers should lie in; what departs becomes notes."),
    ] = None,
    keep: Annotated[Kept, typer.Option(help="'summary' writes no images.")] = Kept.all,
    device: DeviceOption = Device.auto,
    jobs: Jobs = None,
    fail_on: Annotated[FailOn | None, typer.Option(help="End with code 4 from this verdict on.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say of scans whether they are normal, why not, where not.

    \b
    anomri score -i scan.nii.gz -o results
    anomri score -i bids/ --include "*_T1w.nii.gz" --participants bids/participants.tsv -o results
    anomri score -i *.nii.gz -o results --model my-model --alarm-rate 0.1 --fail-on fail
    """
    import sys

    from anomri.runs.progress import progress_on
    from anomri.runs.run import run

    notes: list[str] = []
    found = found_images([*inputs, *(more or [])], include=include, note=notes.append)
    refuse_output_among_inputs(out, [*inputs, *(more or [])])
    if mask is not None and len(found) > 1:
        raise typer.BadParameter(f"a mask belongs to one scan, and there are {len(found)}", param_hint="--mask")
    if mask is not None:
        require_file(mask, "--mask")
    summary = run(
        found,
        model,
        out,
        mask=mask,
        participants=table_of(participants, found),
        alarm_rate=alarm_rate,
        protocol=protocol_of(protocol),
        keep=keep.value,
        device=device.value,
        jobs=jobs,
        progress=progress_on(sys.stderr),
        notes=notes,
    )
    tell(summary, as_json=as_json)
    raise typer.Exit(exit_code(summary, fail_on))


def tell(summary: RunSummary, *, as_json: bool) -> None:
    """Print how a run ended; tracebacks of bugs go to stderr."""
    for scan_id, trouble in sorted(summary.troubles.items()):
        say(f"{scan_id}: {trouble}", error=True)
    if summary.others > 0:
        more = "one more scan" if summary.others == 1 else f"{summary.others} more scans"
        say(f"{summary.out} holds {more} of earlier runs; summary.csv and index.html list them, too", error=True)
    if as_json:
        fields = {"scan_id", "verdict", "reason", "score", "p_value"}
        scans = [result.model_dump(mode="json", include=fields) for result in summary.results]
        say_json({"out": str(summary.out), "index": str(summary.index), "counts": summary.counts(), "scans": scans})
        return
    if len(summary.results) == 1:
        say(f"{summary.results[0].verdict}: {summary.results[0].reason}")
        for note in summary.results[0].notes:
            say(note)
    say(", ".join(f"{count} {verdict}" for verdict, count in summary.counts().items()) or "no scan finished")
    say(f"report: {summary.index}")
