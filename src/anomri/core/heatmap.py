"""Where a scan is abnormal: a map on the scan's own grid, and the findings in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomri.core.geometry import Geometry, apply_affine
from anomri.core.region import Region
from anomri.core.result import Finding
from anomri.errors import InputError

__all__ = ["Heatmap", "findings_above", "parts_above", "slice_scores"]

_TOUCHING = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True, eq=False, slots=True)
class Heatmap:
    """A map of abnormality on the grid of the original scan.

    Parameters
    ----------
    values : (X, Y, Z) float32; higher is more abnormal; `nan` outside `examined`.
    geometry : the grid of the original scan.
    examined : where the method looked.
    scale : ``raw`` (the method's own), ``z`` (spread of normals) or ``p``.
    method : who made it.

    Raises
    ------
    InputError : the three do not share a grid.
    """

    values: NDArray[np.float32]
    geometry: Geometry
    examined: Region
    scale: Literal["raw", "z", "p"]
    method: str

    def __post_init__(self) -> None:
        if self.values.shape != self.geometry.shape or not self.geometry.same_grid(self.examined.geometry):
            raise InputError(
                "a heatmap, its grid and its region disagree", remedy="Give all three on one grid.", code="geometry"
            )
        self.values.setflags(write=False)


def findings_above(heatmap: Heatmap, level: float, *, smallest_mm3: float = 50.0) -> tuple[Finding, ...]:
    """The findings of `parts_above`."""
    return tuple(finding for finding, _ in parts_above(heatmap, level, smallest_mm3=smallest_mm3))


def parts_above(
    heatmap: Heatmap, level: float, *, smallest_mm3: float = 50.0
) -> tuple[tuple[Finding, NDArray[np.intp]], ...]:
    """Connected parts of a heatmap above a level, strongest peak first.

    Parameters
    ----------
    level : a level that a healthy scan exceeds anywhere with the probability the calibration states.
    smallest_mm3 : smaller parts are dropped.

    Returns
    -------
    Of each 26-connected part its `Finding`, whose centroid is weighted by the excess over the level, and its voxels,
    (n, 3) indices.
    """
    above = np.nan_to_num(heatmap.values, nan=-np.inf) > level
    labels, count = ndimage.label(above, structure=_TOUCHING)
    if not count:
        return ()
    voxel_mm3 = heatmap.geometry.voxel_ml * 1000.0
    found = []
    for index, box in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[box] == index
        volume = float(inside.sum()) * voxel_mm3
        if volume < smallest_mm3:
            continue
        values = heatmap.values[box][inside].astype(np.float64)
        voxels = np.argwhere(inside) + np.array([part.start for part in box])
        centre = np.average(voxels, axis=0, weights=values - level)
        x, y, z = apply_affine(heatmap.geometry.affine, centre[None])[0]
        finding = Finding(
            centroid_mm=(float(x), float(y), float(z)),
            volume_mm3=volume,
            peak=float(values.max()),
            mean=float(values.mean()),
        )
        found.append((finding, voxels))
    return tuple(sorted(found, key=lambda part: (-part[0].peak, part[0].centroid_mm)))


def slice_scores(heatmap: Heatmap, axis: int = 2) -> NDArray[np.float64]:
    """Largest heatmap value of every slice along a voxel axis; `nan` for a slice where nothing was examined."""
    others = tuple(i for i in range(3) if i != axis)
    peaks = np.where(np.isfinite(heatmap.values), heatmap.values, -np.inf).max(axis=others).astype(np.float64)
    return np.where(np.isfinite(peaks), peaks, np.nan)
