"""What commands print."""

from __future__ import annotations

import json
from collections.abc import Sequence

import typer

__all__ = ["say", "say_json", "say_table"]


def say(line: str = "", *, error: bool = False) -> None:
    """Print one line, to stderr where it is not a command's product."""
    typer.echo(line, err=error)


def say_json(content: object) -> None:
    """Print JSON: sorted keys, two spaces, no NaN."""
    typer.echo(json.dumps(content, indent=2, sort_keys=True, allow_nan=False))


def say_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn on a terminal, tab-separated elsewhere; columns without names have no header."""
    from rich.console import Console
    from rich.table import Table

    from anomri.io.names import shown

    shown_rows = [[shown(cell) for cell in row] for row in rows]
    console = Console()
    if not console.is_terminal:
        for row in [columns, *shown_rows] if any(columns) else shown_rows:
            typer.echo("\t".join(row))
        return
    table = Table(*columns, box=None, header_style="bold", pad_edge=False, show_header=any(columns))
    for row in shown_rows:
        table.add_row(*row)
    console.print(table, markup=False)
