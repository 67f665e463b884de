"""Bias field: uneven coil sensitivity, a smooth multiplicative field."""

from __future__ import annotations

import numpy as np
from numpy.polynomial import legendre

from anomri.simulate.artefacts.artefact import Clean, Drawn, FloatArray
from anomri.simulate.similarity import box_of

__all__ = ["BiasDrawn", "apply_bias", "draw_bias"]

ORDER = 3
# Largest coefficient, severity 1–5.
COEFFICIENT = (0.1, 0.2, 0.35, 0.5, 0.8)


class BiasDrawn(Drawn):
    """Coefficients c_ijl, (4, 4, 4); 0 where i + j + l > 3."""

    coefficients: tuple[tuple[tuple[float, ...], ...], ...]


def draw_bias(_clean: Clean, severity: int, rng: np.random.Generator) -> BiasDrawn:
    """c_ijl uniform in ± the level's coefficient."""
    i, j, k = np.indices((ORDER + 1,) * 3)
    drawn = COEFFICIENT[severity - 1] * rng.uniform(-1.0, 1.0, i.shape) * (i + j + k <= ORDER)
    return BiasDrawn.model_validate({"coefficients": drawn.tolist()})


def apply_bias(clean: Clean, drawn: BiasDrawn) -> FloatArray:
    """x · exp(Σ c_ijl P_i P_j P_l), P Legendre polynomials over the brain's box, constant beyond it."""
    bases = []
    for part, size in zip(box_of(clean.brain), clean.voxels.shape, strict=True):
        half = max((part.stop - 1 - part.start) / 2.0, 0.5)
        position = (np.arange(size) - (part.start + part.stop - 1) / 2.0) / half
        bases.append(legendre.legvander(np.clip(position, -1.0, 1.0), ORDER).astype(np.float32))
    field = np.asarray(drawn.coefficients, dtype=np.float32)
    # Each product takes the first polynomial index and appends its axis: after three, the order is X, Y, Z.
    for basis in bases:
        field = np.tensordot(field, basis, axes=(0, 1))
    return np.asarray(clean.voxels * np.exp(field), dtype=np.float32)
