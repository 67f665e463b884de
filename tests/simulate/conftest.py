"""A small head to simulate on: an ellipsoid with grey and white matter, ventricles and a little noise."""

from __future__ import annotations

import numpy as np
import pytest

from anomri.core.geometry import Geometry
from anomri.core.scan import Scan
from anomri.io import array_scan
from anomri.simulate.anatomy import TissueMaps

SHAPE = (40, 48, 36)
SPACING_MM = 4.0


def _radius(shape: tuple[int, int, int]) -> np.ndarray:
    axes = [np.linspace(-1.15, 1.15, n) for n in shape]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return np.sqrt(x**2 + y**2 + z**2)


def small_head(spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.2), shape: tuple[int, int, int] = SHAPE) -> Scan:
    rng = np.random.default_rng(7)
    radius = _radius(shape)
    folds = 0.06 * np.sin(np.arange(shape[1]) * 0.9)[None, :, None] * np.cos(np.arange(shape[2]) * 0.7)
    signal = np.where(radius + folds < 0.75, 1000.0, 650.0)
    signal = np.where(radius < 0.2, 250.0, signal) + 15.0 * rng.standard_normal(shape)
    affine = np.diag([-spacing_mm[0], spacing_mm[1], spacing_mm[2], 1.0])
    voxels = np.where(radius <= 1.0, np.abs(signal) + 1.0, 0.0).astype(np.float32)
    return array_scan(voxels, affine, scan_id="head", sequence="T1w")


@pytest.fixture(scope="session")
def head() -> Scan:
    return small_head()


@pytest.fixture(scope="session")
def brain(head: Scan) -> np.ndarray:
    return head.voxels > 0


@pytest.fixture(scope="session")
def tissue() -> TissueMaps:
    """Soft-edged nested ellipsoids about as large as a head, 4 mm."""
    shape = SHAPE
    radius = _radius(shape)

    def inside(limit: float) -> np.ndarray:
        return 1.0 / (1.0 + np.exp((radius - limit) / 0.05))

    whole, core, ventricle = radius <= 1.0, inside(0.7), inside(0.22)
    white = (whole * core * (1.0 - ventricle)).astype(np.float32)
    grey = (whole * inside(0.93) * (1.0 - core)).astype(np.float32)
    csf = np.clip(whole - grey - white, 0.0, 1.0).astype(np.float32)
    affine = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    affine[:3, 3] = [-SPACING_MM * n / 2.0 for n in shape]
    return TissueMaps(grey=grey, white=white, csf=csf, geometry=Geometry(shape, affine))
