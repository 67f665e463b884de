"""Spike: an electric discharge during readout, a single wrong k-space point, stripes all over the image."""

from __future__ import annotations

import numpy as np

from anomri.simulate.artefacts.artefact import Clean, Drawn, FloatArray

__all__ = ["SpikeDrawn", "apply_spike", "draw_spike"]

# Amplitude of the stripes ÷ white-matter signal, severity 1–5.
AMPLITUDE = (0.02, 0.05, 0.1, 0.2, 0.4)
MOST_POINTS = 3
# Distance of a spike from the k-space centre, as a share of the largest spatial frequency.
NEAREST, FARTHEST = 0.1, 0.6


class SpikeDrawn(Drawn):
    """`amplitude` in the scan's units; per spike its k-space position (in points off the centre) and phase (rad)."""

    amplitude: float
    points: tuple[tuple[int, int, int], ...]
    phases: tuple[float, ...]


def draw_spike(clean: Clean, severity: int, rng: np.random.Generator) -> SpikeDrawn:
    """One to three points in random directions of k-space."""
    count = int(rng.integers(1, MOST_POINTS + 1))
    direction = rng.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    reach = rng.uniform(NEAREST, FARTHEST, (count, 1))
    half = np.array(clean.voxels.shape) / 2.0
    points = np.rint(direction * reach * half).astype(int)
    return SpikeDrawn(
        amplitude=AMPLITUDE[severity - 1] * clean.white_signal,
        points=tuple((int(x), int(y), int(z)) for x, y, z in points),
        phases=tuple(float(p) for p in rng.uniform(0.0, 2.0 * np.pi, count)),
    )


def apply_spike(clean: Clean, drawn: SpikeDrawn) -> FloatArray:
    """K(k₀) + A · N_pix · μ_w · e^{iφ}, written where it is cheapest.

    One k-space point of height A · N_pix · μ_w is the plane wave A · μ_w · e^{i(2π k₀·r/N + φ)} in the image.
    """
    image = clean.voxels.astype(np.complex64)
    for point, phase in zip(drawn.points, drawn.phases, strict=True):
        x, y, z = (
            np.exp(2j * np.pi * k * np.arange(n) / n).astype(np.complex64)
            for k, n in zip(point, clean.voxels.shape, strict=True)
        )
        x = x * np.complex64(drawn.amplitude * np.exp(1j * phase))
        image += x[:, None, None] * (y[:, None] * z)
    return np.abs(image)
