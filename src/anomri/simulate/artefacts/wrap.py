"""Wrap-around: the field of view is smaller than the head, whose ends fold over."""

from __future__ import annotations

import numpy as np

from anomri.simulate.artefacts.artefact import Clean, Drawn, FloatArray, phase_encode_axis
from anomri.simulate.similarity import box_of

__all__ = ["WrapDrawn", "apply_wrap", "draw_wrap"]

# Share of the field of view that is cut off and folds over, severity 1–5.
SHARE = (0.03, 0.06, 0.12, 0.2, 0.35)


class WrapDrawn(Drawn):
    """The field of view reaches from plane `first` to plane `last` (not included) along `axis`."""

    axis: int
    first: int
    last: int


def draw_wrap(clean: Clean, severity: int, rng: np.random.Generator) -> WrapDrawn:
    """Phase-encode axis, and how the cut is shared between both ends; the head fills the field of view before it."""
    axis, share = phase_encode_axis(clean, rng), float(rng.uniform(0.3, 0.7))
    part = box_of(clean.brain)[axis] if clean.stripped else slice(0, clean.voxels.shape[axis])
    size = part.stop - part.start
    cut = max(1, round(SHARE[severity - 1] * size))
    low = round(share * cut)
    return WrapDrawn(axis=axis, first=part.start + low, last=part.stop - (cut - low))


def apply_wrap(clean: Clean, drawn: WrapDrawn) -> FloatArray:
    """x'(y) = Σ_m x(y + m · (last − first)) inside the field of view, nothing outside it.

    Summing periods of the image is what leaving out lines of k-space between others does.
    """
    source = np.where(clean.brain, clean.voxels, np.float32(0.0)) if clean.stripped else clean.voxels
    planes = np.moveaxis(source, drawn.axis, 0)
    folded = np.zeros_like(planes)
    period = drawn.last - drawn.first
    for plane in range(len(planes)):
        folded[drawn.first + (plane - drawn.first) % period] += planes[plane]
    return np.ascontiguousarray(np.moveaxis(folded, 0, drawn.axis))
