"""`anomri report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anomri.cli.terminal import say

__all__ = ["report"]


def report(
    folders: Annotated[list[Path], typer.Argument(metavar="RESULT…", help="Folders that hold a result.json.")],
    pdf: Annotated[bool, typer.Option("--pdf", help="Write report.pdf, too: A4 pages to print and archive.")] = False,
) -> None:
    """Write the reports of finished results again, from their folders alone: no model, no raw data.

    \b
    anomri report results/sub-01_T1w --pdf
    anomri report results/*/ --pdf
    """
    from anomri.io.write import write_bytes, write_text
    from anomri.report.folder import outcome_of
    from anomri.report.page import scan_page

    for folder in folders:
        outcome = outcome_of(folder)
        write_text(folder / "report.html", scan_page(outcome))
        say(str(folder / "report.html"))
        if pdf:
            from anomri.report.pdf import scan_pdf

            write_bytes(folder / "report.pdf", scan_pdf(outcome))
            say(str(folder / "report.pdf"))
