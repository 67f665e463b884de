"""Plots of a benchmark as SVG: ROC, precision–recall, and how well p-values of normals are calibrated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import StringIO

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from anomri.benchmark.cases import NORMAL
from anomri.benchmark.evaluate import cells_of, p_values, scores_of
from anomri.benchmark.protocol import Protocol
from anomri.benchmark.results import Results
from anomri.metrics.detection import Order

__all__ = ["curves"]

Floats = NDArray[np.float64]
# Okabe and Ito's colours, told apart with every common colour vision; line styles tell more rows apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", "--", ":", "-.")
_MOST_CELLS = 6


def curves(protocol: Protocol, table: Sequence[Results]) -> list[tuple[str, Markup]]:
    """Title and SVG of each plot; of the pooled cells, or of the first few where nothing is pooled.

    Where the protocol varies the number of normals, of the models that learnt from the most.
    """
    if protocol.normals is not None:
        table = [r for r in table if r.normals in (None, max(protocol.normals))]
    cells = list(dict.fromkeys(c for r in table for c in cells_of(r)))
    pooled = [c for c in cells if c.startswith("all ")]
    plots = []
    for cell in (pooled or cells)[:_MOST_CELLS]:
        plots.append((f"ROC, {cell}", _plot(table, cell, _roc, "false-positive rate", "true-positive rate")))
        plots.append((f"Precision–recall, {cell}", _plot(table, cell, _precision, "recall", "precision")))
    plots.append(
        (
            f"p-values of the {'held-out ' if protocol.unit == 'subject' else ''}normals",
            _plot(table, NORMAL, _calibration, "nominal rate", "realised share of alarms"),
        )
    )
    return plots


def _roc(results: Results, cell: str) -> tuple[Floats, Floats]:
    scores = scores_of(results, cells_of(results)[cell])
    counts = Order(scores.values[0], scores.abnormal).counts(np.ones(scores.abnormal.size))
    return np.append(0.0, counts.fpr), np.append(0.0, counts.tpr)


def _precision(results: Results, cell: str) -> tuple[Floats, Floats]:
    scores = scores_of(results, cells_of(results)[cell])
    counts = Order(scores.values[0], scores.abnormal).counts(np.ones(scores.abnormal.size))
    return counts.tpr, counts.true / (counts.true + counts.false)


def _calibration(results: Results, cell: str) -> tuple[Floats, Floats]:
    del cell
    seed = next(iter(results.scores))
    normals = [r.case.case_id for r in results.ready if not r.case.abnormal]
    p = np.sort(p_values(results, seed, normals))
    return np.append(0.0, p), np.arange(p.size + 1) / p.size


def _plot(
    table: Sequence[Results], cell: str, line: Callable[[Results, str], tuple[Floats, Floats]], x: str, y: str
) -> Markup:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # A fixed salt and no date: the same figures give the same bytes.
    with rc_context({"svg.hashsalt": "anomri", "font.size": 9, "svg.fonttype": "none"}):
        figure = Figure(figsize=(5.2, 3.6), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        shown = [r for r in table if cell == NORMAL or cell in cells_of(r)]
        for number, results in enumerate(shown):
            name = results.row.name if results.normals is None else f"{results.row.name}, {results.normals}"
            across, up = line(results, cell)
            axes.step(
                across,
                up,
                where="post",
                label=name,
                color=_COLOURS[number % len(_COLOURS)],
                linestyle=_STYLES[number // len(_COLOURS) % len(_STYLES)],
                linewidth=1.0 if results.row.baseline else 2.0,
            )
        if y != "precision":
            axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.6)
        axes.set(xlabel=x, ylabel=y, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7, frameon=False)
        file = StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return Markup(text[text.index("<svg") :])
