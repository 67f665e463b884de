"""The head in a single slice, and its place on the model's grid: no template, the box of the mask alone.

Otsu's threshold parts bright from dark; the head begins well below it, because fluid and bone are dark. What is dark
inside the outline belongs to the head, text and marks beside it do not.

References
----------
Otsu N., IEEE Trans. Syst. Man Cybern. 9(1), 62–66, 1979.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomri.core.geometry import Geometry, apply_affine
from anomri.errors import PreparationFailed
from anomri.preparation.crop import box_of

__all__ = ["MARGIN_VOXELS", "VERSION", "head_mask", "largest", "threshold", "to_box", "without_margins"]

VERSION = 1
# Between the head's box and the edge of the grid, so that no filter meets the edge.
MARGIN_VOXELS = 8
_LEAST_SIDE = 8
# A line whose values span less than this share of the picture's range is margin, not anatomy.
_FLAT = 0.1
# Share of the way from the dark to the bright class.
_HEAD_BEGINS = 0.35
_LEAST_SHARE = 0.02
_BINS = 256

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]


def head_mask(voxels: NDArray[np.float32]) -> Mask:
    """The head, or the stripped brain, of a single slice.

    Flat margins of any brightness are cut off; smoothed square roots above the threshold, with gaps of up to a twelfth
    of the picture bridged and holes filled; the largest connected part, opened.

    Parameters
    ----------
    voxels : (X, Y, 1).

    Returns
    -------
    (X, Y, 1) bool.

    Raises
    ------
    PreparationFailed : there is no such part, or it takes less than 2 % of the picture.
    """
    plane = voxels[:, :, 0]
    window = without_margins(plane)
    seen = plane[window]
    side = max(seen.shape)
    smooth = np.sqrt(np.maximum(ndimage.gaussian_filter(seen, side / 256.0) - seen.min(), 0.0))
    small, wide = max(1, round(side / 64)), max(1, round(side / 24))
    inside = _opened(smooth > threshold(smooth), max(1, small // 2))
    bridged = ndimage.binary_closing(np.pad(inside, wide), _disc(wide))
    head = largest(ndimage.binary_fill_holes(bridged)[wide:-wide, wide:-wide])
    mask = np.zeros(voxels.shape, dtype=bool)
    mask[(*window, 0)] = largest(_opened(head, 2 * small))
    if mask.mean() < _LEAST_SHARE:
        raise PreparationFailed(
            "no head stands out from the background", remedy="Check the image, or give a mask.", code="mask_empty"
        )
    return mask


def to_box(mask: Mask, geometry: Geometry, grid: Geometry) -> NDArray[np.float64]:
    """World matrix that brings a mask's box to the middle of the grid, as large as the margin allows.

    Parameters
    ----------
    mask : (X, Y, 1) on `geometry`, axes in RAS+ order.

    Returns
    -------
    (4, 4) mm: one scale for X and Y, so that proportions stay; along Z the slice becomes as thick as the grid's.
    """
    start, shape = box_of(mask, 0)
    middle = np.array(start) + (np.array(shape) - 1) / 2.0
    centre, target = (apply_affine(g.affine, m[None])[0] for g, m in ((geometry, middle), (grid, _middle(grid))))
    free = [(grid.shape[axis] - 2 * MARGIN_VOXELS) * grid.spacing_mm[axis] for axis in (0, 1)]
    scale_xy = min(free[axis] / (shape[axis] * geometry.spacing_mm[axis]) for axis in (0, 1))
    scale = np.array([scale_xy, scale_xy, grid.spacing_mm[2] / geometry.spacing_mm[2]])
    world = np.diag([*scale, 1.0])
    world[:3, 3] = target - scale * centre
    return world


def _middle(grid: Geometry) -> NDArray[np.float64]:
    return (np.array(grid.shape) - 1) / 2.0


def without_margins(plane: Plane) -> tuple[slice, slice]:
    """What is left once flat lines are taken off all four sides, in turn."""
    flat = _FLAT * float(np.ptp(plane))
    low, high = [0, 0], list(plane.shape)
    moved = True
    while moved:
        moved = False
        for axis in (0, 1):
            for end in (0, -1):
                left = plane[low[0] : high[0], low[1] : high[1]]
                if left.shape[axis] <= _LEAST_SIDE:
                    continue
                dark, bright = np.percentile(np.take(left, end, axis=axis), [2.0, 98.0])
                if bright - dark <= flat:
                    moved = True
                    if end == 0:
                        low[axis] += 1
                    else:
                        high[axis] -= 1
    return slice(low[0], high[0]), slice(low[1], high[1])


def threshold(values: Plane) -> float:
    """Where tissue begins among values of any shape: a fixed share of the way between the means of Otsu's classes."""
    counts, edges = np.histogram(values, bins=_BINS)
    below = np.cumsum(counts).astype(np.float64)
    sums = np.cumsum(counts * (edges[1:] + edges[:-1]) / 2.0)
    above = below[-1] - below
    with np.errstate(all="ignore"):
        between = np.nan_to_num((sums[-1] * below - sums * below[-1]) ** 2 / (below * above))
    best = int(np.argmax(between[:-1]))
    dark, bright = sums[best] / max(below[best], 1.0), (sums[-1] - sums[best]) / max(above[best], 1.0)
    return float(dark + _HEAD_BEGINS * (bright - dark))


def _opened(mask: Mask, radius: int) -> Mask:
    """Opened as if the picture went on beyond its edge, where a head may be cut off."""
    padded = np.pad(mask, radius, mode="edge")
    opened: Mask = ndimage.binary_opening(padded, _disc(radius))[radius:-radius, radius:-radius]
    return opened


def _disc(radius: int) -> Mask:
    x, y = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disc: Mask = x * x + y * y <= radius * radius
    return disc


def largest(mask: Mask) -> Mask:
    """The largest connected part of a mask of any shape."""
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest: Mask = labels == sizes.argmax()
    return largest
