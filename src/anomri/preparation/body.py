"""The body in a stack of axial slices, and its place on the model's grid: no template, and nothing is scaled in plane.

Tissue begins at a fixed share of the stack's brightest, above the noise of air and below muscle, which is dark in a
T2-weighted image. What tissue encloses belongs to the body, slice by slice, and where the field of view cuts the body
off its edge closes the ring.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomri.core.geometry import Geometry, apply_affine, orientation_code, ras_axes
from anomri.errors import PreparationFailed
from anomri.preparation.crop import box_of
from anomri.preparation.head import largest, without_margins

__all__ = ["VERSION", "body_mask", "erode_in_plane", "not_axial", "to_middle"]

VERSION = 1
# Of the 99th percentile, both square roots: 6 % of the signal. Air has about 3 % where noise is usual, muscle 10 %.
_BODY_BEGINS = 0.25
_LEAST_SHARE = 0.1
# Voxels less alike than this have a direction in which slices are stacked.
_THICK = 1.5

Mask = NDArray[np.bool_]


def not_axial(geometry: Geometry) -> str:
    """Why a grid is no stack of axial slices; empty where it is one."""
    spacing = geometry.spacing_mm
    across = orientation_code(geometry.affine)[int(np.argmax(spacing))]
    if geometry.shape[2] == 1:
        return "it is a single slice, and the model is for stacks of slices"
    if max(spacing) > _THICK * min(spacing) and across not in "SI":
        return "its slices are not axial"
    return ""


def body_mask(voxels: NDArray[np.float32], geometry: Geometry) -> Mask:
    """The body in a stack of axial slices, on the stack's own grid.

    Margins without signal are cut off. Smoothed square roots above the threshold, gaps of up to a twelfth of the slice
    bridged; what is enclosed, also between two opposite edges of the slice; opened; the largest connected part.

    Parameters
    ----------
    voxels : (X, Y, Z) on `geometry`, axes in any order.

    Raises
    ------
    PreparationFailed : there is no such part, or it takes less than a tenth of the stack.
    """
    order, _, _ = ras_axes(geometry)
    stack = voxels.transpose(order)
    window = without_margins(stack.max(axis=2))
    seen = stack[window]
    side = max(seen.shape[:2])
    smooth = np.sqrt(np.maximum(ndimage.gaussian_filter(seen, (side / 256.0, side / 256.0, 0.0)) - seen.min(), 0.0))
    bright = smooth > _BODY_BEGINS * float(np.percentile(smooth[::2, ::2], 99))
    found = np.stack([_outline(bright[:, :, z], side) for z in range(bright.shape[2])], axis=2)
    mask = np.zeros(stack.shape, dtype=bool)
    mask[window] = largest(found)
    if mask.mean() < _LEAST_SHARE:
        raise PreparationFailed(
            "no body stands out from the background", remedy="Check the image, or give a mask.", code="mask_empty"
        )
    return np.ascontiguousarray(mask.transpose(np.argsort(order)))


def to_middle(mask: Mask, geometry: Geometry, grid: Geometry) -> NDArray[np.float64]:
    """World matrix that turns a stack to the grid's axes, its body to the middle, each slice onto one of the grid's.

    Parameters
    ----------
    mask : (X, Y, Z) on `geometry`, axes in RAS+ order.

    Returns
    -------
    (4, 4) mm: a rotation and a shift; millimetres stay in plane, and slices become as far apart as the grid's.
    """
    start, shape = box_of(mask, 0)
    # The middle of the box in plane; along Z the slice that comes onto a slice of the grid.
    slices, room = mask.shape[2], grid.shape[2]
    here = np.array([s + (n - 1) / 2.0 for s, n in zip(start[:2], shape[:2], strict=True)] + [0.0])
    there = np.array([(n - 1) / 2.0 for n in grid.shape[:2]] + [float((room - slices) // 2)])
    scale = np.array([1.0, 1.0, grid.spacing_mm[2] / geometry.spacing_mm[2]])
    world = np.eye(4)
    world[:3, :3] = scale[:, None] * (geometry.affine[:3, :3] / geometry.spacing_mm).T
    target = apply_affine(grid.affine, there[None])[0]
    world[:3, 3] = target - world[:3, :3] @ apply_affine(geometry.affine, here[None])[0]
    return world


def erode_in_plane(mask: Mask, spacing_mm: tuple[float, float, float], depth_mm: float) -> Mask:
    """The part of a mask deeper than `depth_mm` below its outline in each slice: a stack ends, a body does not."""
    return np.stack([_depth(mask[:, :, z], spacing_mm[:2]) > depth_mm for z in range(mask.shape[2])], axis=2)


def _outline(bright: Mask, side: int) -> Mask:
    small, wide = max(1, round(side / 64)), max(1, round(side / 24))
    closed = _closed(_opened(bright, max(1, small // 2)), wide)
    # A muscle at the edge of the field of view is enclosed by tissue and that edge; air reaches around a corner.
    dark, count = ndimage.label(~closed)
    touches = np.zeros((4, count + 1), dtype=bool)
    for row, edge in zip(touches, (dark[0], dark[-1], dark[:, 0], dark[:, -1]), strict=True):
        row[edge] = True
    open_to_air: Mask = (touches[0] | touches[1]) & (touches[2] | touches[3])
    return _opened(closed | ~open_to_air[dark], 2 * small)


def _closed(mask: Mask, radius: int) -> Mask:
    grown = np.pad(mask, radius)
    if not grown.any():
        return mask
    grown = ndimage.distance_transform_edt(~grown) <= radius
    closed: Mask = ndimage.distance_transform_edt(grown) > radius
    return closed[radius:-radius, radius:-radius] | mask


def _opened(mask: Mask, radius: int) -> Mask:
    """Opened as if the slice went on beyond its edge, where a body may be cut off."""
    padded = np.pad(mask, 2 * radius, mode="edge")
    core = ndimage.distance_transform_edt(padded) > radius
    if not core.any():
        return np.zeros_like(mask)
    opened: Mask = ndimage.distance_transform_edt(~core) <= radius
    return opened[2 * radius : -2 * radius, 2 * radius : -2 * radius] & mask


def _depth(mask: Mask, spacing_mm: tuple[float, float]) -> NDArray[np.float64]:
    depth: NDArray[np.float64] = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing_mm)[1:-1, 1:-1]
    return depth
