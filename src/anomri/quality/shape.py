"""Shape of the mask, left–right balance, and jumps from slice to slice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anomri.core.geometry import whole_voxels
from anomri.core.score import MAD_TO_SD
from anomri.quality.tissue import GREY

__all__ = ["shape_metrics", "slice_metrics"]

COARSE_MM = 5.0
# In units of white matter; one bright vessel must not move the centre of intensity.
BRIGHTEST = 2.0
# Smallest share of the largest slice that a slice needs in order to be compared with its neighbours.
SMALLEST_SLICE = 0.25

Mask = NDArray[np.bool_]
Volume = NDArray[np.float32]
Spacing = tuple[float, float, float]


def shape_metrics(values: Volume, mask: Mask, spacing_mm: Spacing) -> dict[str, float | None]:
    """Metrics of the mask and of how the intensities lie in it.

    Parameters
    ----------
    values : (X, Y, Z) field-corrected intensities of the mask's box ÷ median white matter.
    mask : (X, Y, Z); X is left–right.
    spacing_mm : distance between voxel centres along X, Y, Z.
    """
    voxel_mm3 = float(np.prod(spacing_mm))
    volume_mm3 = float(np.count_nonzero(mask)) * voxel_mm3
    cover, mean, block_mm = _blocks(values, mask, spacing_mm)
    centre = _centre(mask, spacing_mm)
    bright = _centre(np.where(mask, np.clip(values, 0.0, BRIGHTEST), np.float32(0)), spacing_mm)
    radius_mm = (volume_mm3 * 3.0 / (4.0 * np.pi)) ** (1.0 / 3.0)
    ellipsoid_mm3 = (
        4.0 / 3.0 * np.pi * 5.0**1.5 * float(np.sqrt(max(np.linalg.det(_spread(mask, centre, spacing_mm)), 0.0)))
    )
    shape_gap, value_gap = _mirror_gaps(cover, mean, (centre[0] + spacing_mm[0] / 2.0) / block_mm - 0.5)
    whole = cover > 0.999
    offset = float(np.linalg.norm(bright - centre))
    return {
        "brain_volume": volume_mm3 / 1000.0,
        "surface_excess": _surface_mm2(mask, spacing_mm) / (36.0 * np.pi * volume_mm3**2) ** (1.0 / 3.0),
        "ellipsoid_fill": volume_mm3 / ellipsoid_mm3 if ellipsoid_mm3 > 0 else None,
        "shape_asymmetry": shape_gap,
        "intensity_asymmetry": value_gap,
        "centre_offset": offset / radius_mm,
        "darkest_block": float(mean[whole].min()) if whole.any() else None,
    }


def _blocks(values: Volume, mask: Mask, spacing_mm: Spacing) -> tuple[Volume, Volume, float]:
    """Blocks of about 5 mm: share inside the mask, mean intensity of that share, width along X in mm."""
    factors = [max(1, whole_voxels(COARSE_MM, s)) for s in spacing_mm]
    padding = [(0, -n % f) for n, f in zip(mask.shape, factors, strict=True)]
    weight = np.pad(mask.astype(np.float32), padding)
    total = np.pad(np.where(mask, values, np.float32(0)), padding)
    for axis, factor in enumerate(factors):
        starts = np.arange(0, weight.shape[axis], factor)
        weight = np.add.reduceat(weight, starts, axis=axis)
        total = np.add.reduceat(total, starts, axis=axis)
    mean = (total / np.maximum(weight, 1.0)).astype(np.float32)
    cover = (weight / np.float32(np.prod(factors))).astype(np.float32)
    return cover, mean, factors[0] * spacing_mm[0]


def _centre(weight: NDArray[np.generic], spacing_mm: Spacing) -> NDArray[np.float64]:
    """Centre of mass (3,) of a weight map, mm from the centre of the first voxel."""
    centre = np.zeros(3)
    for axis in range(3):
        line = weight.sum(axis=tuple(a for a in range(3) if a != axis), dtype=np.float64)
        centre[axis] = spacing_mm[axis] * float(line @ np.arange(len(line))) / max(float(line.sum()), 1e-30)
    return centre


def _spread(mask: Mask, centre_mm: NDArray[np.float64], spacing_mm: Spacing) -> NDArray[np.float64]:
    """Covariance (3, 3), mm², of the positions inside a mask, from its three projections."""
    away = [np.arange(n) * s - c for n, s, c in zip(mask.shape, spacing_mm, centre_mm, strict=True)]
    xy, xz, yz = (mask.sum(axis=along, dtype=np.float64) for along in (2, 1, 0))
    products = np.zeros((3, 3))
    for one, other, plane in ((0, 1, xy), (0, 2, xz), (1, 2, yz)):
        products[one, other] = products[other, one] = away[one] @ plane @ away[other]
    for axis, line in enumerate((xy.sum(axis=1), xy.sum(axis=0), xz.sum(axis=0))):
        products[axis, axis] = line @ np.square(away[axis])
    # A voxel is a box, not a point: its own spread along each axis is width² / 12.
    covariance: NDArray[np.float64] = products / xy.sum() + np.diag(np.square(spacing_mm) / 12.0)
    return covariance


def _mirror_gaps(cover: Volume, mean: Volume, middle: float) -> tuple[float, float | None]:
    """Gaps between the brain and its mirror image about the sagittal plane through block `middle` along X.

    Share of the mask without counterpart, and mean absolute difference where both lie inside ÷ mean intensity there.
    """
    n = cover.shape[0]
    mirrored = 2.0 * middle - np.arange(n)
    cover_there, mean_there = _at(cover, mirrored), _at(mean * cover, mirrored)
    gap = float(np.abs(cover - cover_there).sum() / (2.0 * cover.sum()))
    both = (cover > 0.9) & (cover_there > 0.9)
    if np.count_nonzero(both) < 10:
        return gap, None
    one, other = mean[both], mean_there[both] / cover_there[both]
    level = float(np.mean(one + other)) / 2.0
    return gap, float(np.mean(np.abs(one - other))) / level if level > 0 else None


def _at(values: Volume, positions: NDArray[np.floating]) -> Volume:
    """Linear interpolation along X; 0 outside."""
    padded = np.concatenate([np.zeros_like(values[:1]), values, np.zeros_like(values[:1])])
    spot = np.clip(positions + 1.0, 0.0, len(padded) - 1.000001)
    low = spot.astype(np.intp)
    part = (spot - low).astype(np.float32)[:, None, None]
    between: Volume = padded[low] * (1 - part) + padded[low + 1] * part
    return between


def _surface_mm2(mask: Mask, spacing_mm: Spacing) -> float:
    """Area of the voxel faces between inside and outside × 2/3, which is exact for large balls.

    Faces along the axes overrate an evenly oriented surface by 3/2 (Cauchy's projection formula).
    """
    area = 0.0
    for axis in range(3):
        face = float(np.prod([s for a, s in enumerate(spacing_mm) if a != axis]))
        ahead, behind = [slice(None)] * 3, [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        changes = np.count_nonzero(mask[tuple(ahead)] != mask[tuple(behind)])
        ends = np.count_nonzero(mask.take(0, axis=axis)) + np.count_nonzero(mask.take(-1, axis=axis))
        area += face * (changes + ends)
    return area * 2.0 / 3.0


def slice_metrics(flat: Volume, labels: NDArray[np.uint8]) -> dict[str, float | None]:
    """Jumps between neighbouring slices along the worst of the three axes.

    Parameters
    ----------
    flat : (X, Y, Z) field-corrected intensities ÷ median white matter.
    labels : (X, Y, Z) tissue classes.

    Returns
    -------
    ``slice_jump``: largest departure of a slice's mean intensity in white and grey matter from the mean of its two
    neighbours'. ``slice_unrest``: robust standard deviation of the same. ``slice_difference``: largest mean
    absolute difference of two neighbouring slices ÷ the median of the eight pairs around them.
    """
    tissue = labels >= GREY
    kept = np.where(tissue, flat, np.float32(0))
    jumps, unrest, differences = [], [], []
    for axis in range(3):
        ahead, behind = [slice(None)] * 3, [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        others = tuple(a for a in range(3) if a != axis)
        both = tissue[tuple(ahead)] & tissue[tuple(behind)]
        count = both.sum(axis=others, dtype=np.float64)
        step = np.where(both, kept[tuple(ahead)] - kept[tuple(behind)], np.float32(0))
        busy = count >= max(SMALLEST_SLICE * float(count.max(initial=0.0)), 20.0)
        pairs = np.flatnonzero(busy)
        if len(pairs) < 12:
            continue
        run = slice(int(pairs[0]), int(pairs[-1]) + 1)
        weight = np.maximum(count[run], 1.0)
        drift = step.sum(axis=others, dtype=np.float64)[run] / weight
        bend = (drift[1:] - drift[:-1]) / 2.0
        jumps.append(float(np.abs(bend).max()))
        unrest.append(MAD_TO_SD * float(np.median(np.abs(bend))))
        size = np.abs(step, out=step).sum(axis=others, dtype=np.float64)[run] / weight
        differences.append(_largest_outlier(size))
    if not jumps:
        return dict.fromkeys(("slice_jump", "slice_unrest", "slice_difference"))
    return {"slice_jump": max(jumps), "slice_unrest": max(unrest), "slice_difference": max(differences)}


def _largest_outlier(series: NDArray[np.float64]) -> float:
    """Largest ratio of a value to the median of the four before and the four after it."""
    padded = np.pad(series, 4, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 9)
    around = np.median(np.delete(windows, 4, axis=1), axis=1)
    return float((series / np.maximum(around, np.finfo(np.float64).tiny)).max())
