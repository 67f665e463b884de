"""Mass effect: something grows and pushes the tissue around it aside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from anomri.simulate.artefacts.artefact import BoolArray, Clean, Drawn, FloatArray, add_rician_noise, noise_sd
from anomri.simulate.structure.flow import distance_mm, radial_flow
from anomri.simulate.structure.site import around, depth_mm

__all__ = ["MassDrawn", "apply_mass", "core_mass", "draw_mass"]

# Largest displacement in mm, severity 1–5.
PUSH_MM = (1.0, 2.0, 4.0, 7.0, 12.0)
# The displacement has fallen to a quarter at this distance, and ends before the brain's surface.
DECAY_MM, REACH_SHARE, LONGEST_MM = 15.0, 0.95, 70.0
# The centre lies at least this deep, as a share of the greatest depth.
LEAST_DEPTH = 0.6
# The mass's signal as a share of the tissue's around.
SIGNAL = (0.85, 1.15)
EDGE_MM = 0.8


class MassDrawn(Drawn):
    """`push_mm` at the `centre` falls to 0 at `reach_mm`; the mass has `signal` and noise in the scan's units."""

    centre: tuple[int, int, int]
    push_mm: float
    reach_mm: float
    signal: float
    noise_sd: float
    noise_seed: int


def draw_mass(clean: Clean, severity: int, rng: np.random.Generator) -> MassDrawn:
    """Somewhere deep, so that the push ends before the skull would stop it."""
    depth = depth_mm(clean.brain, clean.spacing_mm)
    deep = np.flatnonzero(depth >= LEAST_DEPTH * depth.max())
    chosen = deep[rng.integers(deep.size)]
    x, y, z = np.unravel_index(chosen, depth.shape)
    centre = (int(x), int(y), int(z))
    mean, _ = around(clean, centre, 5.0)
    return MassDrawn(
        centre=centre,
        push_mm=PUSH_MM[severity - 1],
        reach_mm=min(REACH_SHARE * float(depth.ravel()[chosen]), LONGEST_MM),
        signal=mean * float(rng.uniform(*SIGNAL)),
        noise_sd=noise_sd(clean),
        noise_seed=int(rng.integers(2**62)),
    )


def _push(radius: NDArray[np.float64], drawn: MassDrawn) -> NDArray[np.float64]:
    """A · (R / (r + R))² · (1 − (r/reach)²)²: falls all the way, so r − u(r) rises and nothing folds."""
    taper = np.clip(1.0 - (radius / drawn.reach_mm) ** 2, 0.0, None) ** 2
    return np.asarray(drawn.push_mm * (DECAY_MM / (radius + DECAY_MM)) ** 2 * taper)


def _mass_radius(drawn: MassDrawn) -> float:
    """Tissue from the centre itself ends up here: what lies within is new."""
    return float(optimize.brentq(lambda r: r - float(_push(np.asarray(r), drawn)), 0.0, drawn.reach_mm))


def apply_mass(clean: Clean, drawn: MassDrawn) -> FloatArray:
    """x(r − u), and the mass itself where nothing came from."""
    moved = radial_flow(clean, drawn.centre, drawn.reach_mm, lambda r: np.maximum(r - _push(r, drawn), 0.0))
    filling = np.full(moved.values.shape, drawn.signal, dtype=np.float32)
    filling = add_rician_noise(filling, drawn.noise_sd, drawn.noise_seed)
    share = np.clip(0.5 + (_mass_radius(drawn) - moved.radius_mm) / EDGE_MM, 0.0, 1.0).astype(np.float32)
    out = clean.voxels.copy()
    out[moved.box] = np.where(moved.inside, share * filling + (1.0 - share) * moved.values, out[moved.box])
    return out


def core_mass(clean: Clean, drawn: MassDrawn) -> BoolArray:
    """The mass and the tissue pushed at least half as far as at its border."""
    radius = distance_mm(clean.voxels.shape, drawn.centre, clean.spacing_mm)
    return np.asarray(_push(radius, drawn) >= 0.5 * _mass_radius(drawn), dtype=np.bool_)
