"""Voxel by voxel: average precision and the best Dice of maps, exact and from one table.

A map is `nan` where nothing was examined; a refused scan has a map of `nan` alone. Average precision speaks of the
examined voxels; Dice counts a lesion voxel that was not examined as missed. Several scans are pooled by giving several
maps; for a figure per subject, give one at a time and take `anomri.metrics.strata.summary`.

The voxels of a scan are sorted once; every figure over thresholds then counts by bisection. The step-wise area and the
best Dice only change where a lesion voxel is passed, and lesion voxels are few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anomri.errors import InputError
from anomri.metrics.detection import AveragePrecision
from anomri.metrics.overlap import same_shape

__all__ = [
    "BestDice",
    "RankedVoxels",
    "VoxelCounts",
    "count_ranked",
    "count_voxels",
    "exceeding",
    "oracle_dice",
    "rank_voxels",
    "voxel_average_precision",
]

FloatMap = NDArray[np.floating]
Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class RankedVoxels:
    """The examined voxels of one scan by value: all that a figure over thresholds needs of a map.

    Parameters
    ----------
    inside, outside : (k,) and (m,) values of lesion voxels and of the others, ascending.
    lesion : lesion voxels, examined or not.
    """

    inside: NDArray[np.floating]
    outside: NDArray[np.floating]
    lesion: int


@dataclass(frozen=True, eq=False, slots=True)
class VoxelCounts:
    """Voxels at or above each of the k distinct values of lesion voxels, lowest value first.

    Parameters
    ----------
    values : (k,) in the maps' own precision.
    true, false : (k,) examined lesion voxels and examined other voxels at or above.
    lesion : lesion voxels, examined or not.
    examined_normal : examined voxels outside lesions.
    """

    values: NDArray[np.floating]
    true: Ints
    false: Ints
    lesion: int
    examined_normal: int


class BestDice(NamedTuple):
    """The largest Dice over all thresholds, reached by ``map > threshold``."""

    dice: float
    threshold: float


def rank_voxels(values: FloatMap, lesion: Mask) -> RankedVoxels:
    """Sort the examined voxels of a scan, those of lesions and the others.

    Raises
    ------
    InputError : the shapes differ.
    """
    same_shape(values, lesion)
    examined = ~np.isnan(values)
    return RankedVoxels(np.sort(values[lesion & examined]), np.sort(values[~lesion & examined]), int(lesion.sum()))


def count_voxels(maps: Sequence[FloatMap], lesions: Sequence[Mask]) -> VoxelCounts:
    """The table of one or several scans.

    Parameters
    ----------
    maps, lesions : maps and truth masks of the same scans, in the same order; shapes may differ between scans.

    Raises
    ------
    InputError : numbers or shapes differ.
    """
    if len(maps) != len(lesions):
        raise InputError(f"{len(maps)} maps and {len(lesions)} masks", remedy="Give one of each.", code="lengths")
    return count_ranked([rank_voxels(values, lesion) for values, lesion in zip(maps, lesions, strict=True)])


def count_ranked(scans: Sequence[RankedVoxels]) -> VoxelCounts:
    """`count_voxels` of scans that are sorted already."""
    passed, times = np.unique(np.concatenate([np.zeros(0, np.float32), *(s.inside for s in scans)]), return_counts=True)
    return VoxelCounts(
        values=passed,
        true=np.cumsum(times[::-1], dtype=np.int64)[::-1],
        false=sum((exceeding(s.outside, passed) for s in scans), np.zeros(passed.size, np.int64)),
        lesion=sum(s.lesion for s in scans),
        examined_normal=sum(s.outside.size for s in scans),
    )


def exceeding(ordered: NDArray[np.floating], levels: NDArray[np.floating], *, strictly: bool = False) -> Ints:
    """(k,) number of the ascending values `ordered` (n,) at or above (or strictly above) each of the `levels` (k,)."""
    return ordered.size - np.searchsorted(ordered, levels, side="right" if strictly else "left")


def voxel_average_precision(counts: VoxelCounts) -> AveragePrecision:
    """Step-wise area under the precision–recall curve of the examined voxels; see `average_precision`.

    Returns
    -------
    Value, prevalence and lift; `nan` where no examined voxel, or every one, is lesion.
    """
    examined = int(counts.true[0]) if counts.true.size else 0
    if examined == 0 or counts.examined_normal == 0:
        return AveragePrecision(float("nan"), float("nan"), float("nan"))
    gain = counts.true - np.append(counts.true[1:], 0)
    value = float((gain * (counts.true / (counts.true + counts.false))).sum()) / examined
    prevalence = examined / (examined + counts.examined_normal)
    return AveragePrecision(value, prevalence, value / prevalence)


def oracle_dice(counts: VoxelCounts) -> BestDice:
    """The Dice of the best threshold, chosen on the lesions themselves: an upper bound, the literature's ⌈Dice⌉.

    Of several scans it is the pooled Dice of one threshold for all; of one scan the looser bound of a threshold of its
    own.

    Returns
    -------
    `BestDice`; both `nan` without a lesion; (0, +inf) where no lesion voxel was examined.
    """
    if counts.lesion == 0:
        return BestDice(float("nan"), float("nan"))
    if counts.values.size == 0:
        return BestDice(0.0, float("inf"))
    every = 2.0 * counts.true / (counts.true + counts.false + counts.lesion)
    best = int(every.argmax())
    lowest = counts.values.dtype.type(-np.inf)
    return BestDice(float(every[best]), float(np.nextafter(counts.values[best], lowest)))
