"""The scores of many scans beside those of the normals of their model: two histograms, back to back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anomri.core.result import Thresholds, Verdict
from anomri.report.charts import round_numbers

__all__ = ["Spread", "SpreadBar", "spread"]

# Scores further out than this many widths of the normals are drawn at the edge: an axis common with them would press
# all normals into one bar.
_REACH = 1.5
_FEWEST_BARS, _MOST_BARS = 10, 40
_STACK: tuple[Verdict, ...] = ("pass", "warn", "fail")


@dataclass(frozen=True, slots=True)
class SpreadBar:
    """One bin: ends as positions 0–1, share of the normals in it, and of the scans by verdict, each a share of all."""

    left: float
    right: float
    normals: float
    scans: tuple[tuple[Verdict, float], ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """The chart.

    Parameters
    ----------
    bars : both histograms on the same bins, in shares, so that 60 normals compare with 5,000 scans.
    tallest_normals, tallest_scans : largest share of one bin on either side.
    axis_ticks : positions 0–1 and round scores.
    warn, fail : thresholds as positions 0–1; None without.
    below, above : scans further out than the axis, counted in the bins at its ends.
    normals, scans : how many there are.
    """

    bars: tuple[SpreadBar, ...]
    tallest_normals: float
    tallest_scans: float
    axis_ticks: tuple[tuple[float, float], ...]
    warn: float | None
    fail: float | None
    below: int
    above: int
    normals: int
    scans: int


def spread(
    normals: Sequence[float], limits: Thresholds | None, scores: Sequence[tuple[float, Verdict]]
) -> Spread | None:
    """Both histograms; None where there are no normals or no scores.

    Parameters
    ----------
    normals : scores of the normals.
    scores : of the scans, with their verdicts.
    """
    if not normals or not scores:
        return None
    own, theirs = np.array(normals, dtype=np.float64), np.array([score for score, _ in scores], dtype=np.float64)
    known = [*own, *([limits.warn, limits.fail] if limits is not None else [])]
    low, high = float(min(known)), float(max(known))
    width = high - low if high > low else max(abs(high), 1.0)
    floor, ceiling = low - _REACH * width, high + _REACH * width
    low = min(low, max(float(theirs.min()), floor)) - 0.02 * width
    high = max(high, min(float(theirs.max()), ceiling)) + 0.02 * width
    edges = np.linspace(low, high, _bars(own, high - low) + 1)
    verdicts = np.array([verdict for _, verdict in scores])
    inside = np.clip(theirs, low, high)
    of_normals = np.histogram(own, bins=edges)[0] / own.size
    of_scans = {name: np.histogram(inside[verdicts == name], bins=edges)[0] / theirs.size for name in _STACK}

    def at(score: float) -> float:
        return round((score - low) / (high - low), 4)

    bars = tuple(
        SpreadBar(
            at(float(edges[i])),
            at(float(edges[i + 1])),
            float(of_normals[i]),
            tuple((name, float(shares[i])) for name, shares in of_scans.items() if shares[i] > 0),
        )
        for i in range(len(edges) - 1)
    )
    return Spread(
        bars=bars,
        tallest_normals=float(of_normals.max()),
        tallest_scans=float(np.sum(list(of_scans.values()), axis=0).max()),
        axis_ticks=tuple((at(tick), tick) for tick in round_numbers(low, high)),
        warn=None if limits is None else at(limits.warn),
        fail=None if limits is None else at(limits.fail),
        below=int((theirs < low).sum()),
        above=int((theirs > high).sum()),
        normals=int(own.size),
        scans=int(theirs.size),
    )


def _bars(normals: np.ndarray, axis: float) -> int:
    # Freedman and Diaconis (1981) for the normals, carried on over the whole axis, held to a readable number.
    lower, upper = np.percentile(normals, [25.0, 75.0])
    width = 2.0 * float(upper - lower) / normals.size ** (1.0 / 3.0)
    return int(np.clip(np.ceil(axis / width), _FEWEST_BARS, _MOST_BARS)) if width > 0 else _FEWEST_BARS
