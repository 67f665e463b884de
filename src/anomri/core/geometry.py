"""Voxel grids in millimetres, and carrying a map from one grid to another.

World coordinates are RAS+: x grows to the patient's right, y to the front, z to the head, in millimetres. Arrays are
indexed [X, Y, Z]. Every affine maps voxel indices to world coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomri.errors import InputError

__all__ = ["Geometry", "apply_affine", "carry", "carry_known", "orientation_code", "ras_axes", "whole_voxels"]

FloatArray = NDArray[np.floating]


@dataclass(frozen=True, eq=False, slots=True)
class Geometry:
    """A voxel grid in the world.

    Parameters
    ----------
    shape : number of voxels along X, Y, Z.
    affine : (4, 4) float64, voxel index → world RAS mm.

    Raises
    ------
    InputError : the affine is not finite, not invertible, or the shape is not three positive sizes.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise InputError(
                f"a grid of shape {self.shape} is not a volume", remedy="Give a 3D image.", code="geometry"
            )
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise InputError(
                "the affine is not a finite 4 × 4 matrix", remedy="Repair the image's header.", code="geometry"
            )
        if abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise InputError("the affine is singular", remedy="Repair the image's header.", code="geometry")
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres along each axis, mm."""
        lengths = np.linalg.norm(self.affine[:3, :3], axis=0)
        return (float(lengths[0]), float(lengths[1]), float(lengths[2]))

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel, millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3])) / 1000.0)

    @property
    def world_to_voxel(self) -> NDArray[np.float64]:
        """(4, 4) world RAS mm → voxel index."""
        return _inverse(self.affine)

    def same_grid(self, other: Geometry, tol_mm: float = 1e-3) -> bool:
        """Whether both grids have the same shape and no corner lies further apart than `tol_mm`."""
        if self.shape != other.shape:
            return False
        ends = [(0, n - 1) for n in self.shape]
        corners = np.array([[x, y, z] for x in ends[0] for y in ends[1] for z in ends[2]], dtype=np.float64)
        moved = apply_affine(self.affine, corners) - apply_affine(other.affine, corners)
        return bool(np.linalg.norm(moved, axis=1).max() <= tol_mm)


def _inverse(matrix: FloatArray) -> NDArray[np.float64]:
    inverse: NDArray[np.float64] = np.linalg.inv(np.asarray(matrix, dtype=np.float64)).astype(np.float64)
    return inverse


def apply_affine(affine: FloatArray, points: FloatArray) -> NDArray[np.float64]:
    """Map (n, 3) points through a (4, 4) affine."""
    mapped: NDArray[np.float64] = np.asarray(points, dtype=np.float64) @ affine[:3, :3].T + affine[:3, 3]
    return mapped


def whole_voxels(length_mm: float, spacing_mm: float) -> int:
    """The number of voxels that comes closest to a length; 0 for less than half a voxel.

    Halfway between two numbers it is the even one, also where the spacing was rounded: 1 mm may be 0.9999999 or
    1.0000001 mm in a header, and the same scan must not be treated in two ways.
    """
    return round(round(length_mm / spacing_mm, 3))


def orientation_code(affine: FloatArray) -> str:
    """Direction each voxel axis grows towards, e.g. ``RAS`` or ``LPI`` (the closest one where the grid is oblique)."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    code = [""] * 3
    free_world, free_axis = [0, 1, 2], [0, 1, 2]
    while free_axis:
        world, axis = max(((w, a) for w in free_world for a in free_axis), key=lambda p: abs(directions[p]))
        code[axis] = "RAS"[world] if directions[world, axis] > 0 else "LPI"[world]
        free_world.remove(world)
        free_axis.remove(axis)
    return "".join(code)


