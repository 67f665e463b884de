"""How far a changed image lies from the clean one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["box_of", "nrmse"]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]


def box_of(mask: BoolArray) -> tuple[slice, slice, slice]:
    """Smallest box around a mask that is not empty."""
    x, y, z = (np.flatnonzero(mask.any(axis=tuple(b for b in range(3) if b != a))) for a in range(3))
    return slice(x[0], x[-1] + 1), slice(y[0], y[-1] + 1), slice(z[0], z[-1] + 1)


def nrmse(clean: FloatArray, changed: FloatArray, mask: BoolArray, signal: float) -> float:
    """Root mean square difference inside a mask, as a share of `signal` (> 0)."""
    difference = changed[mask].astype(np.float64) - clean[mask]
    return float(np.sqrt(np.mean(difference**2))) / signal
