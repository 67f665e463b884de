"""Turn and flip voxel axes so that they run as close to RAS+ as the grid allows; values are moved, never changed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anomri.core.geometry import Geometry, orientation_code

__all__ = ["VERSION", "orient"]

VERSION = 1


def orient(
    voxels: NDArray[np.float32], mask: NDArray[np.bool_], geometry: Geometry
) -> tuple[NDArray[np.float32], NDArray[np.bool_], Geometry]:
    """Reorder the axes of a scan and its mask to the closest RAS+ order.

    Returns
    -------
    Voxels and mask (X, Y, Z) with X growing to the right, Y to the front, Z to the head; the grid that makes every
    voxel keep its place in the world.
    """
    code = orientation_code(geometry.affine)
    order = tuple(next(i for i, c in enumerate(code) if c in pair) for pair in ("RL", "AP", "SI"))
    flips = tuple(axis for axis in range(3) if code[order[axis]] in "LPI")
    turn = np.zeros((4, 4))
    turn[3, 3] = 1.0
    for new, old in enumerate(order):
        last = geometry.shape[old] - 1
        turn[old, new] = -1.0 if new in flips else 1.0
        turn[old, 3] = last if new in flips else 0.0
    shape = tuple(geometry.shape[old] for old in order)
    after = Geometry((shape[0], shape[1], shape[2]), geometry.affine @ turn)
    return (
        np.ascontiguousarray(np.flip(voxels.transpose(order), flips)),
        np.ascontiguousarray(np.flip(mask.transpose(order), flips)),
        after,
    )
