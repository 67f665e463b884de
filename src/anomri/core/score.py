"""From a map to a number: the pure functions that methods build their scan score from.

Higher is more abnormal, everywhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomri.errors import InputError

__all__ = [
    "filled_from_nearest",
    "mean_of_top_fraction",
    "mean_of_top_voxels",
    "robust_centre_spread",
    "smooth_inside",
]

# Makes the median absolute deviation of a normal distribution equal its standard deviation.
MAD_TO_SD = 1.4826


def mean_of_top_voxels(values: NDArray[np.floating], count: int) -> float:
    """Mean of the `count` largest values of a flat array (of all where there are fewer).

    Raises
    ------
    InputError : `values` is empty.
    """
    if values.size == 0:
        raise InputError("no voxel to score", remedy="Check the mask.", code="mask_empty")
    count = min(max(count, 1), values.size)
    top = np.partition(values, values.size - count)[values.size - count :]
    return float(top.mean(dtype=np.float64))


def mean_of_top_fraction(values: NDArray[np.floating], fraction: float) -> float:
    """Mean of the largest `fraction` (0–1] of a flat array, at least one value."""
    return mean_of_top_voxels(values, round(fraction * values.size))


def robust_centre_spread(values: NDArray[np.floating]) -> tuple[float, float]:
    """Median and 1.4826 · MAD; the spread is `nan` where fewer than two values stand or all are equal."""
    centre = float(np.median(values))
    spread = MAD_TO_SD * float(np.median(np.abs(values - centre)))
    return centre, spread if values.size > 1 and spread > 0 else float("nan")


def filled_from_nearest(values: NDArray[np.floating], covered: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Statistics of some voxels on the whole grid: any other voxel takes those of the nearest that has some.

    Parameters
    ----------
    values : (n,) of the n voxels in `covered`, in its order.
    covered : (X, Y, Z) bool, at least one voxel.
    """
    grid = np.zeros(covered.shape, dtype=np.float32)
    grid[covered] = values
    nearest = ndimage.distance_transform_edt(~covered, return_distances=False, return_indices=True)
    filled: NDArray[np.float32] = grid[tuple(nearest)]
    return filled


def smooth_inside(
    values: NDArray[np.floating], mask: NDArray[np.bool_], sigma_voxels: float | tuple[float, float, float]
) -> NDArray[np.float32]:
    """Gaussian smoothing that neither takes from outside the mask nor gives to it.

    Returns
    -------
    (X, Y, Z) float32: the mask-weighted average inside the mask, 0 outside (normalised convolution; Knutsson and
    Westin, CVPR 1993).
    """
    weight = ndimage.gaussian_filter(mask.astype(np.float32), sigma_voxels, truncate=3.0)
    total = ndimage.gaussian_filter(np.where(mask, values, 0.0).astype(np.float32), sigma_voxels, truncate=3.0)
    out = np.zeros(values.shape, dtype=np.float32)
    out[mask] = total[mask] / weight[mask]
    return out
