"""The images and the findings in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anomri.core.outcome import Outcome
from anomri.core.result import Finding, Result
from anomri.report import words
from anomri.report.colours import colour_table
from anomri.report.display import HeatRange, Views, glance_of, heat_range, views_of
from anomri.report.pdf.layout import BOTTOM, INK, LEFT, LINE, RIGHT, SOFT, WIDTH, heading
from anomri.report.planes import blend, planes_of, slice_at, strongest
from anomri.report.sheet import Sheet, wrapped
from anomri.report.text import number

__all__ = ["findings", "images"]


def images(page: Sheet, y: float, outcome: Outcome) -> float:
    """Three planes with the heatmap, or what there is to show; returns the y below them."""
    y = heading(page, y, "Where")
    views = views_of(outcome)
    if views is None and outcome.scan is None:
        return page.paragraph(LEFT, y, WIDTH, "There is no image to show.", size=9.0, colour=SOFT)
    panel = 62.0
    page.box(LEFT, y, WIDTH, panel, colour="#000000")
    if views is None:
        _glance(page, y, panel, outcome)
        text = "Three axial slices, the patient's right on the left; there is no brain mask for this scan."
        return page.paragraph(LEFT, y + panel + 2.0, WIDTH, text, size=8.0, colour=SOFT)
    limits = outcome.result.thresholds
    level = None if limits is None else limits.finding_level
    heat = None if outcome.heatmap is None else heat_range(outcome.heatmap, level)
    # Left and right of a picture are unknown.
    _planes(page, y, panel, views, heat, letters=outcome.result.input.format not in words.PICTURES)
    if heat is None:
        return y + panel + 2.0
    what = "the level of findings" if heat.is_finding_level else "the level of its highest hundredth"
    scale = "" if outcome.heatmap is None else words.SCALE[outcome.heatmap.scale]
    text = (
        f"Planes through the strongest point. Coloured where the heatmap exceeds {number(heat.threshold)}, {what}; "
        f"{scale}. The patient's right is on the left."
    )
    return page.paragraph(LEFT, y + panel + 2.0, WIDTH, text, size=8.0, colour=SOFT)


def _planes(page: Sheet, top: float, panel: float, views: Views, heat: HeatRange | None, *, letters: bool) -> None:
    at, planes = strongest(views), planes_of(views)
    mm = [n * s for n, s in zip(views.grid.shape, views.grid.spacing_mm, strict=True)]
    gap, bar = 9.0, 16.0
    wide = WIDTH - bar - gap * (len(planes) + 1)
    scale = min(
        wide / sum(mm[across] for _, across, _, _ in planes), (panel - 6.0) / max(mm[down] for _, _, down, _ in planes)
    )
    used = sum(mm[across] * scale for _, across, _, _ in planes) + gap * (len(planes) - 1)
    x = LEFT + (WIDTH - bar - used) / 2.0
    for name, across, down, through in planes:
        width, height = mm[across] * scale, mm[down] * scale
        heat_slice = None if views.heat is None else slice_at(views.heat, through, at)
        pixels = blend(slice_at(views.scan, through, at), heat_slice, heat)
        y = top + (panel - height) / 2.0
        page.picture(x, y, width, height, pixels)
        if letters:
            for side, letter in zip((x - 2.4, x + width + 2.4), ("AP" if name == "sagittal" else "RL"), strict=True):
                page.text(side, top + panel / 2.0 - 1.5, letter, size=7.5, colour="#a3a9af", align="center")
        x += width + gap
    if heat is not None:
        _colour_bar(page, RIGHT - bar, top + 9.0, panel - 18.0, heat)


def _colour_bar(page: Sheet, x: float, y: float, height: float, heat: HeatRange) -> None:
    page.picture(x, y, 3.0, height, np.repeat(colour_table()[::-1, None] / 255.0, 2, axis=1))
    page.text(x + 4.5, y - 0.5, number(heat.high), size=7.5, colour="#d6d9dc")
    page.text(x + 4.5, y + height - 2.5, number(heat.low), size=7.5, colour="#d6d9dc")
    share = float(np.clip((heat.threshold - heat.low) / (heat.high - heat.low), 0.0, 1.0))
    at = y + height * (1.0 - share)
    page.line((x - 1.0, at), (x + 4.0, at), colour="#ffffff", width=0.9)
    if 0.12 < share < 0.88:
        page.text(x + 4.5, at - 1.4, number(heat.threshold), size=7.5, colour="#ffffff")


def _glance(page: Sheet, top: float, panel: float, outcome: Outcome) -> None:
    if outcome.scan is None:
        return
    pixels = glance_of(outcome.scan)
    rows, columns = pixels.shape
    scale = min((WIDTH - 8.0) / columns, (panel - 6.0) / rows)
    width, height = columns * scale, rows * scale
    page.picture(LEFT + (WIDTH - width) / 2.0, top + (panel - height) / 2.0, width, height, pixels)


def findings(page: Sheet, y: float, result: Result) -> float:
    """A table of the findings, as many as fit; returns the y below it."""
    y = heading(page, y, "Findings")
    level = None if result.thresholds is None else result.thresholds.finding_level
    if not result.findings:
        if level is None:
            text = "This result has no level for findings, and so no finding."
        else:
            text = f"No place of 50 mm³ exceeds {number(level)}, the level that a normal scan hardly exceeds anywhere."
        return page.paragraph(LEFT, y, WIDTH, text, size=9.0, colour=INK)
    heads = ("", "Centre, from the scan's origin", "Volume", "Peak", "Mean", "")
    most = max(1, int((BOTTOM - y - 12.0) / 6.2))
    rows = [_finding_row(n, f) for n, f in enumerate(result.findings[:most], start=1)]
    y = _table(page, y, (8.0, 70.0, 26.0, 22.0, 22.0, 28.0), heads, rows)
    more = len(result.findings) - most
    if more > 0:
        y = page.paragraph(LEFT, y, WIDTH, f"{more} more stand in result.json.", size=8.0, colour=SOFT)
    return y


def _finding_row(at: int, finding: Finding) -> tuple[str, ...]:
    x, y, z = finding.centroid_mm
    sides = (("right", "left"), ("front", "back"), ("up", "down"))
    place = ", ".join(f"{abs(v):.0f} mm {pair[v < 0]}" for v, pair in zip((x, y, z), sides, strict=True))
    volume = f"{number(finding.volume_mm3 / 1000.0)} ml"
    return str(at), place, volume, number(finding.peak), number(finding.mean), finding.region or finding.direction or ""


def _table(
    page: Sheet, y: float, widths: Sequence[float], heads: Sequence[str], rows: Sequence[Sequence[str]]
) -> float:
    for at, head in enumerate(heads):
        page.text(LEFT + sum(widths[:at]), y, head, size=8.0, colour=SOFT)
    y += 4.8
    for row in rows:
        page.line((LEFT, y), (RIGHT, y), colour=LINE)
        for at, cell in enumerate(row):
            fitting = wrapped(cell, widths[at] - 1.0, size=9.0)[0] if cell else ""
            page.text(LEFT + sum(widths[:at]), y + 1.3, fitting, size=9.0, colour=INK)
        y += 6.2
    page.line((LEFT, y), (RIGHT, y), colour=LINE)
    return y + 2.0
