"""A structure that is not there: its place holds tissue of the other side, or none in particular."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from anomri.simulate.artefacts.artefact import (
    BoolArray,
    Clean,
    Drawn,
    FloatArray,
    add_rician_noise,
    left_right_axis,
    noise_sd,
)
from anomri.simulate.structure.flow import distance_mm
from anomri.simulate.structure.site import tissue_of

__all__ = ["AbsentDrawn", "apply_absent", "core_absent", "draw_absent"]

# Radius in mm of what is replaced, severity 1–5; the last is a whole side.
RADIUS_MM = (8.0, 13.0, 20.0, 30.0, 500.0)
# Average tissue is what is left of the scan after this much blur; the edge falls over this many mm.
AVERAGE_MM, EDGE_MM = 6.0, 2.0


class AbsentDrawn(Drawn):
    """A ball on one side of the brain, mirrored from the other or averaged.

    Parameters
    ----------
    twice_middle : twice the voxel of the mid-plane along `axis`, the left–right axis.
    side : −1 or 1, the side of the mid-plane that is replaced.
    mirrored : else averaged.
    """

    axis: int
    twice_middle: int
    side: int
    centre: tuple[int, int, int]
    radius_mm: float
    mirrored: bool
    noise_sd: float
    noise_seed: int


def draw_absent(clean: Clean, severity: int, rng: np.random.Generator) -> AbsentDrawn:
    """Side and place; the brain's middle is the mean of its voxels along left–right."""
    axis, side, mirrored = left_right_axis(clean), int(rng.choice([-1, 1])), bool(rng.integers(2))
    points = np.argwhere(tissue_of(clean))
    twice_middle = round(2.0 * float(points[:, axis].mean()))
    # Far enough from the mid-plane that there is something of one side alone.
    aside = side * (points[:, axis] - twice_middle / 2.0) * clean.spacing_mm[axis]
    here = points[(aside > 0.35 * aside.max()) & (aside < 0.75 * aside.max())]
    x, y, z = here[rng.integers(len(here))]
    return AbsentDrawn(
        axis=axis,
        twice_middle=twice_middle,
        side=side,
        centre=(int(x), int(y), int(z)),
        radius_mm=RADIUS_MM[severity - 1],
        mirrored=mirrored,
        noise_sd=noise_sd(clean),
        noise_seed=int(rng.integers(2**62)),
    )


def apply_absent(clean: Clean, drawn: AbsentDrawn) -> FloatArray:
    """(1 − m) · x + m · tissue of the other side, or the scan's own average around, at its noise level."""
    weight, tissue = _weight(clean, drawn), tissue_of(clean)
    if drawn.mirrored:
        size = clean.voxels.shape[drawn.axis]
        source = drawn.twice_middle - np.arange(size)
        index = np.clip(source, 0, size - 1)
        other = np.take(clean.voxels, index, axis=drawn.axis)
        known = np.take(tissue, index, axis=drawn.axis)
        shape = [1, 1, 1]
        shape[drawn.axis] = size
        known = known & ((source >= 0) & (source < size)).reshape(shape)
    else:
        sigma = [AVERAGE_MM / mm for mm in clean.spacing_mm]
        total = ndimage.gaussian_filter(np.where(tissue, clean.voxels, np.float32(0.0)), sigma)
        share = ndimage.gaussian_filter(tissue.astype(np.float32), sigma)
        other = add_rician_noise(total / np.maximum(share, np.float32(1e-3)), drawn.noise_sd, drawn.noise_seed)
        known = tissue
    weight = np.where(known, weight, np.float32(0.0))
    return np.where(weight > 0, (1.0 - weight) * clean.voxels + weight * other, clean.voxels).astype(np.float32)


def core_absent(clean: Clean, drawn: AbsentDrawn) -> BoolArray:
    """Where at least half of the tissue is replaced."""
    return np.asarray(_weight(clean, drawn) >= 0.5, dtype=np.bool_)


def _weight(clean: Clean, drawn: AbsentDrawn) -> FloatArray:
    """1 inside the ball on its side of the mid-plane, falling to 0 over the edge, 0 beyond."""
    to_ball = drawn.radius_mm - distance_mm(clean.voxels.shape, drawn.centre, clean.spacing_mm)
    aside = drawn.side * (np.arange(clean.voxels.shape[drawn.axis]) - drawn.twice_middle / 2.0)
    shape = [1, 1, 1]
    shape[drawn.axis] = -1
    to_plane = (aside * clean.spacing_mm[drawn.axis]).reshape(shape)
    inside = np.minimum(to_ball, to_plane)
    return np.where(tissue_of(clean), np.clip(inside / EDGE_MM, 0.0, 1.0), 0.0).astype(np.float32)
