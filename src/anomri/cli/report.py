"""`anomri report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anomri.cli.inputs import results_at
from anomri.cli.terminal import say

__all__ = ["report"]


def report(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULT…",
            help="Folders that hold a result.json, or what `anomri bids` wrote: a data set or a JSON.",
        ),
    ],
    pdf: Annotated[bool, typer.Option("--pdf", help="Write report.pdf, too: A4 pages to print and archive.")] = False,
) -> None:
    """Write the reports of finished results again, from their folders alone: no model, no raw data.

    \b
    anomri report results/sub-01_T1w --pdf
    anomri report results/*/ --pdf
    anomri report derivatives/anomri --pdf
    """
    from anomri.bids.derivatives import outcome_of
    from anomri.io.write import write_bytes, write_text
    from anomri.report.page import scan_page

    for result in (result for given in results for result in results_at(given)):
        outcome = outcome_of(result)
        page = result.with_suffix(".html") if result.is_file() else result / "report.html"
        write_text(page, scan_page(outcome))
        say(str(page))
        if pdf:
            from anomri.report.pdf import scan_pdf

            write_bytes(page.with_suffix(".pdf"), scan_pdf(outcome))
            say(str(page.with_suffix(".pdf")))
