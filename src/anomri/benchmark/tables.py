"""Writing a table: long CSV of every figure, and the readable ones as Markdown, LaTeX and a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from anomri.benchmark.results import Entry

__all__ = ["CSV_COLUMNS", "Line", "csv_rows", "latex", "markdown", "rows_for", "shown"]

CSV_COLUMNS = ("method", "normals", "cell", "metric", "value", "low", "high", "least", "most", "n", "note")
_WIDEST = 7
_LATEX = str.maketrans(
    {"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "–": "--", "≤": r"$\le$", "−": "$-$", "′": "'", "+": "$+$"}
)


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a readable table: the figures of its columns as text."""

    name: str
    texts: tuple[str, ...]
    baseline: bool


def csv_rows(entries: Sequence[Entry]) -> list[tuple[str, ...]]:
    """Every figure, a line each; empty cells where a number is undefined."""

    def text(value: float) -> str:
        return "" if math.isnan(value) else f"{value:.6g}"

    return [
        (
            e.row,
            "all" if e.normals is None else str(e.normals),
            e.cell,
            e.metric,
            *(text(v) for v in (e.value, e.low, e.high, e.least, e.most)),
            str(e.n),
            e.note,
        )
        for e in entries
    ]


def shown(entry: Entry) -> str:
    """A figure with its interval, as a reader wants it: ``0.94 (0.88–0.98)``."""
    if math.isnan(entry.value):
        return "–"
    if math.isnan(entry.low):
        return _number(entry.value)
    between = "–" if entry.low >= 0 else " to "
    return f"{_number(entry.value)} ({_number(entry.low)}{between}{_number(entry.high)})"


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def markdown(entries: Sequence[Entry], metric: str, cells: Sequence[str]) -> str:
    """Rows by method, columns by cell, in blocks that fit a page."""
    blocks = []
    for block, lines in rows_for(entries, metric, cells):
        head = ["| method | " + " | ".join(block) + " |", "|---|" + "---|" * len(block)]
        blocks.append("\n".join(head + [f"| {line.name} | " + " | ".join(line.texts) + " |" for line in lines]))
    return "\n\n".join(blocks) + "\n"


def latex(entries: Sequence[Entry], metric: str, cells: Sequence[str]) -> str:
    """The same as tabular environments; needs no package."""
    blocks = []
    for block, rows in rows_for(entries, metric, cells):
        lines = [r"\begin{tabular}{l" + "c" * len(block) + "}", r"\hline"]
        lines.append(" & ".join(["method", *block]).translate(_LATEX) + r" \\ \hline")
        lines += [" & ".join([row.name, *row.texts]).translate(_LATEX) + r" \\" for row in rows]
        blocks.append("\n".join([*lines, r"\hline", r"\end{tabular}"]))
    return "\n\n".join(blocks) + "\n"


def rows_for(
    entries: Sequence[Entry], metric: str, cells: Sequence[str]
) -> list[tuple[tuple[str, ...], tuple[Line, ...]]]:
    """Columns and rows of one metric, in blocks of columns that fit a page; rows without a figure are left out."""
    found = {(_name(e), e.cell): e for e in entries if e.metric == metric}
    names = list(dict.fromkeys(_name(e) for e in entries))
    columns = [cell for cell in cells if any((name, cell) in found for name in names)]
    blocks = []
    for start in range(0, len(columns), _WIDEST):
        block = tuple(columns[start : start + _WIDEST])
        lines = [
            Line(
                n,
                tuple(shown(found[n, c]) if (n, c) in found else "–" for c in block),
                n[:1] == "B" and n[1:2].isdigit(),
            )
            for n in names
        ]
        blocks.append((block, tuple(line for line in lines if any(t != "–" for t in line.texts))))
    return blocks


def _name(entry: Entry) -> str:
    return entry.row if entry.normals is None else f"{entry.row}, {entry.normals} normals"
