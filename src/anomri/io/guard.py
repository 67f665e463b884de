"""What an image must be before anomri looks at it: its size, its grid, its values. The same for every format."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from anomri.core.geometry import Geometry, apply_affine, orientation_code
from anomri.core.scan import Source, image_sha256
from anomri.errors import InputError

if TYPE_CHECKING:
    from anomri.io.dicom.protocol import Protocol

__all__ = [
    "DEFAULT_MAX_VOXELS",
    "Image",
    "agreed_affine",
    "check_affine",
    "check_shape",
    "check_signal",
    "image_of",
    "replace_nonfinite",
]

DEFAULT_MAX_VOXELS = 512_000_000
MIN_VOXELS_PER_AXIS = 8
SPACING_RANGE_MM = (0.1, 20.0)
VOLUME_RANGE_MM3 = (1e-3, 1e3)
# Largest cosine between two voxel axes.
SHEAR_TOLERANCE = 1e-3
CONFLICT_MM = 0.1
CONFLICT_DEGREES = 0.1
NONFINITE_SHARE = 0.01
MIN_DISTINCT = 16
# An unclipped scan has 1 to 5 voxels at its maximum; a clipped one has a spike there.
SATURATED_VOXELS = 50
SATURATED_SHARE = 1e-4

REMEDY_GEOMETRY = "Repair the header or convert the scan again from its source."


@dataclass(frozen=True, eq=False, slots=True)
class Image:
    """What a reader returns: values on a grid whose shape and affine passed the checks here, and where they came from.

    Parameters
    ----------
    voxels : (X, Y, Z) float32, finite, scaled.
    sequence : the contrast, where the file itself says it.
    protocol : how it was acquired, where the file says it.
    """

    voxels: NDArray[np.float32]
    geometry: Geometry
    source: Source
    sequence: str | None = None
    protocol: Protocol | None = None


def image_of(
    voxels: NDArray[np.float32],
    affine: NDArray[np.float64],
    *,
    format: str,
    reader: str,
    sha256: str,
    notes: Sequence[str],
) -> Image:
    """What every reader ends with: the few values that are not finite replaced, the grid, where it all came from.

    Parameters
    ----------
    voxels : (X, Y, Z), scaled; changed in place.
    sha256 : of the stored bytes.

    Raises
    ------
    InputError : see `replace_nonfinite`.
    """
    replaced = replace_nonfinite(voxels)
    x, y, z = voxels.shape
    geometry = Geometry((x, y, z), affine)
    source = Source(
        format=format,
        reader=reader,
        sha256=sha256,
        image_sha256=image_sha256(voxels, geometry),
        orientation=orientation_code(affine),
        notes=(*notes, *([] if replaced is None else [replaced])),
    )
    return Image(voxels, geometry, source)


def check_shape(shape: tuple[int, int, int], *, max_voxels: int) -> None:
    """Refuse an image that is too large to hold or too thin to judge; a single slice is one voxel along Z.

    Raises
    ------
    InputError : more than `max_voxels` (`too_large`), or fewer than 8 voxels along another axis (`too_thin`).
    """
    total = math.prod(shape)
    size = " × ".join(map(str, shape))
    if total > max_voxels:
        raise InputError(
            f"the header declares {size} voxels, more than {max_voxels}",
            remedy="Check the file; where it is sound, crop it or resample it to larger voxels.",
            code="too_large",
        )
    if min(shape if shape[2] > 1 else shape[:2]) < MIN_VOXELS_PER_AXIS:
        raise InputError(
            f"the image has {size} voxels, fewer than {MIN_VOXELS_PER_AXIS} along one axis",
            remedy="Give a 3D scan or a single slice.",
            code="too_thin",
        )


def check_affine(affine: NDArray[np.float64]) -> None:
    """Refuse an affine that cannot be the grid of a scan in millimetres.

    Raises
    ------
    InputError : not finite or singular (`geometry`), voxels outside 0.1–20 mm or 0.001–1000 mm³ (`units`), axes
        that are not perpendicular (`sheared`).
    """
    if not np.isfinite(affine).all():
        raise InputError("the affine is not finite", remedy=REMEDY_GEOMETRY, code="geometry")
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        volume = abs(float(np.linalg.det(affine[:3, :3])))
        singular = not (lengths.min() > 0 and volume > 1e-6 * float(np.prod(lengths)))
    if singular:
        raise InputError("the affine is singular", remedy=REMEDY_GEOMETRY, code="geometry")
    sizes = " × ".join(f"{length:.4g}" for length in lengths)
    if lengths.min() < SPACING_RANGE_MM[0] or lengths.max() > SPACING_RANGE_MM[1]:
        raise InputError(
            f"voxels of {sizes} mm are not those of an MRI scan",
            remedy="Check the units; they must be millimetres.",
            code="units",
        )
    directions = affine[:3, :3] / lengths
    cosines = directions.T @ directions - np.eye(3)
    if np.abs(cosines).max() > SHEAR_TOLERANCE:
        raise InputError(
            "the voxel axes are not perpendicular", remedy="Resample the scan to a rectangular grid.", code="sheared"
        )
    if not VOLUME_RANGE_MM3[0] * (1 - 1e-6) <= volume <= VOLUME_RANGE_MM3[1]:
        raise InputError(
            f"voxels of {sizes} mm have {volume:.4g} mm³, which is not an MRI scan",
            remedy="Check the units; they must be millimetres.",
            code="units",
        )


def agreed_affine(
    first: NDArray[np.float64], second: NDArray[np.float64], shape: tuple[int, int, int]
) -> NDArray[np.float64]:
    """The first of two affines of one image, if both say the same.

    Both must place every corner of the grid within 0.1 mm and point every axis within 0.1°.

    Raises
    ------
    InputError : they disagree (`geometry_conflict`).
    """
    ends = [(0, n - 1) for n in shape]
    corners = np.array([[x, y, z] for x in ends[0] for y in ends[1] for z in ends[2]], dtype=np.float64)
    with np.errstate(all="ignore"):
        apart_mm = np.linalg.norm(apply_affine(first, corners) - apply_affine(second, corners), axis=1).max()
        directions = [a[:3, :3] / np.linalg.norm(a[:3, :3], axis=0) for a in (first, second)]
        # atan2 is exact for small angles, where arccos is not.
        cross = np.linalg.norm(np.cross(directions[0], directions[1], axis=0), axis=0)
        dot = np.einsum("ij,ij->j", directions[0], directions[1])
        apart_degrees = np.degrees(np.arctan2(cross, dot)).max()
    if not (apart_mm <= CONFLICT_MM and apart_degrees <= CONFLICT_DEGREES):
        raise InputError(
            f"sform and qform disagree by {apart_mm:.3g} mm and {apart_degrees:.3g}°",
            remedy="Decide which one is right and write it to both.",
            code="geometry_conflict",
        )
    return first


def replace_nonfinite(voxels: NDArray[np.float32]) -> str | None:
    """Set the few values that are NaN or infinite to 0, in place.

    Returns
    -------
    A note that says how many, None where there was none.

    Raises
    ------
    InputError : they are more than 1 % (`nonfinite`).
    """
    finite = np.isfinite(voxels)
    count = voxels.size - int(np.count_nonzero(finite))
    if count == 0:
        return None
    if count > NONFINITE_SHARE * voxels.size:
        raise InputError(
            f"{100 * count / voxels.size:.1f} % of the values are NaN or infinite",
            remedy="Convert the scan again, or replace these values.",
            code="nonfinite",
        )
    voxels[~finite] = 0.0
    return f"{count} values that were NaN or infinite were set to 0"


def check_signal(voxels: NDArray[np.float32]) -> str | None:
    """Refuse an image without signal, and notice one that is clipped.

    Returns
    -------
    A note where at least 50 voxels and 0.01 % of those above the minimum share the maximum, else None.

    Raises
    ------
    InputError : fewer than 16 distinct values (`no_signal`).
    """
    distinct = _count_distinct(voxels, MIN_DISTINCT)
    if distinct < MIN_DISTINCT:
        raise InputError(
            f"the image has only {distinct} distinct {'value' if distinct == 1 else 'values'}",
            remedy="Give the scan itself, not a mask or an empty image.",
            code="no_signal",
        )
    at_top = int(np.count_nonzero(voxels == voxels.max()))
    if at_top < SATURATED_VOXELS:
        return None
    above = voxels.size - int(np.count_nonzero(voxels == voxels.min()))
    if at_top < SATURATED_SHARE * above:
        return None
    return f"saturated: {at_top} voxels ({100 * at_top / above:.2g} %) share the largest value"


def _count_distinct(voxels: NDArray[np.float32], enough: int) -> int:
    # Most images show `enough` values within their first slices; only a mask is read to its end.
    found: NDArray[np.float32] = np.empty(0, dtype=np.float32)
    for plane in voxels:
        found = np.unique(np.concatenate([found, np.unique(plane)]))
        if found.size >= enough:
            break
    return int(found.size)
