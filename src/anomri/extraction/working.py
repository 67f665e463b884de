"""The grid on which a head is looked at: isotropic, along the world's axes, as coarse as a brain's outline allows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anomri.core.geometry import Geometry, apply_affine, carry, ras_axes, whole_voxels
from anomri.core.scan import Scan
from anomri.extraction.defaced import constant_blocks

__all__ = ["SPACING_MM", "on_working_grid"]

SPACING_MM = 2.0


def on_working_grid(scan: Scan) -> tuple[NDArray[np.float32], Geometry]:
    """A scan averaged to about 2 mm and carried to voxels of 2 mm, axes in RAS+ order.

    Returns
    -------
    Values (X, Y, Z) less their darkest one, 0 beyond the scan and where blocks of one value are, and their grid.
    """
    order, flips, geometry = ras_axes(scan.geometry)
    voxels = np.flip(scan.voxels.transpose(order), flips)
    # What stands for a face that was taken off must not pass for tissue.
    voxels = np.where(constant_blocks(voxels, geometry.spacing_mm), voxels.min(), voxels)
    factors = [
        min(max(1, whole_voxels(SPACING_MM, s)), n) for s, n in zip(geometry.spacing_mm, voxels.shape, strict=True)
    ]
    x, y, z = (n // f for n, f in zip(voxels.shape, factors, strict=True))
    fx, fy, fz = factors
    whole = voxels[: x * fx, : y * fy, : z * fz] - voxels.min()
    averaged = whole.reshape(x, fx, y, fy, z, fz).mean(axis=(1, 3, 5), dtype=np.float32)
    affine = geometry.affine @ np.diag([fx, fy, fz, 1.0])
    affine[:3, 3] = apply_affine(geometry.affine, (np.array([[fx, fy, fz]]) - 1) / 2.0)[0]
    source = Geometry((x, y, z), affine)
    target = _around(source)
    return carry(averaged, source, target), target


def _around(source: Geometry) -> Geometry:
    """The working grid that covers another one."""
    ends = [(0.0, n - 1.0) for n in source.shape]
    corners = apply_affine(source.affine, np.array([[i, j, k] for i in ends[0] for j in ends[1] for k in ends[2]]))
    low = corners.min(axis=0)
    x, y, z = (int(n) for n in np.ceil(np.ptp(corners, axis=0) / SPACING_MM - 1e-6) + 1)
    affine = np.diag([SPACING_MM] * 3 + [1.0])
    affine[:3, 3] = low
    return Geometry((x, y, z), affine)
