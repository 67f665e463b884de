"""How well a mask fits a lesion.

Masks are (X, Y, Z) bool (or (X, Y)). Undefined figures are `nan`, never 0: nothing fits a lesion that is not there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomri.errors import InputError

__all__ = ["dice", "false_positive_ml", "iou", "surface_distance_95_mm", "unexamined_ml", "without_margin"]

FloatMap = NDArray[np.floating]
Mask = NDArray[np.bool_]
# Below this volume the surface of a lesion is mostly corners.
SMALLEST_SURFACE_ML = 1.0


def dice(prediction: Mask, lesion: Mask) -> float:
    """2 |A ∩ B| / (|A| + |B|) of two masks.

    Returns
    -------
    In [0, 1]; 0 for an empty prediction on a lesion, `nan` without a lesion.

    Raises
    ------
    InputError : the shapes differ.
    """
    same_shape(prediction, lesion)
    if not lesion.any():
        return float("nan")
    return 2.0 * int((prediction & lesion).sum()) / (int(prediction.sum()) + int(lesion.sum()))


def iou(prediction: Mask, lesion: Mask) -> float:
    """|A ∩ B| / |A ∪ B|; values, `nan` and errors as for `dice`."""
    same_shape(prediction, lesion)
    if not lesion.any():
        return float("nan")
    return int((prediction & lesion).sum()) / int((prediction | lesion).sum())


def false_positive_ml(prediction: Mask, lesion: Mask, *, voxel_ml: float) -> float:
    """Volume of the prediction outside the lesion; on a normal scan the lesion mask is empty.

    Raises
    ------
    InputError : the shapes differ.
    """
    same_shape(prediction, lesion)
    return int((prediction & ~lesion).sum()) * voxel_ml


def unexamined_ml(values: FloatMap, lesion: Mask, *, voxel_ml: float) -> float:
    """Volume of the lesion where the map is `nan`: lost to the brain mask before any method saw it.

    Raises
    ------
    InputError : the shapes differ.
    """
    same_shape(values, lesion)
    return int((np.isnan(values) & lesion).sum()) * voxel_ml


def surface_distance_95_mm(prediction: Mask, lesion: Mask, *, spacing_mm: tuple[float, ...]) -> float:
    """95th percentile of the distances between the surfaces, the larger of both directions.

    Surface voxels are those of a mask with a face neighbour outside it; distances run between voxel centres.

    Parameters
    ----------
    spacing_mm : between voxel centres, one an axis.

    Returns
    -------
    Millimetres, smaller is better; `nan` for a lesion of 1 ml or less, and for an empty prediction: it has no surface.

    Raises
    ------
    InputError : the shapes differ.

    References
    ----------
    Huttenlocher, Klanderman, Rucklidge, IEEE TPAMI 15, 1993 (partial Hausdorff distance).
    """
    same_shape(prediction, lesion)
    if int(lesion.sum()) * float(np.prod(spacing_mm)) / 1000.0 <= SMALLEST_SURFACE_ML or not prediction.any():
        return float("nan")
    # Both masks and a rim of one voxel: nothing beyond the box can be nearest.
    box = tuple(slice(max(int(i.min()) - 1, 0), int(i.max()) + 2) for i in np.nonzero(prediction | lesion))
    surfaces = [mask[box] & ~ndimage.binary_erosion(mask[box]) for mask in (prediction, lesion)]
    far = [
        np.percentile(ndimage.distance_transform_edt(~other, sampling=spacing_mm)[own], 95)
        for own, other in (surfaces, surfaces[::-1])
    ]
    return float(max(far))


def without_margin(
    values: FloatMap, lesion: Mask, *, spacing_mm: tuple[float, ...], margin_mm: float = 5.0
) -> FloatMap:
    """A copy of the map with `nan` in a don't-care margin around the lesion, where labels are least certain.

    Parameters
    ----------
    values : map, `nan` where nothing was examined.
    margin_mm : from the nearest lesion voxel, between voxel centres.

    Returns
    -------
    The map; unchanged inside the lesion and beyond the margin, and everywhere where there is no lesion.

    Raises
    ------
    InputError : the shapes differ.
    """
    same_shape(values, lesion)
    out = values.copy()
    if lesion.any():
        distance_mm = ndimage.distance_transform_edt(~lesion, sampling=spacing_mm)
        out[~lesion & (distance_mm <= margin_mm)] = np.nan
    return out


def same_shape(first: NDArray[np.generic], second: NDArray[np.generic]) -> None:
    """Raise `InputError` unless both lie on one grid."""
    if first.shape != second.shape:
        raise InputError(f"shapes {first.shape} and {second.shape}", remedy="Give one grid.", code="lengths")
