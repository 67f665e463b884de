"""Resection cavity: tissue was taken out and fluid fills its place, with a rim of scar or blood."""

from __future__ import annotations

import numpy as np

from anomri.simulate.artefacts.artefact import Clean, FloatArray, add_rician_noise, noise_sd
from anomri.simulate.structure.blob import Blob, draw_blob, place_blob, profile_of
from anomri.simulate.structure.site import around, places_of, tissue_of

__all__ = ["CavityDrawn", "apply_cavity", "draw_cavity"]

# Volume in ml, severity 1–5.
VOLUME_ML = (1.0, 3.0, 8.0, 20.0, 60.0)
# Surgery comes from outside: much of the shape may lie beyond the brain's surface, its volume is of brain alone.
LEAST_INSIDE = 0.5
# Strength of the rim in standard deviations of the tissue around, bright or dark.
RIM = (1.0, 2.0)


class CavityDrawn(Blob):
    """A shape, the fluid's signal and noise, and what the rim adds (all in the scan's units)."""

    signal: float
    rim: float
    noise_sd: float
    noise_seed: int


def draw_cavity(clean: Clean, severity: int, rng: np.random.Generator) -> CavityDrawn:
    """In the cortex; the rim bright or dark."""
    volume = VOLUME_ML[severity - 1]
    shape = draw_blob(rng, volume_ml=volume, outline=clean.outline)
    rim, noise_seed = float(rng.choice([-1.0, 1.0]) * rng.uniform(*RIM)), int(rng.integers(2**62))
    places = places_of(clean, "cortex")
    blob = place_blob(shape, tissue_of(clean), clean.spacing_mm, rng, places=places, least_inside=LEAST_INSIDE)
    _, spread = around(clean, blob.centre, (3000.0 * volume / (4.0 * np.pi)) ** (1.0 / 3.0))
    return CavityDrawn(
        signal=clean.csf_signal,
        rim=rim * spread,
        noise_sd=noise_sd(clean),
        noise_seed=noise_seed,
        **blob.model_dump(),
    )


def apply_cavity(clean: Clean, drawn: CavityDrawn) -> FloatArray:
    """(1 − m) · x + m · fluid + 4m(1 − m) · rim: the rim is strongest where the edge is half way."""
    box, profile, _ = profile_of(drawn, tissue_of(clean), clean.spacing_mm)
    out = clean.voxels.copy()
    old, share = out[box], profile.astype(np.float32)
    fluid = add_rician_noise(np.full_like(old, drawn.signal), drawn.noise_sd, drawn.noise_seed)
    new = (1.0 - share) * old + share * fluid + np.float32(4.0 * drawn.rim) * share * (1.0 - share)
    out[box] = np.where(share > 0, np.maximum(new, np.float32(0.05 * drawn.signal)), old)
    return out
