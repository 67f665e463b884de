"""What people take off a head before they share it: the face, the ears, the air around it.

What no scanner gives is a block of one value. Where the block begins tells what it replaced. From the brain straight on
towards the chin a whole head goes on for more than 40 mm; where the face is gone, the block begins before that. And at
skin the signal rises from the air inwards, because the outermost voxel is partly air; at a cut it does not, it rises as
often as it falls. So a whole head in air that was set to 0 is told from a head with a part cut off. Faces that
were blurred, or replaced by another's, are not recognised.

References
----------
Bischoff-Grethe A. et al., Human Brain Mapping 28, 892–903, 2007; Schimke N. et al., "Quickshear defacing", 2011 (what
is cut off). Theyers A. E. et al., Frontiers in Psychiatry 12, 617997, 2021 (how the usual tools differ).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomri.core.geometry import ras_axes
from anomri.core.region import Region
from anomri.core.scan import Scan

__all__ = ["Defacing", "constant_blocks", "defacing"]

Mask = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
Spacing = tuple[float, float, float]

# A block holds a cube of this side, and reaches this far beyond its cubes (mm); together its voxels have this volume.
_CUBE_MM, _RAGGED_MM, _BLOCK_ML = 9.0, 4.0, 20.0
# Rays from the lower front of the brain, forward and down: so long, so close to the midline, and what ends one (mm).
_RAY_MM, _ASIDE_MM, _END_MM, _FACE_MM, _STEP_MM = 60.0, 35.0, 16.0, 40.0, 2.0
# A head begins at this share of the brain's signal; a cut where the outermost voxel has this share of the next one's.
_HEAD_BEGINS, _NO_RISE = 0.3, 0.85
# A patch of surface is cut where most of it is; patches this large (mm), down to this far below the brain (mm).
_PATCH_MM, _PATCH_CUT, _BELOW_MM = 10.0, 0.6, 20.0
# Air is looked at this far from the brain, above its middle (mm), where there is as much of it (ml).
_AIR_MM, _AIR_ML = 30.0, 20.0
# Eleven heads without faces (site B) have 0.82–0.98 of the rays and 0.53–0.74 of the surface. Five whole heads have up
# to 0.56 and 0.21, whichever mask their air was set to 0 by, and 0.40 of the surface where the mask took skin, too. In
# noise no block adjoins them at all, and less of a surface will do: ears cut off flat along the head leave 0.21–0.72.
_FACE_GONE, _CUT_CM2, _CUT_SHARE, _CUT_SHARE_IN_NOISE = 0.7, 10.0, 0.5, 0.2
_AIR_SET = 0.9
# Of a stripped scan most of the brain's surface adjoins a block; a head has skull there.
_STRIPPED = 0.5


@dataclass(frozen=True, eq=False, slots=True)
class Defacing:
    """What was taken off a head.

    Parameters
    ----------
    removed : a part of the head outside the brain: face, ears.
    air : the air around the head was set to one value.
    measured : ``face_gone``: share of rays from the brain towards the chin that reach a block within 40 mm, nan where
        the image ends below the brain; ``cut_cm2``, ``cut_share``: surface at which a block cuts through the head,
        and its share of all surface that blocks share with the head; ``filled_ml``: blocks of a value that is not the
        background's; ``air_share``: share of the air above the brain that has the background's value, nan where there
        is no air.
    """

    removed: bool
    air: bool
    measured: Mapping[str, float]

    @property
    def note(self) -> str | None:
        """A sentence for the result; None where nothing was taken off."""
        parts = ["a part of this head was removed (defaced)"] if self.removed else []
        parts += ["the air around this head was set to one value"] if self.air else []
        return f"{' and '.join(parts)}; nothing outside the brain is used" if parts else None


def defacing(scan: Scan, brain: Region) -> Defacing:
    """What was taken off a head.

    Parameters
    ----------
    scan : a full head with its axes as the header says; of a stripped scan nothing is said.
    brain : on the scan's grid.
    """
    order, flips, geometry = ras_axes(scan.geometry)
    voxels, inside = np.flip(scan.voxels.transpose(order), flips), np.flip(brain.mask.transpose(order), flips)
    spacing = geometry.spacing_mm
    block = constant_blocks(voxels, spacing)
    measured = dict.fromkeys(("face_gone", "cut_cm2", "cut_share", "filled_ml", "air_share"), 0.0)
    if not block.any() or _adjoining(inside, block) > _STRIPPED:
        return Defacing(removed=False, air=False, measured=measured)
    low = _first_plane(block)
    voxels, inside, block = voxels[:, :, low:], inside[:, :, low:], block[:, :, low:]
    background = _background(voxels, block)
    plain = block & (voxels == background)
    measured["filled_ml"] = float((block & ~plain).sum()) * geometry.voxel_ml
    measured["face_gone"] = _face_gone(inside, block, spacing)
    measured["cut_cm2"], measured["cut_share"] = _cut(np.abs(voxels - background), inside, plain, spacing)
    measured["air_share"] = _air_share(voxels == background, inside, spacing)
    needed = _CUT_SHARE_IN_NOISE if measured["air_share"] < _AIR_SET else _CUT_SHARE
    removed = (
        measured["filled_ml"] >= _BLOCK_ML
        or measured["face_gone"] >= _FACE_GONE
        or (measured["cut_share"] >= needed and measured["cut_cm2"] >= _CUT_CM2)
    )
    return Defacing(removed, measured["air_share"] >= _AIR_SET, measured)


def constant_blocks(voxels: FloatArray, spacing_mm: Spacing) -> Mask:
    """Where an image has exactly one value throughout.

    Parameters
    ----------
    voxels : (X, Y, Z); blocks of its greatest value are not meant: there it is overexposed.

    Returns
    -------
    (X, Y, Z) bool: blocks of values that fill 20 ml or more.
    """
    flat = _flat(voxels)
    sides = [max(3, round(_CUBE_MM / s)) for s in spacing_mm]
    core = ndimage.minimum_filter(flat, [side - 2 for side in sides])
    reach = [side + 2 * round(_RAGGED_MM / s) for side, s in zip(sides, spacing_mm, strict=True)]
    block: Mask = _with_neighbours(flat) & ndimage.maximum_filter(core, reach)
    values, counts = np.unique(voxels[block], return_counts=True)
    few = counts * float(np.prod(spacing_mm)) / 1000.0 < _BLOCK_ML
    for value in values[few | (values == voxels.max())]:
        block &= voxels != value
    return block


def _adjoining(inside: Mask, block: Mask) -> float:
    """Share of the brain's surroundings that are block."""
    low, high, _ = _box(inside)
    near = tuple(slice(max(0, int(a) - 3), int(b) + 4) for a, b in zip(low, high, strict=True))
    around = ndimage.binary_dilation(inside[near], iterations=3) & ~ndimage.binary_dilation(inside[near])
    return float(block[near][around].mean()) if around.any() else 1.0


