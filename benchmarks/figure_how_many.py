"""Draw what more normal scans buy, from the figures of `how-many-normals`.

    python benchmarks/figure_how_many.py FIGURES.csv OUT [--methods NAME ...]

FIGURES.csv is what `anomri benchmark how-many-normals` wrote. OUT gets how-many.png, a panel for each of AUROC of
artefacts, AUROC of lesions, false alarms at 20 % and the distance of normal p-values from uniform ones, all against the
number of normals; and how-many.md, the same figures of all rows as tables, with false alarms at 5 and 10 % beside.

n normals know p-values in steps of 1 / (n + 1), and few scans are tested: even where the scores of normals cannot be
told apart, alarms are rarer than allowed, and the p-values look less uniform the fewer normals there are. Grey lines
and the last row of each table show what such scores give in the same design: 45 normals in nine folds, three draws, a
score a person whatever the model.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from anomri.metrics.uniformity import uniformity

Floats = NDArray[np.float64]


class Panel(NamedTuple):
    """One metric of one cell; `ideal` is what it is for p-values of scores that cannot be told apart."""

    title: str
    cell: str
    metric: str
    ideal: Callable[[Floats], float] | None


def at_most(rate: float) -> Callable[[Floats], float]:
    """Share of p-values that are alarms."""
    return lambda p: float((p <= rate + 1e-9).mean())


PANELS = (
    Panel("AUROC, artefacts of severity 3", "all artefacts", "auroc", None),
    Panel("AUROC, lesions of 5 ml", "all lesions", "auroc", None),
    Panel("false alarms at 20 %", "normal", "false alarms at 0.2", at_most(0.2)),
    Panel("distance of normal p-values from uniform", "normal", "p-value ks", lambda p: uniformity(p).ks),
)
FURTHER = (
    Panel("false alarms at 10 %", "normal", "false alarms at 0.1", at_most(0.1)),
    Panel("false alarms at 5 %", "normal", "false alarms at 0.05", at_most(0.05)),
)
# Of `how-many-normals`.
NORMALS, FOLDS, SEEDS = 45, 9, 3
RUNS = 400
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
        rows = [row for row in csv.DictReader(file) if row["normals"] != "all"]
    if unknown := {*given.methods} - {row["method"] for row in rows}:
        parser.error(f"no row of the table: {', '.join(sorted(unknown))}")
    if len(given.methods) > len(COLOURS):
        parser.error(f"at most {len(COLOURS)} methods")
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
        bars = [(here, row) for here, (_, row) in zip(x, points, strict=True) if row["low"]]
        lows, highs = ([float(row[end]) for _, row in bars] for end in ("low", "high"))
        at.vlines([here for here, _ in bars], lows, highs, color=colour, linewidth=0.8)
    if panel.ideal is not None:
        at.plot(counts, [ideal_of(panel, n) for n in counts], color="#999999", linestyle="--", linewidth=1.0)
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
    if panel.ideal is not None:
        ideal = " | ".join(f"{ideal_of(panel, n):.2f}" if promised(panel, n) else "–" for n in counts)
        out.append(f"| *scores that cannot be told apart* | {ideal} |")
    return "\n".join(out)


def ideal_of(panel: Panel, normals: int) -> float:
    """Mean over runs, of each the mean over draws."""
    assert panel.ideal is not None
    return float(np.mean([panel.ideal(p) for p in exchangeable(normals)]))


def promised(panel: Panel, normals: int) -> bool:
    """Whether so many normals can raise an alarm at all."""
    assert panel.ideal is not None
    return panel.ideal(np.array([1.0 / (normals + 1)])) > 0.0


@cache
def exchangeable(normals: int) -> tuple[Floats, ...]:
    """(NORMALS,) p-values of every run and draw, where all scores are of one distribution."""
    rng = np.random.default_rng(0)
    fold = np.arange(NORMALS) % FOLDS
    found = []
    for _ in range(RUNS):
        tested = rng.random(NORMALS)
        for _ in range(SEEDS):
            p = np.empty(NORMALS)
            for number in range(FOLDS):
                held = fold == number
                known = tested[rng.choice(np.flatnonzero(~held), normals, replace=False)]
                p[held] = (1 + (known >= tested[held, None]).sum(axis=1)) / (normals + 1)
            found.append(p)
    return tuple(found)


def shown(row: dict[str, str] | None) -> str:
    if row is None or not row["value"]:
        return "–"
    interval = f" ({float(row['low']):.2f}–{float(row['high']):.2f})" if row["low"] else ""
    return f"{float(row['value']):.2f}{interval}"


if __name__ == "__main__":
    main()
