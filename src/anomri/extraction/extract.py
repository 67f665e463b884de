"""From a head to its brain: what is already stripped passes, what is no brain is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomri.core.geometry import Geometry, carry
from anomri.core.region import Region
from anomri.core.scan import Scan
from anomri.errors import PreparationFailed
from anomri.extraction.judge import measure_mask, verify_mask
from anomri.extraction.locate import Location, locate
from anomri.extraction.outline import outline, template_outline
from anomri.extraction.working import on_working_grid
from anomri.preparation.head import largest
from anomri.preparation.itk import one_thread
from anomri.preparation.mask import PLAUSIBLE_ML, stripped_mask

__all__ = ["EXTRACTION", "Extraction", "Route", "extract", "find_brain"]

Mask = NDArray[np.bool_]
Route = Literal["template", "network"]

# Who made a region that was cut out of a head; what was made by another version is made anew.
EXTRACTION = "extraction-2"

# The outline by thresholds asks for dark fluid around the brain. Of white matter's value fluid has 0.63 at most in the
# T1-weighted heads that the outline was made on, and more than white matter itself in T2w.
_BRIGHT_FLUID = 0.75
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
    scan : a head with its axes as the header says, or one that was stripped before.

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


def find_brain(scan: Scan, *, route: Route | None = None) -> tuple[Region, dict[str, float]]:
    """The brain of a head as found and what it measures, not yet judged.

    Parameters
    ----------
    route : ``template`` (thresholds and morphology around the template's place) or ``network``; if not given, the
        network where fluid is bright.

    Raises
    ------
    PreparationFailed : nothing was found.
    """
    values, geometry = on_working_grid(scan)
    location = locate(values, geometry)
    if route is None:
        route = "network" if location.fluid_to_white > _BRIGHT_FLUID else "template"
    drawn = _by_network if route == "network" else _by_thresholds
    mask, native = drawn(values, geometry, location, scan.geometry)
    if not mask.any():
        raise PreparationFailed(
            "no brain could be cut out of the head", remedy="Give a brain mask with --mask.", code="extraction"
        )
    measured = measure_mask(mask, geometry, location, template_outline(location, geometry))
    return Region(native, scan.geometry, "brain", EXTRACTION), measured


def _by_thresholds(
    values: NDArray[np.float32], geometry: Geometry, location: Location, target: Geometry
) -> tuple[Mask, Mask]:
    """The outline by thresholds on the grid of the values, and with the fluid around it on another one."""
    mask = outline(values, geometry, location)
    return mask, _with_fluid(mask, geometry, target)


def _by_network(
    values: NDArray[np.float32], geometry: Geometry, location: Location, target: Geometry
) -> tuple[Mask, Mask]:
    """The network's outline on the grid of the values and on another one."""
    # Brings torch, which most heads do not need.
    from anomri.extraction.network import brain_share, bundled_network

    share, grid = brain_share(bundled_network(), values, geometry, location)
    on_values, on_target = (_whole(carry(share, grid, onto) > 0.5) for onto in (geometry, target))
    return on_values, on_target


def _whole(mask: Mask) -> Mask:
    """The largest piece of a mask, without holes."""
    filled: Mask = ndimage.binary_fill_holes(largest(mask))
    return filled


def _with_fluid(mask: Mask, geometry: Geometry, target: Geometry) -> Mask:
    """A mask grown by the fluid around it, on another grid; distances are carried, so its surface stays smooth."""
    spacing = geometry.spacing_mm[0]
    far = 4.0 * spacing
    away = ndimage.distance_transform_edt(~mask) - ndimage.distance_transform_edt(mask)
    # Both distances count from the middle of a voxel, the surface lies between two.
    depth = np.clip(far - spacing * (away - 0.5 * np.sign(away)), 0.0, 2.0 * far).astype(np.float32)
    # Smoothed, or steps of whole voxels would decide about each voxel of a grid as coarse as this one.
    depth = ndimage.gaussian_filter(depth, _STEP_VOXELS)
    within: Mask = carry(depth, geometry, target) > far - _FLUID_MM
    return within


def _if_stripped(scan: Scan) -> Region | None:
    """The brain of a scan that has one value around one object of its size; None for any other."""
    mask = stripped_mask(scan.voxels)
    low, high = PLAUSIBLE_ML
    volume_ml = float(mask.sum()) * scan.geometry.voxel_ml
    if not low <= volume_ml <= high or 1.0 - float(mask.mean()) < _LEAST_BACKGROUND:
        return None
    return Region(mask, scan.geometry, "brain", "stripped_mask")
