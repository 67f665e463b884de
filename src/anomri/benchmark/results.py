"""What a benchmark measured: the scores of a row, and the entries of its table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from anomri.benchmark.preparing import Ready
from anomri.benchmark.protocol import MethodRow
from anomri.benchmark.scoring import Cost

__all__ = ["LEFT_OUT", "Entry", "Results"]

# Metric of a row that could not be fitted; its note says why.
LEFT_OUT = "left out"


@dataclass(frozen=True, eq=False, slots=True)
class Results:
    """Scores and maps of one row, over all folds.

    Parameters
    ----------
    normals : how many normal scans each model was trained on; None for all of the fold.
    ready : the cases in the preparation of this row.
    scores : by seed, then by case id; +inf where the scan was refused.
    refused : why, by case id (of the first seed).
    calibration : by seed, then fold: out-of-fold scores of the training normals alone, where the protocol varies their
        number; empty where the other normals of the benchmark calibrate.
    maps : by seed, files that hold the map values inside the examined region by case id.
    costs : of every job.
    """

    row: MethodRow
    normals: int | None
    ready: tuple[Ready, ...]
    scores: Mapping[int, Mapping[str, float]]
    refused: Mapping[str, str]
    calibration: Mapping[int, Mapping[int, tuple[float, ...]]]
    fold_of: Mapping[str, int]
    maps: Mapping[int, tuple[Path, ...]]
    costs: tuple[Cost, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One figure of the table.

    Parameters
    ----------
    row, normals, cell, metric : what it is of.
    value, low, high : the figure and its 95 % interval; `nan` where undefined, `note` then says why.
    least, most : over the seeds; equal to `value` with one seed.
    n : cases it was measured on (abnormal ones, or normal ones for false alarms).
    """

    row: str
    normals: int | None
    cell: str
    metric: str
    value: float
    low: float = float("nan")
    high: float = float("nan")
    least: float = float("nan")
    most: float = float("nan")
    n: int = 0
    note: str = ""
