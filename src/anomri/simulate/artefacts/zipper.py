"""Zipper: a radio signal leaks in at one frequency and leaves a dashed line across phase encoding."""

from __future__ import annotations

import numpy as np

from anomri.simulate.artefacts.artefact import Clean, Drawn, FloatArray, slice_axis
from anomri.simulate.similarity import box_of

__all__ = ["ZipperDrawn", "apply_zipper", "draw_zipper"]

# Strength ÷ white-matter signal, and width in rows, severity 1–5.
STRENGTH = (0.1, 0.25, 0.5, 1.0, 2.0)
WIDTH = (1, 1, 2, 3, 4)


class ZipperDrawn(Drawn):
    """Rows [`row`, `row` + `width`) along `readout` hold the leak, which alternates along `phase`."""

    readout: int
    phase: int
    row: int
    width: int
    strength: float
    noise_seed: int


def draw_zipper(clean: Clean, severity: int, rng: np.random.Generator) -> ZipperDrawn:
    """The row lies in the middle half of the brain, the readout axis in the plane of the slices."""
    axes = [axis for axis in range(3) if axis != slice_axis(clean)]
    if rng.integers(2):
        axes.reverse()
    part = box_of(clean.brain)[axes[0]]
    row = part.start + int((part.stop - part.start) * rng.uniform(0.25, 0.75))
    return ZipperDrawn(
        readout=axes[0],
        phase=axes[1],
        row=row,
        width=WIDTH[severity - 1],
        strength=STRENGTH[severity - 1] * clean.white_signal,
        noise_seed=int(rng.integers(2**62)),
    )


def apply_zipper(clean: Clean, drawn: ZipperDrawn) -> FloatArray:
    """x(r₀ + j, y) + (−1)^y · A · |ξ|, ξ standard normal; magnitude at the end."""
    out = np.moveaxis(clean.voxels.copy(), (drawn.readout, drawn.phase), (0, 1))
    rows = out[drawn.row : drawn.row + drawn.width]
    # Rows come first, so that a wider zipper of the same seed begins with the same numbers.
    leak = np.abs(np.random.default_rng(drawn.noise_seed).standard_normal(rows.shape, dtype=np.float32))
    sign = (1 - 2 * (np.arange(rows.shape[1]) % 2)).astype(np.float32)
    rows[:] = np.abs(rows + np.float32(drawn.strength) * leak * sign[None, :, None])
    return np.ascontiguousarray(np.moveaxis(out, (0, 1), (drawn.readout, drawn.phase)))
