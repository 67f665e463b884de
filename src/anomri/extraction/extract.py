"""From a head to its brain: what is already stripped passes, what is no brain is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomri.core.geometry import Geometry, carry
from anomri.core.region import Region
from anomri.core.scan import Scan
from anomri.errors import PreparationFailed
from anomri.extraction.judge import measure_mask, verify_mask
from anomri.extraction.locate import locate
from anomri.extraction.outline import outline, template_outline
from anomri.extraction.working import on_working_grid
from anomri.preparation.itk import one_thread
from anomri.preparation.mask import PLAUSIBLE_ML, stripped_mask

__all__ = ["EXTRACTION", "Extraction", "extract", "find_brain"]

# Who made a region that was cut out of a head; what was made by another version is made anew.
EXTRACTION = "extraction-1"

# Fluid around the tissue that masks of stripped brains hold (site A: 1–2 mm).
_FLUID_MM = 1.0
_STEP_VOXELS = 0.7
# A stripped scan has background around it.
_LEAST_BACKGROUND = 0.1


@dataclass(frozen=True, eq=False, slots=True)
class Extraction:
    """A brain and how it was come by.

    Parameters
    ----------
    brain : on the scan's grid.
    stripped : the scan held nothing but the brain, which passed as it was.
    measured : what the mask was judged by, see `judge.measure_mask` and `Location`; empty where the scan was stripped.
    """

    brain: Region
    stripped: bool
    measured: Mapping[str, float]


@one_thread()
def extract(scan: Scan) -> Extraction:
    """The brain of a scan.

    Parameters
    ----------
    scan : a T1-weighted head with its axes as the header says, or one that was stripped before.

    Returns
    -------
    The extraction; of a stripped scan the same region that preparation finds.

    Raises
    ------
    PreparationFailed : no brain was found, or what was found cannot be one.
    """
    stripped = _if_stripped(scan)
    if stripped is not None:
        return Extraction(stripped, stripped=True, measured={})
    brain, measured = find_brain(scan)
    verify_mask(measured)
    return Extraction(brain, stripped=False, measured=measured)


def find_brain(scan: Scan) -> tuple[Region, dict[str, float]]:
    """The brain of a head as found and what it measures, not yet judged.

    Raises
    ------
    PreparationFailed : nothing was found.
    """
    values, geometry = on_working_grid(scan)
    location = locate(values, geometry)
    mask = outline(values, geometry, location)
    if not mask.any():
        raise PreparationFailed(
            "no brain could be cut out of the head", remedy="Give a brain mask with --mask.", code="extraction"
        )
    measured = measure_mask(mask, geometry, location, template_outline(location, geometry))
    # The outline is made for heads in which fluid is dark.
    measured["fluid_to_white"] = location.fluid_to_white
    return Region(_with_fluid(mask, geometry, scan.geometry), scan.geometry, "brain", EXTRACTION), measured


def _with_fluid(mask: NDArray[np.bool_], geometry: Geometry, target: Geometry) -> NDArray[np.bool_]:
    """A mask grown by the fluid around it, on another grid; distances are carried, so its surface stays smooth."""
    spacing = geometry.spacing_mm[0]
    far = 4.0 * spacing
    away = ndimage.distance_transform_edt(~mask) - ndimage.distance_transform_edt(mask)
    # Both distances count from the middle of a voxel, the surface lies between two.
    depth = np.clip(far - spacing * (away - 0.5 * np.sign(away)), 0.0, 2.0 * far).astype(np.float32)
    # Smoothed, or steps of whole voxels would decide about each voxel of a grid as coarse as this one.
    depth = ndimage.gaussian_filter(depth, _STEP_VOXELS)
    within: NDArray[np.bool_] = carry(depth, geometry, target) > far - _FLUID_MM
    return within


def _if_stripped(scan: Scan) -> Region | None:
    """The brain of a scan that has one value around one object of its size; None for any other."""
    mask = stripped_mask(scan.voxels)
    low, high = PLAUSIBLE_ML
    volume_ml = float(mask.sum()) * scan.geometry.voxel_ml
    if not low <= volume_ml <= high or 1.0 - float(mask.mean()) < _LEAST_BACKGROUND:
        return None
    return Region(mask, scan.geometry, "brain", "stripped_mask")
