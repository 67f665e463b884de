"""Atrophy: ventricles that widen, or a region that shrinks and leaves fluid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import interpolate, ndimage

from anomri.simulate.artefacts.artefact import BoolArray, Clean, Drawn, FloatArray
from anomri.simulate.structure.flow import radial_flow
from anomri.simulate.structure.site import depth_mm

__all__ = ["AtrophyDrawn", "apply_atrophy", "core_atrophy", "draw_atrophy"]

# Change of the region's volume, severity 1–5.
CHANGE = (0.05, 0.10, 0.15, 0.25, 0.40)
# The region is a ball of this share of the radius within which tissue moves.
REGION_SHARE, REACH_SHARE, LONGEST_MM = 0.5, 0.95, 60.0
# Depth of the centre as a share of the greatest: ventricles are looked for in the deep part, a shrinking region is not.
VENTRICLES, REGION = (0.6, 1.0), (0.45, 0.8)
# Ventricles are where the signal, smoothed so far, is most like fluid.
SMOOTH_MM = 4.0


class AtrophyDrawn(Drawn):
    """A ball of `region_mm` around `centre` grows (ventricles) or shrinks to `factor` times its volume."""

    centre: tuple[int, int, int]
    region_mm: float
    reach_mm: float
    factor: float
    csf_signal: float


def draw_atrophy(clean: Clean, severity: int, rng: np.random.Generator) -> AtrophyDrawn:
    """Half of the seeds widen the ventricles, half shrink a region."""
    depth = depth_mm(clean.brain, clean.spacing_mm)
    widen, place = bool(rng.integers(2)), float(rng.random())
    low, high = (share * float(depth.max()) for share in (VENTRICLES if widen else REGION))
    candidates = np.flatnonzero((depth >= low) & (depth <= high))
    if widen:
        sigma = [SMOOTH_MM / mm for mm in clean.spacing_mm]
        unlike = np.abs(ndimage.gaussian_filter(clean.voxels, sigma) - clean.csf_signal).ravel()[candidates]
        # One of the likeliest, so that seeds differ.
        likely = candidates[np.argsort(unlike, kind="stable")[: max(1, candidates.size // 200)]]
        chosen = likely[int(place * likely.size)]
    else:
        chosen = candidates[int(place * candidates.size)]
    x, y, z = np.unravel_index(chosen, depth.shape)
    reach = min(REACH_SHARE * float(depth.ravel()[chosen]), LONGEST_MM)
    change = CHANGE[severity - 1]
    return AtrophyDrawn(
        centre=(int(x), int(y), int(z)),
        region_mm=REGION_SHARE * reach,
        reach_mm=reach,
        factor=1.0 + change if widen else 1.0 - change,
        csf_signal=clean.csf_signal,
    )


def _source(drawn: AtrophyDrawn) -> interpolate.PchipInterpolator:
    """Radius → radius it came from: scaled within the region, rising without a fold to itself at the end."""
    scale = drawn.factor ** (1.0 / 3.0)
    knots = np.array([0.0, 0.5 * scale * drawn.region_mm, scale * drawn.region_mm, drawn.reach_mm])
    return interpolate.PchipInterpolator(knots, [0.0, 0.5 * drawn.region_mm, drawn.region_mm, drawn.reach_mm])


def apply_atrophy(clean: Clean, drawn: AtrophyDrawn) -> FloatArray:
    """x(ρ(r)); where a shrinking region stretches what is around it, fluid takes the room that tissue leaves."""
    source = _source(drawn)

    def came_from(radius: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.where(radius < drawn.reach_mm, source(np.minimum(radius, drawn.reach_mm)), radius))

    moved = radial_flow(clean, drawn.centre, drawn.reach_mm, came_from)
    values = moved.values
    if drawn.factor < 1.0:
        radius = np.clip(moved.radius_mm, 0.5, drawn.reach_mm)
        density = (source(radius) / radius) ** 2 * source(radius, 1)
        tissue = np.clip(density, 0.0, 1.0)
        values = (tissue * values + (1.0 - tissue) * drawn.csf_signal).astype(np.float32)
    out = clean.voxels.copy()
    out[moved.box] = np.where(moved.inside, values, out[moved.box])
    return out


def core_atrophy(clean: Clean, drawn: AtrophyDrawn) -> BoolArray:
    """The region, as large as it was or has become, whichever is larger."""
    steps = [
        (np.arange(size) - middle) * mm
        for size, middle, mm in zip(clean.voxels.shape, drawn.centre, clean.spacing_mm, strict=True)
    ]
    x, y, z = np.meshgrid(*steps, indexing="ij", sparse=True)
    largest = drawn.region_mm * max(1.0, drawn.factor) ** (1.0 / 3.0)
    return np.asarray(np.sqrt(x**2 + y**2 + z**2) <= largest, dtype=np.bool_)
