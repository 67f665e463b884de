"""`anomri dicom`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anomri.cli.inputs import refuse_output_among_inputs, results_at
from anomri.cli.terminal import say

__all__ = ["dicom"]


def dicom(
    result: Annotated[
        Path,
        typer.Argument(metavar="RESULT", help="Folder of a finished result, or its JSON that `anomri bids` wrote."),
    ],
    source: Annotated[
        Path, typer.Option("--source", metavar="SERIES", help="The DICOM series that was scored, or its study.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="OUT", help="Folder of the DICOM files.")],
    pdf: Annotated[bool, typer.Option("--pdf", help="Put the PDF report into a DICOM file, too.")] = False,
) -> None:
    """Write a result as DICOM objects of the patient's study: report, picture, heatmap, findings.

    They carry the name and identity of the patient, which no other output does, because they go back to the archive
    the series came from. The series that was scored is known by its bytes or its voxels; any other one is refused.

    \b
    anomri dicom results/T1w --source study/T1w -o for-the-archive
    anomri dicom results/T1w --source study/T1w -o for-the-archive --pdf
    """
    from datetime import datetime

    from anomri.bids.derivatives import outcome_of
    from anomri.dicom import dicom_results, read_source, write_dicom
    from anomri.report.pdf import scan_pdf

    refuse_output_among_inputs(out, [source])
    found = results_at(result)
    if len(found) > 1:
        raise typer.BadParameter(
            f"{result} holds {len(found)} results. Name the JSON of one, such as {found[0]}", param_hint="RESULT"
        )
    outcome = outcome_of(found[0])
    # The clock is read here and nowhere else: everything below gives the same bytes for the same time.
    now = datetime.now()
    series = read_source(source, outcome)
    made = dicom_results(outcome, series, created=now, pdf=scan_pdf(outcome) if pdf else None)
    for path in write_dicom(made, out):
        say(str(path))
    if "findings" not in made:
        say("no finding, and so no segmentation", error=True)
