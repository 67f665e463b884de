"""Where the marks of the page's small charts stand; the templates draw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anomri.core.result import Driver, MetricDeviation, Result, Thresholds
from anomri.report.display import DisplayGrid

__all__ = [
    "Bar",
    "BranchMark",
    "Distribution",
    "MetricRange",
    "SliceBar",
    "Sparkline",
    "branch_marks",
    "distribution",
    "metric_range",
    "round_numbers",
    "score_axis",
    "sparkline",
]

_MOST_TICKS = 400


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a histogram: from `left` to `right` on the score axis, `count` normals."""

    left: float
    right: float
    count: int


@dataclass(frozen=True, slots=True)
class Distribution:
    """The score beside the normals.

    Parameters
    ----------
    low, high : ends of the score axis.
    bars : histogram of the normals.
    ticks : single normals, at most 400 of them.
    axis_ticks : round numbers for the axis.
    score : of the scan, moved to the edge where it lies beyond; None without a score.
    beyond : 1 where the scan lies beyond the right edge, −1 beyond the left, else 0.
    warn, fail : the thresholds; None without.
    """

    low: float
    high: float
    bars: tuple[Bar, ...]
    ticks: tuple[float, ...]
    axis_ticks: tuple[float, ...]
    score: float | None
    beyond: int
    warn: float | None
    fail: float | None

    def at(self, value: float) -> float:
        """Position of a score on the axis, 0 (left) to 1 (right)."""
        return round((value - self.low) / (self.high - self.low), 5)

    @property
    def tallest(self) -> int:
        """Count of the tallest bar, at least 1."""
        return max((bar.count for bar in self.bars), default=1)


@dataclass(frozen=True, slots=True)
class SliceBar:
    """One axial slice: position 0–1 from feet to head, height 0–1, index on the input's axis, block of the viewer."""

    at: float
    height: float
    index: int
    score: float
    block: int | None


@dataclass(frozen=True, slots=True)
class Sparkline:
    """Largest heatmap value of each axial slice, feet to head; `level` is the finding level as a height, or None."""

    bars: tuple[SliceBar, ...]
    width: float
    level: float | None
    highest: float


@dataclass(frozen=True, slots=True)
class MetricRange:
    """A value beside its normal range, as positions 0–1; `outside` is ``low``, ``high`` or empty."""

    low: float
    high: float
    value: float
    outside: str


@dataclass(frozen=True, slots=True)
class BranchMark:
    """A branch's standardised score beside the thresholds, as positions 0–1 on the axis all branches share.

    Parameters
    ----------
    value, warn, fail : where they lie.
    reaches : the verdict that the branch would reach by itself: ``pass``, ``warn`` or ``fail``.
    """

    value: float
    warn: float
    fail: float
    reaches: str


def distribution(result: Result) -> Distribution | None:
    """The score axis of a result; None where there are no normals to compare with."""
    return score_axis(result.reference_scores, result.thresholds, result.score)


def score_axis(scores: Sequence[float], limits: Thresholds | None, score: float | None = None) -> Distribution | None:
    """A score axis with its normals; None where there are none.

    The axis spans normals and thresholds, and the scan where it lies within 1.5 times that span; a scan further out
    is drawn at the edge, because a common axis would press all normals into one bar.

    Parameters
    ----------
    scores : of the normals, sorted.
    score : of the scan that is compared with them; None for the normals alone.
    """
    normals = np.array(scores, dtype=np.float64)
    if normals.size == 0:
        return None
    known = [*normals, *([limits.warn, limits.fail] if limits is not None else [])]
    low, high = float(min(known)), float(max(known))
    span = high - low if high > low else max(abs(high), 1.0)
    beyond = 0
    if score is not None:
        if score > high + 1.5 * span:
            beyond, high = 1, high + 0.6 * span
        elif score < low - 1.5 * span:
            beyond, low = -1, low - 0.6 * span
        else:
            low, high = min(low, score), max(high, score)
    low, high = low - 0.04 * span, high + 0.04 * span
    if score is not None and beyond:
        score = high if beyond > 0 else low
    return Distribution(
        low=low,
        high=high,
        bars=_histogram(normals),
        ticks=tuple(float(v) for v in normals) if normals.size <= _MOST_TICKS else (),
        axis_ticks=round_numbers(low, high),
        score=score,
        beyond=beyond,
        warn=None if limits is None else limits.warn,
        fail=None if limits is None else limits.fail,
    )


