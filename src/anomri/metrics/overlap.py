"""How well a mask fits a lesion.

Masks are (X, Y, Z) bool (or (X, Y)). Undefined figures are `nan`, never 0: nothing fits a lesion that is not there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from anomri.errors import InputError

__all__ = [
    "box_of",
    "dice",
    "false_positive_ml",
    "iou",
    "margin_of",
    "surface_distance_95_mm",
    "unexamined_ml",
    "without_margin",
]

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
    own, other = (np.argwhere(_surface(mask)) * spacing_mm for mask in (prediction, lesion))
    far = [np.percentile(KDTree(b).query(a)[0], 95) for a, b in ((own, other), (other, own))]
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
    out[margin_of(lesion, spacing_mm=spacing_mm, margin_mm=margin_mm) & ~lesion] = np.nan
    return out


def margin_of(lesion: Mask, *, spacing_mm: tuple[float, ...], margin_mm: float = 5.0) -> Mask:
    """The lesion and what lies within a margin of it, measured between voxel centres; empty without a lesion."""
    near = np.zeros(lesion.shape, dtype=bool)
    if lesion.any():
        box = box_of(lesion, [int(np.ceil(margin_mm / s)) for s in spacing_mm])
        near[box] = ndimage.distance_transform_edt(~lesion[box], sampling=spacing_mm) <= margin_mm
    return near


def box_of(mask: Mask, rim: Sequence[int] | None = None) -> tuple[slice, ...]:
    """The smallest box that holds a mask, wider by `rim` voxels along each axis as far as the grid goes; an empty box
    for an empty mask."""
    box = []
    for axis in range(mask.ndim):
        filled = np.flatnonzero(mask.any(axis=tuple(i for i in range(mask.ndim) if i != axis)))
        wide = 0 if rim is None else rim[axis]
        box.append(slice(max(int(filled[0]) - wide, 0), int(filled[-1]) + 1 + wide) if filled.size else slice(0, 0))
    return tuple(box)


def _surface(mask: Mask) -> Mask:
    """The voxels of a mask with a face neighbour outside it."""
    surface = np.zeros(mask.shape, dtype=bool)
    box = box_of(mask)
    surface[box] = mask[box] & ~ndimage.binary_erosion(mask[box])
    return surface


def same_shape(first: NDArray[np.generic], second: NDArray[np.generic]) -> None:
    """Raise `InputError` unless both lie on one grid."""
    if first.shape != second.shape:
        raise InputError(f"shapes {first.shape} and {second.shape}", remedy="Give one grid.", code="lengths")
