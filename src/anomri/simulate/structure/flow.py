"""Moving tissue towards a point or away from it, smoothly and without folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomri.simulate.artefacts.artefact import Clean

__all__ = ["Moved", "distance_mm", "radial_flow"]

FloatArray = NDArray[np.float32]
Radius = Callable[[NDArray[np.float64]], NDArray[np.float64]]
# Spline interpolation needs this many voxels around what it moves.
ROOM = 3


@dataclass(frozen=True, slots=True)
class Moved:
    """What lies in a ball after the flow.

    Parameters
    ----------
    box : the ball's box in the array.
    radius_mm : (…) distance from the centre.
    inside : (…) bool, the ball.
    values : (…) moved signal.
    """

    box: tuple[slice, slice, slice]
    radius_mm: NDArray[np.float64]
    inside: NDArray[np.bool_]
    values: FloatArray


def radial_flow(clean: Clean, centre: tuple[int, int, int], reach_mm: float, source: Radius) -> Moved:
    """x at the radius each point of a ball came from; cubic splines, kept within the range of the values around.

    Parameters
    ----------
    source : radius in mm → radius it came from, rising, equal to itself from `reach_mm` on.
    """
    box = []
    for size, middle, mm in zip(clean.voxels.shape, centre, clean.spacing_mm, strict=True):
        half = int(np.ceil(reach_mm / mm)) + ROOM
        box.append(slice(max(0, middle - half), min(size, middle + half + 1)))
    where = (box[0], box[1], box[2])
    voxels = clean.voxels[where]
    inner = [middle - part.start for middle, part in zip(centre, where, strict=True)]
    index = np.stack(np.meshgrid(*[np.arange(n) - c for n, c in zip(voxels.shape, inner, strict=True)], indexing="ij"))
    spacing = np.asarray(clean.spacing_mm).reshape(3, 1, 1, 1)
    radius = np.sqrt(np.sum((index * spacing) ** 2, axis=0))
    inside = radius < reach_mm
    share = np.ones_like(radius)
    np.divide(source(radius), radius, out=share, where=inside & (radius > 0))
    points = index * share + np.asarray(inner).reshape(3, 1, 1, 1)
    values = ndimage.map_coordinates(voxels, points, order=3, mode="nearest")
    values = np.clip(values, voxels.min(), voxels.max()).astype(np.float32)
    return Moved(where, radius, inside, values)


def distance_mm(
    shape: tuple[int, ...], centre: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Distance of every voxel of a grid from one of them."""
    steps = [(np.arange(size) - middle) * mm for size, middle, mm in zip(shape, centre, spacing_mm, strict=True)]
    x, y, z = np.meshgrid(*steps, indexing="ij", sparse=True)
    return np.asarray(np.sqrt(x**2 + y**2 + z**2))
