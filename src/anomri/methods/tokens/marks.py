"""From maps to marked pixels: the published post-processing, within slices.

References
----------
Kadhim et al., 2026 (arXiv 2605.24609) and its supplement.

Shapes: (X, Y, Z), slices along Z.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["dilated", "eroded_edge", "large_parts", "pooled"]

FloatMap = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Edge erosion: a cross-section of the published kernel, and the share of the way to the corners that is spared.
_KERNEL, _SPARED = 13, 0.35


def pooled(values: FloatMap, side: int) -> FloatMap:
    """Mean over windows of `side` × `side` pixels; beyond the edge 0 is counted."""
    if side == 1:
        return values
    mean: FloatMap = ndimage.uniform_filter(values, size=(side, side, 1), mode="constant")
    return mean


def dilated(mask: Mask, side: int) -> Mask:
    """Maximum over windows of `side` × `side` pixels."""
    grown: Mask = ndimage.maximum_filter(mask, size=(side, side, 1))
    return grown


def large_parts(mask: Mask, smallest_px: int) -> Mask:
    """4-connected parts of each slice with at least so many pixels."""
    within = np.zeros((3, 3, 3), dtype=bool)
    within[1, :, 1] = within[:, 1, 1] = True
    labels, _ = ndimage.label(mask, structure=within)
    large = np.bincount(labels.ravel()) >= smallest_px
    large[0] = False
    kept: Mask = large[labels]
    return kept


def eroded_edge(mask: Mask, most: int) -> Mask:
    """Erode the more often the farther from the centre of the slice: never within 0.35, `most` times at the corners.

    A pixel keeps the value it has after ⌊most · (d − 0.35) / 0.65⌋ erosions of the whole mask, d its distance from the
    centre with 1 at the corners; what lies beyond the edge counts as unmarked.
    """
    x, y = (np.abs(np.linspace(-1.0, 1.0, n)) if n > 1 else np.zeros(1) for n in mask.shape[:2])
    distance = np.sqrt((x[:, None] ** 2 + y[None, :] ** 2) / 2.0)
    times = np.floor(np.clip((distance - _SPARED) / (1.0 - _SPARED), 0.0, 1.0) * most).astype(int)
    out, current = mask.copy(), mask
    for count in range(1, most + 1):
        current = ndimage.minimum_filter(current, size=(_KERNEL, _KERNEL, 1), mode="constant", cval=0)
        out = np.where(times[:, :, None] == count, current, out)
    eroded: Mask = out
    return eroded
