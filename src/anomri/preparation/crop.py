"""Cut a grid down to a box, or pad it; voxels keep their place in the world."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomri.core.geometry import Geometry

__all__ = ["VERSION", "box_of", "crop"]

VERSION = 1


def box_of(mask: NDArray[np.bool_], margin: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """First voxel and shape of the smallest box around a mask, with a margin that stays inside the grid."""
    start, shape = [], []
    for axis in range(3):
        others = tuple(i for i in range(3) if i != axis)
        used = np.flatnonzero(mask.any(axis=others))
        first = max(int(used[0]) - margin, 0)
        last = min(int(used[-1]) + margin, mask.shape[axis] - 1)
        start.append(first)
        shape.append(last - first + 1)
    return (start[0], start[1], start[2]), (shape[0], shape[1], shape[2])


def crop(
    values: NDArray[Any], geometry: Geometry, start: tuple[int, int, int], shape: tuple[int, int, int]
) -> tuple[NDArray[Any], Geometry]:
    """The box of `shape` whose first voxel is `start` (negative or beyond the end: padded with 0).

    Returns
    -------
    A new array and its grid.
    """
    out = np.zeros(shape, dtype=values.dtype)
    here, there = [], []
    for axis in range(3):
        low, high = max(start[axis], 0), min(start[axis] + shape[axis], values.shape[axis])
        there.append(slice(low, max(high, low)))
        here.append(slice(low - start[axis], max(high, low) - start[axis]))
    out[tuple(here)] = values[tuple(there)]
    moved = geometry.affine.copy()
    moved[:3, 3] = geometry.affine[:3, :3] @ np.array(start, dtype=np.float64) + geometry.affine[:3, 3]
    return out, Geometry(shape, moved)
