"""An affine from the directions of the voxel axes, as headers of text give them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anomri.errors import InputError
from anomri.io.guard import REMEDY_GEOMETRY

__all__ = ["NO_ORIENTATION", "affine_of_axes", "floats"]

NO_ORIENTATION = "the header gives no orientation; left and right are unknown"


def affine_of_axes(
    steps_mm: NDArray[np.float64], origin_mm: NDArray[np.float64], *, x_y_to_ras: tuple[float, float]
) -> NDArray[np.float64]:
    """(4, 4) voxel → RAS mm.

    Parameters
    ----------
    steps_mm : (axes, space), what one voxel further along each axis is in the world; two or three of each. The third
        axis of a single slice is 1 mm along its normal.
    origin_mm : (space,) centre of the first voxel.
    x_y_to_ras : signs that turn x and y of the file's world to RAS; −1 and −1 where it is LPS.

    Raises
    ------
    InputError : not finite, or the two axes of a slice are parallel (`geometry`).
    """
    steps = np.zeros((len(steps_mm), 3))
    steps[:, : steps_mm.shape[1]] = steps_mm
    with np.errstate(all="ignore"):
        if len(steps) == 2:
            normal = np.cross(steps[0], steps[1])
            steps = np.vstack([steps, normal / np.linalg.norm(normal)])
    affine = np.eye(4)
    affine[:3, :3] = steps.T
    affine[: len(origin_mm), 3] = origin_mm
    if not np.isfinite(affine).all():
        raise InputError("the affine is not finite", remedy=REMEDY_GEOMETRY, code="geometry")
    affine[:2] *= np.array(x_y_to_ras)[:, None]
    return affine


def floats(text: str | None) -> list[float]:
    """The numbers of a line; none where one of its words is no number."""
    try:
        return [float(word) for word in (text or "").split()]
    except ValueError:
        return []
