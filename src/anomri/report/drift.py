"""Robust z of scans in their order, beside the thresholds: does a scanner, or whoever is scanned, change?

No header of a scan is asked when it was made: a date of birth or of an examination is part of a person's identity.
The order is that of the days on which scans were judged, which a run notes, and within a day that of their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from anomri.calibration.tail import centre_spread
from anomri.core.result import Thresholds
from anomri.report.charts import round_numbers

__all__ = ["Drift", "Point", "Step", "Stretch", "drift", "running_median"]

_FEWEST_FOR_A_LINE = 10
_CLOSEST_TICKS = 0.2
T = TypeVar("T")
# The band holds the middle 90 % of the normals.
_BAND = (5.0, 95.0)


@dataclass(frozen=True, slots=True)
class Step:
    """One judged scan: its number on the page, robust z, day of judging, and what it was judged against."""

    index: int
    robust_z: float
    day: str
    normals: tuple[float, ...]
    limits: Thresholds | None


@dataclass(frozen=True, slots=True)
class Point:
    """Scan `index` at (`x`, `y`), each 0–1 from the bottom left; a scan beyond the axis lies at its edge."""

    index: int
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """Scans in a row that share their thresholds, from `left` to `right`: heights 0–1; None where not known."""

    left: float
    right: float
    low: float | None
    high: float | None
    warn: float | None
    fail: float | None


@dataclass(frozen=True, slots=True)
class Drift:
    """The chart.

    Parameters
    ----------
    points : in the order of time.
    stretches : thresholds and the band of the normals' middle 90 %.
    median : running median as (x, y); empty for fewer than 10 scans.
    window : how many scans each value of it joins.
    x_ticks : positions and days, or numbers of scans where no day is known.
    y_ticks : positions and robust z.
    beyond : scans above or below the axis.
    """

    points: tuple[Point, ...]
    stretches: tuple[Stretch, ...]
    median: tuple[tuple[float, float], ...]
    window: int
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, float], ...]
    beyond: int


def drift(steps: Sequence[Step]) -> Drift | None:
    """The chart of scans in the order given; None for fewer than two.

    The axis shows at least ±3 and all thresholds, and scans out to twice that; one further out lies at the edge.
    """
    if len(steps) < 2:
        return None
    z = np.array([step.robust_z for step in steps], dtype=np.float64)
    levels = [_levels(step) for step in steps]
    known = [-3.0, 3.0, *(level for found in levels for level in found if level is not None)]
    low, high = max(float(min(*known, z.min())), 2.0 * min(known)), min(float(max(*known, z.max())), 2.0 * max(known))
    low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)

    def height(value: float) -> float:
        return round(float(np.clip((value - low) / (high - low), 0.0, 1.0)), 4)

    count = len(steps)
    x = [round((i + 0.5) / count, 5) for i in range(count)]
    window = min(51, max(7, count // 5)) | 1
    line = running_median(z, window) if count >= _FEWEST_FOR_A_LINE else np.empty(0)
    return Drift(
        points=tuple(Point(step.index, at, height(step.robust_z)) for step, at in zip(steps, x, strict=True)),
        stretches=tuple(
            Stretch(round(first / count, 5), round(end / count, 5), *(None if v is None else height(v) for v in found))
            for first, end, found in _stretches(levels)
        ),
        # In the middle of the scans it joins: an odd number.
        median=tuple((x[i + window // 2], height(float(value))) for i, value in enumerate(line)),
        window=window,
        x_ticks=_day_ticks([step.day for step in steps], x),
        y_ticks=tuple((height(tick), tick) for tick in round_numbers(low, high)),
        beyond=int(((z < low) | (z > high)).sum()),
    )


def running_median(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Median of each `window` values in a row: (n,) → (n − window + 1,); `window` is at most n."""
    joined: NDArray[np.float64] = np.median(sliding_window_view(values, window), axis=1)
    return joined


def _levels(step: Step) -> tuple[float | None, float | None, float | None, float | None]:
    """Low and high end of the normals' band, warn and fail, on the scale of robust z."""
    centre, width = centre_spread(step.normals) if step.normals else (0.0, None)
    if width is None:
        return None, None, None, None
    low, high = (float(v) for v in (np.percentile(step.normals, _BAND) - centre) / width)
    limits = step.limits
    if limits is None:
        return low, high, None, None
    return low, high, (limits.warn - centre) / width, (limits.fail - centre) / width


def _stretches(levels: Sequence[T]) -> Iterator[tuple[int, int, T]]:
    first = 0
    for found, group in groupby(levels):
        end = first + len(list(group))
        yield first, end, found
        first = end


def _day_ticks(days: Sequence[str], x: Sequence[float]) -> tuple[tuple[float, str], ...]:
    """The first scan of each day, as far as labels leave room; without days the first, the middle and the last scan."""
    if not any(days):
        return tuple((x[i], str(i + 1)) for i in sorted({0, (len(x) - 1) // 2, len(x) - 1}))
    ticks: list[tuple[float, str]] = []
    for first, _, day in _stretches(days):
        if day and (not ticks or x[first] - ticks[-1][0] >= _CLOSEST_TICKS):
            ticks.append((x[first], day))
    return tuple(ticks)
