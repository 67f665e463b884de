"""One image as anomri sees it, after reading and before preparation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomri.core.geometry import Geometry
from anomri.errors import InputError

__all__ = ["Scan", "Source"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a scan's bytes came from; holds no identity of a person.

    Parameters
    ----------
    format : e.g. ``nifti``, or ``array`` for a scan made in memory.
    reader : name and version of the reader.
    sha256 : of the file's bytes as stored (of the voxels and the affine for ``array``).
    orientation : voxel axes of the file, e.g. ``LAS``.
    notes : what the reader noticed and the user should know.
    """

    format: str
    reader: str
    sha256: str
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
