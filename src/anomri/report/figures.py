"""Pictures of an outcome for papers, notebooks and thumbnails: three planes through the strongest point, and the score.

Figures are made as objects, never through pyplot, and every size, font and colour that matters is given, so that
neither a notebook's state nor a user's style changes them.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from anomri.core.outcome import Outcome
from anomri.core.scan import Scan
from anomri.io.names import shown
from anomri.report import words
from anomri.report.charts import distribution
from anomri.report.display import HeatRange, Views, glance_of, heat_range, views_of
from anomri.report.planes import blend, planes_of, slice_at, strongest
from anomri.report.sheet import FONT, drawable
from anomri.report.text import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot", "preview_png"]

_SIZE_INCH, _DPI = (9.0, 3.5), 100.0
_DARK, _INK, _SOFT = "#000000", "#f0efec", "#a3a9af"


def plot(outcome: Outcome) -> Figure:
    """A figure of one outcome: verdict, three planes with the heatmap above its threshold, score among the normals.

    Returns
    -------
    9 × 3.5 inches; radiological convention (the patient's right on the left).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE_INCH, dpi=_DPI, facecolor=_DARK)
    _title(figure, outcome)
    views = views_of(outcome)
    if views is not None:
        limits = outcome.result.thresholds
        level = None if limits is None else limits.finding_level
        letters = outcome.result.input.format not in words.PICTURES
        _planes(figure, views, None if outcome.heatmap is None else heat_range(outcome.heatmap, level), letters=letters)
    elif outcome.scan is not None:
        _glance(figure, outcome.scan)
    else:
        _write(figure, 0.02, 0.45, "There is no image to show.")
    _normals(figure, outcome)
    return figure


def preview_png(outcome: Outcome) -> bytes:
    """`plot` as a PNG of 900 × 350 pixels; the same bytes for the same outcome."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas: Any = FigureCanvasAgg(plot(outcome))
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="PNG")
    return buffer.getvalue()


def _write(figure: Figure, x: float, y: float, text: str, *, size: float = 10.0, colour: str = _SOFT) -> None:
    # No mathematics: a $ in a scan's name is a $.
    figure.text(x, y, text, fontsize=size, color=colour, family=FONT, va="center", parse_math=False)


def _title(figure: Figure, outcome: Outcome) -> None:
    result = outcome.result
    _write(figure, 0.02, 0.93, words.VERDICTS[result.verdict].word.capitalize(), size=12.0, colour=_INK)
    facts = drawable(shown(result.scan_id))
    facts = facts if len(facts) <= 40 else facts[:39] + "…"
    if result.p_value is not None:
        facts += f"   score {number(result.score)}   p {number(result.p_value)}"
    _write(figure, 0.43, 0.93, facts, size=9.0)


def _planes(figure: Figure, views: Views, heat: HeatRange | None, *, letters: bool) -> None:
    at, planes = strongest(views), planes_of(views)
    mm = [n * s for n, s in zip(views.grid.shape, views.grid.spacing_mm, strict=True)]
    # All planes at one scale, in a strip of 0.66 × 0.82 of the figure.
    wide, high = 0.66 * _SIZE_INCH[0], 0.8 * _SIZE_INCH[1]
    scale = min((wide - 0.16) / sum(mm[across] for _, across, _, _ in planes), high / max(mm[1], mm[2]))
    left = 0.02
    for name, across, down, through in planes:
        width, height = mm[across] * scale / _SIZE_INCH[0], mm[down] * scale / _SIZE_INCH[1]
        axes = figure.add_axes((left, 0.45 - height / 2.0, width, height))
        axes.set_axis_off()
        heat_slice = None if views.heat is None else slice_at(views.heat, through, at)
        picture = blend(slice_at(views.scan, through, at), heat_slice, heat)
        axes.imshow(picture, aspect="auto", interpolation="bilinear", resample=True)
        ends = ("A", "P") if name == "sagittal" else ("R", "L")
        for x, letter in zip((0.04, 0.96), ends if letters else ("", ""), strict=True):
            axes.text(x, 0.5, letter, transform=axes.transAxes, fontsize=8.0, color=_SOFT, family=FONT, ha="center")
        left += width + 0.08 / _SIZE_INCH[0]


def _glance(figure: Figure, scan: Scan) -> None:
    picture = glance_of(scan)
    rows, columns = picture.shape
    scale = min(0.66 * _SIZE_INCH[0] / columns, 0.8 * _SIZE_INCH[1] / rows)
    width, height = columns * scale / _SIZE_INCH[0], rows * scale / _SIZE_INCH[1]
    axes = figure.add_axes((0.02, 0.45 - height / 2.0, width, height))
    axes.set_axis_off()
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, aspect="auto", interpolation="bilinear", resample=True)


def _normals(figure: Figure, outcome: Outcome) -> None:
    marks = distribution(outcome.result)
    if marks is None or marks.score is None:
        return
    axes: Axes = figure.add_axes((0.715, 0.2, 0.265, 0.55), facecolor="none")
    for bar in marks.bars:
        axes.bar(bar.left, bar.count, width=bar.right - bar.left, align="edge", color="#5d646b", linewidth=0.0)
    for limit, name, style in ((marks.warn, "warn", ":"), (marks.fail, "fail", "--")):
        if limit is not None:
            axes.axvline(limit, color="#f58a4b" if name == "fail" else "#e3b341", linewidth=1.2, linestyle=style)
    axes.axvline(marks.score, color=_INK, linewidth=2.0)
    side = "this scan, off the axis" if marks.beyond else "this scan"
    right = marks.at(marks.score) > 0.5
    axes.annotate(
        side,
        (marks.score, 1.04),
        xycoords=("data", "axes fraction"),
        ha="right" if right else "left",
        fontsize=8.5,
        color=_INK,
        family=FONT,
    )
    axes.set_xlim(marks.low, marks.high)
    axes.set_ylim(0.0, marks.tallest * 1.05)
    axes.set_yticks([])
    axes.set_xticks(list(marks.axis_ticks), [number(t) if t % 1 else f"{t:.0f}" for t in marks.axis_ticks])
    axes.tick_params(colors=_SOFT, labelsize=8.0, labelfontfamily=FONT, length=3.0)
    axes.set_xlabel(
        f"score; grey: {len(outcome.result.reference_scores)} normals", fontsize=8.5, color=_SOFT, family=FONT
    )
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color("#3b4147")
