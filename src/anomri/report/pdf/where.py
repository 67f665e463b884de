"""The images and the findings in them."""

from __future__ import annotations

import numpy as np

from anomri.core.outcome import Outcome
from anomri.core.result import Finding
from anomri.report import words
from anomri.report.colours import colour_table
from anomri.report.display import HeatRange, Views, glance_of, heat_range
from anomri.report.findings import FindingView, finding_views
from anomri.report.pdf.layout import BOTTOM, INK, LEFT, LINE, RIGHT, SOFT, WIDTH, heading
from anomri.report.planes import blend, planes_of, slice_at, strongest
from anomri.report.sheet import Sheet
from anomri.report.text import number

__all__ = ["findings", "images"]


_PICTURE = 21.0


def images(page: Sheet, y: float, outcome: Outcome, views: Views | None) -> float:
    """Three planes with the heatmap, or what there is to show; returns the y below them."""
    y = heading(page, y, "Where")
    if views is None and outcome.scan is None:
        return page.paragraph(LEFT, y, WIDTH, "There is no image to show.", size=9.0, colour=SOFT)
    panel = 62.0
    page.box(LEFT, y, WIDTH, panel, colour="#000000")
    if views is None:
        _glance(page, y, panel, outcome)
        text = "Three axial slices, the patient's right on the left; there is no brain mask for this scan."
        return page.paragraph(LEFT, y + panel + 2.0, WIDTH, text, size=8.0, colour=SOFT)
    heat = _heat_of(outcome)
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


def findings(page: Sheet, y: float, outcome: Outcome, views: Views | None) -> float:
    """What each finding is like, beside what was expected there; as many as fit. Returns the y below them."""
    top, y = y, heading(page, y, "Findings")
    result, heat = outcome.result, _heat_of(outcome)
    level = None if result.thresholds is None else result.thresholds.finding_level
    if not result.findings:
        if level is None:
            text = "This result has no level for findings, and so no finding."
        else:
            text = f"No place of 50 mm³ exceeds {number(level)}, the level that a normal scan hardly exceeds anywhere."
        return page.paragraph(LEFT, y, WIDTH, text, size=9.0, colour=INK)
    seen = () if views is None or heat is None else finding_views(outcome, views, heat)
    if seen and _fits(y):
        told = "Pictures: this scan, what was expected with the finding's outline, the heatmap"
        page.text(RIGHT, top + 1.0, told, size=8.0, colour=SOFT, align="right")
    for at, finding in enumerate(result.findings):
        pictured = at < len(seen) and _fits(y)
        if not pictured and y + 14.0 > BOTTOM:
            more = len(result.findings) - at
            text = f"{more} more {'stands' if more == 1 else 'stand'} in result.json."
            return page.paragraph(LEFT, y, WIDTH, text, size=8.0, colour=SOFT)
        page.line((LEFT, y), (RIGHT, y), colour=LINE)
        left = LEFT + _pictures(page, y + 1.5, seen[at]) if pictured else LEFT
        end = _told(page, left, y + 1.6, at + 1, finding)
        y = max(end, y + _PICTURE + 3.0) if pictured else end
    page.line((LEFT, y), (RIGHT, y), colour=LINE)
    return y + 2.0


def _fits(y: float) -> bool:
    return y + _PICTURE + 3.0 <= BOTTOM


def _heat_of(outcome: Outcome) -> HeatRange | None:
    limits = outcome.result.thresholds
    level = None if limits is None else limits.finding_level
    return None if outcome.heatmap is None else heat_range(outcome.heatmap, level)


def _pictures(page: Sheet, y: float, view: FindingView) -> float:
    """The scan, what was expected and the heatmap side by side; returns the width they take with a gap."""
    x = LEFT
    for pixels in (view.scan, view.expected, view.map):
        if pixels is not None:
            rows, columns = pixels.shape[:2]
            width, height = _PICTURE * columns / max(rows, columns), _PICTURE * rows / max(rows, columns)
            page.box(x, y, _PICTURE, _PICTURE, colour="#000000")
            page.picture(x + (_PICTURE - width) / 2.0, y + (_PICTURE - height) / 2.0, width, height, pixels)
            x += _PICTURE + 1.0
    return x - LEFT + 4.0


def _told(page: Sheet, left: float, y: float, at: int, finding: Finding) -> float:
    width = RIGHT - left - 6.0
    page.text(left, y, str(at), size=9.0, colour=SOFT)
    y = page.paragraph(left + 6.0, y, width, f"{finding.sentence}.", size=9.0, colour=INK)
    sides = (("right", "left"), ("front", "back"), ("up", "down"))
    place = ", ".join(f"{abs(v):.0f} mm {pair[v < 0]}" for v, pair in zip(finding.centroid_mm, sides, strict=True))
    numbers = f"Centre {place} of the scan's origin; peak {number(finding.peak)}, mean {number(finding.mean)}."
    return page.paragraph(left + 6.0, y + 0.4, width, numbers, size=7.5, colour=SOFT) + 1.2
