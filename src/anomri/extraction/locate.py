"""Where in a head the brain is: the template's brain, moved, turned and scaled until its tissues explain the values.

Whatever the contrast, a voxel's value is a mixture of what its tissues give, so the multiple correlation of the scan
with the template's tissue maps is greatest where the template lies on the brain. Bone and fluid around the brain are
two maps of their own. Levenberg–Marquardt from several places below the vertex, no random sampling.

References
----------
Roche A. et al., "The correlation ratio as a new similarity measure for multimodal image registration", MICCAI 1998.
Fonov V. et al., NeuroImage 54, 313–327, 2011 (the template).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from anomri.core.geometry import Geometry, apply_affine
from anomri.errors import PreparationFailed
from anomri.io.template import icbm_template
from anomri.preparation.head import largest, threshold

__all__ = ["Location", "brain_distance_mm", "locate"]

Matrix = NDArray[np.float64]
FloatArray = NDArray[np.float32]

# Rings around the brain that stand for fluid and for bone, mm outside it in the template.
_RINGS_MM = ((0.0, 3.0), (3.0, 9.0))
# A head's cross-section is larger than this below its vertex, cm².
_LEAST_SECTION_CM2 = 20.0
# Starts: size of the brain relative to the template, depth of its top below the vertex, tilt about left–right.
_SCALES, _DEPTHS_MM, _TILTS_DEG = (0.8, 0.88), (6.0, 18.0), (-15.0, 5.0)
# Brains are 0.85 of the template along each axis; how far they usually are from that, and their axes from one another.
_LOG_SCALE, _LOG_SCALE_SD, _LOG_STRETCH_SD = -0.16, 0.09, 0.05
_SCALE_WEIGHT, _STRETCH_WEIGHT = 0.005, 0.01
_COARSE_MM, _FINE_MM = 8, 5
_STEPS, _TRIES, _LEAST_GAIN = 25, 6, 2e-4
# Turns and scalings are counted in voxels' movements at this distance from the brain's middle.
_RADIUS_MM = 70.0
_DEEP_MM, _TALL_MM = 25.0, 130.0


@dataclass(frozen=True, eq=False, slots=True)
class Location:
    """Where the template's brain came to lie.

    Parameters
    ----------
    world : (4, 4) matrix from the template's world to the scan's, RAS mm.
    explained : share of the scan's variance in and around the brain that the template's tissues explain, 0 to 1.
    fluid_to_white : value of fluid ÷ value of white matter as the tissue maps explain the scan.
    """

    world: Matrix
    explained: float
    fluid_to_white: float


@dataclass(frozen=True, eq=False, slots=True)
class _Image:
    """Values (X, Y, Z) on their grid, smoothed, and their slope along the world's axes, (3, X, Y, Z) per mm."""

    values: FloatArray
    slope: FloatArray
    geometry: Geometry


@dataclass(frozen=True, eq=False, slots=True)
class _Samples:
    """Points of the template's world (n, 3) and its maps there with a column of ones, (n, 6)."""

    points_mm: Matrix
    maps: Matrix


def locate(values: FloatArray, geometry: Geometry) -> Location:
    """Find the brain in a head.

    Parameters
    ----------
    values : (X, Y, Z) ≥ 0 on an isotropic grid along the world's axes; any contrast.

    Raises
    ------
    PreparationFailed : no head stands out from the background.
    """
    head = _head(values)
    vertex = _vertex_mm(head, geometry)
    scaled = _scaled(values, head, geometry, vertex)
    image, samples = _smoothed(scaled, geometry, _COARSE_MM), _samples(_COARSE_MM)
    starts = (_start(vertex, *start) for start in product(_SCALES, _DEPTHS_MM, _TILTS_DEG))
    found = [_climb(image, samples, start, affine=False) for start in starts]
    best, _ = max(found, key=lambda pair: pair[1])
    best, _ = _climb(image, samples, best, affine=True)
    image, samples = _smoothed(scaled, geometry, _FINE_MM), _samples(_FINE_MM)
    best, _ = _climb(image, samples, best, affine=True)
    return Location(best, _explained(image, samples, best)[0], _fluid_to_white(image, samples, best))


@lru_cache(maxsize=1)
def brain_distance_mm() -> FloatArray:
    """Distance from the template brain's surface on the template's grid, mm; negative inside the brain."""
    brain = icbm_template().brain
    distance: FloatArray = (ndimage.distance_transform_edt(~brain) - ndimage.distance_transform_edt(brain)).astype(
        np.float32
    )
    distance.setflags(write=False)
    return distance


