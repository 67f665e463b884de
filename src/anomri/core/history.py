"""What preparation did to a scan, step by step, and the way back.

A history is plain JSON, so a map can be brought home by another process that never saw the scan.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from anomri.core.geometry import Geometry, carry_known

__all__ = ["Grid", "History", "Rows", "Step", "rows_of"]

Rows = tuple[tuple[float, float, float, float], ...]


class Grid(BaseModel):
    """A `Geometry` as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, int, int]
    affine: Rows

    @classmethod
    def of(cls, geometry: Geometry) -> Grid:
        """The grid of a `Geometry`."""
        return cls(shape=geometry.shape, affine=rows_of(geometry.affine))

    @property
    def geometry(self) -> Geometry:
        """Back to a `Geometry`, exactly."""
        return Geometry(self.shape, np.array(self.affine, dtype=np.float64))


class Step(BaseModel):
    """One step of preparation.

    Parameters
    ----------
    name, version : which step; the version changes whenever its output may.
    before, after : the grid it found and the grid it left.
    world : (4, 4) matrix from the world before to the world after, mm; None where the world did not move.
    value_change : in words, what happened to the values; None where nothing did.
    measured : what the step measured, by name; finite.
    """

    # A number that is not finite would not survive JSON.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    version: int
    before: Grid
    after: Grid
    world: Rows | None = None
    value_change: str | None = None
    measured: dict[str, float] = {}


class History(BaseModel):
    """All steps, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: tuple[Step, ...]

    @property
    def world(self) -> NDArray[np.float64]:
        """(4, 4) matrix from the original world to the prepared world, mm."""
        matrix = np.eye(4)
        for step in self.steps:
            if step.world is not None:
                matrix = np.array(step.world, dtype=np.float64) @ matrix
        return matrix

    @property
    def original(self) -> Geometry:
        """The grid the scan came with."""
        return self.steps[0].before.geometry

    @property
    def prepared(self) -> Geometry:
        """The grid preparation ended on."""
        return self.steps[-1].after.geometry

    def measured(self, step: str, name: str) -> float:
        """What `step` measured under `name`; KeyError where it did not."""
        for entry in self.steps:
            if entry.name == step:
                return entry.measured[name]
        raise KeyError(step)

    def undo(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Bring a map from the prepared grid home to the original one.

        Parameters
        ----------
        values : (X, Y, Z) on the prepared grid; `nan` where nothing was examined.

        Returns
        -------
        (X', Y', Z') float32 on the original grid, `nan` where nothing was examined. One linear resampling,
        whatever the number of steps.
        """
        return carry_known(values, self.prepared, self.original, np.linalg.inv(self.world))


def rows_of(matrix: NDArray[np.float64]) -> Rows:
    """A (4, 4) matrix as JSON holds it."""
    return tuple((float(r[0]), float(r[1]), float(r[2]), float(r[3])) for r in matrix)
