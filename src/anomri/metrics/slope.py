"""The subject's own threshold: where the largest errors of a map begin to rise steeply.

τ(t) is the value that all but 1 − t/n of the examined voxels stay below. In normal tissue it rises slowly, in an
anomaly steeply; the first t whose slope exceeds γ is taken.

References
----------
Liang et al., Medical Image Analysis 107, 103763, 2026 (arXiv 2504.04911) and its published code. Departures, each for a
defect: the fit is bounded and any failure of it falls back; R² is taken over the fitted points; where the slope never
exceeds γ there is no threshold (the code takes the first step, and so gives the calmest scan the largest mask).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

__all__ = ["Found", "SlopePath", "SlopeRule", "map_curve", "normal_slope", "pick_threshold", "slope_threshold"]

Curve = NDArray[np.float64]
SlopePath = Literal["fit", "differences: poor fit", "differences: too few points", "differences: no convergence"]

_SMOOTHING = 5
_LEAST_POINTS = 5


@dataclass(frozen=True, slots=True)
class SlopeRule:
    """When the slope of τ(t) counts as abnormal.

    Parameters
    ----------
    gamma : the slope, in units of τ per step; from normals, see `normal_slope`.
    limit : τ from whose first exceedance on points are not fitted; 10 in the published code, for squared errors of
        standardised intensities.
    least_r2 : a worse fit falls back to smoothed differences.
    """

    gamma: float
    limit: float = float("inf")
    least_r2: float = 0.85


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """What the rule made of a curve.

    Parameters
    ----------
    step : t*, counted from 1; None where the slope never exceeds γ.
    threshold : the measured τ(t*), not the fitted one; None likewise.
    slope : (n,) of τ, per step.
    path : whether the fit or the smoothed differences gave the slope, and why.
    a, b, r2 : of the fit a · tan(b t); `nan` without one.
    """

    step: int | None
    threshold: float | None
    slope: Curve
    path: SlopePath
    a: float
    b: float
    r2: float


def pick_threshold(taus: Curve, rule: SlopeRule) -> Found:
    """The threshold of one curve τ(1 … n).

    Parameters
    ----------
    taus : (n,) ascending, 0 or more.

    Returns
    -------
    `Found`; the slope is a b / cos²(b t) of the fit, or else τ(t) − τ(t − 1) with τ(0) = 0, averaged over five steps.
    """
    a, b, r2, path = _fitted(taus, rule)
    t = np.arange(1, taus.size + 1, dtype=np.float64)
    slope = a * b / np.cos(b * t) ** 2 if path == "fit" else _differences(taus)
    above = np.flatnonzero(slope > rule.gamma)
    if above.size == 0:
        return Found(None, None, slope, path, a, b, r2)
    step = int(above[0]) + 1
    return Found(step, float(taus[step - 1]), slope, path, a, b, r2)


def normal_slope(curves: Sequence[Curve], rule: SlopeRule, *, share: float = 0.02, quantile: float = 0.9) -> float:
    """γ: the slope that `quantile` of the normals' curves do not exceed before all but `share` of them is passed.

    Parameters
    ----------
    curves : of normals that have trained nothing, at least one; all of one length.
    rule : its γ is not used.
    """
    steepest = []
    for taus in curves:
        slope = pick_threshold(taus, rule).slope
        steepest.append(float(slope[: max(1, round(slope.size * (1.0 - share)))].max()))
    return float(np.quantile(steepest, quantile))


def map_curve(values: NDArray[np.floating], *, steps: int = 100) -> Curve:
    """τ(1 … n) of a finished map of any method: its quantiles t/n, counted from its smallest value.

    Parameters
    ----------
    values : map, `nan` where nothing was examined; at least one voxel was.
    """
    own = np.sort(values[~np.isnan(values)].astype(np.float64))
    ranks = np.maximum(own.size * np.arange(1, steps + 1) // steps, 1)
    curve: Curve = own[ranks - 1] - own[0]
    return curve


def slope_threshold(values: NDArray[np.floating], rule: SlopeRule) -> float:
    """The subject's own threshold of a finished map of any method.

    Parameters
    ----------
    values : map, `nan` where nothing was examined.
    rule : γ per hundredth of the examined voxels, in units of the map: `normal_slope` of the `map_curve` of normals.

    Returns
    -------
    +inf where the slope never exceeds γ; `nan` where nothing was examined.
    """
    own = values[~np.isnan(values)]
    if own.size == 0:
        return float("nan")
    threshold = pick_threshold(map_curve(own), rule).threshold
    return float("inf") if threshold is None else threshold + float(own.min())


def _fitted(taus: Curve, rule: SlopeRule) -> tuple[float, float, float, SlopePath]:
    nan = float("nan")
    beyond = np.flatnonzero(taus > rule.limit)
    count = int(beyond[0]) if beyond.size else taus.size
    if count < _LEAST_POINTS:
        return nan, nan, nan, "differences: too few points"
    t, y = np.arange(1, count + 1, dtype=np.float64), taus[:count]
    # The pole of the tangent lies beyond the last step.
    highest = np.pi / (2.0 * taus.size) * (1.0 - 1e-6)
    scale = float(y[-1]) if y[-1] > 0 else 1.0
    try:
        (a, b), _ = optimize.curve_fit(
            lambda x, a, b: a * np.tan(b * x),
            t,
            y / scale,
            p0=(1.0, 0.6 * highest),
            bounds=([0.0, 0.0], [np.inf, highest]),
        )
    except (RuntimeError, ValueError):
        return nan, nan, nan, "differences: no convergence"
    a *= scale
    rest = float(((y - a * np.tan(b * t)) ** 2).sum())
    spread = float(((y - y.mean()) ** 2).sum())
    r2 = 1.0 - rest / spread if spread > 0 else nan
    path: SlopePath = "fit" if r2 >= rule.least_r2 else "differences: poor fit"
    return float(a), float(b), r2, path


def _differences(taus: Curve) -> Curve:
    """τ(t) − τ(t − 1), the first τ(1), as a centred mean of five; the window is cut at the ends."""
    raw = np.diff(taus, prepend=0.0)
    half = _SMOOTHING // 2
    return np.array([raw[max(0, i - half) : i + half + 1].mean() for i in range(raw.size)])
