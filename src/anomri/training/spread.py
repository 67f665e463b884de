"""How large an error is usual at each voxel, in normal scans that trained no weight.

They are a handful, and a handful of errors says little of their variance at a place: where they happen to agree, any
other scan seems far away. So the smoothed variance s² of n scans is drawn to its average over a wider place, which more
voxels know (as the posterior variance of the moderated t is drawn to a prior; Smyth, Stat. Appl. Genet. Mol. Biol. 3,
2004 – here with m fixed, and a prior of each place):

    variance = ((n − 1) s² + m s²_wide) / (n − 1 + m),   m = 14
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomri.core.score import smooth_inside
from anomri.errors import InputError

__all__ = ["SMALLEST_SPREAD", "position_wise_spread"]

# How much wider the place is, and its degrees of freedom m: 7, 14 and 28 hardly differ (docs/methods/dae.md).
SURROUNDINGS_WIDTH = 4.0
SURROUNDINGS_WEIGHT = 14

# Least standard deviation, as a share of its median over the known voxels: where a handful of scans happen to agree, a
# quotient by their standard deviation would explode.
SMALLEST_SPREAD = 0.25


def position_wise_spread(
    errors: Sequence[NDArray[np.floating]], regions: Sequence[NDArray[np.bool_]], *, sigma_voxels: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of errors over scans at every voxel of a common grid.

    Parameters
    ----------
    errors : (X, Y, Z) a scan, none of which may be scored with the result.
    regions : where each scan was examined; errors elsewhere are not used.
    sigma_voxels : Gaussian smoothing of mean and variance, inside the voxels that at least two scans know; four times
        as much for the wider place, so that with 0 nothing is drawn anywhere.

    Returns
    -------
    Mean and standard deviation, each (X, Y, Z) float32, the latter > 0; a voxel fewer than two scans know has the
    values of the nearest one that two do.

    Raises
    ------
    InputError : no voxel is known by two scans, or all errors are equal.
    """
    masks, values = np.stack(regions), np.stack(errors).astype(np.float64)
    count = masks.sum(axis=0)
    known = count >= 2
    if not known.any():
        raise InputError("the regions of the scans do not overlap", remedy="Check the recipe.", code="mask_empty")
    mean = np.where(masks, values, 0.0).sum(axis=0) / np.maximum(count, 1)
    variance = np.where(masks, (values - mean) ** 2, 0.0).sum(axis=0) / np.maximum(count - 1, 1)
    mean = smooth_inside(mean, known, sigma_voxels)
    narrow = smooth_inside(variance, known, sigma_voxels)
    wide = smooth_inside(variance, known, SURROUNDINGS_WIDTH * sigma_voxels)
    freedom, weight = np.maximum(count - 1, 1), SURROUNDINGS_WEIGHT
    spread = np.sqrt((freedom * narrow + weight * wide) / (freedom + weight)).astype(np.float32)
    least = SMALLEST_SPREAD * float(np.median(spread[known]))
    if not least > 0:
        raise InputError("the errors of the held-out scans do not vary", remedy="Check the scans.", code="no_spread")
    nearest = tuple(ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True))
    return mean[nearest], np.maximum(spread, np.float32(least))[nearest]
