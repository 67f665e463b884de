"""Stored numbers become float32 voxels, a few slices at a time, so that reading takes little more memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomri.errors import InputError

__all__ = ["as_float32", "decode"]

SLAB_BYTES = 1 << 22


def decode(
    take: Callable[[int], bytes | bytearray],
    shape: tuple[int, int, int],
    stored: np.dtype[Any],
    *,
    slope: float = 1.0,
    inter: float = 0.0,
) -> NDArray[np.float32]:
    """Voxels from bytes that lie X fastest, Z slowest.

    Parameters
    ----------
    take : gives the next so many bytes, all of them.
    stored : type and byte order of the numbers.
    slope, inter : value = slope · stored + inter, worked out in float64.

    Returns
    -------
    (X, Y, Z) float32, C order; NaN and infinity as stored.

    Raises
    ------
    InputError : a finite number becomes infinite (`nonfinite`).
    """
    nx, ny, nz = shape
    plane = nx * ny * stored.itemsize
    step = min(nz, max(1, SLAB_BYTES // plane))
    voxels = np.empty(shape, dtype=np.float32)
    for z in range(0, nz, step):
        planes = min(step, nz - z)
        slab = np.frombuffer(take(plane * planes), dtype=stored)
        voxels[:, :, z : z + planes] = as_float32(slab, slope, inter).reshape((nx, ny, planes), order="F")
    return voxels


def as_float32(stored: NDArray[Any], slope: float = 1.0, inter: float = 0.0) -> NDArray[np.float32]:
    """slope · stored + inter.

    Raises
    ------
    InputError : a finite number becomes infinite (`nonfinite`).
    """
    with np.errstate(all="ignore"):
        wide = stored if (slope, inter) == (1.0, 0.0) else stored.astype(np.float64) * slope + inter
        values = wide.astype(np.float32)
        if not np.isfinite(values).all() and bool((np.isinf(values) & np.isfinite(stored)).any()):
            raise InputError("a value does not fit float32", remedy="Rescale the image.", code="nonfinite")
    return values
