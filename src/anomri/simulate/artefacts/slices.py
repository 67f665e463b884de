"""What goes wrong slice by slice: signal lost, signal uneven, slices shifted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anomri.simulate.artefacts.artefact import Clean, Drawn, FloatArray, add_rician_noise, noise_sd, slice_axis

__all__ = [
    "DropDrawn",
    "ShiftDrawn",
    "UnevenDrawn",
    "apply_drop",
    "apply_shift",
    "apply_uneven",
    "draw_drop",
    "draw_shift",
    "draw_uneven",
]

# Number of slices and share of their signal that is lost, severity 1–5.
DROPPED, LOST = (1, 1, 2, 5, 10), (0.3, 0.6, 0.9, 1.0, 1.0)
# Standard deviation (or half difference of odd and even slices) of the signal as a share of it, severity 1–5.
UNEVEN = (0.03, 0.06, 0.1, 0.2, 0.35)
# Number of slices that are shifted (a slab is a share of all) and by how many voxels, severity 1–5.
SHIFTED, SHIFT, SLAB = (1, 1, 3, None, None), (2, 6, 6, 6, 15), 0.2
# Slices are drawn where they hold at least this share of the largest slice's brain.
LEAST_FILLED = 0.5


class DropDrawn(Drawn):
    """`slices` along `axis` keep 1 − `lost` of their signal."""

    axis: int
    slices: tuple[int, ...]
    lost: float
    noise_sd: float
    noise_seed: int


class UnevenDrawn(Drawn):
    """`gains` of the slices along `axis`."""

    axis: int
    gains: tuple[float, ...]


class ShiftDrawn(Drawn):
    """`slices` along `axis` lie `voxels` too far along `along`, around the end of the grid."""

    axis: int
    along: int
    slices: tuple[int, ...]
    voxels: int


def draw_drop(clean: Clean, severity: int, rng: np.random.Generator) -> DropDrawn:
    """Consecutive slices, or every second one, as of an interleaved acquisition."""
    axis = slice_axis(clean)
    step, place = int(rng.integers(1, 3)), float(rng.random())
    return DropDrawn(
        axis=axis,
        slices=_run(clean, axis, DROPPED[severity - 1], step=step, place=place),
        lost=LOST[severity - 1],
        noise_sd=noise_sd(clean),
        noise_seed=int(rng.integers(2**62)),
    )


def apply_drop(clean: Clean, drawn: DropDrawn) -> FloatArray:
    """x · (1 − q) in the slices, at the noise level of the scan."""
    out = np.moveaxis(clean.voxels.copy(), drawn.axis, 0)
    index = list(drawn.slices)
    missing = drawn.noise_sd * np.sqrt(1.0 - (1.0 - drawn.lost) ** 2)
    weaker = (out[index] * np.float32(1.0 - drawn.lost)).astype(np.float32)
    out[index] = add_rician_noise(weaker, float(missing), drawn.noise_seed)
    return np.ascontiguousarray(np.moveaxis(out, 0, drawn.axis))


def draw_uneven(clean: Clean, severity: int, rng: np.random.Generator) -> UnevenDrawn:
    """Odd slices brighter than even ones, or every slice of its own."""
    axis = slice_axis(clean)
    size, alternating = clean.voxels.shape[axis], bool(rng.integers(2))
    odd = 1.0 - 2.0 * (np.arange(size) % 2)
    pattern = odd if alternating else np.clip(rng.standard_normal(size), -2.5, 2.5)
    return UnevenDrawn(axis=axis, gains=tuple(float(g) for g in 1.0 + UNEVEN[severity - 1] * pattern))


def apply_uneven(clean: Clean, drawn: UnevenDrawn) -> FloatArray:
    """x_z · (1 + ε_z)."""
    shape = [1, 1, 1]
    shape[drawn.axis] = -1
    gains: FloatArray = np.asarray(drawn.gains, dtype=np.float32).reshape(shape)
    return clean.voxels * gains


def draw_shift(clean: Clean, severity: int, rng: np.random.Generator) -> ShiftDrawn:
    """Which slices, and along which axis of theirs."""
    axis = slice_axis(clean)
    along = int(rng.choice([a for a in range(3) if a != axis]))
    sign, place = int(rng.choice([-1, 1])), float(rng.random())
    count = SHIFTED[severity - 1] or max(4, round(SLAB * clean.voxels.shape[axis]))
    return ShiftDrawn(
        axis=axis,
        along=along,
        slices=_run(clean, axis, count, step=1, place=place),
        voxels=sign * SHIFT[severity - 1],
    )


def apply_shift(clean: Clean, drawn: ShiftDrawn) -> FloatArray:
    """x(r − d) in the slices; what leaves the grid comes back at the other end, as a wrong phase in k-space has it."""
    out = np.moveaxis(clean.voxels.copy(), (drawn.axis, drawn.along), (0, 1))
    index = list(drawn.slices)
    out[index] = np.roll(out[index], drawn.voxels, axis=1)
    return np.ascontiguousarray(np.moveaxis(out, (0, 1), (drawn.axis, drawn.along)))


def _run(clean: Clean, axis: int, count: int, *, step: int, place: float) -> tuple[int, ...]:
    """`count` slices `step` apart around a place (0–1) among the well-filled ones."""
    filled = clean.brain.sum(axis=tuple(a for a in range(3) if a != axis))
    good: NDArray[np.intp] = np.flatnonzero(filled >= LEAST_FILLED * filled.max())
    middle = good[int(place * good.size)]
    reach = step * (count - 1)
    first = int(np.clip(middle - reach // 2, 0, max(0, filled.size - 1 - reach)))
    return tuple(range(first, min(first + reach + 1, filled.size), step))