@lru_cache(maxsize=2)
def _samples(spacing_mm: int) -> _Samples:
    template, distance = icbm_template(), brain_distance_mm()
    rings = [((distance > low) & (distance <= high)).astype(np.float32) for low, high in _RINGS_MM]
    every = (slice(None, None, spacing_mm),) * 3
    near = distance[every] < _RINGS_MM[-1][1]
    maps = [
        ndimage.gaussian_filter(m, spacing_mm / 2.0)[every][near]
        for m in (template.csf, template.grey, template.white, *rings)
    ]
    points = apply_affine(template.geometry.affine, float(spacing_mm) * np.argwhere(near))
    return _Samples(points, np.column_stack([*maps, np.ones(len(points))]).astype(np.float64))


@lru_cache(maxsize=1)
def _brain_centre_and_top() -> tuple[Matrix, float]:
    """Middle of the template's brain and its height, world mm."""
    template = icbm_template()
    points = apply_affine(template.geometry.affine, 2.0 * np.argwhere(template.brain[::2, ::2, ::2]))
    centre: Matrix = points.mean(axis=0)
    return centre, float(points[:, 2].max())


def _head(values: FloatArray) -> NDArray[np.bool_]:
    smooth = np.sqrt(ndimage.gaussian_filter(values, 1.0))
    head = largest(ndimage.binary_opening(smooth > threshold(smooth), iterations=2))
    closed = ndimage.binary_closing(np.pad(head, 5), iterations=5)[5:-5, 5:-5, 5:-5]
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(closed)
    return filled


def _vertex_mm(head: NDArray[np.bool_], geometry: Geometry) -> Matrix:
    """World point at the height of the head's top, above the middle of its upper part."""
    section_cm2 = head.sum(axis=(0, 1)) * geometry.spacing_mm[0] * geometry.spacing_mm[1] / 100.0
    wide = np.flatnonzero(section_cm2 > _LEAST_SECTION_CM2)
    if wide.size == 0:
        raise PreparationFailed(
            "no head stands out from the background", remedy="Check the image, or give a mask.", code="mask_empty"
        )
    top = int(wide[-1])
    low = max(0, top - round(110.0 / geometry.spacing_mm[2]))
    middle = np.argwhere(head[:, :, low : top + 1]).mean(axis=0)
    vertex: Matrix = apply_affine(geometry.affine, np.array([[middle[0], middle[1], top]]))[0]
    return vertex


def _scaled(values: FloatArray, head: NDArray[np.bool_], geometry: Geometry, vertex: Matrix) -> FloatArray:
    """Values clipped a little above the brightest deep inside the head: fat under the skin must not outweigh tissue."""
    depth = ndimage.distance_transform_edt(np.pad(head, 1), sampling=geometry.spacing_mm)[1:-1, 1:-1, 1:-1]
    deep = depth > _DEEP_MM
    lowest = apply_affine(geometry.world_to_voxel, vertex[None] - [[0.0, 0.0, _TALL_MM]])[0, 2]
    deep[:, :, : max(0, int(lowest))] = False
    bright = float(np.percentile(values[deep], 98)) if deep.any() else 0.0
    if not bright > 0:
        raise PreparationFailed(
            "no head stands out from the background", remedy="Check the image, or give a mask.", code="mask_empty"
        )
    scaled: FloatArray = np.clip(values / np.float32(bright), 0.0, 1.2).astype(np.float32)
    return scaled


def _start(vertex: Matrix, scale: float, depth_mm: float, tilt_deg: float) -> Matrix:
    """The template turned, scaled, and moved so that its top lies `depth_mm` below the vertex."""
    centre, top = _brain_centre_and_top()
    world = np.eye(4)
    world[:3, :3] = scale * Rotation.from_euler("x", tilt_deg, degrees=True).as_matrix()
    there = vertex - [0.0, 0.0, depth_mm + scale * (top - centre[2])]
    world[:3, 3] = there - world[:3, :3] @ centre
    return world


def _smoothed(values: FloatArray, geometry: Geometry, spacing_mm: int) -> _Image:
    smooth = ndimage.gaussian_filter(values, spacing_mm / 2.0 / geometry.spacing_mm[0])
    return _Image(smooth, np.stack(np.gradient(smooth, *geometry.spacing_mm)), geometry)


