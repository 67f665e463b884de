"""How large an error is usual at each voxel, in normal scans that trained no weight.

They are a handful, and a handful of errors says little of their variance at a place: where they happen to agree, any
other scan seems far away. So the variance s² of n scans is drawn to the average of its surroundings, which many voxels
know well (Smyth, Stat. Appl. Genet. Mol. Biol. 3, 2004, equation of the moderated t):

    variance = ((n − 1) s² + m s²_around) / (n − 1 + m)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomri.core.score import smooth_inside
from anomri.errors import InputError

__all__ = ["SMALLEST_SPREAD", "position_wise_spread"]

# A variance at a voxel is drawn to its average over a place so many times as wide, which counts as so many scans:
# of 14 and more held-out normals as good as of 28, and better than of 7 (docs/methods/dae.md).
WIDER = 4.0
WIDE_COUNT = 14

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
        as much for the surroundings.

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
    here, around = (smooth_inside(variance, known, sigma) for sigma in (sigma_voxels, WIDER * sigma_voxels))
    own = np.maximum(count - 1, 1)
    spread = np.sqrt((own * here + WIDE_COUNT * around) / (own + WIDE_COUNT)).astype(np.float32)
    least = SMALLEST_SPREAD * float(np.median(spread[known]))
    if not least > 0:
        raise InputError("the errors of the held-out scans do not vary", remedy="Check the scans.", code="no_spread")
    nearest = tuple(ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True))
    return mean[nearest], np.maximum(spread, np.float32(least))[nearest]
