"""A small head to simulate on: an ellipsoid with grey and white matter, ventricles and a little noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

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


def uneven_head() -> Scan:
    """A head that is no mirror image of itself along any axis, with grey values of every kind between the tissues."""
    rng = np.random.default_rng(11)
    x, y, z = np.meshgrid(*[np.linspace(-1.15, 1.15, n) for n in SHAPE], indexing="ij")
    # Wide at the back and at the bottom, and a little at the left.
    squared = (x / (1.0 - 0.25 * y)) ** 2 + (y + 0.1) ** 2 + (z / (0.95 - 0.25 * y)) ** 2 + 0.15 * z + 0.1 * x * z
    radius = np.sqrt(np.maximum(squared, 0.0))
    folds = 0.05 * np.sin(17.0 * x + 3.0 * z) * np.cos(15.0 * y + 4.0 * x)
    signal = 560.0 + 440.0 / (1.0 + np.exp((radius + folds - 0.68) / 0.03))
    for centre in ((0.12, 0.15, 0.2), (-0.15, 0.1, 0.25)):
        away = np.sqrt(2.5 * (x - centre[0]) ** 2 + 0.8 * (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
        signal -= 750.0 / (1.0 + np.exp((away - 0.2) / 0.03))
    smooth = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 1.5)
    signal += 30.0 * smooth / smooth.std() + 15.0 * rng.standard_normal(SHAPE)
    voxels = np.where(radius <= 0.98, np.abs(signal) + 1.0, 0.0).astype(np.float32)
    return array_scan(voxels, np.diag([-2.9, 2.9, 2.9, 1.0]), scan_id="uneven", sequence="T1w")


@pytest.fixture(scope="session")
def uneven() -> Scan:
    return uneven_head()


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
