"""From the planes of a series to one grid: their order, and the affine. Nothing is repaired.

References
----------
PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1: pixel → patient coordinates (LPS).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from anomri.errors import InputError
from anomri.io.dicom.header import Plane
from anomri.io.dicom.problems import not_a_volume
from anomri.io.guard import REMEDY_GEOMETRY, check_affine

__all__ = ["named_planes", "same_directions", "spacing_note", "stacked", "volume_affine"]

LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
# Of direction cosines and of spacings: scanners print them with six digits and more.
TOLERANCE = 1e-3
GAP_SHARE = 0.05
# Positions are printed with fewer digits by some programs.
JITTER_MM = 0.02
NAMED = 5
# A wider gap is another slab, not slices that got lost.
MOST_MISSING = 100


def same_directions(one: Plane, other: Plane) -> bool:
    """Whether two planes are parallel and their pixels of one size; planes without a geometry are alike."""
    pairs = ((one.orientation, other.orientation), (one.spacing_mm, other.spacing_mm))
    for a, b in pairs:
        if a is None or b is None:
            if a is not b:
                return False
        elif max(abs(x - y) for x, y in zip(a, b, strict=True)) > TOLERANCE:
            return False
    return True


def stacked(planes: Sequence[Plane]) -> list[list[int]]:
    """Which planes lie where: their numbers by position along the normal, several where they share one.

    Raises
    ------
    InputError : a plane has no geometry (`geometry`) or another one than the first (`not_a_volume`).
    """
    first = planes[0]
    if any(p.position is None or p.orientation is None or p.spacing_mm is None for p in planes):
        raise InputError(
            "an image says not where it lies: position, orientation or pixel spacing is missing",
            remedy="Export the series again with its geometry.",
            code="geometry",
        )
    turned = sum(not same_directions(first, plane) for plane in planes)
    if turned:
        raise not_a_volume(f"{turned} of {len(planes)} slices are turned against the first, or of another pixel size")
    normal = _normal(first)
    depths = np.array([plane.position for plane in planes], dtype=np.float64) @ normal
    runs: list[list[int]] = []
    for number in np.argsort(depths, kind="stable"):
        if runs and depths[number] - depths[runs[-1][0]] <= 2 * JITTER_MM:
            runs[-1].append(int(number))
        else:
            runs.append([int(number)])
    return runs


def volume_affine(planes: Sequence[Plane]) -> NDArray[np.float64]:
    """The (4, 4) affine from column, row and slice to RAS mm, of planes in order, one a position.

    Raises
    ------
    InputError : slices are missing (`missing_slices`) or not evenly spaced (`uneven_slices`); the grid is no scan's
        (`geometry`, `units`, `sheared`).
    """
    first = planes[0]
    assert first.orientation is not None
    assert first.spacing_mm is not None
    rows, columns = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    positions = np.array([plane.position for plane in planes], dtype=np.float64)
    affine = np.eye(4)
    affine[:3, 0] = rows * first.spacing_mm[1]
    affine[:3, 1] = columns * first.spacing_mm[0]
    affine[:3, 2] = _step(positions, _normal(first), planes)
    affine[:3, 3] = positions[0]
    affine[:3] *= LPS_TO_RAS[:, None]
    check_affine(affine)
    return affine


def spacing_note(planes: Sequence[Plane]) -> str | None:
    """What header and positions of evenly spaced planes, in order, say differently of their distance."""
    stated = planes[0].between_mm
    if stated is None or stated <= 0 or len(planes) < 2:
        return None
    apart = _distance(planes[0], planes[-1]) / (len(planes) - 1)
    if abs(apart - stated) <= max(GAP_SHARE * stated, JITTER_MM):
        return None
    return (
        f"slices lie {apart:.4g} mm apart by their positions, which count, and {stated:.4g} mm by the header "
        "(SpacingBetweenSlices); slices may be missing"
    )


def named_planes(planes: Sequence[Plane]) -> str:
    """Planes as a user finds them: by InstanceNumber, else by their place along the normal of the slices."""
    numbers = sorted(plane.number for plane in planes if plane.number is not None)
    if len(numbers) == len(planes):
        return "InstanceNumber " + " and ".join(map(str, numbers))
    depths = [float(np.array(plane.position) @ _normal(planes[0])) for plane in planes]
    return "the slices at " + " and ".join(f"{depth:.4g}" for depth in depths) + " mm"


def _distance(one: Plane, other: Plane) -> float:
    return float(abs((np.array(other.position) - np.array(one.position)) @ _normal(one)))


def _normal(plane: Plane) -> NDArray[np.float64]:
    assert plane.orientation is not None
    rows, columns = np.array(plane.orientation[:3]), np.array(plane.orientation[3:])
    normal = np.cross(rows, columns)
    lengths = [float(np.linalg.norm(v)) for v in (rows, columns, normal)]
    if max(abs(length - 1.0) for length in lengths) > 1e-2:
        raise InputError(
            "the directions of rows and columns are not perpendicular directions",
            remedy=REMEDY_GEOMETRY,
            code="geometry",
        )
    return normal


def _step(positions: NDArray[np.float64], normal: NDArray[np.float64], planes: Sequence[Plane]) -> NDArray[np.float64]:
    """From one slice to the next, mm."""
    if len(positions) == 1:
        alone = planes[0].thickness_mm if planes[0].between_mm is None else planes[0].between_mm
        return normal * (alone if alone is not None and alone > 0 else 1.0)
    step: NDArray[np.float64] = (positions[-1] - positions[0]) / (len(positions) - 1)
    gaps = np.diff(positions @ normal)
    usual = float(np.median(gaps))
    tolerance = max(GAP_SHARE * usual, JITTER_MM)
    odd = np.flatnonzero(np.abs(gaps - usual) > tolerance)
    if odd.size:
        raise _gap(gaps, usual, odd, planes)
    sideways = positions - positions[0] - np.arange(len(positions))[:, None] * step
    if np.linalg.norm(sideways, axis=1).max() > max(GAP_SHARE * usual, 2 * JITTER_MM) * 2:
        worst = int(np.argmax(np.linalg.norm(sideways, axis=1)))
        raise InputError(
            f"{named_planes([planes[worst]])} lies beside the line of the others",
            remedy="Export the series again, or leave the slices out that belong to another one.",
            code="uneven_slices",
        )
    left_out = _left_out(planes, usual)
    if left_out > 1:
        raise InputError(
            f"only one slice in {left_out} is there: they are {usual:.4g} mm apart where the header says "
            f"{usual / left_out:.4g} mm, and InstanceNumber goes up by {left_out}",
            remedy="Export the whole series again.",
            code="missing_slices",
        )
    return step


def _left_out(planes: Sequence[Plane], apart_mm: float) -> int:
    """How many times as far apart planes are as the header says, where their numbers say so, too; 1 where not."""
    stated, numbers = planes[0].between_mm, [plane.number for plane in planes]
    if stated is None or stated <= 0 or None in numbers:
        return 1
    times = round(apart_mm / stated)
    steps = set(np.abs(np.diff(np.array(numbers, dtype=np.int64))).tolist())
    return times if abs(apart_mm / stated - times) <= GAP_SHARE * times and steps == {times} else 1


def _gap(gaps: NDArray[np.float64], usual: float, odd: NDArray[np.intp], planes: Sequence[Plane]) -> InputError:
    times = gaps / usual
    whole = np.rint(times)
    if (whole >= 1).all() and (np.abs(times - whole) <= GAP_SHARE * whole).all() and whole.max() <= MOST_MISSING:
        wide = np.flatnonzero(whole > 1)
        missing = int(whole.sum()) - len(whole)
        named = ", between ".join(named_planes(planes[at : at + 2]) for at in wide[:NAMED])
        more = ", …" if len(wide) > NAMED else ""
        return InputError(
            f"{missing} {'slice is' if missing == 1 else 'slices are'} missing, between {named}{more}: there are gaps "
            f"where the others are {usual:.4g} mm apart",
            remedy="Export the whole series again.",
            code="missing_slices",
        )
    at = int(odd[0])
    return InputError(
        f"{named_planes(planes[at : at + 2])} are {gaps[at]:.4g} mm apart and most others {usual:.4g} mm",
        remedy="Give a series of evenly spaced slices.",
        code="uneven_slices",
    )
