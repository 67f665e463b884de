"""Recording what a preparation does, while it does it."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from anomri.core.geometry import Geometry
from anomri.core.history import Grid, Step, rows_of

__all__ = ["Track"]


class Track:
    """The steps so far, the grid they lead to, and the time each took.

    Parameters
    ----------
    geometry : the grid the scan came with.
    timings : seconds a step are added here; None where nobody asks.
    """

    def __init__(self, geometry: Geometry, timings: dict[str, float] | None) -> None:
        self.steps: list[Step] = []
        self.grid = geometry
        self._timings = timings
        self._since = time.perf_counter()

    def step(
        self,
        name: str,
        version: int,
        after: Geometry | None = None,
        *,
        world: NDArray[np.float64] | None = None,
        value_change: str | None = None,
        **measured: float,
    ) -> None:
        """Add a step that has just been done; the fields are those of `Step`, the grid stays where none is given."""
        after = self.grid if after is None else after
        self.steps.append(
            Step(
                name=name,
                version=version,
                before=Grid.of(self.grid),
                after=Grid.of(after),
                world=None if world is None else rows_of(world),
                value_change=value_change,
                measured=measured,
            )
        )
        self.grid = after
        now = time.perf_counter()
        if self._timings is not None:
            self._timings[name] = self._timings.get(name, 0.0) + now - self._since
        self._since = now
