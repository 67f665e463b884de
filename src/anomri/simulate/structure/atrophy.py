"""Atrophy: ventricles or sulci widen where tissue has gone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import interpolate, ndimage

from anomri.simulate.artefacts.artefact import BoolArray, Clean, Drawn, FloatArray
from anomri.simulate.structure.flow import distance_mm, radial_flow
from anomri.simulate.structure.site import depth_mm

__all__ = ["AtrophyDrawn", "apply_atrophy", "core_atrophy", "draw_atrophy"]

# Growth of the region's volume, which tissue around it loses, severity 1–5.
CHANGE = (0.05, 0.10, 0.15, 0.25, 0.40)
# The region is a ball of this share of the radius within which tissue moves.
REGION_SHARE, REACH_SHARE, LONGEST_MM = 0.5, 0.95, 60.0
# Depth of the centre as a share of the greatest depth.
VENTRICLES, SULCI = (0.6, 1.0), (0.3, 0.6)
# Fluid is where the signal, smoothed so far, is most like it: one place in so many may be taken.
SMOOTH_MM, LIKELIEST = 2.0, 200


class AtrophyDrawn(Drawn):
    """A ball of `region_mm` around `centre` grows to `factor` times its volume, at the cost of what lies around."""

    centre: tuple[int, int, int]
    region_mm: float
    reach_mm: float
    factor: float


def draw_atrophy(clean: Clean, severity: int, rng: np.random.Generator) -> AtrophyDrawn:
    """Half of the seeds widen the ventricles, half a sulcus."""
    depth = depth_mm(clean.brain, clean.spacing_mm)
    limits, place = (VENTRICLES, SULCI)[int(rng.integers(2))], float(rng.random())
    low, high = (share * float(depth.max()) for share in limits)
    candidates = np.flatnonzero((depth >= low) & (depth <= high))
    sigma = [SMOOTH_MM / mm for mm in clean.spacing_mm]
    unlike = np.abs(ndimage.gaussian_filter(clean.voxels, sigma) - clean.csf_signal).ravel()[candidates]
    likely = candidates[np.argsort(unlike, kind="stable")[: max(1, candidates.size // LIKELIEST)]]
    chosen = likely[int(place * likely.size)]
    x, y, z = np.unravel_index(chosen, depth.shape)
    reach = min(REACH_SHARE * float(depth.ravel()[chosen]), LONGEST_MM)
    return AtrophyDrawn(
        centre=(int(x), int(y), int(z)),
        region_mm=REGION_SHARE * reach,
        reach_mm=reach,
        factor=1.0 + CHANGE[severity - 1],
    )


def apply_atrophy(clean: Clean, drawn: AtrophyDrawn) -> FloatArray:
    """x(ρ(r)), ρ the radius tissue came from: scaled in the region, rising without a fold to itself at the end."""
    grown = drawn.factor ** (1.0 / 3.0) * drawn.region_mm
    source = interpolate.PchipInterpolator(
        [0.0, 0.5 * grown, grown, drawn.reach_mm], [0.0, 0.5 * drawn.region_mm, drawn.region_mm, drawn.reach_mm]
    )

    def came_from(radius: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.where(radius < drawn.reach_mm, source(np.minimum(radius, drawn.reach_mm)), radius))

    moved = radial_flow(clean, drawn.centre, drawn.reach_mm, came_from)
    out = clean.voxels.copy()
    out[moved.box] = np.where(moved.inside, moved.values, out[moved.box])
    return out


def core_atrophy(clean: Clean, drawn: AtrophyDrawn) -> BoolArray:
    """The region, as large as it has become."""
    radius = distance_mm(clean.voxels.shape, drawn.centre, clean.spacing_mm)
    return np.asarray(radius <= drawn.factor ** (1.0 / 3.0) * drawn.region_mm, dtype=np.bool_)
