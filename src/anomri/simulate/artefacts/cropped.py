"""Cropped field of view: the head was not covered from end to end."""

from __future__ import annotations

import numpy as np

from anomri.simulate.artefacts.artefact import Clean, Drawn, FloatArray, left_right_axis, up_axis
from anomri.simulate.similarity import box_of

__all__ = ["CroppedDrawn", "apply_cropped", "draw_cropped"]

# Share of the head's height (or width) that is not covered, severity 1–5.
SHARE = (0.03, 0.06, 0.10, 0.20, 0.35)
# Most scans end too low or begin too high; few miss a side.
SIDE_CHANCE = 0.25


class CroppedDrawn(Drawn):
    """Planes [`first`, `last`) along `axis` are covered."""

    axis: int
    first: int
    last: int


def draw_cropped(clean: Clean, severity: int, rng: np.random.Generator) -> CroppedDrawn:
    """Which end is missing."""
    sideways, from_above = bool(rng.random() < SIDE_CHANCE), bool(rng.integers(2))
    axis = left_right_axis(clean) if sideways else up_axis(clean)
    part = box_of(clean.brain)[axis]
    cut = max(1, round(SHARE[severity - 1] * (part.stop - part.start)))
    size = clean.voxels.shape[axis]
    if from_above:
        return CroppedDrawn(axis=axis, first=0, last=int(part.stop - cut))
    return CroppedDrawn(axis=axis, first=int(part.start + cut), last=size)


def apply_cropped(clean: Clean, drawn: CroppedDrawn) -> FloatArray:
    """0 where nothing was recorded."""
    out = np.zeros_like(clean.voxels)
    covered = [slice(None)] * 3
    covered[drawn.axis] = slice(drawn.first, drawn.last)
    out[tuple(covered)] = clean.voxels[tuple(covered)]
    return out
