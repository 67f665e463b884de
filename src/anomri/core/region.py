"""A set of voxels with a name and a maker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomri.core.geometry import Geometry
from anomri.errors import InputError

__all__ = ["Region"]


@dataclass(frozen=True, eq=False, slots=True)
class Region:
    """Part of a grid.

    Parameters
    ----------
    mask : (X, Y, Z), at least one voxel; taken as bool, made read-only.
    geometry : the grid it lies on.
    name : e.g. ``brain``.
    made_by : the step, or ``user`` for a mask that was given.

    Raises
    ------
    InputError : the mask is empty or not on its grid.
    """

    mask: NDArray[np.bool_]
    geometry: Geometry
    name: str
    made_by: str

    def __post_init__(self) -> None:
        if self.mask.shape != self.geometry.shape:
            raise InputError(
                f"a mask of shape {self.mask.shape} on a grid of shape {self.geometry.shape}",
                remedy="Give a mask on the scan's own grid.",
                code="mask_grid",
            )
        if self.mask.dtype != np.bool_:
            # An integer mask would index voxels instead of choosing them.
            object.__setattr__(self, "mask", self.mask != 0)
        if not self.mask.any():
            raise InputError(f"the region {self.name!r} is empty", remedy="Check the mask.", code="mask_empty")
        self.mask.setflags(write=False)

    @property
    def volume_ml(self) -> float:
        """Volume of the region, millilitres."""
        return float(self.mask.sum()) * self.geometry.voxel_ml
