"""A result with its images, in memory: what `anomri.score` returns."""

from __future__ import annotations

from dataclasses import dataclass, field

from anomri.core.heatmap import Heatmap
from anomri.core.reading import FloatMap
from anomri.core.region import Region
from anomri.core.result import Result
from anomri.core.scan import Scan

__all__ = ["Outcome"]


@dataclass(frozen=True, eq=False, slots=True)
class Outcome:
    """All that is known of one scan, on the scan's own grid.

    Parameters
    ----------
    result : what goes to `result.json`.
    scan : the scan as read; None where it could not be read.
    heatmap : None where the scan was not scored or no branch localises.
    brain : the mask; None where there is none.
    expected : what the model expected to see, in prepared intensities, `nan` outside the brain. Of several branches
        that expect something it is the image of the one that contributes most where the heatmap is largest.
    maps : named maps of the branches, `nan` where nothing is known.
    expected_by : what further branches expected, by their names, where they contribute most to a finding.
    """

    result: Result
    scan: Scan | None = None
    heatmap: Heatmap | None = None
    brain: Region | None = None
    expected: FloatMap | None = None
    maps: dict[str, FloatMap] = field(default_factory=dict)
    expected_by: dict[str, FloatMap] = field(default_factory=dict)
