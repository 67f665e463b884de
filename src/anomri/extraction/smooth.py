"""Smooth random fields."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["smooth_field"]

FloatArray = NDArray[np.float32]


def smooth_field(shape: tuple[int, int, int], nodes: int, rng: np.random.Generator) -> FloatArray:
    """A field of standard deviation 1 everywhere: normal numbers on a lattice, spread by Gaussians.

    Parameters
    ----------
    nodes : lattice points along each axis, at least 2; more make it rougher.
    """
    x, y, z = (_spread(size, nodes) for size in shape)
    field = rng.standard_normal((nodes, nodes, nodes), dtype=np.float32)
    spread: FloatArray = np.einsum("xyc,zc->xyz", np.einsum("xbc,yb->xyc", np.tensordot(x, field, axes=1), y), z)
    return spread


@lru_cache(maxsize=64)
def _spread(size: int, nodes: int) -> FloatArray:
    """(size, nodes) weights whose squares add up to 1 in every row."""
    at = np.linspace(0.0, nodes - 1.0, size)
    weights = np.exp(-0.5 * ((at[:, None] - np.arange(nodes)) / 0.7) ** 2)
    weights /= np.sqrt(np.sum(weights**2, axis=1, keepdims=True))
    spread: FloatArray = weights.astype(np.float32)
    spread.setflags(write=False)
    return spread
