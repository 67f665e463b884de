"""Where in the brain a lesion lies, and what the tissue around it is like."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomri.simulate.artefacts.artefact import Clean

__all__ = ["Site", "around", "depth_mm", "draw_site", "places_of", "tissue_of"]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
Site = Literal["cortex", "white", "deep"]

# Depth below the brain's surface, as a share of the greatest depth, that tells cortex, white matter and deep grey apart
# without knowing the sequence.
LIMITS: dict[Site, tuple[float, float]] = {"cortex": (0.0, 0.25), "white": (0.25, 0.6), "deep": (0.6, 1.0)}
# A lesion fits where depth is this share of its radius; the largest may lie from this share of the greatest depth on.
FITS, DEEPEST = 0.8, 0.8
# Local tissue reaches this far beyond a lesion.
RIM_MM = 5.0


def tissue_of(clean: Clean) -> BoolArray:
    """Voxels of the brain that hold signal."""
    return np.asarray(clean.brain & (clean.voxels != 0), dtype=np.bool_)


def depth_mm(brain: BoolArray, spacing_mm: tuple[float, float, float]) -> FloatArray:
    """Distance below the brain's surface, 0 outside; the grid's border counts as surface."""
    padded = ndimage.distance_transform_edt(np.pad(brain, 1), sampling=spacing_mm)
    return np.asarray(padded[1:-1, 1:-1, 1:-1], dtype=np.float32)


def draw_site(rng: np.random.Generator) -> Site:
    """Cortex, white matter or deep, each as often."""
    return ("cortex", "white", "deep")[int(rng.integers(3))]


def places_of(clean: Clean, site: Site, *, radius_mm: float = 0.0) -> NDArray[np.intp]:
    """Flat indices of the voxels of a site, so deep that a lesion of `radius_mm` there lies inside the brain."""
    depth = depth_mm(clean.brain, clean.spacing_mm)
    greatest = float(depth.max())
    least = min(FITS * radius_mm, DEEPEST * greatest)
    low, high = (least + share * (greatest - least) for share in LIMITS[site])
    places: NDArray[np.intp] = np.flatnonzero(tissue_of(clean) & (depth > low) & (depth <= high))
    return places


def around(clean: Clean, centre: tuple[int, int, int], radius_mm: float) -> tuple[float, float]:
    """Mean and standard deviation of the tissue within a radius (plus a rim) of a voxel."""
    reach = radius_mm + RIM_MM
    box, steps = [], []
    for size, middle, mm in zip(clean.voxels.shape, centre, clean.spacing_mm, strict=True):
        half = int(np.ceil(reach / mm))
        box.append(slice(max(0, middle - half), min(size, middle + half + 1)))
        steps.append((np.arange(box[-1].start, box[-1].stop) - middle) * mm)
    x, y, z = np.meshgrid(*steps, indexing="ij", sparse=True)
    where = tuple(box)
    near = clean.voxels[where][(x**2 + y**2 + z**2 <= reach**2) & tissue_of(clean)[where]].astype(np.float64)
    return float(near.mean()), float(near.std())