def _climb(image: _Image, samples: _Samples, world: Matrix, *, affine: bool) -> tuple[Matrix, float]:
    """Levenberg–Marquardt to the nearest place that explains no less; the matrix and what it is worth."""
    centre, _ = _brain_centre_and_top()
    explained, at, inside, residual = _explained(image, samples, world)
    worth, damping = explained - _unusual(world), 0.1
    for _ in range(_STEPS):
        slope = np.stack([_at(g, at[:, inside]) for g in image.slope], axis=1)
        arm = (samples.points_mm[inside] - centre) @ world[:3, :3].T / _RADIUS_MM
        turned = (slope[:, :, None] * arm[:, None, :]).reshape(-1, 9)
        if not affine:
            turned = np.column_stack([turned[:, [0, 4, 8]].sum(axis=1), np.cross(arm, slope)])
        jacobian = np.column_stack([slope, turned])
        normal, downhill = jacobian.T @ jacobian, -jacobian.T @ residual[inside]
        for _ in range(_TRIES):
            damped = normal + damping * np.diag(np.diag(normal)) + 1e-9 * np.eye(len(normal))
            step: Matrix = np.linalg.solve(damped, downhill).astype(np.float64)
            moved = _moved(world, step, centre)
            explained, at_moved, inside_moved, residual_moved = _explained(image, samples, moved)
            gain = explained - _unusual(moved) - worth
            if gain > 0:
                break
            damping *= 4.0
        else:
            break
        world, worth, at, inside, residual = moved, worth + gain, at_moved, inside_moved, residual_moved
        damping = max(damping / 3.0, 1e-3)
        if gain < _LEAST_GAIN:
            break
    return world, worth


def _moved(world: Matrix, step: Matrix, centre: Matrix) -> Matrix:
    """A matrix after a step: a shift, then 9 entries of a linear map, or a growth and a turn."""
    if len(step) == 12:
        linear = np.eye(3) + step[3:].reshape(3, 3) / _RADIUS_MM
    else:
        linear = np.exp(step[3] / _RADIUS_MM) * Rotation.from_rotvec(step[4:] / _RADIUS_MM).as_matrix()
    moved = np.eye(4)
    moved[:3, :3] = linear @ world[:3, :3]
    moved[:3, 3] = apply_affine(world, centre[None])[0] + step[:3] - moved[:3, :3] @ centre
    return moved


def _explained(image: _Image, samples: _Samples, world: Matrix) -> tuple[float, Matrix, NDArray[np.bool_], Matrix]:
    """Share of variance explained (less where points leave the grid), voxel positions, which lie inside, residuals."""
    at = apply_affine(image.geometry.world_to_voxel @ world, samples.points_mm).T
    inside = np.all((at >= -1.0) & (at <= np.array(image.geometry.shape)[:, None]), axis=0)
    if inside.sum() < 100:
        return 0.0, at, inside, np.zeros(len(inside))
    seen = _at(image.values, at)
    weights, *_ = np.linalg.lstsq(samples.maps[inside], seen[inside], rcond=None)
    residual = seen - samples.maps @ weights
    share = 1.0 - float(residual[inside].var()) / max(float(seen[inside].var()), 1e-12)
    return share * float(np.sqrt(inside.mean())), at, inside, residual


def _fluid_to_white(image: _Image, samples: _Samples, world: Matrix) -> float:
    at = apply_affine(image.geometry.world_to_voxel @ world, samples.points_mm).T
    (fluid, _, white, *_, everywhere), *_ = np.linalg.lstsq(samples.maps, _at(image.values, at), rcond=None)
    return float((fluid + everywhere) / max(white + everywhere, 1e-6))


def _at(values: FloatArray, at: Matrix) -> Matrix:
    found: Matrix = ndimage.map_coordinates(values, at, output=np.float64, order=1, mode="nearest")
    return found


def _unusual(world: Matrix) -> float:
    """How far size and proportions are from people's, on the scale of explained variance."""
    logs = np.log(np.maximum(np.linalg.svd(world[:3, :3], compute_uv=False), 1e-6))
    size = float(logs.mean())
    stretch = float(np.sum((logs - size) ** 2))
    return _SCALE_WEIGHT * ((size - _LOG_SCALE) / _LOG_SCALE_SD) ** 2 + _STRETCH_WEIGHT * stretch / _LOG_STRETCH_SD**2
