"""What a finding is like: darker or brighter than expected, on which side, how deep, in which tissue.

Everything is looked up where the finding's voxels lie on the prepared grid or in the template, so no further image is
carried home.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomri.core.geometry import Geometry, apply_affine
from anomri.core.heatmap import Heatmap, parts_above
from anomri.core.prepared import Prepared
from anomri.core.reading import FloatMap, Reading
from anomri.core.region import Region
from anomri.core.result import Finding, TissueShares
from anomri.io.picture import PICTURE_FORMATS
from anomri.io.template import icbm_template
from anomri.models.fusion import Scaling, leading_branch
from anomri.preparation.recipe import Recipe

__all__ = ["depth_mm", "described_findings", "side_of", "surface_of", "tissue_at"]

Side = Literal["left", "right", "midline"]

# What lies closer to the mid-plane counts for neither side: registration is no better than that.
_MIDLINE_MM = 2.0
_MOSTLY_ONE_SIDE = 0.75
_MOSTLY_ONE_TISSUE = 0.6
_TISSUES = {"csf": "CSF", "grey": "grey matter", "white": "white matter"}

Points = NDArray[np.float64]


def described_findings(
    heatmap: Heatmap,
    level: float,
    prepared: Prepared,
    recipe: Recipe,
    readings: Mapping[str, Reading],
    scalings: Mapping[str, Scaling],
) -> tuple[Finding, ...]:
    """The findings of a heatmap, strongest first, with all that is known of each.

    Parameters
    ----------
    heatmap : on the grid of the original scan.
    level : see `anomri.core.heatmap.parts_above`.
    readings, scalings : of every branch, by its name; the maps lie on the prepared grid.

    Returns
    -------
    Without a side for a picture, whose left and right are unknown; without depth for single slices and bodies; without
    tissue and place in the template where the scan was not brought to the template's size.
    """
    parts = parts_above(heatmap, level)
    surface = surface_of(prepared.brain) if parts and not (recipe.for_slices or recipe.for_bodies) else None
    maps = {name: r.map for name, r in readings.items() if r.map is not None}
    described = []
    for finding, voxels in parts:
        points = apply_affine(prepared.history.world @ heatmap.geometry.affine, voxels.astype(np.float64))
        at = _nearest(points, prepared.scan.geometry)
        branch = leading_branch(maps, scalings, at)
        excess = heatmap.values[tuple(voxels.T)].astype(np.float64) - level
        side = None if prepared.scan.source.format in PICTURE_FORMATS else side_of(points[:, 0])
        depth = None if surface is None else depth_mm(finding.centroid_mm, surface, prepared.brain.geometry)
        in_template = recipe.registration in ("affine", "affine-any")
        tissue = tissue_at(points) if in_template else None
        described.append(
            finding.model_copy(
                update={
                    "direction": _direction(prepared.scan.voxels, readings[branch].expected, at, excess),
                    "region": _in_words(side, depth, tissue),
                    "side": side,
                    "depth_mm": depth,
                    "tissue": tissue,
                    "template_mm": _carried(finding.centroid_mm, prepared.history.world) if in_template else None,
                    "branch": branch,
                }
            )
        )
    return tuple(described)


def side_of(x_mm: NDArray[np.float64]) -> Side:
    """The side that holds at least three quarters of some points; the midline where neither does.

    Parameters
    ----------
    x_mm : (n,) distances from the mid-plane, positive on the right; within 2 mm they count for neither side.
    """
    if (x_mm > _MIDLINE_MM).mean() >= _MOSTLY_ONE_SIDE:
        return "right"
    return "left" if (x_mm < -_MIDLINE_MM).mean() >= _MOSTLY_ONE_SIDE else "midline"


def surface_of(brain: Region) -> NDArray[np.intp]:
    """(n, 3) voxels that touch the brain from outside, some of them beyond the grid; hollows in it do not count."""
    (box,) = ndimage.find_objects(brain.mask.astype(np.uint8))
    padded = np.pad(brain.mask[box], 1)
    labels, _ = ndimage.label(~padded)
    filled = labels != labels[0, 0, 0]
    shell = np.argwhere(ndimage.binary_dilation(filled) & ~filled)
    moved: NDArray[np.intp] = shell + np.array([part.start - 1 for part in box])
    return moved


def depth_mm(place_mm: tuple[float, float, float], surface: NDArray[np.intp], geometry: Geometry) -> float:
    """Distance from a place in the world to the nearest voxel of `surface_of`, to its face and not its centre."""
    place = apply_affine(geometry.world_to_voxel, np.array([place_mm]))[0]
    apart = np.maximum(np.abs(surface - place) - 0.5, 0.0) * geometry.spacing_mm
    return float(np.sqrt((apart**2).sum(axis=1).min()))


def tissue_at(points: Points) -> TissueShares | None:
    """Mean shares of the template's tissues at (n, 3) places in its world, mm; None where most lie beyond its brain."""
    template = icbm_template()
    at = _nearest(points, template.geometry)
    csf, grey, white = (float(m[at].mean(dtype=np.float64)) for m in (template.csf, template.grey, template.white))
    inside = csf + grey + white
    if inside < 0.5:
        return None
    return TissueShares(csf=csf / inside, grey=grey / inside, white=white / inside)


def _direction(
    scan: FloatMap, expected: FloatMap | None, at: tuple[NDArray[np.intp], ...], weights: Points
) -> Literal["darker", "brighter"] | None:
    """On which side of what was expected the voxels `at` lie, weighted."""
    if expected is None:
        return None
    difference = np.nan_to_num(scan[at].astype(np.float64) - expected[at])
    mean = float(difference @ weights)
    return None if mean == 0.0 else "brighter" if mean > 0.0 else "darker"


def _in_words(side: Side | None, depth: float | None, tissue: TissueShares | None) -> str | None:
    said = [] if side is None else ["at the midline" if side == "midline" else f"on the {side}"]
    if depth is not None:
        said.append(f"centred {depth:.0f} mm below the surface")
    if tissue is not None:
        first, second, _ = sorted(_TISSUES, key=lambda name: -float(getattr(tissue, name)))
        if getattr(tissue, first) >= _MOSTLY_ONE_TISSUE:
            said.append(f"mostly {_TISSUES[first]}")
        else:
            said.append(f"{_TISSUES[first]} and {_TISSUES[second]}")
    return ", ".join(said) or None


def _nearest(points: Points, geometry: Geometry) -> tuple[NDArray[np.intp], ...]:
    """Indices of the voxels nearest to (n, 3) places in a grid's world, at its edge for those beyond."""
    index = np.rint(apply_affine(geometry.world_to_voxel, points)).astype(np.intp)
    return tuple(np.clip(index, 0, np.array(geometry.shape) - 1).T)


def _carried(place_mm: tuple[float, float, float], world: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (float(c) for c in apply_affine(world, np.array([place_mm]))[0])
    return x, y, z
