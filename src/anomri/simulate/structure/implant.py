"""Implant or spacer: metal takes the signal inside a bright rim, or a gel lies where no tissue is."""

from __future__ import annotations

import numpy as np

from anomri.simulate.artefacts.artefact import Clean, FloatArray, add_rician_noise, noise_sd
from anomri.simulate.structure.blob import Blob, place_blob, profile_of, smooth_blob
from anomri.simulate.structure.site import places_of, tissue_of

__all__ = ["ImplantDrawn", "apply_implant", "draw_implant"]

# Volume in ml, severity 1–5.
VOLUME_ML = (2.0, 5.0, 10.0, 15.0, 25.0)
# Share of the signal that piles up in the rim of metal.
RIM = (0.5, 1.0)


class ImplantDrawn(Blob):
    """An ellipsoid, the signal inside (0 for metal), what the rim adds, and the scan's noise, in the scan's units."""

    signal: float
    rim: float
    noise_sd: float
    noise_seed: int


def draw_implant(clean: Clean, severity: int, rng: np.random.Generator) -> ImplantDrawn:
    """Half of the seeds are metal, half a gel, which is as bright as fluid."""
    blob = smooth_blob(rng, volume_ml=VOLUME_ML[severity - 1])
    metal, rim = bool(rng.integers(2)), float(rng.uniform(*RIM))
    noise_seed = int(rng.integers(2**62))
    places = places_of(clean, "white", radius_mm=(3000.0 * blob.volume_ml / (4.0 * np.pi)) ** (1.0 / 3.0))
    blob = place_blob(blob, tissue_of(clean), clean.spacing_mm, rng, places=places)
    return ImplantDrawn(
        signal=0.0 if metal else clean.csf_signal,
        rim=rim * clean.white_signal if metal else 0.0,
        noise_sd=noise_sd(clean),
        noise_seed=noise_seed,
        **blob.model_dump(),
    )


def apply_implant(clean: Clean, drawn: ImplantDrawn) -> FloatArray:
    """(1 − m) · x + m · signal + 4m(1 − m) · rim, at the scan's noise level."""
    box, profile, _ = profile_of(drawn, tissue_of(clean), clean.spacing_mm)
    out = clean.voxels.copy()
    old, share = out[box], profile.astype(np.float32)
    inside = add_rician_noise(np.full_like(old, drawn.signal), drawn.noise_sd, drawn.noise_seed)
    new = (1.0 - share) * old + share * inside + np.float32(4.0 * drawn.rim) * share * (1.0 - share)
    out[box] = np.where(share > 0, new, old)
    return out
