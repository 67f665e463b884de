"""Rician noise: what a scan with too little signal looks like."""

from __future__ import annotations

import numpy as np

from anomri.simulate.artefacts.artefact import Clean, Drawn, FloatArray, add_rician_noise

__all__ = ["NoiseDrawn", "apply_noise", "draw_noise"]

# White-matter signal ÷ noise standard deviation, severity 1–5.
SIGNAL_TO_NOISE = (25.0, 15.0, 10.0, 6.0, 4.0)


class NoiseDrawn(Drawn):
    """`sd` in the scan's own units."""

    sd: float
    noise_seed: int


def draw_noise(clean: Clean, severity: int, rng: np.random.Generator) -> NoiseDrawn:
    """σ = white-matter signal ÷ signal-to-noise ratio."""
    return NoiseDrawn(sd=clean.white_signal / SIGNAL_TO_NOISE[severity - 1], noise_seed=int(rng.integers(2**62)))


def apply_noise(clean: Clean, drawn: NoiseDrawn) -> FloatArray:
    """√((x + n₁)² + n₂²)."""
    return add_rician_noise(clean.voxels, drawn.sd, drawn.noise_seed)
