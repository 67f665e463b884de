"""Stacks of axial slices of a made body: fat around dark muscle, bones, a bright bladder; air with noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anomri.core.geometry import Geometry
from anomri.core.scan import Scan
from anomri.io import array_scan

__all__ = ["SPACING_MM", "body", "body_scan"]

SPACING_MM = (4.0, 4.0, 5.0)
FAT, MUSCLE, BONE, BLADDER, AIR = 500.0, 60.0, 250.0, 600.0, 3.0

Volume = NDArray[np.float64]


def body(
    seed: int, *, shape: tuple[int, int, int] = (96, 72, 14), half_mm: tuple[float, float] = (165.0, 115.0)
) -> tuple[Volume, NDArray[np.bool_]]:
    """(X, Y, Z) values and where the body is; `half_mm` beyond the field of view leaves no air."""
    rng = np.random.default_rng(seed)
    x, y, z = ((np.arange(n) - (n - 1) / 2.0) * s for n, s in zip(shape, SPACING_MM, strict=True))
    x, y, z = np.meshgrid(x, y, z, indexing="ij")
    size = 1 + 0.02 * rng.normal(size=2)
    r = np.hypot(x / (half_mm[0] * size[0]), y / (half_mm[1] * size[1]))
    values = np.where(r < 0.85, MUSCLE, FAT)
    for side in (-1, 1):
        values[np.hypot(x - side * 70, y + 20) < 22] = BONE
    values[np.hypot(x / 35, (y - 25) / 25) < 1 + 0.003 * z] = BLADDER
    values[np.hypot(x, y + 40) < 25] = FAT * 0.7
    inside = r < 1
    noise = np.hypot(AIR * rng.normal(size=shape), AIR * rng.normal(size=shape))
    values = np.where(inside, values * (1 + 0.03 * rng.normal(size=shape)), 0.0) + noise
    return values, inside


def body_scan(values: Volume, affine: NDArray[np.float64] | None = None, scan_id: str = "body") -> Scan:
    """The stack as a scan, centred, axes in RAS order unless another affine is given."""
    if affine is None:
        affine = np.diag([*SPACING_MM, 1.0])
        affine[:3, 3] = -np.array(SPACING_MM) * (np.array(values.shape) - 1) / 2.0
    x, y, z = values.shape
    return array_scan(values, Geometry((x, y, z), affine).affine, scan_id)
