"""A diffuse change: a lobe or its cortex is a little brighter or darker, with no edge anywhere."""

from __future__ import annotations

import numpy as np

from anomri.simulate.artefacts.artefact import BoolArray, Clean, Drawn, FloatArray
from anomri.simulate.structure.flow import distance_mm
from anomri.simulate.structure.site import depth_mm, tissue_of

__all__ = ["DiffuseDrawn", "apply_diffuse", "core_diffuse", "draw_diffuse"]

# Change at the centre as a share of the signal, severity 1–5.
CHANGE = (0.03, 0.06, 0.10, 0.15, 0.25)
# Radius of the lobe, and depth to which a band of gyri reaches with half strength, in mm.
RADIUS_MM, BAND_MM = (30.0, 45.0), 8.0


class DiffuseDrawn(Drawn):
    """Signal times 1 + `change` at the `centre`, falling to 1 at `radius_mm`; in the cortex alone if `band`."""

    centre: tuple[int, int, int]
    radius_mm: float
    change: float
    band: bool


def draw_diffuse(clean: Clean, severity: int, rng: np.random.Generator) -> DiffuseDrawn:
    """A lobe around a voxel near the surface."""
    depth = depth_mm(clean.brain, clean.spacing_mm)
    near = np.flatnonzero(tissue_of(clean) & (depth <= 2.0 * BAND_MM))
    x, y, z = np.unravel_index(near[rng.integers(near.size)], depth.shape)
    sign, radius = float(rng.choice([-1.0, 1.0])), float(rng.uniform(*RADIUS_MM))
    return DiffuseDrawn(
        centre=(int(x), int(y), int(z)),
        radius_mm=radius,
        change=sign * CHANGE[severity - 1],
        band=bool(rng.integers(2)),
    )


def apply_diffuse(clean: Clean, drawn: DiffuseDrawn) -> FloatArray:
    """x · (1 ± a · w), w = cos²(πr/2R), times a smooth step at the band's depth."""
    weight = _weight(clean, drawn)
    return np.where(weight > 0, clean.voxels * (1.0 + np.float32(drawn.change) * weight), clean.voxels)


def core_diffuse(clean: Clean, drawn: DiffuseDrawn) -> BoolArray:
    """Where at least half of the change is reached."""
    return np.asarray(_weight(clean, drawn) >= 0.5, dtype=np.bool_)


def _weight(clean: Clean, drawn: DiffuseDrawn) -> FloatArray:
    radius = distance_mm(clean.voxels.shape, drawn.centre, clean.spacing_mm)
    weight = np.where(radius < drawn.radius_mm, np.cos(0.5 * np.pi * radius / drawn.radius_mm) ** 2, 0.0)
    if drawn.band:
        weight = weight / (1.0 + np.exp((depth_mm(clean.brain, clean.spacing_mm) - BAND_MM) / 1.5))
    return np.where(tissue_of(clean), weight, 0.0).astype(np.float32)