def ras_axes(geometry: Geometry) -> tuple[tuple[int, int, int], tuple[int, ...], Geometry]:
    """How voxel axes turn into the closest RAS+ order.

    Returns
    -------
    The order to transpose an array on `geometry` to, the axes to flip after that, and the grid it then lies on: every
    voxel keeps its place in the world.
    """
    code = orientation_code(geometry.affine)
    x, y, z = (next(i for i, c in enumerate(code) if c in pair) for pair in ("RL", "AP", "SI"))
    order = (x, y, z)
    flips = tuple(axis for axis in range(3) if code[order[axis]] in "LPI")
    turn = np.zeros((4, 4))
    turn[3, 3] = 1.0
    for new, old in enumerate(order):
        turn[old, new] = -1.0 if new in flips else 1.0
        turn[old, 3] = geometry.shape[old] - 1 if new in flips else 0.0
    shape = (geometry.shape[x], geometry.shape[y], geometry.shape[z])
    return order, flips, Geometry(shape, geometry.affine @ turn)


def carry(
    values: FloatArray,
    source: Geometry,
    target: Geometry,
    world: FloatArray | None = None,
    *,
    outside: Literal["zero", "edge"] = "zero",
) -> NDArray[np.float32]:
    """Resample `values` from the grid `source` to the grid `target`, linearly.

    Parameters
    ----------
    values : (X, Y, Z) on `source`; finite.
    world : (4, 4) matrix taking a point of the source's world to the target's world, mm; identity where None.
    outside : what the source is beyond its outermost voxel centres: it falls to 0 within one voxel, or goes on with
        the values of its edge.

    Returns
    -------
    (X', Y', Z') float32 on `target`.
    """
    matrix = _voxel_to_voxel(target, source, world)
    out = np.empty(target.shape, dtype=np.float32)
    ndimage.affine_transform(
        np.asarray(values, dtype=np.float32),
        matrix[:3, :3],
        offset=matrix[:3, 3],
        output=out,
        order=1,
        # With plain "constant" rounding alone decides whether a point on the outermost voxels lies outside.
        mode="grid-constant" if outside == "zero" else "nearest",
    )
    return out


def carry_known(
    values: FloatArray, source: Geometry, target: Geometry, world: FloatArray | None = None
) -> NDArray[np.float32]:
    """Resample a map that is `nan` where it knows nothing; what was unknown stays `nan`.

    A target voxel is known where at least half of what it is interpolated from was known; its value is the
    weighted mean of the known part alone, so the border of the known region is never diluted.
    """
    known = np.isfinite(values)
    out = np.full(target.shape, np.nan, dtype=np.float32)
    # A brain fills a part of most grids; the rest need not be worked out.
    start, stop = _reached(known, _voxel_to_voxel(target, source, world), target.shape)
    if not (stop > start).all():
        return out
    affine = target.affine.copy()
    affine[:3, 3] = apply_affine(target.affine, start[None].astype(np.float64))[0]
    x, y, z = (int(n) for n in stop - start)
    near = Geometry((x, y, z), affine)
    weight = carry(known.astype(np.float32), source, near, world)
    total = carry(np.where(known, values, 0.0), source, near, world)
    seen = weight >= 0.5
    here = out[start[0] : stop[0], start[1] : stop[1], start[2] : stop[2]]
    here[seen] = total[seen] / weight[seen]
    return out


def _voxel_to_voxel(target: Geometry, source: Geometry, world: FloatArray | None) -> NDArray[np.float64]:
    """(4, 4) from voxels of the target to voxels of the source, whose world `world` takes to the target's."""
    back = source.world_to_voxel if world is None else source.world_to_voxel @ _inverse(world)
    matrix: NDArray[np.float64] = back @ target.affine
    return matrix


def _reached(
    known: NDArray[np.bool_], matrix: NDArray[np.float64], shape: tuple[int, int, int]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First voxel and the one after the last of the target's box that what is known can reach; empty where nothing."""
    used = [np.flatnonzero(known.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if not all(line.size for line in used):
        return np.zeros(3, dtype=np.intp), np.zeros(3, dtype=np.intp)
    ends = [(line[0] - 1, line[-1] + 1) for line in used]
    corners = np.array([[x, y, z] for x in ends[0] for y in ends[1] for z in ends[2]], dtype=np.float64)
    there = apply_affine(_inverse(matrix), corners)
    start = np.clip(np.floor(there.min(axis=0)), 0, shape).astype(np.intp)
    return start, np.clip(np.ceil(there.max(axis=0)) + 1, start, shape).astype(np.intp)