def _first_plane(block: Mask) -> int:
    """Whole planes of one value below are beyond the scanned volume."""
    return int(np.argmin(block.all(axis=(0, 1))))


def _background(voxels: FloatArray, block: Mask) -> np.float32:
    """The value air has where it was set to one, or would have: in a corner above and behind, or else the darkest."""
    for corner in ((0, 0, -1), (-1, 0, -1)):
        if block[corner]:
            return np.float32(voxels[corner])
    return np.float32(voxels.min())


def _flat(voxels: FloatArray | Mask) -> Mask:
    """Voxels that have the value of all their six neighbours."""
    flat = np.ones(voxels.shape, dtype=bool)
    for axis in range(3):
        before, after = _ends(axis)
        same = voxels[before] == voxels[after]
        flat[before] &= same
        flat[after] &= same
    return flat


def _with_neighbours(mask: Mask) -> Mask:
    grown = mask.copy()
    for axis in range(3):
        before, after = _ends(axis)
        grown[before] |= mask[after]
        grown[after] |= mask[before]
    return grown


def _ends(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """All planes but the last along an axis, and all but the first."""
    whole = (slice(None),) * axis
    return (*whole, slice(None, -1)), (*whole, slice(1, None))


def _face_gone(inside: Mask, block: Mask, spacing: Spacing) -> float:
    """Share of rays from the brain towards the chin that reach a block before they have gone through a face."""
    low, high, middle = _box(inside)
    surface = np.argwhere(inside & ~_flat(inside))[::3]
    aside = np.abs(surface[:, 0] - middle[0]) * spacing[0]
    starts = surface[(aside < _ASIDE_MM) & (surface[:, 1] > middle[1] + 0.1 * (high[1] - low[1]))]
    steps = np.arange(0.0, _RAY_MM, _STEP_MM)
    direction = np.array([0.0, 1.0, -1.0]) / np.sqrt(2.0) / np.array(spacing)
    at = np.round(starts[:, None] + steps[:, None] * direction).astype(np.intp)
    seen = np.all((at >= 0) & (at < np.array(block.shape)), axis=-1)
    x, y, z = np.moveaxis(np.clip(at, 0, np.array(block.shape) - 1), -1, 0)
    # A start lies on the surface: the ray may touch the brain for a voxel and a half, and then no more.
    touching = 1 + round(1.5 * max(spacing) / _STEP_MM)
    leaving = ~(inside[x, y, z] & seen)[:, touching:].any(axis=1)
    seen, hit = seen[leaving], (block[x, y, z] & seen)[leaving]
    count = round(_END_MM / _STEP_MM)
    ended = hit[:, :-count].copy()
    for later in range(1, count):
        ended &= (hit | ~seen)[:, later : later - count]
    gone = ended[:, : round(_FACE_MM / _STEP_MM)].any(axis=1)
    known = gone | seen[:, round(_FACE_MM / _STEP_MM)]
    return float(gone[known].mean()) if 2 * known.sum() > len(known) else np.nan


def _cut(signal: FloatArray, inside: Mask, block: Mask, spacing: Spacing) -> tuple[float, float]:
    """Surface at which a block cuts through the head, cm², and its share of all surface it has with the head.

    Parameters
    ----------
    signal : (X, Y, Z) distance from the block's value.
    """
    begins = _HEAD_BEGINS * float(np.median(signal[inside]))
    lowest = _box(inside)[0][2] - _BELOW_MM / spacing[2]
    patches = [int(n * s / _PATCH_MM) + 1 for n, s in zip(block.shape, spacing, strict=True)]
    head, cut = np.zeros(patches), np.zeros(patches)
    for axis in range(3):
        # Faces of voxels count a slanted surface too often: by 3/2 for one of every direction alike.
        face_cm2 = float(np.prod(spacing)) / spacing[axis] / 1.5 / 100.0
        for turned in (False, True):
            at, outer, next_in = _faces(signal, block, axis, turned=turned)
            wanted = (np.maximum(outer, next_in) > begins) & (at[:, 2] >= lowest)
            at, outer, next_in = at[wanted], outer[wanted], next_in[wanted]
            patch = tuple((at * spacing / _PATCH_MM).astype(np.intp).T)
            np.add.at(head, patch, face_cm2)
            np.add.at(cut, patch, face_cm2 * ((outer > begins) & (outer >= _NO_RISE * next_in)))
    through = float(head[cut > _PATCH_CUT * head].sum())
    return through, through / max(float(head.sum()), 1e-6)


def _faces(
    signal: FloatArray, block: Mask, axis: int, *, turned: bool
) -> tuple[NDArray[np.intp], FloatArray, FloatArray]:
    """Where a block ends along an axis, (n, 3) voxels, and the signal of the first and second voxel beyond it."""
    if turned:
        signal, block = np.flip(signal, axis), np.flip(block, axis)
    values, blocked = np.moveaxis(signal, axis, 0), np.moveaxis(block, axis, 0)
    at = np.argwhere(blocked[:-2] & ~blocked[1:-1] & ~blocked[2:])
    i, j, k = at.T
    outer, next_in = values[i + 1, j, k], values[i + 2, j, k]
    if turned:
        at[:, 0] = len(values) - 1 - i
    return np.insert(at[:, 1:], axis, at[:, 0], axis=1), outer, next_in


def _air_share(background: Mask, inside: Mask, spacing: Spacing) -> float:
    """Share of the air above the brain's middle that has the background's value."""
    middle = int(_box(inside)[2][2])
    every = (slice(None, None, 2), slice(None, None, 2), slice(middle, None, 2))
    coarse = [2.0 * s for s in spacing]
    air = ndimage.distance_transform_edt(~inside[every], sampling=coarse) > _AIR_MM
    if air.sum() * float(np.prod(coarse)) / 1000.0 < _AIR_ML:
        return float(np.nan)
    return float(background[every][air].mean())


def _box(inside: Mask) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """First and last voxel of a mask along each axis, and the middle between them."""
    used = [np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    low, high = np.array([line[0] for line in used], float), np.array([line[-1] for line in used], float)
    return low, high, (low + high) / 2.0
