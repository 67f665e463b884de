"""How far a changed image lies from the clean one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["box_of", "nrmse", "ssim"]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]

SSIM_WINDOW = 7


def box_of(mask: BoolArray) -> tuple[slice, slice, slice]:
    """Smallest box around a mask that is not empty."""
    x, y, z = (np.flatnonzero(mask.any(axis=tuple(b for b in range(3) if b != a))) for a in range(3))
    return slice(x[0], x[-1] + 1), slice(y[0], y[-1] + 1), slice(z[0], z[-1] + 1)


def nrmse(clean: FloatArray, changed: FloatArray, mask: BoolArray, signal: float) -> float:
    """Root mean square difference inside a mask, as a share of `signal` (> 0)."""
    difference = changed[mask].astype(np.float64) - clean[mask]
    return float(np.sqrt(np.mean(difference**2))) / signal


def ssim(clean: FloatArray, changed: FloatArray, mask: BoolArray, signal: float) -> float:
    """Mean local structural similarity inside a mask.

    Windows are cubes of 7 voxels with uniform weights; the constants are (0.01 L)² and (0.03 L)² with L = `signal`.

    Returns
    -------
    1 for equal images, smaller for less alike ones.

    References
    ----------
    Wang, Bovik, Sheikh, Simoncelli, IEEE Transactions on Image Processing 13 (2004), equation 13.
    """
    box = box_of(mask)
    a, b = clean[box] / np.float32(signal), changed[box] / np.float32(signal)

    def local_mean(values: FloatArray) -> FloatArray:
        mean: FloatArray = ndimage.uniform_filter(values, SSIM_WINDOW)
        return mean

    mean_a, mean_b = local_mean(a), local_mean(b)
    covariance = local_mean(a * b) - mean_a * mean_b
    variances = local_mean(a * a + b * b) - mean_a**2 - mean_b**2
    c1, c2 = np.float32(0.01**2), np.float32(0.03**2)
    similarity = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    similarity /= (mean_a**2 + mean_b**2 + c1) * (variances + c2)
    return float(similarity[mask[box]].mean(dtype=np.float64))
