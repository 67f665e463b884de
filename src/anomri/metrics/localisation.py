"""Whether a map points at the lesion. Higher is better; a scan without a lesion gives `nan`, never 0."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from anomri.core.score import smooth_inside
from anomri.errors import InputError
from anomri.metrics.overlap import box_of, margin_of, same_shape

__all__ = ["TopHit", "detected_share", "top_hit"]

FloatMap = NDArray[np.floating]
Mask = NDArray[np.bool_]
# Full width at half maximum of a Gaussian in standard deviations: 2 √(2 ln 2).
FWHM_TO_SD = 1.0 / 2.3548200450309493


class TopHit(NamedTuple):
    """Whether the maximum of a map lies at the lesion.

    `hit` is 1 or 0 (between where several voxels share the maximum: the share of them at the lesion); `chance` is what
    a random voxel reaches; `distance_mm` runs from the maximum to the nearest lesion voxel, 0 inside.
    """

    hit: float
    chance: float
    distance_mm: float


def top_hit(
    values: FloatMap,
    lesion: Mask,
    *,
    spacing_mm: tuple[float, float, float],
    margin_mm: float = 5.0,
    fwhm_mm: float = 3.0,
) -> TopHit:
    """Whether the maximum of the smoothed map lies in the lesion dilated by a margin.

    Parameters
    ----------
    values : (X, Y, Z) map, `nan` where nothing was examined.
    lesion : (X, Y, Z) truth.
    spacing_mm : between voxel centres.
    margin_mm : how far from the lesion still counts; measured between voxel centres.
    fwhm_mm : of the Gaussian that smooths the map within what was examined; 0 for none.

    Returns
    -------
    `TopHit`; all `nan` where there is no lesion.

    Raises
    ------
    InputError : the shapes differ, or nothing was examined.
    """
    examined = _examined(values, lesion)
    if not examined.any():
        raise InputError("nothing was examined in this map", remedy="Give a map with values.", code="map_empty")
    if not lesion.any():
        return TopHit(float("nan"), float("nan"), float("nan"))
    if fwhm_mm > 0:
        sigma = tuple(fwhm_mm * FWHM_TO_SD / s for s in spacing_mm)
        # As far as the kernel of `smooth_inside` reaches, so that the box changes no value.
        box = box_of(examined, [int(np.ceil(3.0 * s)) + 1 for s in sigma])
        inside = examined[box]
        smooth = smooth_inside(values[box], inside, (sigma[0], sigma[1], sigma[2]))
        top = np.zeros(examined.shape, dtype=bool)
        top[box] = inside & (smooth == smooth[inside].max())
    else:
        top = examined & (values == values[examined].max())
    near = margin_of(lesion, spacing_mm=spacing_mm, margin_mm=margin_mm)
    distance_mm = KDTree(np.argwhere(lesion) * spacing_mm).query(np.argwhere(top) * spacing_mm)[0]
    return TopHit(
        hit=float(near[top].mean()), chance=float(near[examined].mean()), distance_mm=float(distance_mm.mean())
    )


def detected_share(prediction: Mask, region: Mask) -> float:
    """Share of the predicted voxels that lie in a region, e.g. in the boxes of fastMRI+.

    Whether the peak lies in a box is `top_hit` with the boxes as lesion and ``margin_mm=0``.

    Returns
    -------
    In [0, 1]; `nan` where nothing is predicted or the region is empty.

    Raises
    ------
    InputError : the shapes differ.
    """
    same_shape(prediction, region)
    if not prediction.any() or not region.any():
        return float("nan")
    return float(region[prediction].mean())


def _examined(values: FloatMap, lesion: Mask) -> Mask:
    same_shape(values, lesion)
    return ~np.isnan(values)
