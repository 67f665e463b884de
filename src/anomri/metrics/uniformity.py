"""Whether p-values of normal scans are what they claim to be: uniform, or at least never too small too often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anomri.errors import InputError
from anomri.metrics.detection import Rate, rate_of

__all__ = ["Uniformity", "family_wise_rate", "share_below", "uniformity", "voxel_share_below"]

PValues = Sequence[float] | NDArray[np.floating]


class Uniformity(NamedTuple):
    """Largest distance of the distribution of p-values from the uniform one.

    `ks` in either direction; `excess` only where more p-values are small than should be, which is false alarms.
    """

    ks: float
    excess: float


def uniformity(p_values: PValues) -> Uniformity:
    """Kolmogorov–Smirnov distance of p-values of normal scans from the uniform distribution.

    Parameters
    ----------
    p_values : (n,) of test normals; of one site, where sites are compared. Conformal p-values of m calibration normals
        are multiples of 1 / (m + 1), so that `ks` is at least half of that even where all is well.

    Returns
    -------
    `Uniformity`, 0 is perfect; `nan` without a p-value.

    Raises
    ------
    InputError : a p-value is not in [0, 1].
    """
    ordered = np.sort(_checked(p_values))
    n = ordered.size
    if n == 0:
        return Uniformity(float("nan"), float("nan"))
    above = float((np.arange(1, n + 1) / n - ordered).max())
    below = float((ordered - np.arange(n) / n).max())
    return Uniformity(max(above, below), max(above, 0.0))


def share_below(p_values: PValues, rate: float, *, calibration: int) -> Rate:
    """Share of p-values at or below a rate, with its exact interval.

    Parameters
    ----------
    p_values : (n,) of test normals, one a subject.
    rate : nominal, in (0, 1).
    calibration : number of calibration normals behind the p-values.

    Returns
    -------
    `Rate`; `nan` without a p-value, and where the rate is below 1 / (calibration + 1), which no p-value can reach.

    Raises
    ------
    InputError : a p-value is not in [0, 1].
    """
    values = _checked(p_values)
    if rate < 1.0 / (calibration + 1):
        return Rate(float("nan"), float("nan"), float("nan"), 0, values.size)
    return rate_of(int(np.count_nonzero(values <= rate)), values.size)


def voxel_share_below(p_maps: Sequence[NDArray[np.floating]], rate: float) -> float:
    """Mean over normal scans of the share of examined voxels with p at or below a rate; honest maps give that rate.

    Parameters
    ----------
    p_maps : p-value maps, `nan` where nothing was examined.

    Returns
    -------
    In [0, 1]; `nan` where nothing was examined in any scan.
    """
    shares = [float((own <= rate).mean()) for p in p_maps if (own := p[~np.isnan(p)]).size]
    return float(np.mean(shares)) if shares else float("nan")


def family_wise_rate(p_maps: Sequence[NDArray[np.floating]], rate: float) -> Rate:
    """Share of normal scans with any voxel at or below a rate, with its exact interval; `nan` without a scan."""
    return rate_of(sum(bool((p <= rate).any()) for p in p_maps), len(p_maps))


def _checked(p_values: PValues) -> NDArray[np.float64]:
    values = np.asarray(p_values, dtype=np.float64).ravel()
    if not ((values >= 0) & (values <= 1)).all():
        raise InputError("a p-value outside 0 to 1", remedy="Give p-values, one a scan.", code="p_value")
    return values
