"""An object that is no brain: a jar of gel with rods and spheres, as scanners are tested with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from anomri.core.scan import Scan
from anomri.io import array_scan

__all__ = ["phantom"]

FloatArray = NDArray[np.float32]

SPACING_MM = (1.0, 1.3)
RADIUS_MM, HEIGHT_MM = (58.0, 72.0), (110.0, 140.0)
MARGIN_MM = 4.0
RODS, SPHERES = (6, 12), (10, 20)
SIGNAL_TO_NOISE = (30.0, 60.0)
UNITS = (600.0, 2000.0)


def phantom(seed: int) -> Scan:
    """A jar about as large as a brain, with contrast, edges and noise like one, and exactly 0 around it.

    Parameters
    ----------
    seed : of size, voxel size, filling and noise.

    Returns
    -------
    Scan, isotropic 1.0–1.3 mm, RAS, positive inside the jar.
    """
    rng = np.random.default_rng(seed)
    spacing = float(rng.uniform(*SPACING_MM))
    radius, half = float(rng.uniform(*RADIUS_MM)), float(rng.uniform(*HEIGHT_MM)) / 2.0
    reach = np.ceil((np.array([radius, radius, half]) + MARGIN_MM) / spacing).astype(int)
    x, y, z = (spacing * np.arange(-n, n + 1, dtype=np.float32) for n in reach)
    x, y, z = x[:, None, None], y[None, :, None], z[None, None, :]
    across = np.hypot(x, y)
    shape = (x.size, y.size, z.size)
    signal = np.full(shape, rng.uniform(0.7, 1.0), dtype=np.float32)
    for angle in np.linspace(0.0, 2.0 * np.pi, int(rng.integers(*RODS)), endpoint=False):
        distance = np.hypot(x - 0.6 * radius * np.cos(angle), y - 0.6 * radius * np.sin(angle))
        _fill(signal, distance, rng.uniform(4.0, 12.0), rng.uniform(0.1, 1.0), spacing)
    for centre in rng.uniform(-0.6, 0.6, (int(rng.integers(*SPHERES)), 3)) * [radius, radius, half]:
        distance = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
        _fill(signal, distance, rng.uniform(6.0, 18.0), rng.uniform(0.1, 1.0), spacing)
    sd = float(1.0 / rng.uniform(*SIGNAL_TO_NOISE))
    noise = np.float32(sd) * rng.standard_normal((2, *shape), dtype=np.float32)
    magnitude = np.maximum(np.hypot(signal + noise[0], noise[1]), 1e-3) * np.float32(rng.uniform(*UNITS))
    inside = (across <= radius) & (np.abs(z) <= half)
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = -spacing * reach
    return array_scan(
        np.where(inside, magnitude, 0.0).astype(np.float32),
        affine,
        scan_id=f"phantom-{seed:04d}",
        sequence="T1w",
        notes=("simulated: jar with rods and spheres",),
    )


def _fill(signal: FloatArray, distance: FloatArray, radius: float, value: float, edge_mm: float) -> None:
    """Blend `value` into everything closer than `radius`, over an edge of one voxel; changes `signal`."""
    share = special.ndtr((radius - distance) / np.float32(0.5 * edge_mm))
    signal += share * (np.float32(value) - signal)
