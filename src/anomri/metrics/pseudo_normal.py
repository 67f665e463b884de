"""How good the pseudo-normal image of a reconstruction method is.

On normals it should equal the image (`mae`, `ssim`, `gradient_ratio`); on a simulated lesion, whose clean image is
known, it should correct the lesion and preserve the rest (`restoration`). Good images and good detection may disagree.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomri.metrics.overlap import same_shape

__all__ = ["Restoration", "gradient_ratio", "mae", "restoration", "ssim"]

FloatImage = NDArray[np.floating]
Mask = NDArray[np.bool_]
SSIM_WINDOW = 7


class Restoration(NamedTuple):
    """Mean absolute distances to the clean image, in its units; lower is better.

    `correction` inside the lesion, `untouched` what the scan with the lesion itself has there, `preservation` outside.
    """

    correction: float
    untouched: float
    preservation: float


def mae(image: FloatImage, pseudo_normal: FloatImage, mask: Mask) -> float:
    """Mean absolute difference inside a mask, units of the image; `nan` for an empty mask.

    Raises
    ------
    InputError : the shapes differ.
    """
    same_shape(image, pseudo_normal)
    same_shape(image, mask)
    if not mask.any():
        return float("nan")
    return float(np.abs(image[mask].astype(np.float64) - pseudo_normal[mask]).mean())


def ssim(clean: FloatImage, changed: FloatImage, mask: Mask, signal: float) -> float:
    """Mean local structural similarity inside a mask.

    Windows are cubes of 7 voxels with uniform weights; the constants are (0.01 L)² and (0.03 L)² with L = `signal`.

    Returns
    -------
    1 for equal images, smaller for less alike ones; `nan` for an empty mask.

    Raises
    ------
    InputError : the shapes differ.

    References
    ----------
    Wang, Bovik, Sheikh, Simoncelli, IEEE Transactions on Image Processing 13 (2004), equation 13.
    """
    same_shape(clean, changed)
    same_shape(clean, mask)
    if not mask.any():
        return float("nan")
    box = tuple(slice(int(i.min()), int(i.max()) + 1) for i in np.nonzero(mask))
    a, b = clean[box] / np.float32(signal), changed[box] / np.float32(signal)

    def local_mean(values: FloatImage) -> FloatImage:
        mean: FloatImage = ndimage.uniform_filter(values, SSIM_WINDOW)
        return mean

    mean_a, mean_b = local_mean(a), local_mean(b)
    covariance = local_mean(a * b) - mean_a * mean_b
    variances = local_mean(a * a + b * b) - mean_a**2 - mean_b**2
    c1, c2 = np.float32(0.01**2), np.float32(0.03**2)
    similarity = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    similarity /= (mean_a**2 + mean_b**2 + c1) * (variances + c2)
    return float(similarity[mask[box]].mean(dtype=np.float64))


def gradient_ratio(image: FloatImage, pseudo_normal: FloatImage, mask: Mask, *, spacing_mm: tuple[float, ...]) -> float:
    """Mean gradient magnitude of the pseudo-normal image over that of the image, inside a mask.

    Returns
    -------
    1 for equal sharpness, below 1 for a blurred pseudo-normal; `nan` where the image is flat or the mask empty.

    Raises
    ------
    InputError : the shapes differ.
    """
    same_shape(image, pseudo_normal)
    same_shape(image, mask)
    own, other = (
        float(np.sqrt(sum(g**2 for g in np.gradient(i.astype(np.float64), *spacing_mm)))[mask].sum())
        for i in (image, pseudo_normal)
    )
    return other / own if own > 0 else float("nan")


def restoration(
    clean: FloatImage, with_lesion: FloatImage, pseudo_normal: FloatImage, lesion: Mask, mask: Mask
) -> Restoration:
    """How far a pseudo-normal image corrects a simulated lesion and preserves the rest.

    Parameters
    ----------
    clean, with_lesion, pseudo_normal : (X, Y, Z) before the lesion, with it, and what the method made of it.
    lesion : where the lesion changed the scan.
    mask : what is compared at all, e.g. the brain.

    Returns
    -------
    `Restoration`; `nan` where the lesion (or what lies outside it) has no voxel in the mask.

    Raises
    ------
    InputError : the shapes differ.
    """
    same_shape(clean, lesion)
    same_shape(clean, mask)
    return Restoration(
        correction=mae(clean, pseudo_normal, lesion & mask),
        untouched=mae(clean, with_lesion, lesion & mask),
        preservation=mae(clean, pseudo_normal, mask & ~lesion),
    )
