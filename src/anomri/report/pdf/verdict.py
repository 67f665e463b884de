"""The verdict, its figures, and the score among the normals."""

from __future__ import annotations

from anomri.core.result import Result
from anomri.report import words
from anomri.report.charts import distribution
from anomri.report.pdf.layout import BAR, FAIL, GROUND, HUES, INK, LEFT, SOFT, WARN, WIDTH, first_upper, heading
from anomri.report.sheet import Sheet, wrapped
from anomri.report.text import number, percent

__all__ = ["among_normals", "facts", "verdict"]

_MOST_LINES = 8


def verdict(page: Sheet, y: float, result: Result) -> float:
    """The verdict in words with its reason, on a band in its colour; returns the y below it."""
    hue, inner = HUES[result.verdict], WIDTH - 16.0
    reason = wrapped(result.reason, inner, size=10.5)
    if len(reason) > _MOST_LINES:
        reason = [*reason[: _MOST_LINES - 1], "… (all of it stands in result.json)"]
    height = 26.0 + 5.4 * len(reason) + 4.6 * len(wrapped(words.next_step(result), inner, size=9.0))
    page.box(LEFT, y, WIDTH, height, colour=GROUND)
    page.box(LEFT, y, 2.2, height, colour=hue)
    x, y_text = LEFT + 9.0, y + 6.0
    page.text(x, y_text, words.VERDICTS[result.verdict].word.capitalize(), size=24.0, colour=hue, bold=True)
    y_text = page.paragraph(x, y_text + 11.5, inner, first_upper(words.meaning(result)) + ".", size=10.5, colour=hue)
    y_text += 1.0
    for line in reason:
        y_text = page.paragraph(x, y_text, inner, line, size=10.5, colour=INK)
    page.paragraph(x, y_text + 1.0, inner, words.next_step(result), size=9.0, colour=SOFT)
    return y + height


def facts(page: Sheet, y: float, result: Result) -> float:
    """Score, p-value and what they stand on, side by side; returns the y below them."""
    interval = result.p_value_interval
    facts = [
        ("Score", result.score, "higher is more abnormal"),
        (
            "p-value",
            result.p_value,
            "" if interval is None else f"95 % interval {number(interval[0], 2)} to {number(interval[1], 2)}",
        ),
        ("Robust z", result.robust_z, "robust SD from the median normal"),
        (
            "Normals",
            result.n_normals if result.score is not None else None,
            f"the smallest possible p is 1/{result.n_normals + 1}",
        ),
    ]
    known = [(name, value, more) for name, value, more in facts if value is not None]
    if not known:
        return y - 6.0
    for at, (name, value, more) in enumerate(known):
        x = LEFT + at * WIDTH / 4.0
        page.text(x, y, name, size=8.0, colour=SOFT)
        page.text(x, y + 4.0, str(value) if isinstance(value, int) else number(value), size=14.0, colour=INK, bold=True)
        page.paragraph(x, y + 10.5, WIDTH / 4.0 - 4.0, more, size=7.5, colour=SOFT)
    return y + 17.5


def among_normals(page: Sheet, y: float, result: Result) -> float:
    """A histogram of the normals with the scan in it; returns the y below it."""
    marks = distribution(result)
    if marks is None or marks.score is None:
        return y - 6.0
    y = heading(page, y, "The score among the normals")
    left, width, height = LEFT, 112.0, 24.0
    floor = y + 4.0 + height
    for bar in marks.bars:
        x, tall = left + width * marks.at(bar.left), height * bar.count / marks.tallest
        page.box(x, floor - tall, width * (marks.at(bar.right) - marks.at(bar.left)), tall, colour=BAR)
    page.line((left, floor), (left + width, floor), colour=SOFT)
    for tick in marks.axis_ticks:
        x = left + width * marks.at(tick)
        page.line((x, floor), (x, floor + 1.0), colour=SOFT)
        page.text(x, floor + 1.6, _tick(tick), size=7.5, colour=SOFT, align="center")
    for limit, colour, style in ((marks.warn, WARN, ":"), (marks.fail, FAIL, "--")):
        if limit is not None:
            x = left + width * marks.at(limit)
            page.line((x, floor), (x, floor - height - 1.0), colour=colour, width=1.1, style=style)
    x = left + width * marks.at(marks.score)
    page.line((x, floor), (x, floor - height - 1.0), colour=INK, width=1.8)
    label = "this scan, off the axis" if marks.beyond else "this scan"
    page.text(
        x, floor - height - 5.0, label, size=8.0, colour=INK, align="right" if marks.at(marks.score) > 0.5 else "left"
    )
    _key_to_normals(page, y + 2.0, result)
    return floor + 6.0


def _tick(value: float) -> str:
    return number(value) if value % 1 else f"{value:.0f}".replace("-", "−")


def _key_to_normals(page: Sheet, y: float, result: Result) -> None:
    x, width, limits = LEFT + 122.0, WIDTH - 122.0, result.thresholds
    normals = f"Bars: {len(result.reference_scores)} normal scans, each scored by a model that had not seen it."
    y = page.paragraph(x, y, width, normals, size=8.0, colour=SOFT) + 1.5
    if limits is None:
        return
    for name, limit, rate, colour, style in (
        ("warn", limits.warn, limits.warn_rate, WARN, ":"),
        ("fail", limits.fail, limits.fail_rate, FAIL, "--"),
    ):
        page.line((x, y + 1.6), (x + 6.0, y + 1.6), colour=colour, width=1.1, style=style)
        text = f"{name} above {number(limit)}: {percent(rate)} of normals"
        y = page.paragraph(x + 8.0, y, width - 8.0, text, size=8.0, colour=SOFT) + 1.0
