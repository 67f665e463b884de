"""Draw the full grid of `t1-full`: from which severity, size and contrast on does each method find what is wrong?

    python benchmarks/figure_grid.py FIGURES.csv OUT [--methods NAME ...]

FIGURES.csv is what `anomri benchmark t1-full` wrote. OUT gets grid.png, a panel for each artefact (AUROC against
severity) and for lesions of each sign and contrast (AUROC against volume; drawn shapes in full lines, shapes of real
lesions dashed), and grid.md, a table of the smallest severity or volume from which on the AUROC is at least 0.8.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Iterable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

SEEN = 0.8
ARTEFACTS = ("motion", "ghosting", "spike", "noise", "blur", "bias", "missing")
LESION = re.compile(r"(?P<shape>real-)?lesion-(?P<sign>bright|dark)-(?P<ml>[\d.]+)ml-c(?P<contrast>[\d.]+)")
# Okabe and Ito's colours.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
ROWS, COLUMNS = 3, 4

# (method, panel, line) → [(severity or volume, AUROC)]
Lines = dict[tuple[str, str, str], list[tuple[float, float]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("figures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--methods", nargs="*")
    given = parser.parse_args()
    with given.figures.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "auroc"]
    methods = given.methods or list(dict.fromkeys(row["method"] for row in rows))
    lines = lines_of(row for row in rows if row["method"] in methods)
    given.out.mkdir(parents=True, exist_ok=True)
    drawn(lines, methods, given.out / "grid.png")
    (given.out / "grid.md").write_text(table(lines, methods), encoding="utf-8")


def lines_of(rows: Iterable[dict[str, str]]) -> Lines:
    """The AUROC of every cell of the grid; pooled cells belong to no panel."""
    lines: Lines = {}
    for row in rows:
        place = panel_of(row["cell"])
        if place is not None and row["value"]:
            panel, line, at = place
            lines.setdefault((row["method"], panel, line), []).append((at, float(row["value"])))
    return {key: sorted(points) for key, points in lines.items()}


def panel_of(cell: str) -> tuple[str, str, float] | None:
    """Panel, line in it, and severity or volume of a cell."""
    lesion = LESION.fullmatch(cell)
    if lesion is not None:
        contrast = {1.0: "full", 0.5: "half"}[float(lesion["contrast"])]
        shape = "real" if lesion["shape"] else "drawn"
        return f"{lesion['sign']} lesion, {contrast} contrast", shape, float(lesion["ml"])
    kind, _, severity = cell.rpartition("-")
    return (kind, "", float(severity)) if kind in ARTEFACTS else None


def drawn(lines: Lines, methods: list[str], path: Path) -> None:
    """One panel a kind, one colour a method."""
    panels = sorted({panel for _, panel, _ in lines}, key=lambda p: (ARTEFACTS.index(p) if p in ARTEFACTS else 99, p))
    figure = Figure(figsize=(13.0, 8.6), layout="constrained")
    axes = figure.subplots(ROWS, COLUMNS).ravel()
    for at, panel in zip(axes, panels, strict=False):
        draw_panel(at, panel, lines, methods)
    for at in axes[len(panels) :]:
        at.set_axis_off()
    handles = [axes[0].plot([], [], color=colour)[0] for _, colour in zip(methods, COLOURS, strict=False)]
    axes[-1].legend(handles, methods, loc="center", frameon=False, fontsize=11)
    FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})


def draw_panel(at: Axes, panel: str, lines: Lines, methods: list[str]) -> None:
    lesion = panel not in ARTEFACTS
    for method, colour in zip(methods, COLOURS, strict=False):
        for shape, style in (("", "-"), ("drawn", "-"), ("real", "--")):
            points = lines.get((method, panel, shape), [])
            at.plot(*zip(*points, strict=True), style, color=colour, marker="o", markersize=3.5) if points else None
    at.axhline(SEEN, color="#999999", linewidth=0.7)
    at.axhline(0.5, color="#cccccc", linewidth=0.7)
    at.set(title=panel, ylim=(0.25, 1.03), xlabel="volume, ml" if lesion else "severity", ylabel="AUROC")
    if lesion:
        at.set_xscale("log")
        at.set_xticks([0.5, 2.0, 5.0], ["0.5", "2", "5"])
        at.minorticks_off()
    else:
        at.set_xticks(range(1, 6))


def table(lines: Lines, methods: list[str]) -> str:
    """Markdown: smallest severity (volume) from which on every AUROC is at least 0.8."""
    keys = list(dict.fromkeys((panel, line) for _, panel, line in lines))
    out = [f"| defect | {' | '.join(methods)} |", "|---" * (len(methods) + 1) + "|"]
    for panel, line in keys:
        unit = "" if panel in ARTEFACTS else " ml"
        cells = [first_seen(lines.get((method, panel, line), []), unit) for method in methods]
        out.append(f"| {panel}{f', {line} shape' if line else ''} | {' | '.join(cells)} |")
    return "\n".join(out) + "\n"


def first_seen(points: list[tuple[float, float]], unit: str) -> str:
    seen = ""
    for at, auroc in reversed(points):
        if auroc < SEEN:
            break
        seen = f"{at:g}{unit}"
    return seen or "none"


if __name__ == "__main__":
    main()
