"""How a mask shrinks to what is abnormal: pure functions of error maps and threshold curves.

    phase A   t = 1 … n: hide the mask, reconstruct, keep the (1 − t/n) share of the brain with the largest error
    rule      τ(t) rises slowly while normal voxels leave and steeply once the abnormal are all that is left: t* is
    where
              its slope first exceeds γ
    phase B   from the whole brain again at the fixed threshold τ(t*), until the mask shrinks by less than a hundredth

References
----------
Liang et al., Medical Image Analysis 107, 103763, 2026 (arXiv 2504.04911) and its published code. Departures, each for a
defect: the fit is bounded and any failure falls back; R² is taken over the fitted points; a scan whose slope never
exceeds γ gets an empty mask (the code takes the first step, and so gives the calmest scan the largest mask); phase B
ends.

Shapes: V voxels of the brain, in the order of the mask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

__all__ = ["Rule", "Shrinking", "keep_largest", "pick_threshold", "refine", "shrink", "shrink_fast"]

Errors = NDArray[np.float32]
Mask = NDArray[np.bool_]
# (V,) hidden voxels, number of the pass → (V,) squared errors
Reconstruct = Callable[[Mask, int], Errors]

Path = Literal[
    "fit",
    "differences: poor fit",
    "differences: too few points",
    "differences: no convergence",
    "differences: fast",
]

_SMOOTHING = 5
_LEAST_POINTS = 5


@dataclass(frozen=True, slots=True)
class Rule:
    """When the slope of τ(t) counts as abnormal.

    Parameters
    ----------
    gamma : the slope, in squared intensity per hundredth of the brain; from held-out normals.
    limit : τ beyond which points are not fitted.
    least_r2 : a worse fit falls back to smoothed differences.
    """

    gamma: float
    limit: float = 10.0
    least_r2: float = 0.85


@dataclass(frozen=True, eq=False, slots=True)
class Shrinking:
    """What the rule made of a curve.

    Parameters
    ----------
    step : t*, counted from 1; None where the slope never exceeds γ.
    threshold : measured τ(t*); None likewise.
    slope : (n,) of τ, per step.
    path : whether the fit or the smoothed differences gave the slope, and why.
    a, b : of the fit a · tan(b t); `nan` without one.
    """

    step: int | None
    threshold: float | None
    slope: NDArray[np.float64]
    path: Path
    a: float
    b: float
    r2: float


def keep_largest(errors: Errors, share: float) -> tuple[float, Mask]:
    """The threshold above which `share` of the brain's errors lie, and the voxels above it.

    Returns
    -------
    τ, the r-th smallest error with r = ⌊V · (1 − share)⌋ (the largest where share is 0), and errors > τ.
    """
    rank = int(np.floor(errors.size * (1.0 - share) + 1e-9))
    rank = min(max(rank, 1), errors.size)
    tau = float(np.partition(errors, rank - 1)[rank - 1])
    return tau, errors > tau


def shrink(
    reconstruct: Reconstruct, voxels: int, *, steps: int, until: Callable[[NDArray[np.float64]], bool] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Phase A.

    Parameters
    ----------
    voxels : V.
    steps : n; each hides 1/n less of the brain.
    until : told τ(1 … t) after each step; True ends the phase early.

    Returns
    -------
    τ(1 … t) and the mean error of each pass.
    """
    mask = np.ones(voxels, dtype=bool)
    taus: list[float] = []
    means: list[float] = []
    for t in range(1, steps + 1):
        errors = reconstruct(mask, t)
        tau, mask = keep_largest(errors, 1.0 - t / steps)
        taus.append(tau)
        means.append(float(errors.mean(dtype=np.float64)))
        if until is not None and until(np.array(taus)):
            break
    return np.array(taus), np.array(means)


def pick_threshold(taus: NDArray[np.float64], rule: Rule) -> Shrinking:
    """The subject's own threshold from its curve τ(1 … n).

    The curve may come from any method's heatmap: sorted values of a map are the curve of a method whose errors do
    not hang on the mask.
    """
    a, b, r2, path = _fitted(taus, rule)
    t = np.arange(1, taus.size + 1, dtype=np.float64)
    slope = _differences(taus) if path != "fit" else a * b / np.cos(b * t) ** 2
    above = np.flatnonzero(slope > rule.gamma)
    if above.size == 0:
        return Shrinking(None, None, slope, path, a, b, r2)
    step = int(above[0]) + 1
    return Shrinking(step, float(taus[step - 1]), slope, path, a, b, r2)


