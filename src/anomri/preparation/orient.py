"""Turn and flip voxel axes so that they run as close to RAS+ as the grid allows; values are moved, never changed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anomri.core.geometry import Geometry, ras_axes

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
    order, flips, after = ras_axes(geometry)
    return (
        np.ascontiguousarray(np.flip(voxels.transpose(order), flips)),
        np.ascontiguousarray(np.flip(mask.transpose(order), flips)),
        after,
    )
