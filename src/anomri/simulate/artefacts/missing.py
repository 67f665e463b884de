"""Missing part: a block or a whole side of the brain was not recorded."""

from __future__ import annotations

import numpy as np

from anomri.simulate.artefacts.artefact import Clean, Drawn, FloatArray, add_rician_noise, noise_sd

__all__ = ["MissingDrawn", "apply_missing", "draw_missing"]

# Share of the brain, severity 1–5.
SHARE = (0.01, 0.03, 0.08, 0.20, 0.50)
# From this severity on a whole side is missing, below it a block.
FIRST_SIDE = 4


class MissingDrawn(Drawn):
    """The box [lower, upper) of voxels that hold air, and the noise of the air."""

    lower: tuple[int, int, int]
    upper: tuple[int, int, int]
    noise_sd: float
    noise_seed: int


def draw_missing(clean: Clean, severity: int, rng: np.random.Generator) -> MissingDrawn:
    """A block around a voxel of the brain, or all planes from one side on, that hold the level's share of the brain."""
    points = np.argwhere(clean.brain)
    count = max(1, round(SHARE[severity - 1] * len(points)))
    centre = points[rng.integers(len(points))]
    aspect = rng.uniform(0.7, 1.4, 3) / np.asarray(clean.spacing_mm)
    axis, from_above = int(rng.integers(3)), bool(rng.integers(2))
    shape = np.array(clean.brain.shape)
    lower, upper = np.zeros(3, dtype=int), shape.copy()
    if severity >= FIRST_SIDE:
        along = np.sort(points[:, axis])
        if from_above:
            lower[axis] = along[len(along) - count]
        else:
            upper[axis] = along[count - 1] + 1
    else:
        reach = np.partition((np.abs(points - centre) / aspect).max(axis=1), count - 1)[count - 1]
        lower = np.maximum(np.ceil(centre - reach * aspect), 0).astype(int)
        upper = np.minimum(np.floor(centre + reach * aspect) + 1, shape).astype(int)
    return MissingDrawn(
        lower=(int(lower[0]), int(lower[1]), int(lower[2])),
        upper=(int(upper[0]), int(upper[1]), int(upper[2])),
        noise_sd=noise_sd(clean),
        noise_seed=int(rng.integers(2**62)),
    )


def apply_missing(clean: Clean, drawn: MissingDrawn) -> FloatArray:
    """Air with the scan's own noise inside the box, the scan outside it."""
    box = tuple(slice(a, b) for a, b in zip(drawn.lower, drawn.upper, strict=True))
    out = clean.voxels.copy()
    out[box] = add_rician_noise(np.zeros_like(out[box]), drawn.noise_sd, drawn.noise_seed)
    return out
