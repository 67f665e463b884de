"""One image as anomri sees it, after reading and before preparation."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomri.core.geometry import Geometry, ras_axes
from anomri.errors import InputError

__all__ = ["Scan", "Source", "image_sha256"]

# Programs that write the same grid differ by rounding alone. Halves and quarters of a step are common in headers, so
# the edge between two steps lies at neither.
_STEPS_PER_MM = 100
_EDGE = 0.318


@dataclass(frozen=True, slots=True)
class Source:
    """Where a scan's bytes came from; holds no identity of a person.

    Parameters
    ----------
    format : e.g. ``nifti``, or ``array`` for a scan made in memory.
    reader : name and version of the reader.
    sha256 : of the file's bytes as stored (of the voxels and the affine for ``array``).
    image_sha256 : of what was read from them, see `image_sha256`.
    orientation : voxel axes of the file, e.g. ``LAS``.
    notes : what the reader noticed and the user should know.
    """

    format: str
    reader: str
    sha256: str
    image_sha256: str
    orientation: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Scan:
    """One 3D image of one contrast.

    Parameters
    ----------
    voxels : (X, Y, Z) float32, finite; made read-only.
    geometry : its grid.
    scan_id : name used in every output; safe alphabet.
    source : where it came from.
    sequence : ``T1w``, ``T2w``, ``FLAIR`` ... where known, else None.

    Raises
    ------
    InputError : shape and geometry disagree, or a value is not finite.
    """

    voxels: NDArray[np.float32]
    geometry: Geometry
    scan_id: str
    source: Source
    sequence: str | None = None

    def __post_init__(self) -> None:
        if self.voxels.shape != self.geometry.shape:
            raise InputError(
                f"voxels of shape {self.voxels.shape} on a grid of shape {self.geometry.shape}",
                remedy="Give both the same shape.",
                code="geometry",
            )
        if self.voxels.dtype != np.float32:
            object.__setattr__(self, "voxels", self.voxels.astype(np.float32))
        if not np.isfinite(self.voxels).all():
            raise InputError("some voxels are not finite", remedy="Replace NaN and Inf first.", code="nonfinite")
        self.voxels.setflags(write=False)


def image_sha256(voxels: NDArray[np.float32], geometry: Geometry) -> str:
    """Digest of an image, whatever file it lay in: what "the same scan" means wherever anomri asks.

    It stays the same where a file is compressed anew, written with another type that holds its values, or with its
    axes turned and flipped; not where values were scaled or resampled, or the image was moved in the world.

    Parameters
    ----------
    voxels : (X, Y, Z) float32 on `geometry`.

    Returns
    -------
    SHA-256 of the affine in steps of 0.01 mm (float64), the shape (int64) and the voxels (float32, C order), all
    little-endian and with the axes in their closest RAS+ order.
    """
    order, flips, turned = ras_axes(geometry)
    steps = np.floor(turned.affine * _STEPS_PER_MM + _EDGE)
    digest = hashlib.sha256(np.ascontiguousarray(steps, dtype="<f8").tobytes())
    digest.update(np.array(turned.shape, dtype="<i8").tobytes())
    for plane in np.flip(voxels.transpose(order), flips):
        digest.update(np.ascontiguousarray(plane, dtype="<f4").data)
    return digest.hexdigest()