def _histogram(normals: np.ndarray) -> tuple[Bar, ...]:
    low, high = float(normals.min()), float(normals.max())
    if high <= low:
        half = max(abs(low), 1.0) * 0.02
        return (Bar(low - half, low + half, int(normals.size)),)
    # Freedman and Diaconis (1981), held to a readable number of bars.
    lower, upper = np.percentile(normals, [25.0, 75.0])
    width = 2.0 * float(upper - lower) / normals.size ** (1.0 / 3.0)
    count = int(np.clip(np.ceil((high - low) / width), 8, 40)) if width > 0 else 8
    counts, edges = np.histogram(normals, bins=count)
    return tuple(Bar(float(a), float(b), int(n)) for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True))


def round_numbers(low: float, high: float) -> tuple[float, ...]:
    """A few round numbers from `low` to `high`, for an axis; `high` must be above `low`."""
    rough = (high - low) / 5.0
    power = 10.0 ** np.floor(np.log10(rough))
    step = float(power * next(m for m in (1.0, 2.0, 5.0, 10.0) if m * power >= rough))
    first = int(np.ceil(low / step))
    last = int(np.floor(high / step))
    return tuple(float(f"{k * step:.10g}") for k in range(first, last + 1))


def sparkline(result: Result, grid: DisplayGrid | None) -> Sparkline | None:
    """Slice scores from feet to head; None where there are none.

    Parameters
    ----------
    grid : of the viewer, to tell which block a slice is; None without a viewer.
    """
    if not result.slices:
        return None
    slices = sorted(result.slices, key=lambda s: s.index)
    axis, orientation = result.slice_axis, result.input.orientation
    if axis is not None and orientation is not None and orientation[axis : axis + 1] == "I":
        slices.reverse()
    level = None if result.thresholds is None else result.thresholds.finding_level
    highest = max(*(s.score for s in slices), 0.0 if level is None else level)
    lowest = min(0.0, *(s.score for s in slices))
    span = highest - lowest if highest > lowest else 1.0
    bars = tuple(
        SliceBar(
            at=round(i / len(slices), 5),
            height=round((s.score - lowest) / span, 4),
            index=s.index,
            score=s.score,
            block=None if grid is None or axis is None else grid.block_of_slice(axis, s.index),
        )
        for i, s in enumerate(slices)
    )
    height = None if level is None else round((level - lowest) / span, 4)
    return Sparkline(bars=bars, width=round(1.0 / len(slices), 5), level=height, highest=highest)


def branch_marks(drivers: Sequence[Driver], limits: Thresholds | None) -> tuple[BranchMark | None, ...]:
    """A mark a branch, because the largest of their values is what the thresholds judge; None where it is not known.

    The axis runs from 3 standard deviations below the normals' mean, or the lowest branch, to the highest branch, and
    at least a third beyond the threshold of a fail.
    """
    known = [d.standardised for d in drivers if d.standardised is not None]
    if limits is None or not known:
        return tuple(None for _ in drivers)
    low = min(-3.0, *known)
    high = max(limits.fail + (limits.fail - low) / 3.0, *known)
    low, high = low - 0.02 * (high - low), high + 0.02 * (high - low)

    def mark(value: float | None) -> BranchMark | None:
        if value is None:
            return None
        at, warn, fail = (round((v - low) / (high - low), 4) for v in (value, limits.warn, limits.fail))
        reaches = "fail" if value > limits.fail else "warn" if value > limits.warn else "pass"
        return BranchMark(at, warn, fail, reaches)

    return tuple(mark(driver.standardised) for driver in drivers)


def metric_range(metric: MetricDeviation) -> MetricRange:
    """Where a metric lies beside the range of the normals, which takes the middle 40 % of the drawing."""
    span = metric.normal_high - metric.normal_low
    relative = (
        (metric.value - metric.normal_low) / span if span > 0 else float(np.sign(metric.value - metric.normal_low))
    )
    outside = "low" if metric.value < metric.normal_low else "high" if metric.value > metric.normal_high else ""
    return MetricRange(
        low=0.3, high=0.7, value=round(float(np.clip(0.3 + 0.4 * relative, 0.03, 0.97)), 4), outside=outside
    )
