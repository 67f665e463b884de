"""Pictures of heads made from formulas, for tests of single slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Plane = NDArray[np.float64]


def head(
    seed: int, *, shape: tuple[int, int] = (150, 130), radii: tuple[float, float] = (62.0, 50.0), stripped: bool = False
) -> Plane:
    """(rows, columns) in 0–255: scalp, dark skull, brain with ventricles; noise in the air unless stripped."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape).astype(float)
    centre = (np.array(shape) - 1) / 2.0
    r = np.hypot((rows - centre[0]) / radii[0], (columns - centre[1]) / radii[1])
    waves = rng.uniform(0, 6, 2)
    brain = 110 + 15 * np.sin(rows / 9 + waves[0]) * np.cos(columns / 8 + waves[1])
    ventricles = np.hypot((rows - centre[0]) / radii[0] * 3.5, (np.abs(columns - centre[1]) - 8) / radii[1] * 8) < 1
    picture = np.where(ventricles, 25.0, brain)
    if stripped:
        return np.clip(np.where(r < 0.85, picture + rng.normal(0, 2, shape), 0.0), 0, 255)
    picture = np.where(r < 0.85, picture, np.where(r < 0.93, 12.0, 190.0))
    picture = np.where(r < 1.0, picture, 4.0) + rng.normal(0, 2, shape)
    return np.clip(picture, 0, 255)


def lesion(picture: Plane, row: float, column: float, radius: float, step: float = 90.0) -> Plane:
    """The picture with a bright Gaussian blob."""
    rows, columns = np.indices(picture.shape)
    blob = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * radius**2))
    return np.clip(picture + step * blob, 0, 255)


def save(picture: Plane, path: Path) -> Path:
    """Written as an 8-bit picture of the kind its name says."""
    Image.fromarray(picture.astype(np.uint8)).save(path)
    return path
