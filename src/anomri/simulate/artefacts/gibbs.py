"""Gibbs ringing: k-space was cut off too early, and every edge rings."""

from __future__ import annotations

import numpy as np
from scipy import fft

from anomri.simulate.artefacts.artefact import (
    Clean,
    Drawn,
    FloatArray,
    add_rician_noise,
    noise_sd,
    with_neighbours_outside,
)

__all__ = ["GibbsDrawn", "apply_gibbs", "draw_gibbs"]

# Share of k-space that is kept along each axis, severity 1–5.
KEPT = (0.8, 0.65, 0.5, 0.4, 0.3)


class GibbsDrawn(Drawn):
    """`noise_sd` is the scan's own noise, of which truncation takes a part that is given back."""

    kept: float
    noise_sd: float
    noise_seed: int


def draw_gibbs(clean: Clean, severity: int, rng: np.random.Generator) -> GibbsDrawn:
    """Only the noise that is given back depends on the seed."""
    return GibbsDrawn(kept=KEPT[severity - 1], noise_sd=noise_sd(clean), noise_seed=int(rng.integers(2**62)))


def apply_gibbs(clean: Clean, drawn: GibbsDrawn) -> FloatArray:
    """K = 0 where |k| > ρ · k_max along any axis, no filter; then Rician noise up to the level the scan had."""
    values = with_neighbours_outside(clean)
    retained = 1.0
    for axis, size in enumerate(values.shape):
        spectrum = fft.rfft(values, axis=axis, workers=1)
        kept = fft.rfftfreq(size) <= 0.5 * drawn.kept
        shape = [1, 1, 1]
        shape[axis] = kept.size
        spectrum *= kept.astype(np.float32).reshape(shape)
        values = fft.irfft(spectrum, size, axis=axis, workers=1, overwrite_x=True)
        retained *= float(np.mean(np.abs(fft.fftfreq(size)) <= 0.5 * drawn.kept))
    lost = drawn.noise_sd * np.sqrt(1.0 - retained)
    return add_rician_noise(np.abs(values), float(lost), drawn.noise_seed)
