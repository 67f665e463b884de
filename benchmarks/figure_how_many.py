"""Draw what more normal scans buy, from the figures of `how-many-normals`.

    python benchmarks/figure_how_many.py FIGURES.csv OUT [--methods NAME ...]

FIGURES.csv is what `anomri benchmark how-many-normals` wrote. OUT gets how-many.png, a panel for each of AUROC of
artefacts, AUROC of lesions, false alarms at 20 % and the distance of normal p-values from uniform ones, all against the
number of normals; and how-many.md, the same figures of all rows as tables, with false alarms at 5 and 10 % beside.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


class Panel(NamedTuple):
    """One metric of one cell; `right` is what it would be if all were well, None where that depends on the method."""

    title: str
    cell: str
    metric: str
    right: float | None


PANELS = (
    Panel("AUROC, artefacts of severity 3", "all artefacts", "auroc", None),
    Panel("AUROC, lesions of 5 ml", "all lesions", "auroc", None),
    Panel("false alarms at 20 %", "normal", "false alarms at 0.2", 0.2),
    Panel("distance of normal p-values from uniform", "normal", "p-value ks", 0.0),
)
FURTHER = (
    Panel("false alarms at 10 %", "normal", "false alarms at 0.1", 0.1),
    Panel("false alarms at 5 %", "normal", "false alarms at 0.05", 0.05),
)
METHODS = ("zatlas + iqm1c", "iqm1c", "B3 sharpness", "B5 atlas", "B6 asymmetry", "B10 PCA")
# Okabe and Ito's colours.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

Rows = list[dict[str, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("figures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--methods", nargs="*", default=METHODS)
    given = parser.parse_args()
    with given.figures.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    given.out.mkdir(parents=True, exist_ok=True)
    drawn(rows, given.methods, given.out / "how-many.png")
    tables = [table(rows, panel) for panel in (*PANELS, *FURTHER)]
    (given.out / "how-many.md").write_text("\n\n".join(tables) + "\n", encoding="utf-8")


def figures_of(rows: Rows, panel: Panel) -> dict[str, dict[int, dict[str, str]]]:
    """By method and number of normals."""
    found: dict[str, dict[int, dict[str, str]]] = {}
    for row in rows:
        if (row["cell"], row["metric"]) == (panel.cell, panel.metric):
            found.setdefault(row["method"], {})[int(row["normals"])] = row
    return found


def drawn(rows: Rows, methods: list[str], path: Path) -> None:
    """One panel a metric, one colour a method, bars for the intervals."""
    figure = Figure(figsize=(12.0, 6.4), layout="constrained")
    axes = figure.subplots(2, 2).ravel()
    for at, panel in zip(axes, PANELS, strict=True):
        draw_panel(at, panel, rows, methods)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})


def draw_panel(at: Axes, panel: Panel, rows: Rows, methods: list[str]) -> None:
    found = figures_of(rows, panel)
    counts = sorted({n for by_count in found.values() for n in by_count})
    for number, (method, colour) in enumerate(zip(methods, COLOURS, strict=False)):
        points = [(n, row) for n, row in sorted(found.get(method, {}).items()) if row["value"]]
        # Set apart, so that no interval hides another.
        x = [n * 1.025 ** (number - len(methods) / 2) for n, _ in points]
        y = [float(row["value"]) for _, row in points]
        at.plot(x, y, color=colour, marker="o", markersize=3.5, label=method)
        if all(row["low"] for _, row in points):
            at.vlines(
                x, [float(r["low"]) for _, r in points], [float(r["high"]) for _, r in points], color=colour, lw=0.8
            )
    if panel.right is not None:
        at.axhline(panel.right, color="#999999", linewidth=0.8)
    at.set(title=panel.title, xscale="log", xlabel="normal scans")
    at.set_xticks(counts, [str(n) for n in counts])
    at.minorticks_off()


def table(rows: Rows, panel: Panel) -> str:
    """Markdown: a row a method, a column a number of normals."""
    found = figures_of(rows, panel)
    counts = sorted({n for by_count in found.values() for n in by_count})
    out = [f"| {panel.title} | {' | '.join(map(str, counts))} |", "|---" * (len(counts) + 1) + "|"]
    for method, by_count in found.items():
        out.append(f"| {method} | {' | '.join(shown(by_count.get(n)) for n in counts)} |")
    return "\n".join(out)


def shown(row: dict[str, str] | None) -> str:
    if row is None or not row["value"]:
        return "–"
    interval = f" ({float(row['low']):.2f}–{float(row['high']):.2f})" if row["low"] else ""
    return f"{float(row['value']):.2f}{interval}"


if __name__ == "__main__":
    main()
