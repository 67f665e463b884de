"""The brain of an already-stripped scan: what is not background, in one piece, without holes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomri.core.geometry import Geometry
from anomri.errors import PreparationFailed

__all__ = ["PLAUSIBLE_ML", "VERSION", "erode_mm", "stripped_mask", "verify_volume"]

VERSION = 2

# Adult brains with ventricles, stripped generously or tightly.
PLAUSIBLE_ML = (700.0, 2200.0)
# Ripples of a resampling that reach below the background are few; of z-scores about half do.
_BOTH_SIDES = 0.05


def stripped_mask(voxels: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Foreground of a scan whose background is one value.

    Parameters
    ----------
    voxels : (X, Y, Z); background of the value that most of the grid's border has (0 where none has most of it), or
        within 1 % of the bright end around it where a resampling left ripples. In a scan that was normalised before,
        the brain lies on both sides of its background; there, all that differs from the background is foreground.

    Returns
    -------
    (X, Y, Z) bool: the largest connected part of the foreground, holes filled.

    Raises
    ------
    PreparationFailed : there is no foreground.
    """
    away = voxels - _background(voxels)
    positive = away[away > 0]
    if positive.size == 0:
        raise PreparationFailed("the scan has no foreground", remedy="Check the file.", code="no_signal")
    bright = float(np.percentile(positive[:: max(1, positive.size // 200_000)], 99))
    foreground = away > 0.01 * bright
    if (away < -0.01 * bright).sum() > _BOTH_SIDES * foreground.sum():
        foreground = away != 0
    labels, count = ndimage.label(foreground)
    if count > 1:
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        labels = labels == sizes.argmax()
    return np.asarray(ndimage.binary_fill_holes(labels > 0), dtype=bool)


def _background(voxels: NDArray[np.float32]) -> np.float32:
    """The value that more than half of the grid's outermost voxels have; 0 where there is none."""
    faces = [np.take(voxels, end, axis=axis).ravel() for axis in range(3) for end in (0, -1)]
    border = np.concatenate(faces)
    # A value that more than half of them have is their median.
    middle = np.partition(border, border.size // 2)[border.size // 2]
    return middle if 2 * np.count_nonzero(border == middle) > border.size else np.float32(0.0)


def verify_volume(mask: NDArray[np.bool_], geometry: Geometry) -> float:
    """Volume of a brain mask, ml.

    Raises
    ------
    PreparationFailed : no adult brain has this volume.
    """
    volume = float(mask.sum()) * geometry.voxel_ml
    low, high = PLAUSIBLE_ML
    if not low <= volume <= high:
        raise PreparationFailed(
            f"the brain mask is {volume:.0f} ml (expected {low:.0f}–{high:.0f} ml)",
            remedy="Give one with --mask, or check that the scan is a skull-stripped adult brain.",
            code="mask_volume",
        )
    return volume


def erode_mm(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float], depth_mm: float) -> NDArray[np.bool_]:
    """The part of a mask that lies deeper than `depth_mm` below its surface (the grid's border counts as surface).

    The faces of a single slice, (X, Y, 1), are no surface.
    """
    if mask.shape[2] == 1:
        plane = ndimage.distance_transform_edt(np.pad(mask[:, :, 0], 1), sampling=spacing_mm[:2])[1:-1, 1:-1]
        return np.asarray(plane[:, :, None] > depth_mm, dtype=bool)
    padded = np.pad(mask, 1)
    depth = ndimage.distance_transform_edt(padded, sampling=spacing_mm)[1:-1, 1:-1, 1:-1]
    return np.asarray(depth > depth_mm, dtype=bool)
