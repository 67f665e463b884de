"""A scan made in memory."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anomri.core.geometry import Geometry, orientation_code
from anomri.core.scan import Scan, Source, image_sha256
from anomri.errors import InputError

__all__ = ["array_scan"]


def array_scan(
    voxels: ArrayLike,
    affine: ArrayLike,
    scan_id: str = "array",
    *,
    sequence: str | None = None,
    notes: tuple[str, ...] = (),
) -> Scan:
    """A scan from an array and its affine; both are copied.

    Parameters
    ----------
    voxels : (X, Y, Z) real numbers, finite.
    affine : (4, 4), voxel index → world RAS mm.
    notes : what a user of the scan should know.

    Returns
    -------
    The scan; its digest is the SHA-256 of the affine (float64) followed by the voxels (float32, C order), both
    little-endian.

    Raises
    ------
    InputError : not a volume of finite real numbers on an invertible grid (`geometry`, `nonfinite`,
        `unsupported_type`).
    """
    given = np.asarray(voxels)
    if given.dtype.kind not in "buif":
        raise InputError(
            f"an array of {given.dtype} is not an image", remedy="Give real numbers.", code="unsupported_type"
        )
    if given.ndim != 3:
        raise InputError(f"an array of {given.ndim} dimensions", remedy="Give a 3D array.", code="geometry")
    x, y, z = given.shape
    geometry = Geometry((x, y, z), np.asarray(affine, dtype=np.float64))
    with np.errstate(over="ignore"):
        values: NDArray[np.float32] = np.array(given, dtype=np.float32, order="C")
    digest = hashlib.sha256(np.ascontiguousarray(geometry.affine, dtype="<f8").tobytes())
    digest.update(np.ascontiguousarray(values, dtype="<f4").data)
    source = Source(
        format="array",
        reader="anomri.array 1",
        sha256=digest.hexdigest(),
        image_sha256=image_sha256(values, geometry),
        orientation=orientation_code(geometry.affine),
        notes=notes,
    )
    return Scan(values, geometry, scan_id, source, sequence=sequence)
