"""Writing a table: long CSV of every figure, and the readable ones as Markdown, LaTeX and a page."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from anomri.benchmark.results import Entry
from anomri.benchmark.rows import BASELINES
from anomri.benchmark.source import B9

__all__ = ["CSV_COLUMNS", "Figure", "Line", "csv_rows", "latex", "markdown", "name_of", "rows_for", "shown"]

CSV_COLUMNS = ("method", "normals", "cell", "metric", "value", "low", "high", "least", "most", "n", "note")
_WIDEST = 7
_BASELINES = {name for name, *_ in BASELINES} | {B9}
_LATEX = str.maketrans(
    {
        "_": r"\_",
        "%": r"\%",
        "&": r"\&",
        "#": r"\#",
        "–": "--",
        "≤": r"$\le$",
        "−": "$-$",
        "′": "'",
        "+": "$+$",
        "σ": r"$\sigma$",
        "×": r"$\times$",
    }
)


# Metrics of which more is better: the best of a column stands out.
_MORE_IS_BETTER = ("auroc", "sensitivity", "top finding", "dice", "oracle dice", "froc", "average precision")
_NEVER_BEST = ("auroc minus",)


@dataclass(frozen=True, slots=True)
class Figure:
    """A cell of a readable table: its text, what to know of it, and whether it is the best of its column."""

    text: str
    note: str = ""
    best: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a readable table."""

    name: str
    figures: tuple[Figure, ...]
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


def markdown(entries: Sequence[Entry], metric: str, cells: Sequence[str], confounds: Collection[str] = ()) -> str:
    """Rows by method, columns by cell, in blocks that fit a page; the best of a column in bold."""
    blocks = []
    for block, lines in rows_for(entries, metric, cells):
        names = [f"{cell} (CONFOUNDED)" if cell in confounds else cell for cell in block]
        head = ["| method | " + " | ".join(names) + " |", "|---|" + "---|" * len(block)]
        for line in lines:
            texts = [f"**{figure.text}**" if figure.best else figure.text for figure in line.figures]
            head.append(f"| {line.name} | " + " | ".join(texts) + " |")
        blocks.append("\n".join(head))
    return "\n\n".join(blocks) + "\n"


def latex(entries: Sequence[Entry], metric: str, cells: Sequence[str], confounds: Collection[str] = ()) -> str:
    """The same as tabular environments; needs no package."""
    blocks = []
    for block, rows in rows_for(entries, metric, cells):
        lines = [r"\begin{tabular}{l" + "c" * len(block) + "}", r"\hline"]
        names = [f"{cell} (CONFOUNDED)" if cell in confounds else cell for cell in block]
        lines.append(" & ".join(["method", *names]).translate(_LATEX) + r" \\ \hline")
        for row in rows:
            texts = [figure.text.translate(_LATEX) for figure in row.figures]
            texts = [rf"\textbf{{{t}}}" if f.best else t for t, f in zip(texts, row.figures, strict=True)]
            lines.append(" & ".join([row.name.translate(_LATEX), *texts]) + r" \\")
        blocks.append("\n".join([*lines, r"\hline", r"\end{tabular}"]))
    return "\n\n".join(blocks) + "\n"


def rows_for(
    entries: Sequence[Entry], metric: str, cells: Sequence[str]
) -> list[tuple[tuple[str, ...], tuple[Line, ...]]]:
    """Columns and rows of one metric, in blocks of columns that fit a page: methods, then baselines.

    Rows without an entry are left out; an undefined figure is a dash that says why.
    """
    found = {(name_of(e), e.cell): e for e in entries if e.metric == metric}
    trivial = {name_of(e): e.row in _BASELINES for e in entries}
    columns = [cell for cell in cells if any((name, cell) in found for name in trivial)]
    blocks = []
    for start in range(0, len(columns), _WIDEST):
        block = tuple(columns[start : start + _WIDEST])
        best = {cell: _best(found, metric, cell) for cell in block}
        lines = [
            Line(name, tuple(_figure(found.get((name, cell)), best[cell]) for cell in block), trivial[name])
            for name in sorted(trivial, key=lambda name: trivial[name])
            if any((name, cell) in found for cell in block)
        ]
        blocks.append((block, tuple(lines)))
    return blocks


def _figure(entry: Entry | None, best: str) -> Figure:
    if entry is None:
        return Figure("–", "not measured")
    notes = [entry.note] if entry.note else []
    if entry.least < entry.most:
        notes.append(f"{_number(entry.least)} to {_number(entry.most)} over seeds")
    if math.isnan(entry.value) and not notes:
        notes.append("undefined")
    return Figure(shown(entry), "; ".join(notes), best == shown(entry).partition(" ")[0])


def _best(found: Mapping[tuple[str, str], Entry], metric: str, cell: str) -> str:
    """The best figure of a column as text, so that what reads the same stands out alike; empty where none is best."""
    if not metric.startswith(_MORE_IS_BETTER) or metric.startswith(_NEVER_BEST):
        return ""
    values = [e.value for (_, c), e in found.items() if c == cell and e.row != B9 and not math.isnan(e.value)]
    return _number(max(values)) if len(values) > 1 else ""


def name_of(entry: Entry) -> str:
    return entry.row if entry.normals is None else f"{entry.row}, {entry.normals} normals"
