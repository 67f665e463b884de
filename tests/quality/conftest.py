"""A small brain whose tissue is known: folded grey ribbon, white core, ventricles, fluid around."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

SPACING = (2.0, 2.0, 2.0)
SHAPE = (64, 76, 60)


@dataclass(frozen=True)
class Phantom:
    voxels: NDArray[np.float32]
    clean: NDArray[np.float32]
    mask: NDArray[np.bool_]
    truth: NDArray[np.uint8]
    priors: NDArray[np.float32]


def build_phantom(seed: int, *, levels: tuple[float, float, float] = (250.0, 650.0, 1000.0)) -> Phantom:
    """`levels`: intensities of CSF, grey, white."""
    rng = np.random.default_rng(seed)
    x, y, z = (np.linspace(-1.0, 1.0, n)[_along(a)] for a, n in enumerate(SHAPE))
    radius = np.sqrt((x / 0.9) ** 2 + (y / 0.92) ** 2 + (z / 0.9) ** 2)
    folds = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 1.6)
    folds = 0.07 * folds / folds.std()
    truth = np.zeros(SHAPE, dtype=np.uint8)
    truth[radius < 1.0] = 1
    truth[radius + 0.3 * folds < 0.93] = 2
    truth[radius + folds < 0.76] = 3
    truth[((np.abs(x) - 0.12) / 0.08) ** 2 + (y / 0.35) ** 2 + (z / 0.2) ** 2 < 1.0] = 1
    mask = truth > 0
    ideal = np.concatenate([[0.0], levels])[truth]
    clean = ndimage.gaussian_filter(ideal, 0.5)
    texture = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 2.0)
    clean = np.where(mask, clean * (1.0 + 0.02 * texture / texture.std()), 0.0)
    field = np.exp(0.12 * x - 0.1 * y + 0.15 * z**2)
    noise = 0.03 * max(levels) * rng.standard_normal((2, *SHAPE))
    voxels = np.where(mask, np.hypot(clean * field + noise[0], noise[1]), 0.0).astype(np.float32)
    priors = np.stack([ndimage.gaussian_filter((truth == k).astype(np.float32), 2.0) for k in (1, 2, 3)])
    return Phantom(voxels, clean.astype(np.float32), mask, truth, priors.astype(np.float32))


def _along(axis: int) -> tuple[slice | None, ...]:
    return tuple(slice(None) if a == axis else None for a in range(3))


@pytest.fixture(scope="session")
def make_phantom() -> Callable[..., Phantom]:
    return build_phantom


@pytest.fixture(scope="session")
def phantom() -> Phantom:
    return build_phantom(0)
