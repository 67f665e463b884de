"""Scans laid out by their quality metrics: those that resemble one another lie together.

References
----------
Pearson, *On lines and planes of closest fit to systems of points in space*, Philosophical Magazine 2, 1901: principal
components. The metrics are standardised robustly and held to six spreads before, so that one ruined scan stands out
without turning the axes to itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomri.core.score import MAD_TO_SD
from anomri.report.drift import Point

__all__ = ["FRAME", "Axis", "QualityMap", "principal_axes", "quality_map"]

_FEWEST_SCANS, _FEWEST_METRICS = 5, 2
# A metric that fewer scans than this share have says little about them.
_MOSTLY = 0.8
_HELD_TO = 6.0
_NAMED = 2
# Width of the drawing ÷ its height.
FRAME = 1.4


@dataclass(frozen=True, slots=True)
class Axis:
    """A principal axis: its share of the variance, and the metrics it mostly is, with the side they grow to (±1)."""

    share: float
    metrics: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class QualityMap:
    """Places of the scans on the first two axes, 0–1 in a frame `FRAME` times as wide as high, both on one scale; and
    how many metrics went in.
    """

    points: tuple[Point, ...]
    axes: tuple[Axis, Axis]
    metrics: int


def quality_map(quality: Sequence[Mapping[str, float | None]]) -> QualityMap | None:
    """The map of the scans that have quality metrics; None where fewer than five do, or nothing varies.

    A metric that most scans have and some lack counts there as its median.

    Parameters
    ----------
    quality : of each scan, metrics by name.
    """
    measured = [index for index, values in enumerate(quality) if any(v is not None for v in values.values())]
    if len(measured) < _FEWEST_SCANS:
        return None
    names = sorted({name for index in measured for name in quality[index]})
    table = np.array([[_number(quality[index].get(name)) for name in names] for index in measured], dtype=np.float64)
    kept = np.isfinite(table).mean(axis=0) >= _MOSTLY
    names, table = [name for name, keep in zip(names, kept, strict=True) if keep], table[:, kept]
    standard, varies = _standardised(table)
    names = [name for name, vary in zip(names, varies, strict=True) if vary]
    if len(names) < _FEWEST_METRICS:
        return None
    places, shares, loadings = principal_axes(standard)
    frame = np.array([FRAME, 1.0])
    reach = float((np.ptp(places, axis=0) / frame).max())
    if reach <= 0:
        return None
    middle = (places.max(axis=0) + places.min(axis=0)) / 2.0
    at = np.round(0.5 + (places - middle) / (reach * frame), 4)
    first, second = (
        Axis(
            float(share),
            tuple((names[i], int(np.sign(axis[i]))) for i in np.argsort(-np.abs(axis), kind="stable")[:_NAMED]),
        )
        for share, axis in zip(shares, loadings, strict=True)
    )
    points = tuple(Point(index, float(x), float(y)) for index, (x, y) in zip(measured, at, strict=True))
    return QualityMap(points, (first, second), len(names))


def principal_axes(
    table: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The first two principal components.

    Parameters
    ----------
    table : (n, m) finite, n ≥ 2 scans by m ≥ 2 metrics.

    Returns
    -------
    places (n, 2), shares of the variance (2,), axes (2, m) of unit length. The sign, which the data leave open, is
    such that the entry of largest magnitude of each axis is positive.
    """
    centred = table - table.mean(axis=0)
    _, lengths, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2]
    largest = np.take_along_axis(axes, np.argmax(np.abs(axes), axis=1)[:, None], axis=1)
    axes = axes * np.where(largest < 0, -1.0, 1.0)
    variance = lengths**2
    total = float(variance.sum())
    return centred @ axes.T, variance[:2] / total if total > 0 else np.zeros(2), axes


def _standardised(table: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Columns in robust spreads from their median, gaps at the median; only those that vary."""
    if table.size == 0:
        return table, np.zeros(table.shape[1], dtype=np.bool_)
    centre = np.nanmedian(table, axis=0)
    off = np.where(np.isfinite(table), table - centre, 0.0)
    width = MAD_TO_SD * np.median(np.abs(off), axis=0)
    varies = width > 0
    return np.clip(off[:, varies] / width[varies], -_HELD_TO, _HELD_TO), varies


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
