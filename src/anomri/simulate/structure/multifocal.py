"""Many small foci around the ventricles, as in multiple sclerosis or small-vessel disease."""

from __future__ import annotations

import numpy as np

from anomri.simulate.artefacts.artefact import BoolArray, Clean, Drawn, FloatArray
from anomri.simulate.structure.blob import DARK_FLOOR, Blob, ball_ml, profile_of, smooth_blob
from anomri.simulate.structure.site import around, depth_mm, tissue_of

__all__ = ["MultifocalDrawn", "apply_multifocal", "core_multifocal", "draw_multifocal"]

# Number of foci, severity 1–5.
COUNT = (2, 5, 10, 20, 50)
DIAMETER_MM, CONTRAST = (3.0, 8.0), 2.0
# Foci are bright where water is (FLAIR, T2), dark on T1.
BRIGHT_ON = ("FLAIR", "T2w", "PDw")
# How much likelier a focus lies deep than near the surface: depth to this power.
PRIOR = 2.0


class MultifocalDrawn(Drawn):
    """Shapes and what each adds at full strength, in the scan's units."""

    foci: tuple[Blob, ...]
    amplitudes: tuple[float, ...]


def draw_multifocal(clean: Clean, severity: int, rng: np.random.Generator) -> MultifocalDrawn:
    """All that the highest severity holds is drawn, and the first are taken."""
    sign = 1.0 if clean.sequence in BRIGHT_ON else -1.0
    tissue = tissue_of(clean)
    places = np.flatnonzero(tissue)
    chance = depth_mm(clean.brain, clean.spacing_mm).ravel()[places].astype(np.float64) ** PRIOR
    centres = rng.choice(places, size=max(COUNT), p=chance / chance.sum())
    diameters = rng.uniform(*DIAMETER_MM, max(COUNT))
    foci, amplitudes = [], []
    for flat, diameter in zip(centres[: COUNT[severity - 1]], diameters, strict=False):
        x, y, z = np.unravel_index(flat, tissue.shape)
        blob = smooth_blob(rng, volume_ml=ball_ml(diameter))
        foci.append(blob.model_copy(update={"centre": (int(x), int(y), int(z))}))
        amplitudes.append(sign * CONTRAST * around(clean, foci[-1].centre, diameter / 2.0)[1])
    return MultifocalDrawn(foci=tuple(foci), amplitudes=tuple(amplitudes))


def apply_multifocal(clean: Clean, drawn: MultifocalDrawn) -> FloatArray:
    """x + Σ c · SD · m, where foci meet the stronger one alone."""
    tissue = tissue_of(clean)
    added = np.zeros_like(clean.voxels)
    for blob, amplitude in zip(drawn.foci, drawn.amplitudes, strict=True):
        box, profile, _ = profile_of(blob, tissue, clean.spacing_mm)
        part, new = added[box], (np.float32(amplitude) * profile).astype(np.float32)
        added[box] = np.where(np.abs(new) > np.abs(part), new, part)
    changed = np.maximum(clean.voxels + added, np.float32(DARK_FLOOR) * clean.voxels)
    return np.where(added != 0, changed, clean.voxels)


def core_multifocal(clean: Clean, drawn: MultifocalDrawn) -> BoolArray:
    """Where half of a focus's amplitude is reached."""
    tissue = tissue_of(clean)
    core = np.zeros(clean.brain.shape, dtype=np.bool_)
    for blob in drawn.foci:
        box, _, half = profile_of(blob, tissue, clean.spacing_mm)
        core[box] |= half
    return core
