"""Metrics that need air around the head: a stripped scan has none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["AIR_METRICS", "air_metrics"]

FEWEST_VOXELS = 1000
AIR_METRICS = ("foreground_background_energy", "air_noise", "air_ghost")


def air_metrics(
    voxels: NDArray[np.floating], mask: NDArray[np.bool_], air: NDArray[np.bool_] | None, white: float
) -> dict[str, float | None]:
    """Metrics of the air; all None where there is none (or fewer than 1000 voxels of it, or nothing but zeros).

    Parameters
    ----------
    voxels : (X, Y, Z) intensities of the whole scan.
    mask : (X, Y, Z), the brain.
    air : (X, Y, Z), voxels outside the head; None for a stripped scan.
    white : median intensity of white matter.
    """
    none: dict[str, float | None] = dict.fromkeys(AIR_METRICS)
    if air is None:
        return none
    values = voxels[air].astype(np.float64)
    energy = float(np.median(np.square(values))) if values.size >= FEWEST_VOXELS else 0.0
    if not energy > 0:
        return none
    inside = voxels[mask].astype(np.float64)
    # Ghosts fall beside the brain along one of the axes; the corners of the box see none of them.
    shadow = _shadow(mask)
    corners = air & ~shadow.any(axis=0)
    ghost: float | None = None
    if np.count_nonzero(corners) >= FEWEST_VOXELS:
        floor = float(voxels[corners].mean(dtype=np.float64))
        beside = [float(voxels[air & s].mean(dtype=np.float64)) for s in shadow if np.count_nonzero(air & s) >= 1000]
        ghost = (max(beside) - floor) / white if beside else None
    return {
        "foreground_background_energy": float(np.median(np.square(inside))) / energy,
        # √(2/(4−π)): the noise of a magnitude image in air follows a Rayleigh distribution.
        "air_noise": float(np.sqrt(2.0 / (4.0 - np.pi)) * values.std()) / white,
        "air_ghost": ghost,
    }


def _shadow(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(3, X, Y, Z): voxels that lie on a line through the brain along X, Y, Z."""
    return np.stack([np.broadcast_to(mask.any(axis=a, keepdims=True), mask.shape) for a in range(3)])
