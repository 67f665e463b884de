"""Fine structure of the intensities: noise, gradients, entropy, correlation length, tails."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anomri.core.score import MAD_TO_SD
from anomri.quality.tissue import GREY, WHITE

__all__ = ["correlation_length_mm", "diagonal_noise", "focus_entropy", "shrink", "texture_metrics"]

ENTROPY_BINS = 64
FEWEST_VOXELS = 100

Mask = NDArray[np.bool_]
Volume = NDArray[np.float32]


def shrink(mask: Mask) -> Mask:
    """The mask without its outermost voxels (6-neighbourhood; the border of the array counts as outside).

    A single slice, (X, Y, 1), is shrunk within its plane.
    """
    if mask.shape[2] == 1 and min(mask.shape[:2]) >= 3:
        return shrink(np.repeat(mask, 3, axis=2))[:, :, 1:2]
    out = np.zeros_like(mask)
    if min(mask.shape) < 3:
        return out
    core = mask[1:-1, 1:-1, 1:-1].copy()
    core &= mask[:-2, 1:-1, 1:-1] & mask[2:, 1:-1, 1:-1]
    core &= mask[1:-1, :-2, 1:-1] & mask[1:-1, 2:, 1:-1]
    core &= mask[1:-1, 1:-1, :-2] & mask[1:-1, 1:-1, 2:]
    out[1:-1, 1:-1, 1:-1] = core
    return out


def diagonal_noise(values: Volume, mask: Mask) -> float | None:
    """Standard deviation of white noise, from the finest diagonal Haar coefficients inside the mask.

    MAD / 0.6745 of the sums of 2 × 2 × 2 disjoint blocks with alternating signs, divided by √8; of a single slice those
    of 2 × 2, divided by 2. None where fewer than 100 whole blocks lie inside the mask.

    References
    ----------
    Donoho D. L., Johnstone I. M., Biometrika 81:425, 1994.
    """
    x, y, z = (n - n % 2 for n in values.shape)
    deep = 2
    if values.shape[2] == 1:
        z, deep = 2, 1
    signed = np.zeros((x // 2, y // 2, z // 2), dtype=np.float32)
    whole = np.ones(signed.shape, dtype=bool)
    for i in range(2):
        for j in range(2):
            for k in range(deep):
                corner = (slice(i, x, 2), slice(j, y, 2), slice(k, z, 2))
                signed += np.float32((-1) ** (i + j + k)) * values[corner]
                whole &= mask[corner]
    coefficients = signed[whole]
    if coefficients.size < FEWEST_VOXELS:
        return None
    return MAD_TO_SD * float(np.median(np.abs(coefficients))) / float(np.sqrt(4.0 * deep))


def focus_entropy(values: Volume) -> float | None:
    """Entropy focus criterion of a box: 0 where one voxel holds all energy, 1 where all voxels are equal.

    −Σ (x/b) ln (x/b) with b = √Σx², divided by its largest value √n · ln √n. None for a single voxel.

    References
    ----------
    Atkinson D. et al., IEEE Trans. Med. Imaging 16:903, 1997.
    """
    if values.size < 2:
        return None
    energy = float(np.sqrt(np.square(values, dtype=np.float64).sum()))
    positive = (values[values > 0] / np.float32(energy)).astype(np.float32)
    largest = np.sqrt(values.size) * np.log(np.sqrt(values.size))
    return float(-(positive * np.log(positive)).sum(dtype=np.float64) / largest)


def correlation_length_mm(values: Volume, mask: Mask, axis: int, spacing: float) -> float | None:
    """Full width at half maximum, mm, of the Gaussian whose smoothing explains how alike neighbours along an axis are.

    spacing · √(−2 ln 2 / ln(1 − var(differences) / (2 · var(values)))); None where neighbours are not alike at all.

    References
    ----------
    Forman S. D. et al., Magn. Reson. Med. 33:636, 1995.
    """
    ahead, behind = _neighbours(axis)
    both = mask[ahead] & mask[behind]
    if np.count_nonzero(both) < FEWEST_VOXELS:
        return None
    difference = values[ahead][both] - values[behind][both]
    spread = 2.0 * float(values[mask].var(dtype=np.float64))
    inner = 1.0 - float(difference.var(dtype=np.float64)) / spread if spread > 0 else 0.0
    if not 0.0 < inner < 1.0:
        return None
    return float(spacing * np.sqrt(-2.0 * np.log(2.0) / np.log(inner)))


def texture_metrics(
    values: Volume, mask: Mask, labels: NDArray[np.uint8], spacing_mm: tuple[float, float, float]
) -> dict[str, float | None]:
    """Metrics of fine structure.

    Parameters
    ----------
    values : (X, Y, Z) intensities of the mask's box ÷ median white matter; 0 outside the mask.
    mask, labels : (X, Y, Z).
    spacing_mm : distance between voxel centres along X, Y, Z.
    """
    inside = values[mask]
    names = ("correlation_length_x", "correlation_length_y", "correlation_length_z")
    out: dict[str, float | None] = {
        name: correlation_length_mm(values, mask, axis, spacing_mm[axis]) for axis, name in enumerate(names)
    }
    noise = diagonal_noise(values, mask)
    low, quarter, middle, high = (float(q) for q in np.percentile(inside, (1.0, 10.0, 50.0, 99.0)))
    out |= {
        "noise_level": noise,
        "focus_entropy": focus_entropy(values),
        "intensity_entropy": _entropy(inside, low, high),
        "dark_tail": quarter / middle if middle > 0 else None,
        "bright_tail": high / middle if middle > 0 else None,
    }
    return out | _edge_metrics(values, mask, labels, spacing_mm)


def _edge_metrics(
    values: Volume, mask: Mask, labels: NDArray[np.uint8], spacing_mm: tuple[float, float, float]
) -> dict[str, float | None]:
    """Gradient and curvature where all six neighbours lie in the mask; mm⁻¹ and mm⁻²."""
    core = shrink(mask)
    if np.count_nonzero(core) < FEWEST_VOXELS:
        return dict.fromkeys(("gradient_energy", "gradient_entropy", "curvature", "edge_slope"))
    squared = np.zeros(values.shape, dtype=np.float32)
    bend = np.zeros(values.shape, dtype=np.float32)
    # A single slice has no slope across it.
    here = tuple(slice(1, -1) if n > 1 else slice(None) for n in values.shape)
    for axis, spacing in enumerate(spacing_mm):
        if values.shape[axis] == 1:
            continue
        after, before = list(here), list(here)
        after[axis], before[axis] = slice(2, None), slice(None, -2)
        ahead, behind = values[tuple(after)], values[tuple(before)]
        slope = (ahead - behind) * np.float32(0.5 / spacing)
        squared[here] += slope * slope
        bend[here] += (ahead + behind - 2.0 * values[here]) * np.float32(spacing**-2)
    variance = float(values[core].var(dtype=np.float64))
    steep = np.sqrt(squared[core])
    white, grey = values[labels == WHITE], values[labels == GREY]
    border = core & _touches(labels == WHITE, labels == GREY)
    slope_at_border: float | None = None
    if np.count_nonzero(border) >= FEWEST_VOXELS:
        step = abs(float(np.median(white)) - float(np.median(grey)))
        slope_at_border = float(np.sqrt(squared[border]).mean(dtype=np.float64)) / step if step > 0 else None
    return {
        "gradient_energy": float(squared[core].mean(dtype=np.float64)) / variance if variance > 0 else None,
        "gradient_entropy": _entropy(steep, 0.0, float(np.percentile(steep, 99.0))),
        "curvature": float(np.sqrt(bend[core].var(dtype=np.float64) / variance)) if variance > 0 else None,
        "edge_slope": slope_at_border,
    }


def _neighbours(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    ahead, behind = [slice(None)] * 3, [slice(None)] * 3
    ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
    return tuple(ahead), tuple(behind)


def _touches(one: Mask, other: Mask) -> Mask:
    """Voxels of either mask that have a 6-neighbour in the other."""
    out = np.zeros_like(one)
    for axis in range(3):
        ahead, behind = _neighbours(axis)
        meet = (one[ahead] & other[behind]) | (other[ahead] & one[behind])
        out[ahead] |= meet
        out[behind] |= meet
    return out


def _entropy(values: NDArray[np.floating], low: float, high: float) -> float | None:
    """Shannon entropy in bits of a histogram of 64 equal bins from low to high; values beyond count in the end bins."""
    if not high > low:
        return None
    bins = np.clip((values - low) * (ENTROPY_BINS / (high - low)), 0, ENTROPY_BINS - 1).astype(np.uint8)
    shares = np.bincount(bins, minlength=ENTROPY_BINS) / bins.size
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())
