"""Saturation and coarse grey levels: the numbers did not fit what they were stored in."""

from __future__ import annotations

import numpy as np

from anomri.simulate.artefacts.artefact import Clean, Drawn, FloatArray

__all__ = ["ClipDrawn", "QuantiseDrawn", "apply_clip", "apply_quantise", "draw_clip", "draw_quantise"]

# Saturation level as a share of the largest signal, severity 1–5; bits that are left, severity 1–5.
LEVEL, BITS = (0.95, 0.9, 0.8, 0.65, 0.5), (6, 5, 4, 3, 2)
# What counts as the largest signal in the brain.
LARGEST_PERCENTILE = 99.9


class ClipDrawn(Drawn):
    """Signal above `limit` (the scan's units) is cut off."""

    limit: float


class QuantiseDrawn(Drawn):
    """2^`bits` grey levels from 0 to `largest` (the scan's units)."""

    bits: int
    largest: float


def _largest(clean: Clean) -> float:
    return float(np.percentile(clean.voxels[clean.brain], LARGEST_PERCENTILE))


def draw_clip(clean: Clean, severity: int, _rng: np.random.Generator) -> ClipDrawn:
    """Nothing is drawn."""
    return ClipDrawn(limit=LEVEL[severity - 1] * _largest(clean))


def apply_clip(clean: Clean, drawn: ClipDrawn) -> FloatArray:
    """min(x, τ · max)."""
    return np.minimum(clean.voxels, np.float32(drawn.limit))


def draw_quantise(clean: Clean, severity: int, _rng: np.random.Generator) -> QuantiseDrawn:
    """Nothing is drawn."""
    return QuantiseDrawn(bits=BITS[severity - 1], largest=_largest(clean))


def apply_quantise(clean: Clean, drawn: QuantiseDrawn) -> FloatArray:
    """x rounded to the nearest level; the brightest voxels saturate at the last."""
    step = np.float32(drawn.largest / (2**drawn.bits - 1))
    levels: FloatArray = np.minimum(np.rint(clean.voxels / step), 2**drawn.bits - 1) * step
    return levels.astype(np.float32)