def refine(
    reconstruct: Reconstruct, voxels: int, threshold: float, *, most: int = 50, least_shrink: float = 0.01
) -> tuple[list[Mask], Errors, bool]:
    """Phase B.

    Returns
    -------
    The masks after each pass (the last one is the segmentation), the errors of the last pass, and whether the mask grew
    in any pass (a voxel once visible may be hidden again: the error is taken over the whole brain).
    """
    mask = np.ones(voxels, dtype=bool)
    masks: list[Mask] = []
    grew = False
    errors = np.zeros(voxels, dtype=np.float32)
    for number in range(1, most + 1):
        before = int(mask.sum())
        if before == 0:
            break
        errors = reconstruct(mask, number)
        mask = errors > threshold
        masks.append(mask)
        after = int(mask.sum())
        grew = grew or after > before
        if (before - after) / before < least_shrink:
            break
    return masks, errors, grew


def _fitted(taus: NDArray[np.float64], rule: Rule) -> tuple[float, float, float, Path]:
    nan = float("nan")
    beyond = np.flatnonzero(taus > rule.limit)
    count = int(beyond[0]) if beyond.size else taus.size
    if count < _LEAST_POINTS:
        return nan, nan, nan, "differences: too few points"
    t, y = np.arange(1, count + 1, dtype=np.float64), taus[:count]
    # The pole of the tangent lies beyond the last step.
    highest = np.pi / (2.0 * taus.size) * (1.0 - 1e-6)
    try:
        (a, b), _ = optimize.curve_fit(
            lambda x, a, b: a * np.tan(b * x),
            t,
            y,
            p0=(1.0, min(0.01, highest / 2)),
            bounds=([0.0, 0.0], [np.inf, highest]),
        )
    except (RuntimeError, ValueError):
        return nan, nan, nan, "differences: no convergence"
    rest = float(((y - a * np.tan(b * t)) ** 2).sum())
    spread = float(((y - y.mean()) ** 2).sum())
    r2 = 1.0 - rest / spread if spread > 0 else nan
    if not r2 >= rule.least_r2:
        return float(a), float(b), r2, "differences: poor fit"
    return float(a), float(b), r2, "fit"


def _differences(taus: NDArray[np.float64]) -> NDArray[np.float64]:
    """τ(t) − τ(t − 1), the first τ(1), as a centred mean of five; the window is cut at the ends."""
    raw = np.diff(taus, prepend=0.0)
    half = _SMOOTHING // 2
    return np.array([raw[max(0, i - half) : i + half + 1].mean() for i in range(raw.size)])


def shrink_fast(reconstruct: Reconstruct, voxels: int, rule: Rule, *, steps: int, stride: int = 5) -> Shrinking:
    """Phase A in fewer passes: by `stride` hundredths until the slope passes half of γ, then one by one.

    The slope is that of the measured τ, per step, smoothed over three; the phase ends once it has exceeded γ. The
    rule is the published fallback's, never the fit, so γ has to be measured along this path too.

    Returns
    -------
    `Shrinking` whose slope has a value for every step, the last one repeated beyond the end.
    """
    slope = np.zeros(steps)
    mask = np.ones(voxels, dtype=bool)
    at, tau = 0, 0.0
    raw: list[float] = []
    ahead = stride
    number = 0
    while at < steps:
        t = min(at + ahead, steps)
        number += 1
        errors = reconstruct(mask, number)
        next_tau, next_mask = keep_largest(errors, 1.0 - t / steps)
        rise = (next_tau - tau) / (t - at)
        if ahead > 1 and rise > rule.gamma / 2.0:
            # Too far: the same mask again, one step at a time from here on.
            ahead = 1
            next_tau, next_mask = keep_largest(errors, 1.0 - (at + 1) / steps)
            t, rise = at + 1, next_tau - tau
        raw.append(rise)
        smooth = float(np.mean(raw[-3:]))
        slope[at:t] = smooth
        at, tau, mask = t, next_tau, next_mask
        if smooth > rule.gamma:
            slope[at:] = smooth
            return Shrinking(at, tau, slope, "differences: fast", float("nan"), float("nan"), float("nan"))
    return Shrinking(None, None, slope, "differences: fast", float("nan"), float("nan"), float("nan"))
