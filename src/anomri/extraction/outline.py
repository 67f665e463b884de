"""The brain's outline from its place and from the values: tissue as bright as the brain's, cut off where it is thin.

Made for heads in which fluid and bone around the brain are dark. Where fluid is bright, `network` draws the outline.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomri.core.geometry import Geometry, carry
from anomri.core.score import smooth_inside
from anomri.extraction.locate import Location, brain_distance_mm
from anomri.io.template import icbm_template
from anomri.preparation.crop import box_of
from anomri.preparation.head import largest

__all__ = ["outline", "template_outline"]

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]

# How far the brain may reach beyond the template's outline, and what of the template is brain for certain, mm.
_BEYOND_MM, _CERTAIN_MM, _FAR_MM = 9.0, 6.0, np.float32(60.0)
# In the template's front and bottom (Y above and Z below, mm) lie the eyes with their muscles and fat, 5 mm from the
# brain and as bright.
_ORBITS_MM, _BEYOND_AT_ORBITS_MM = (10.0, -12.0), 3.0
# Depth of the cortex below the template's outline, mm, and where tissue begins between dark and it.
_CORTEX_MM, _TISSUE_BEGINS = (3.0, 12.0), 0.5
# Smoothing of the brightness that is divided by, mm.
_SHADING_MM = 20.0
# Half the thickness of what ties the brain to the skull, and half the width of the sulci that are bridged.
_TIE_MM, _SULCUS_MM = 3.0, 8.0


def template_outline(location: Location, geometry: Geometry) -> Mask:
    """The template's brain where it was found."""
    template = icbm_template()
    return carry(template.brain.astype(np.float32), template.geometry, geometry, location.world) > 0.5


def outline(values: FloatArray, geometry: Geometry, location: Location) -> Mask:
    """The brain of a head whose fluid is dark.

    Parameters
    ----------
    values : (X, Y, Z) ≥ 0 on an isotropic grid along the world's axes.

    Returns
    -------
    (X, Y, Z) bool, in one piece and without holes.
    """
    distance = _carried_mm(brain_distance_mm(), location, geometry)
    possible = _carried_mm(_out_of_reach_mm(), location, geometry) < 0.0
    if not possible.any():
        return possible
    start, shape = box_of(possible, 0)
    box = tuple(slice(first, first + size) for first, size in zip(start, shape, strict=True))
    found = np.zeros(values.shape, dtype=bool)
    found[box] = _outline(values[box], distance[box], possible[box], geometry.spacing_mm[0])
    return found


def _outline(values: FloatArray, distance: FloatArray, possible: Mask, spacing: float) -> Mask:
    certain = distance < -_CERTAIN_MM
    inside = distance < -_CORTEX_MM[0]
    even = values / np.maximum(_spread(smooth_inside(values, inside, _SHADING_MM / spacing), inside), 1e-6)
    cortex = float(np.median(even[inside & (distance > -_CORTEX_MM[1])]))
    dark = float(np.percentile(even[possible & (distance > 0.0)], 10))
    tissue = possible & (even > dark + _TISSUE_BEGINS * (cortex - dark))
    core = _touching(_opened(tissue, _TIE_MM / spacing), certain)
    core |= _grown(core, _TIE_MM / spacing) & tissue
    wide = _SULCUS_MM / spacing
    pad = int(wide) + 1
    closed = ~_grown(~_grown(np.pad(core, pad), wide), wide)[pad:-pad, pad:-pad, pad:-pad]
    return largest(ndimage.binary_fill_holes(closed & possible))


@lru_cache(maxsize=1)
def _out_of_reach_mm() -> FloatArray:
    """Distance from what can be brain at all on the template's grid, mm; negative inside of it."""
    template = icbm_template()
    y, z = (np.arange(template.geometry.shape[axis]) for axis in (1, 2))
    affine = template.geometry.affine
    front, bottom = affine[1, 1] * y + affine[1, 3] > _ORBITS_MM[0], affine[2, 2] * z + affine[2, 3] < _ORBITS_MM[1]
    beyond = np.where(front[:, None] & bottom[None, :], np.float32(_BEYOND_AT_ORBITS_MM), np.float32(_BEYOND_MM))
    out: FloatArray = brain_distance_mm() - beyond[None]
    out.setflags(write=False)
    return out


def _carried_mm(distance: FloatArray, location: Location, geometry: Geometry) -> FloatArray:
    """A distance on the template's grid, where it was found, mm."""
    template = icbm_template()
    scale = np.float32(np.cbrt(np.linalg.det(location.world[:3, :3])))
    # Beyond the template carried values fall to 0: counted from far away, that is outside.
    near = np.clip(_FAR_MM - distance, 0.0, None)
    return scale * (_FAR_MM - carry(near, template.geometry, geometry, location.world))


def _spread(level: FloatArray, inside: Mask) -> FloatArray:
    """Every voxel outside gets the level of the nearest one inside."""
    nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    spread: FloatArray = level[tuple(nearest)]
    return spread


def _grown(mask: Mask, voxels: float) -> Mask:
    grown: Mask = ndimage.distance_transform_edt(~mask) <= voxels
    return grown


def _opened(mask: Mask, voxels: float) -> Mask:
    return _grown(ndimage.distance_transform_edt(mask) > voxels, voxels) & mask


def _touching(mask: Mask, certain: Mask) -> Mask:
    """The parts of a mask that reach into what is brain for certain."""
    labels, _ = ndimage.label(mask)
    wanted = np.unique(labels[certain])
    return np.isin(labels, wanted[wanted > 0])
