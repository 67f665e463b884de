"""What a method says of one scan: raw, uncalibrated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from anomri.errors import InputError

__all__ = ["Reading"]

FloatMap = NDArray[np.float32]


@dataclass(frozen=True, eq=False, slots=True)
class Reading:
    """The raw answer of a method's `examine`.

    Parameters
    ----------
    score : the method's scan score; finite; higher is more abnormal.
    map : (X, Y, Z) float32 on the prepared grid, finite inside the region and `nan` outside, higher is more
        abnormal; None for a method that does not localise.
    expected : what the method expected to see, in prepared intensities; None where it has no such image.
    map_scale : ``z`` where the map counts spreads of the normals (of a restless scan: of the normals and its own),
        ``raw`` where it is the method's own.
    maps : further named maps on the prepared grid.
    values : further named numbers, for the report.

    Raises
    ------
    InputError : the score is not finite.
    """

    score: float
    map: FloatMap | None = None
    expected: FloatMap | None = None
    map_scale: Literal["raw", "z"] = "raw"
    maps: Mapping[str, FloatMap] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not np.isfinite(self.score):
            raise InputError("a method returned a score that is not finite", remedy="Report this scan.", code="score")
