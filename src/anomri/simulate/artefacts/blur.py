"""Blur: high spatial frequencies are lost, the noise is not."""

from __future__ import annotations

import numpy as np
from scipy import fft

from anomri.simulate.artefacts.artefact import Clean, Drawn, FloatArray, add_rician_noise, noise_sd

__all__ = ["BlurDrawn", "apply_blur", "draw_blur"]

# Standard deviation of the Gaussian in mm, severity 1–5.
SIGMA_MM = (0.5, 0.8, 1.2, 2.0, 3.0)


class BlurDrawn(Drawn):
    """`noise_sd` is the scan's own noise, which blurring takes away and which is given back."""

    sigma_mm: float
    noise_sd: float
    noise_seed: int


def draw_blur(clean: Clean, severity: int, rng: np.random.Generator) -> BlurDrawn:
    """Only the noise that is given back depends on the seed."""
    return BlurDrawn(sigma_mm=SIGMA_MM[severity - 1], noise_sd=noise_sd(clean), noise_seed=int(rng.integers(2**62)))


def apply_blur(clean: Clean, drawn: BlurDrawn) -> FloatArray:
    """K · exp(−2π²σ²k²), then Rician noise up to the level the scan had.

    What lies outside a stripped brain is unknown and not dark: there the blurred scan is divided by the blurred mask
    (normalised convolution; Knutsson and Westin, CVPR 1993), so no dark rim appears.
    """
    if clean.stripped:
        total, retained = _gaussian(np.where(clean.brain, clean.voxels, np.float32(0.0)), clean.spacing_mm, drawn)
        weight, _ = _gaussian(clean.brain.astype(np.float32), clean.spacing_mm, drawn)
        blurred = np.zeros_like(total)
        np.divide(total, weight, out=blurred, where=clean.brain)
    else:
        blurred, retained = _gaussian(clean.voxels, clean.spacing_mm, drawn)
    lost = drawn.noise_sd * np.sqrt(1.0 - retained)
    return add_rician_noise(np.maximum(blurred, np.float32(0.0)), float(lost), drawn.noise_seed)


def _gaussian(values: FloatArray, spacing_mm: tuple[float, float, float], drawn: BlurDrawn) -> tuple[FloatArray, float]:
    """Blurred values and the share of white noise power that survives. The border repeats outwards."""
    retained = 1.0
    for axis, spacing in enumerate(spacing_mm):
        size = values.shape[axis]
        margin = int(np.ceil(4.0 * drawn.sigma_mm / spacing))
        length = fft.next_fast_len(size + 2 * margin, real=True)
        pad = [(0, 0)] * 3
        pad[axis] = (margin, length - size - margin)
        padded = np.pad(values, pad, mode="edge")
        transfer = np.exp(-2.0 * (np.pi * drawn.sigma_mm * fft.fftfreq(length, spacing)) ** 2)
        retained *= float(np.mean(transfer**2))
        shape = [1, 1, 1]
        shape[axis] = length // 2 + 1
        spectrum = fft.rfft(padded, axis=axis, workers=1)
        spectrum *= transfer[: length // 2 + 1].astype(np.float32).reshape(shape)
        keep = [slice(None)] * 3
        keep[axis] = slice(margin, margin + size)
        values = np.ascontiguousarray(fft.irfft(spectrum, length, axis=axis, workers=1)[tuple(keep)])
    return values, retained
