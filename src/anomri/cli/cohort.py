"""`anomri cohort`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anomri.cli.terminal import say

__all__ = ["cohort"]


def cohort(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULTS…", help="Output folders of `anomri score` or `anomri bids`, or folders of single scans."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="PAGE", help="The page, a file ending in .html.")],
) -> None:
    """Show the scans of several runs on one page, over time.

    The page is made from result files alone. It links the pictures and reports of the scans, so keep it beside them.

    \b
    anomri cohort out/january out/february -o out/cohort.html
    """
    from anomri.errors import InputError
    from anomri.io.names import shown
    from anomri.runs.cohort import write_cohort

    if out.suffix.lower() != ".html" or out.is_dir():
        raise typer.BadParameter(f"{shown(out)} is no name of a page. End it in .html", param_hint="--out")
    if not out.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {shown(out.parent)}", param_hint="--out")
    try:
        made = write_cohort(results, out)
    except InputError as error:
        # What the user typed is at fault here, no scan is.
        where = " ".join(getattr(error, "__notes__", ()))
        raise typer.BadParameter(f"{error.cause} {shown(where)}. {error.remedy}", param_hint="RESULTS") from error
    for scan_id in made.damaged:
        say(f"{shown(scan_id)}: its result cannot be used; the page tells why", error=True)
    say(f"{made.scans} {'scan' if made.scans == 1 else 'scans'} of {made.runs} {'run' if made.runs == 1 else 'runs'}")
    say(f"page: {out}")
    raise typer.Exit(3 if made.damaged else 0)
