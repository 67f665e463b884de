"""Foreign patch: tissue of another scan, or from elsewhere in this one, where it does not belong."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anomri.simulate.artefacts.artefact import BoolArray, Clean, FloatArray
from anomri.simulate.structure.blob import TRIES, Blob, ball_ml, draw_blob, place_blob, profile_of
from anomri.simulate.structure.site import draw_site, places_of, tissue_of

__all__ = ["PatchDrawn", "apply_patch", "draw_patch"]

# Share of the foreign tissue, severity 1–5.
SHARE = (0.2, 0.4, 0.6, 0.8, 1.0)
DIAMETER_MM = (15.0, 30.0)
# Share of the source that must lie on tissue.
LEAST_INSIDE = 0.9
# Gauss–Seidel sweeps that carry the border's difference inwards; enough for the largest patch at 1 mm.
SWEEPS = 400


class PatchDrawn(Blob):
    """A shape, the share of foreign tissue in it, where it comes from (voxels away), and how it is blended in."""

    share: float
    shift: tuple[int, int, int]
    seamless: bool


def draw_patch(clean: Clean, severity: int, rng: np.random.Generator) -> PatchDrawn:
    """From the same place of a donor where one is given, else from elsewhere in the same scan."""
    diameter_mm = float(rng.uniform(*DIAMETER_MM))
    shape = draw_blob(rng, volume_ml=ball_ml(diameter_mm), outline=clean.outline)
    seamless, site = bool(rng.integers(2)), draw_site(rng)
    tissue = tissue_of(clean)
    places = places_of(clean, site, radius_mm=diameter_mm / 2.0)
    blob = place_blob(shape, tissue, clean.spacing_mm, rng, places=places)
    shift = (0, 0, 0) if clean.donor is not None else _draw_shift(blob, tissue, clean, rng)
    return PatchDrawn(share=SHARE[severity - 1], shift=shift, seamless=seamless, **blob.model_dump())


def _draw_shift(blob: Blob, tissue: BoolArray, clean: Clean, rng: np.random.Generator) -> tuple[int, int, int]:
    """The best of many places for the source: on tissue, and not overlapping the target if that can be had."""
    points = np.argwhere(tissue)
    box, _, half = profile_of(blob, tissue, clean.spacing_mm)
    target = np.argwhere(half) + [part.start for part in box]
    clear = (6000.0 * blob.volume_ml / np.pi) ** (1.0 / 3.0)
    best, chosen = -1.0, np.zeros(3, dtype=int)
    for _ in range(TRIES):
        shift = points[rng.integers(len(points))] - np.asarray(blob.centre)
        source = target + shift
        inside = np.all((source >= 0) & (source < tissue.shape), axis=1)
        covered = float(tissue[tuple(source[inside].T)].sum()) / len(source)
        apart = min(1.0, float(np.linalg.norm(shift * np.asarray(clean.spacing_mm))) / clear)
        if covered * apart > best:
            best, chosen = covered * apart, shift
        if covered >= LEAST_INSIDE and apart >= 1.0:
            break
    return int(chosen[0]), int(chosen[1]), int(chosen[2])


def apply_patch(clean: Clean, drawn: PatchDrawn) -> FloatArray:
    """(1 − αm) · x + αm · x_other; seamless: x_other plus the harmonic function that meets x at the border.

    References
    ----------
    Pérez, Gangnet, Blake, "Poisson image editing", ACM Transactions on Graphics 22 (2003), equation 5.
    """
    tissue = tissue_of(clean)
    box, profile, _ = profile_of(drawn, tissue, clean.spacing_mm)
    donor = clean.voxels if clean.donor is None else clean.donor
    index = [np.arange(p.start, p.stop) + s for p, s in zip(box, drawn.shift, strict=True)]
    held = np.ix_(*[np.clip(i, 0, n - 1) for i, n in zip(index, tissue.shape, strict=True)])
    known = donor[held] > 0 if clean.donor is not None else tissue[held]
    here = clean.voxels[box]
    share = np.where(known, drawn.share * profile, 0.0).astype(np.float32)
    other = donor[held]
    if drawn.seamless:
        other = other + _harmonic(here - other, share > 0, tissue[box] & known)
    out = clean.voxels.copy()
    mixed = np.maximum((1.0 - share) * here + share * other, np.float32(0.02) * here)
    out[box] = np.where(share > 0, mixed, here)
    return out


def _harmonic(border: FloatArray, inside: BoolArray, valid: BoolArray) -> FloatArray:
    """Smooth function inside a mask that equals `border` around it; what is not valid carries nothing."""
    around = valid & ~inside
    values = np.where(around, border, 0.0).astype(np.float64)
    values[inside] = float(border[around].mean()) if around.any() else 0.0
    usable = np.pad((valid | inside).astype(np.float64), 1)
    weight = _neighbours(usable)
    checker: NDArray[np.int64] = np.indices(inside.shape).sum(axis=0) % 2
    colours = [inside & (checker == colour) & (weight > 0) for colour in (0, 1)]
    for _ in range(SWEEPS):
        for colour in colours:
            total = _neighbours(np.pad(values, 1) * usable)
            values[colour] = total[colour] / weight[colour]
    return np.where(inside, values, 0.0).astype(np.float32)


def _neighbours(padded: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum over the six neighbours of every voxel of a padded array."""
    core = slice(1, -1)
    total = np.zeros(tuple(n - 2 for n in padded.shape))
    for axis in range(3):
        for side in (slice(0, -2), slice(2, None)):
            key = [core, core, core]
            key[axis] = side
            total += padded[tuple(key)]
    return total
