"""A bright or dark lesion, its contrast in standard deviations of the tissue around it."""

from __future__ import annotations

import numpy as np

from anomri.simulate.artefacts.artefact import BoolArray, Clean, FloatArray
from anomri.simulate.structure.blob import DARK_FLOOR, Blob, ball_ml, draw_blob, place_blob, profile_of
from anomri.simulate.structure.site import around, draw_site, places_of, tissue_of

__all__ = ["FOCAL", "FocalDrawn", "apply_focal", "core_focal", "draw_bright", "draw_dark", "draw_focal"]

# Equal-volume diameter in mm and contrast in local standard deviations, severity 1–5 (hard to easy).
FOCAL = ((3.0, 1.0), (5.0, 1.5), (8.0, 2.0), (15.0, 3.0), (30.0, 4.0))


class FocalDrawn(Blob):
    """A shape and what it adds: `amplitude` in the scan's units at full strength, negative for a dark lesion."""

    amplitude: float


def draw_focal(
    clean: Clean, rng: np.random.Generator, *, diameter_mm: float, contrast: float, sign: float
) -> FocalDrawn:
    """Shape, site, place; c · SD of the tissue around."""
    shape = draw_blob(rng, volume_ml=ball_ml(diameter_mm), outline=clean.outline)
    places = places_of(clean, draw_site(rng), radius_mm=diameter_mm / 2.0)
    blob = place_blob(shape, tissue_of(clean), clean.spacing_mm, rng, places=places)
    _, spread = around(clean, blob.centre, diameter_mm / 2.0)
    return FocalDrawn(amplitude=sign * contrast * spread, **blob.model_dump())


def draw_bright(clean: Clean, severity: int, rng: np.random.Generator) -> FocalDrawn:
    """The diagonal of the grid of diameters and contrasts."""
    diameter_mm, contrast = FOCAL[severity - 1]
    return draw_focal(clean, rng, diameter_mm=diameter_mm, contrast=contrast, sign=1.0)


def draw_dark(clean: Clean, severity: int, rng: np.random.Generator) -> FocalDrawn:
    """The diagonal of the grid of diameters and contrasts."""
    diameter_mm, contrast = FOCAL[severity - 1]
    return draw_focal(clean, rng, diameter_mm=diameter_mm, contrast=contrast, sign=-1.0)


def apply_focal(clean: Clean, drawn: FocalDrawn) -> FloatArray:
    """x ± c · SD · m, with a floor for a dark lesion."""
    box, profile, _ = profile_of(drawn, tissue_of(clean), clean.spacing_mm)
    out = clean.voxels.copy()
    changed = out[box] + np.float32(drawn.amplitude) * profile
    if drawn.amplitude < 0:
        changed = np.maximum(changed, DARK_FLOOR * out[box])
    out[box] = np.where(profile > 0, changed, out[box])
    return out


def core_focal(clean: Clean, drawn: Blob) -> BoolArray:
    """Where half of the amplitude is reached."""
    box, _, half = profile_of(drawn, tissue_of(clean), clean.spacing_mm)
    core = np.zeros(clean.brain.shape, dtype=np.bool_)
    core[box] = half
    return core
