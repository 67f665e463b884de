"""Before preparation: does the raw volume look like one skull-stripped brain? Of a slice little can be asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anomri.core.region import Region
from anomri.core.scan import Scan
from anomri.errors import PreparationFailed
from anomri.preparation import Recipe
from anomri.preparation.mask import PLAUSIBLE_ML, stripped_mask

__all__ = ["FirstLook", "first_look"]

# A brain is 130–190 mm long; a field of view or a spacing far from that is another organ or a wrong unit.
_BOX_MM = (90.0, 230.0)
_THICKEST_MM = 4.0
# A stripped scan has background; a head fills more of its volume, and a volume without background is no strip.
_LEAST_BACKGROUND = 0.10


@dataclass(frozen=True, eq=False, slots=True)
class FirstLook:
    """What a first look at a scan found.

    Parameters
    ----------
    foreground : the largest connected one, holes filled; the brain of a stripped scan. None where there is no signal.
    stripped : whether the background is zero around one object the size of a brain.
    foreground_ml : volume of the foreground.
    background_share : share of voxels outside it.
    reasons : why the scan is out of scope; empty where it is in.
    perhaps_head : they would not hold if it were a full head: it has more foreground than a brain, and no other reason.
    """

    foreground: Region | None
    stripped: bool
    foreground_ml: float
    background_share: float
    reasons: tuple[str, ...]
    perhaps_head: bool = False


def first_look(scan: Scan, recipe: Recipe, *, masked: bool = False) -> FirstLook:
    """Look at the voxels as read.

    Parameters
    ----------
    recipe : what the scan would be prepared with: one for slices or bodies finds head or body itself.
    masked : the user gave a brain mask, so that the scan need not be stripped.

    Returns
    -------
    The look; it judges nothing that needs a template.
    """
    unfit = recipe.unfit(scan.geometry)
    if unfit or recipe.for_slices or recipe.for_bodies:
        return FirstLook(None, True, 0.0, 1.0, (unfit,) if unfit else ())
    reasons = []
    thickest = max(scan.geometry.spacing_mm)
    if thickest > _THICKEST_MM:
        reasons.append(f"its slices are {thickest:.1f} mm apart (the model needs at most {_THICKEST_MM:.0f} mm)")
    try:
        foreground = Region(stripped_mask(scan.voxels), scan.geometry, "brain", "stripped_mask")
    except PreparationFailed:
        return FirstLook(None, False, 0.0, 1.0, (*reasons, "it has no signal"))
    volume = foreground.volume_ml
    background = 1.0 - float(foreground.mask.mean())
    low, high = PLAUSIBLE_ML
    stripped = low <= volume <= high and background >= _LEAST_BACKGROUND
    perhaps_head = not masked and not reasons and volume >= low and not stripped
    if not masked and volume > high:
        reasons.append(
            f"its foreground is {volume:.0f} ml, more than any brain: a full head or another body part "
            "(strip the skull, or give a brain mask with --mask)"
        )
    elif not masked and volume < low:
        reasons.append(f"its foreground is {volume:.0f} ml, less than any adult brain")
    elif not masked and background < _LEAST_BACKGROUND:
        reasons.append("it has no background: not a skull-stripped brain")
    extent = _extent_mm(foreground)
    if not masked and not reasons and not all(_BOX_MM[0] <= side <= _BOX_MM[1] for side in extent):
        sides = " × ".join(f"{side:.0f}" for side in extent)
        reasons.append(f"its foreground measures {sides} mm, unlike a brain")
    return FirstLook(foreground, stripped, volume, background, tuple(reasons), perhaps_head)


def _extent_mm(foreground: Region) -> tuple[float, ...]:
    sides = []
    for axis in range(3):
        others = tuple(i for i in range(3) if i != axis)
        used = np.flatnonzero(foreground.mask.any(axis=others))
        sides.append(float(used[-1] - used[0] + 1) * foreground.geometry.spacing_mm[axis])
    return tuple(sides)
