"""Why: the branches of the model, image quality, what limits the verdict; and which model and scan it is about."""

from __future__ import annotations

from anomri.core.result import Driver, MetricDeviation, Result, Verdict
from anomri.report import words
from anomri.report.charts import branch_marks, metric_range
from anomri.report.pdf.layout import (
    BAR,
    BOTTOM,
    FAIL,
    GROUND,
    HUES,
    INK,
    LEFT,
    LINE,
    RIGHT,
    SOFT,
    WARN,
    WIDTH,
    first_upper,
    heading,
)
from anomri.report.sheet import Sheet, wrapped
from anomri.report.text import number, percent

__all__ = ["branches", "limits", "model", "quality"]

_MOST_METRICS = 6


def branches(page: Sheet, y: float, result: Result) -> float:
    """The branches of the model beside the thresholds; returns the y below them."""
    drivers = words.branches(result)
    if not drivers:
        return y
    y = heading(page, y, "What the score rests on")
    for x, head in ((LEFT, "looks at"), (65.0, "branch"), (95.0, "standardised"), (120.0, "beside warn and fail")):
        page.text(x, y, head, size=8.0, colour=SOFT)
    page.text(RIGHT, y, "share", size=8.0, colour=SOFT, align="right")
    y += 5.0
    for driver, mark in zip(drivers, branch_marks(drivers, result.thresholds), strict=True):
        page.line((LEFT, y), (RIGHT, y), colour=LINE)
        _branch(page, y + 1.6, driver)
        if mark is not None:
            x, width, middle = 120.0, 48.0, y + 3.4
            page.line((x, middle), (x + width, middle), colour=LINE, width=2.0)
            for limit, colour in ((mark.warn, WARN), (mark.fail, FAIL)):
                page.line(
                    (x + width * limit, middle - 2.0), (x + width * limit, middle + 2.0), colour=colour, width=1.1
                )
            page.dot(x + width * mark.value, middle, colour=HUES[_verdict_of(mark.reaches)])
        y += 7.0
    page.line((LEFT, y), (RIGHT, y), colour=LINE)
    return page.paragraph(LEFT, y + 2.0, WIDTH, words.how_the_score_arises(result), size=8.0, colour=SOFT) + 7.0


def _branch(page: Sheet, y: float, driver: Driver) -> None:
    page.text(LEFT, y, words.LOOKS_AT[driver.kind], size=9.0, colour=INK)
    page.text(65.0, y, driver.branch, size=9.0, colour=INK)
    page.text(95.0, y, number(driver.standardised), size=9.0, colour=INK, bold=True)
    page.text(RIGHT, y, percent(driver.share), size=9.0, colour=INK, align="right")


def _verdict_of(reaches: str) -> Verdict:
    return "fail" if reaches == "fail" else "warn" if reaches == "warn" else "pass"


def quality(page: Sheet, y: float, result: Result) -> float:
    """The quality metrics that deviate most, those outside the normals' range first; returns the y below them."""
    metrics = [metric for driver in result.drivers for metric in driver.metrics]
    if not metrics:
        return y
    y = heading(page, y, "Image quality beside the normals")
    outside = [m for m in metrics if metric_range(m).outside]
    told = "Grey: the range of the normals." if outside else "Grey: the range of the normals. Nothing lies outside it."
    y = page.paragraph(LEFT, y, WIDTH, told, size=8.0, colour=SOFT) + 1.0
    # What lies outside comes first, whatever deviates more within a wide range.
    ordered = sorted(metrics, key=lambda m: (not metric_range(m).outside, -abs(m.deviation), m.name))
    for metric in ordered[:_MOST_METRICS]:
        y = _metric(page, y, metric)
    page.line((LEFT, y), (RIGHT, y), colour=LINE)
    return y + 7.0


def _metric(page: Sheet, y: float, metric: MetricDeviation) -> float:
    page.line((LEFT, y), (RIGHT, y), colour=LINE)
    at = metric_range(metric)
    colour = FAIL if at.outside else INK
    title = wrapped(words.metric_title(metric.name), 62.0, size=9.0)[0]
    page.text(LEFT, y + 1.6, title, size=9.0, colour=INK)
    page.text(98.0, y + 1.6, number(metric.value), size=9.0, colour=colour, bold=True, align="right")
    x, width = 103.0, 34.0
    page.box(x, y + 2.9, width, 1.0, colour=GROUND)
    page.box(x + width * at.low, y + 2.4, width * (at.high - at.low), 2.0, colour=BAR)
    page.dot(x + width * at.value, y + 3.4, colour=colour)
    means = f"usually means {metric.usually_means}" if at.outside else "as in the normals"
    end = page.paragraph(142.0, y + 1.6, RIGHT - 142.0, means, size=8.0, colour=SOFT)
    page.text(
        LEFT, y + 5.8, f"normal {number(metric.normal_low)} to {number(metric.normal_high)}", size=7.5, colour=SOFT
    )
    return max(end, y + 9.5) + 1.5


def limits(page: Sheet, y: float, result: Result) -> float:
    """What limits the verdict, in sentences; returns the y below them."""
    notes = list(result.notes)
    if result.approximate:
        notes.insert(0, "The thresholds are approximate: no rate is promised.")
    if result.in_training:
        notes.insert(0, "The model learnt from this scan.")
    if not notes:
        return y
    y = heading(page, y, "What limits the verdict")
    for at, note in enumerate(notes):
        if y > BOTTOM - 60.0:
            told = f"{len(notes) - at} more stand in result.json."
            y = page.paragraph(LEFT, y, WIDTH, told, size=8.0, colour=SOFT)
            break
        start = y
        y = page.paragraph(LEFT + 4.0, y, WIDTH - 4.0, first_upper(note), size=9.0, colour=INK)
        page.box(LEFT, start, 0.8, y - start - 0.8, colour=WARN)
        y += 1.5
    return y + 5.5


def model(page: Sheet, y: float, result: Result) -> float:
    """Which model judged, which scan, and by which software; returns the y below it."""
    y = heading(page, y, "Model and scan")
    model, scan = result.model, result.input
    facts = [("Model", f"{model.name} {model.version}"), ("Learnt from", model.cohort), ("Measured", model.validation)]
    facts += [("Licence", model.licence), ("Model's SHA-256", model.sha256)]
    grid = [scan.format]
    grid += [] if scan.shape is None else [" × ".join(map(str, scan.shape)) + " voxels"]
    grid += [] if scan.spacing_mm is None else [" × ".join(number(v) for v in scan.spacing_mm) + " mm"]
    grid += [] if scan.orientation is None else [scan.orientation]
    facts += [("Scan", ", ".join(grid)), ("Scan's SHA-256", scan.sha256)]
    facts += [
        (
            "Software",
            ", ".join(f"{name} {text}" for name, text in sorted(result.versions.items()) if name != "settings"),
        )
    ]
    for name, text in facts:
        if text and y < BOTTOM - 8.0:
            page.text(LEFT, y, name, size=8.0, colour=SOFT)
            y = page.paragraph(LEFT + 34.0, y, WIDTH - 34.0, text, size=8.5, colour=INK) + 1.4
    return y
