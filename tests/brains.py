"""Made brains, coarse so that they are quick, and the recipe that stands in for the one methods ask for."""

from __future__ import annotations

import hashlib
from pathlib import Path

from anomri.core.prepared import Prepared
from anomri.io.write import write_nifti
from anomri.pipeline import FitInput
from anomri.pipeline.demo import tissue_maps
from anomri.preparation import Recipe
from anomri.simulate import Anatomy, anatomy

__all__ = ["ALARM_RATE", "NORMALS", "QUICK", "digest", "made_brain", "write_scan"]

# The real steps but the slowest, on a coarse grid.
QUICK = Recipe(name="brain-t1", bias=False, spacing_mm=4.0, shape=(40, 48, 40), intensity="percentile", erode_mm=4.0)
NORMALS = 10
# Ten normals can promise one in eleven.
ALARM_RATE = 0.1


def digest(prepared: Prepared) -> str:
    """Of the voxels and the region that reach a method."""
    return hashlib.sha256(prepared.scan.voxels.tobytes() + prepared.region.mask.tobytes()).hexdigest()


def made_brain(seed: int) -> Anatomy:
    """A made brain at 3 mm."""
    return anatomy(tissue_maps(), seed=seed, spacing_mm=3.0)


def write_scan(folder: Path, seed: int) -> FitInput:
    """A made brain as a file, and what `fit` is told of it."""
    scan = made_brain(seed).scan
    path = folder / f"brain-{seed:02d}.nii.gz"
    write_nifti(path, scan.voxels, scan.geometry)
    return FitInput(path, f"brain-{seed:02d}", f"person-{seed:02d}", {"age": 20.0 + seed})
