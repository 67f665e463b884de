"""A lesion of another texture and the very same grey values: no brightness gives it away."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from anomri.simulate.artefacts.artefact import Clean, FloatArray
from anomri.simulate.structure.blob import Blob, ball_ml, draw_blob, place_blob, profile_of
from anomri.simulate.structure.site import draw_site, places_of, tissue_of

__all__ = ["TextureDrawn", "apply_texture", "draw_texture", "spectral_slope"]

# Equal-volume diameter in mm, and how much steeper the spectrum is than that of the tissue around, severity 1–5.
DIAMETER_MM, STEEPER = (8.0, 11.0, 15.0, 20.0, 25.0), (0.25, 0.5, 1.0, 1.5, 2.0)
# Side of the cube the tissue's own slope is measured in, and the frequencies (cycles per voxel) it is fitted over.
SIDE, LOWEST, HIGHEST = 24, 0.06, 0.4
# The lesion reaches to where its strength falls below this.
FAINTEST = 0.02


class TextureDrawn(Blob):
    """A shape and the slope β of the power spectrum k^−β of what fills it."""

    slope: float
    texture_seed: int


def draw_texture(clean: Clean, severity: int, rng: np.random.Generator) -> TextureDrawn:
    """Shape, site and place as of a bright lesion."""
    shape = draw_blob(rng, volume_ml=ball_ml(DIAMETER_MM[severity - 1]), outline=clean.outline)
    site, texture_seed = draw_site(rng), int(rng.integers(2**62))
    places = places_of(clean, site, radius_mm=DIAMETER_MM[severity - 1] / 2.0)
    blob = place_blob(shape, tissue_of(clean), clean.spacing_mm, rng, places=places)
    slope = spectral_slope(_cube(clean, blob.centre)) + STEEPER[severity - 1]
    return TextureDrawn(slope=slope, texture_seed=texture_seed, **blob.model_dump())


def apply_texture(clean: Clean, drawn: TextureDrawn) -> FloatArray:
    """√(1 − m²) · (x − μ) + m · SD · g + μ, then its values exchanged for the lesion's old ones in the same order.

    The blend keeps the variance over the soft edge; the exchange makes the lesion a permutation of the voxels that
    were there, so that mean, spread and every quantile of the scan stay exactly as they were.
    """
    box, profile, _ = profile_of(drawn, tissue_of(clean), clean.spacing_mm)
    inside = profile > FAINTEST
    old, strength = clean.voxels[box][inside].astype(np.float64), profile[inside].astype(np.float64)
    noise = power_law_noise(profile.shape, drawn.slope, np.random.default_rng(drawn.texture_seed))[inside]
    noise = (noise - noise.mean()) / max(float(noise.std()), 1e-12)
    mean, spread = old.mean(), old.std()
    mixed = mean + np.sqrt(1.0 - strength**2) * (old - mean) + strength * spread * noise
    new = np.empty_like(old)
    new[np.argsort(mixed, kind="stable")] = np.sort(old)
    out = clean.voxels.copy()
    part = out[box]
    part[inside] = new.astype(np.float32)
    out[box] = part
    return out


def power_law_noise(shape: tuple[int, ...], slope: float, rng: np.random.Generator) -> FloatArray:
    """Random field of power spectrum k^−slope, mean 0; k in cycles per voxel."""
    white = rng.standard_normal(shape, dtype=np.float32)
    spectrum = fft.rfftn(white, workers=1)
    frequency = _frequency(shape, half=True)
    frequency[(0,) * len(shape)] = np.inf
    spectrum *= (frequency ** (-slope / 2.0)).astype(np.float32)
    field: FloatArray = fft.irfftn(spectrum, shape, workers=1)
    return field


def spectral_slope(cube: FloatArray) -> float:
    """β of the power spectrum k^−β of a cube of tissue: a straight line through log power over log frequency."""
    window = np.ones((1,), dtype=np.float64)
    for size in cube.shape:
        window = np.multiply.outer(window, np.hanning(size + 2)[1:-1])
    values = (cube - cube.mean()) * window[0]
    power = np.abs(fft.fftn(values, workers=1)) ** 2
    frequency = _frequency(cube.shape, half=False)
    used = (frequency > LOWEST) & (frequency < HIGHEST) & (power > 0)
    if used.sum() < 8:
        return 0.0
    slope, _ = np.polyfit(np.log(frequency[used]), np.log(power[used]), 1)
    return float(-slope)


def _frequency(shape: tuple[int, ...], *, half: bool) -> NDArray[np.float64]:
    axes = [fft.fftfreq(size) for size in shape]
    if half:
        axes[-1] = fft.rfftfreq(shape[-1])
    return np.asarray(np.sqrt(sum(a**2 for a in np.meshgrid(*axes, indexing="ij", sparse=True))))


def _cube(clean: Clean, centre: tuple[int, int, int]) -> FloatArray:
    """Tissue around a voxel; what is no tissue has the mean of what is."""
    box = tuple(
        slice(max(0, c - SIDE // 2), min(n, c + SIDE // 2)) for c, n in zip(centre, clean.voxels.shape, strict=True)
    )
    cube, inside = clean.voxels[box], tissue_of(clean)[box]
    return np.asarray(np.where(inside, cube, cube[inside].mean()), dtype=np.float32)
