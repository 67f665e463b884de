"""How much of each lesion a map covers while it stays quiet elsewhere: sPRO and AUPIMO.

Both are areas over a small range of voxel false-positive rates. They are summed over lesion voxels instead of
thresholds, exactly: a voxel adds its share from the rate at which it is reached up to the end of the range.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anomri.errors import InputError
from anomri.metrics.lesionwise import lesions_of
from anomri.metrics.overlap import same_shape
from anomri.metrics.voxel import RankedVoxels, exceeding, rank_voxels

__all__ = ["AUPIMO_BAND", "Cover", "aupimo", "aupimo_of", "cover_of", "spro", "spro_of"]

FloatMap = NDArray[np.floating]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
# Shared false-positive rates of AUPIMO, as published.
AUPIMO_BAND = (1e-5, 1e-4)


class Cover(NamedTuple):
    """Lesion by lesion, the examined voxels of one scan: their values, highest first, and the share of its lesion that
    each adds once it is reached; and how many lesions the scan has."""

    values: FloatMap
    shares: Floats
    lesions: int


def spro(
    maps: Sequence[FloatMap],
    lesions: Sequence[Mask],
    spacings_mm: Sequence[tuple[float, ...]],
    *,
    limit: float = 0.05,
    saturation_ml: float = 1.0,
) -> float:
    """Area under the saturated region overlap up to a voxel false-positive rate, divided by that rate.

    The overlap at a threshold is the mean over lesions of min(|A ∩ G| / σ, 1), σ = min(|G|, saturation); the
    false-positive rate is over all examined voxels outside lesions, of patients and of normals.

    Parameters
    ----------
    maps, lesions, spacings_mm : of the same scans; an empty mask for a normal scan. Lesions below 10 mm³ are ignored:
        neither lesion nor false positive.
    limit : largest voxel false-positive rate, in (0, 1].
    saturation_ml : more of a lesion than this need not be covered.

    Returns
    -------
    In [0, 1], higher is better; straight between thresholds, so that voxels with equal values count half; `nan`
    without a lesion or without an examined voxel outside.

    Raises
    ------
    InputError : numbers or shapes differ, or the limit is not in (0, 1].

    References
    ----------
    Bergmann et al., IJCV 130, 2022, section 4 (MVTec LOCO AD).
    """
    if not len(maps) == len(lesions) == len(spacings_mm):
        raise InputError("maps, masks and spacings do not fit", remedy="Give one of each.", code="lengths")
    scans = list(zip(maps, lesions, spacings_mm, strict=True))
    return spro_of(
        [cover_of(v, lesion, spacing_mm=mm, saturation_ml=saturation_ml) for v, lesion, mm in scans],
        [rank_voxels(v, lesion).outside for v, lesion, _ in scans],
        limit=limit,
    )


def cover_of(values: FloatMap, lesion: Mask, *, spacing_mm: tuple[float, ...], saturation_ml: float = 1.0) -> Cover:
    """What the voxels of each lesion of a scan add to `spro_of`; errors as for `spro`."""
    same_shape(values, lesion)
    truth = lesions_of(lesion, spacing_mm=spacing_mm)
    saturation = saturation_ml * 1000.0 / float(np.prod(spacing_mm))
    reached, shares = [np.zeros(0, values.dtype)], [np.zeros(0)]
    for own, size in _voxels_of(values, truth.labels, truth.volumes_ml.size):
        full = min(float(size), saturation)
        reached.append(own)
        # The highest voxels count one each until the lesion is saturated.
        shares.append(np.clip(full - np.arange(own.size), 0.0, 1.0) / full)
    return Cover(np.concatenate(reached), np.concatenate(shares), truth.volumes_ml.size)


def spro_of(scans: Sequence[Cover], outside: Sequence[FloatMap], *, limit: float = 0.05) -> float:
    """`spro` of scans that are taken apart already.

    Parameters
    ----------
    scans : of `cover_of`, of patients.
    outside : of patients and of normals the values of examined voxels outside lesions, ascending.
    """
    if not 0 < limit <= 1:
        raise InputError(f"a rate of {limit}", remedy="Give one above 0, and at most 1.", code="lengths")
    n = sum(scan.lesions for scan in scans)
    total = sum(own.size for own in outside)
    if n == 0 or total == 0:
        return float("nan")
    levels, place = np.unique(np.concatenate([scan.values for scan in scans]), return_inverse=True)
    start = sum(exceeding(own, levels, strictly=True) for own in outside) / total
    end = sum(exceeding(own, levels) for own in outside) / total
    # A share gained evenly over [start, end] and kept until the limit.
    within = np.clip(limit - start, 0.0, None)
    tie = np.where(end > start, end - start, 1.0)
    area = np.where(end <= limit, limit - (start + end) / 2.0, within * (within / tie) / 2.0)
    return float((np.concatenate([scan.shares for scan in scans]) * area[place]).sum()) / (n * limit)


def aupimo(
    maps: Sequence[FloatMap],
    lesions: Sequence[Mask],
    normal_maps: Sequence[FloatMap],
    *,
    band: tuple[float, float] = AUPIMO_BAND,
) -> Floats:
    """Per-scan recall, averaged over a band of low false-positive rates (logarithmic) that normals alone define.

    Parameters
    ----------
    maps, lesions : of scans with lesions.
    normal_maps : maps of normal scans; the shared false-positive rate is the mean of theirs.
    band : lowest and highest rate.

    Returns
    -------
    (n,) one a scan, in [0, 1], higher is better; recall at a rate is that of the lowest threshold that does not exceed
    it. `nan` for a scan without a lesion, and for all where the normals have too few voxels to show the band's lower
    end.

    Raises
    ------
    InputError : numbers or shapes differ, or the band is none.

    References
    ----------
    Bertoldo et al., BMVC 2024 (arXiv 2401.01984).
    """
    if len(maps) != len(lesions):
        raise InputError("maps and masks do not fit", remedy="Give one of each.", code="lengths")
    normals = [np.sort(values[~np.isnan(values)]) for values in normal_maps]
    return np.array([aupimo_of(rank_voxels(v, g), normals, band=band) for v, g in zip(maps, lesions, strict=True)])


def aupimo_of(scan: RankedVoxels, normals: Sequence[FloatMap], *, band: tuple[float, float] = AUPIMO_BAND) -> float:
    """`aupimo` of one scan, its voxels and those of each normal scan being sorted already (ascending)."""
    low, high = band
    if not 0 < low < high <= 1:
        raise InputError(f"a band of {low} to {high}", remedy="Give 0 < low < high ≤ 1.", code="lengths")
    seen = [own for own in normals if own.size]
    resolved = bool(seen) and 1.0 / (len(seen) * max(own.size for own in seen)) <= low
    if not resolved or scan.lesion == 0:
        return float("nan")
    levels, times = np.unique(scan.inside, return_counts=True)
    rate = sum((exceeding(own, levels) / own.size for own in seen), np.zeros(levels.size)) / len(seen)
    kept = np.log(high / np.clip(rate, low, high)) / np.log(high / low)
    return float((times * kept).sum()) / scan.lesion


def _voxels_of(values: FloatMap, labels: NDArray[np.int64], n: int) -> list[tuple[FloatMap, int]]:
    """Of each of n labels the examined values, highest first, and the number of its voxels, examined or not."""
    inside = labels > 0
    label, own = labels[inside], values[inside]
    order = np.lexsort((-own, label))
    parts = np.split(own[order], np.cumsum(np.bincount(label, minlength=n + 1)[1:])[:-1]) if n else []
    return [(part[~np.isnan(part)], part.size) for part in parts]
