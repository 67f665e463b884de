"""Periodic ghost: every n-th phase-encode line differs, from pulsation or an unstable scanner."""

from __future__ import annotations

import numpy as np
from scipy import fft

from anomri.simulate.artefacts.artefact import Clean, Drawn, FloatArray, phase_encode_axis

__all__ = ["GhostingDrawn", "apply_ghosting", "draw_ghosting"]

# Depth of the modulation, severity 1–5; each ghost has half of it.
DEPTH = (0.04, 0.1, 0.2, 0.4, 0.7)
SHORTEST, LONGEST = 2, 8


class GhostingDrawn(Drawn):
    """`axis` is the phase-encode axis, `period` in lines, `phase` in rad."""

    axis: int
    depth: float
    period: int
    phase: float


def draw_ghosting(clean: Clean, severity: int, rng: np.random.Generator) -> GhostingDrawn:
    """Axis, period and phase."""
    axis, period = phase_encode_axis(clean, rng), int(rng.integers(SHORTEST, LONGEST + 1))
    phase = float(rng.uniform(0.0, 2.0 * np.pi))
    if period == 2:
        # Both ghosts fall on the same place, and phases that are not opposite would cancel one another.
        phase = 0.0 if phase < np.pi else float(np.pi)
    return GhostingDrawn(axis=axis, depth=DEPTH[severity - 1], period=period, phase=phase)


def apply_ghosting(clean: Clean, drawn: GhostingDrawn) -> FloatArray:
    """K · (1 + a · cos(2π k_y/n + φ)): ghosts of strength a/2 at ± N/n voxels. Acts along one axis alone."""
    lines = clean.voxels.shape[drawn.axis]
    line = fft.fftfreq(lines, 1.0 / lines)
    gain = 1.0 + drawn.depth * np.cos(2.0 * np.pi * line / drawn.period + drawn.phase)
    shape = [1, 1, 1]
    shape[drawn.axis] = lines
    spectrum = fft.fft(clean.voxels, axis=drawn.axis, workers=1)
    spectrum *= gain.astype(np.float32).reshape(shape)
    ghosted: FloatArray = np.abs(fft.ifft(spectrum, axis=drawn.axis, workers=1, overwrite_x=True))
    return ghosted
