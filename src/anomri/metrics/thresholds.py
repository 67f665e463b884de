"""Thresholds of maps that no lesion has chosen: from normal scans, or from the scan's own map.

A voxel is predicted where its value lies strictly above the threshold. A threshold of +inf predicts nothing. A further
rule, with a constant that normals set, stands in `anomri.metrics.slope`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from anomri.core.score import robust_centre_spread
from anomri.errors import InputError

__all__ = [
    "otsu_threshold",
    "robust_z_threshold",
    "threshold_at_false_positive_ml",
    "thresholds_at_false_positive",
]

FloatMap = NDArray[np.floating]


def threshold_at_false_positive_ml(
    normal_maps: Sequence[FloatMap], voxel_ml: Sequence[float], *, ml_per_scan: float = 1.0
) -> float:
    """The lowest threshold that leaves at most so much false positive on normal scans, on average.

    Parameters
    ----------
    normal_maps : maps of calibration normals, `nan` where nothing was examined.
    voxel_ml : volume of a voxel of each.
    ml_per_scan : allowed mean volume; the honest operating point of D_cal is 1 ml, its neighbours 0.1 and 5 ml.

    Returns
    -------
    One of the values of the maps, or −inf where even everything is little enough; `nan` without a map.

    Raises
    ------
    InputError : numbers differ, or the volume is negative.
    """
    return thresholds_at_false_positive(normal_maps, voxel_ml, allowed=(ml_per_scan,))[0]


def thresholds_at_false_positive(
    normal_maps: Sequence[FloatMap], per_voxel: Sequence[float], *, allowed: Sequence[float]
) -> tuple[float, ...]:
    """`threshold_at_false_positive_ml` for several amounts at once, in ml or in any other measure of voxels.

    Parameters
    ----------
    per_voxel : how much a voxel of each map is: its volume, or one over the number of examined voxels for a share.
    allowed : mean amounts a scan.
    """
    if len(normal_maps) != len(per_voxel) or min(allowed) < 0:
        raise InputError("maps and voxel sizes do not fit", remedy="Give one of each, and 0 or more.", code="lengths")
    if not normal_maps:
        return (float("nan"),) * len(allowed)
    most = max(allowed) * len(normal_maps)
    tops, weights = [], []
    for values, size in zip(normal_maps, per_voxel, strict=True):
        own = values[~np.isnan(values)]
        # More than this many of one scan alone would exceed what all together may have.
        count = min(int(most / size) + 2, own.size)
        tops.append(np.partition(own, own.size - count)[own.size - count :] if own.size else own)
        weights.append(np.full(count, size))
    pooled = np.concatenate(tops)
    order = np.argsort(-pooled, kind="stable")
    total = np.cumsum(np.concatenate(weights)[order])
    # Sums of voxel sizes carry rounding; a thousandth of a voxel decides nothing.
    limits = np.array(allowed) * len(normal_maps) + 1e-3 * min(per_voxel)
    over = np.searchsorted(total, limits, side="right")
    return tuple(float(pooled[order[i]]) if i < pooled.size else float("-inf") for i in over.tolist())


def robust_z_threshold(values: FloatMap, *, z: float = 4.0) -> float:
    """Median + z · 1.4826 · MAD of the examined voxels of one map.

    Returns
    -------
    `nan` where nothing was examined, or more than half of the voxels are equal and the MAD is 0.
    """
    own = values[~np.isnan(values)]
    if own.size == 0:
        return float("nan")
    centre, spread = robust_centre_spread(own)
    return centre + z * spread


def otsu_threshold(values: FloatMap, *, bins: int = 256) -> float:
    """The level between two classes of voxels that maximises the variance between them.

    Parameters
    ----------
    values : map, `nan` where nothing was examined.
    bins : of the histogram between the smallest and the largest value.

    Returns
    -------
    Upper edge of the last bin of the lower class (the mean of such edges on a plateau); `nan` where nothing was
    examined or all values are equal.

    References
    ----------
    Otsu, IEEE Transactions on Systems, Man, and Cybernetics 9, 1979.
    """
    own = values[~np.isnan(values)]
    if own.size == 0 or own.min() == own.max():
        return float("nan")
    counts, edges = np.histogram(own, bins=bins)
    centres = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)[:-1]
    above = own.size - below
    total = np.cumsum(counts * centres)
    # n₀ n₁ (μ₀ − μ₁)², the first and the last bin being occupied.
    between = below * above * (total[:-1] / below - (total[-1] - total[:-1]) / above) ** 2
    return float(edges[1:-1][between >= between.max() * (1 - 1e-12)].mean())
