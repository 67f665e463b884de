"""The shape of a lesion: a star-convex ellipsoid with a fractal boundary, or a given outline, with a soft edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special
from scipy.spatial.transform import Rotation

from anomri.errors import InputError
from anomri.simulate.outline import Outline
from anomri.simulate.simulated import Drawn

__all__ = [
    "DARK_FLOOR",
    "Blob",
    "Profile",
    "ball_ml",
    "draw_blob",
    "place_blob",
    "profile_of",
    "ratio_to_boundary",
    "smooth_blob",
]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
Box = tuple[slice, slice, slice]
Spacing = tuple[float, float, float]
Profile = tuple[Box, FloatArray, BoolArray]

# Places that are tried, and the share of a drawn shape and of a given one that must lie on tissue: a real lesion is
# long and bent, and fits nowhere but where it was.
TRIES, LEAST_INSIDE, LEAST_INSIDE_GIVEN = 200, 0.9, 0.6
# Unevenness of the boundary as a share of the radius, and width over which the edge falls from 90 % to 10 %.
ROUGHNESS = (0.15, 0.30)
EDGE_MM = (1.0, 1.5)
ELONGATION = (0.7, 1.4)
# The boundary never comes closer to the centre than this share of the radius.
NEAREST_BOUNDARY = 0.3
# Waves around the lesion in the coarsest octave; each finer octave has twice as many of 0.6 times the height.
OCTAVES, WAVES, COARSEST, DECAY = 4, 6, 2.0, 0.6
# A dark lesion keeps this share of the signal, so that the mask of a stripped scan stays as it is.
DARK_FLOOR = 0.05
# 10–90 % width of a normal distribution function, in standard deviations.
EDGE_TO_SD = 2.563


class Blob(Drawn):
    """One shape.

    Parameters
    ----------
    volume_ml : volume at half of the amplitude.
    centre : voxel.
    axes : relative half-axes, product 1; turned by `turn` (rotation vector, rad).
    edge_mm : width over which the lesion falls from 90 % to 10 %.
    waves : boundary waves: direction and frequency (x, y, z), height (share of the radius), phase (rad).
    outline : a given shape instead of axes and waves, scaled to the volume and turned.
    """

    volume_ml: float
    centre: tuple[int, int, int]
    axes: tuple[float, float, float]
    turn: tuple[float, float, float]
    edge_mm: float
    waves: tuple[tuple[float, float, float, float, float], ...]
    outline: Outline | None = None


def ball_ml(diameter_mm: float) -> float:
    """Volume of a ball."""
    return float(np.pi * diameter_mm**3 / 6000.0)


def draw_blob(rng: np.random.Generator, *, volume_ml: float, outline: Outline | None = None) -> Blob:
    """A shape at voxel (0, 0, 0), for `place_blob` to move."""
    axes = np.exp(rng.uniform(np.log(ELONGATION[0]), np.log(ELONGATION[1]), 3))
    axes /= np.prod(axes) ** (1.0 / 3.0)
    roughness = rng.uniform(*ROUGHNESS)
    octave = np.repeat(np.arange(OCTAVES), WAVES)
    direction = rng.standard_normal((octave.size, 3))
    direction *= (COARSEST * 2.0**octave / np.linalg.norm(direction, axis=1))[:, None]
    height = DECAY**octave
    # Waves of random phase have half the power of their heights; the amplitude is √2 deviations, as of one wave.
    height *= roughness / np.sqrt(np.sum(height**2))
    phase = rng.uniform(0.0, 2.0 * np.pi, octave.size)
    turn = Rotation.random(rng=rng).as_rotvec().tolist()
    return Blob.model_validate(
        {
            "volume_ml": volume_ml,
            "centre": (0, 0, 0),
            "axes": axes.tolist() if outline is None else (1.0, 1.0, 1.0),
            "turn": turn,
            "edge_mm": rng.uniform(*EDGE_MM),
            "waves": np.column_stack([direction, height, phase]).tolist() if outline is None else (),
            "outline": outline,
        }
    )


def smooth_blob(rng: np.random.Generator, *, volume_ml: float) -> Blob:
    """A plain ellipsoid at voxel (0, 0, 0)."""
    blob = draw_blob(rng, volume_ml=volume_ml)
    return blob.model_copy(update={"waves": ()})


def place_blob(
    blob: Blob,
    tissue: BoolArray,
    spacing_mm: Spacing,
    rng: np.random.Generator,
    *,
    places: NDArray[np.intp],
    least_inside: float | None = None,
) -> Blob:
    """Move a shape to one of `places` (flat indices) where at least a share of it lies on tissue.

    Parameters
    ----------
    least_inside : that share; None for 0.9, or 0.6 for a given outline.

    Raises
    ------
    InputError : no such place was found.
    """
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    if least_inside is None:
        least_inside = LEAST_INSIDE if blob.outline is None else LEAST_INSIDE_GIVEN
    if places.size == 0:
        raise InputError("no voxel where a lesion could lie", remedy="Check the candidates.", code="mask_empty")
    if blob.volume_ml <= tissue.sum() * voxel_ml:
        ratio = ratio_to_boundary(spacing_mm, blob)
        for _ in range(TRIES):
            centre = np.unravel_index(places[rng.integers(places.size)], tissue.shape)
            moved = blob.model_copy(update={"centre": tuple(int(i) for i in centre)})
            if _share_inside(tissue, voxel_ml, moved, ratio) >= least_inside:
                return moved
    raise InputError(
        f"no place found for {blob.volume_ml:.3g} ml of lesion with {100 * least_inside:.0f} % of it inside the brain",
        remedy="Ask for a smaller lesion or allow more places.",
        code="lesion",
    )


def profile_of(blob: Blob, tissue: BoolArray, spacing_mm: Spacing) -> Profile:
    """Where a shape lies on the grid.

    Returns
    -------
    The box it lies in, and in that box its strength (0–1, 0 outside tissue) and its half-maximum mask.
    """
    whole = ratio_to_boundary(spacing_mm, blob)
    x, y, z = tissue.shape
    box, inner = _windows((x, y, z), blob.centre, whole)
    ratio = whole[inner]
    size = _size(float(np.prod(spacing_mm)) / 1000.0, tissue[box], blob, ratio)
    slope = np.sqrt(sum(g**2 for g in np.gradient(whole, *spacing_mm)))[inner]
    # To first order, the distance to the boundary is the excess of the ratio over its slope.
    distance_mm = (ratio - size) / np.maximum(slope, 1e-6)
    profile = special.ndtr(-distance_mm * EDGE_TO_SD / blob.edge_mm)
    profile[(distance_mm > 2.0 * blob.edge_mm) | ~tissue[box]] = 0.0
    return box, profile, (ratio <= size) & tissue[box]


def ratio_to_boundary(spacing_mm: Spacing, blob: Blob) -> FloatArray:
    """Distance from the lesion's centre ÷ distance of its boundary in that direction, for a lesion of radius 1 mm.

    For a given outline, the distance to its boundary in mm once it is scaled, negative inside.

    Returns
    -------
    (2a + 1, 2b + 1, 2c + 1) float32, the centre in the middle.
    """
    spacing = np.asarray(spacing_mm)
    radius_mm = (3000.0 * blob.volume_ml / (4.0 * np.pi)) ** (1.0 / 3.0)
    furthest = 2.2 * radius_mm * max(blob.axes) if blob.outline is None else _furthest_mm(blob, blob.outline)
    reach = np.ceil((furthest + 2.0 * blob.edge_mm) / spacing).astype(int) + 1
    steps = [np.arange(-n, n + 1) * mm for n, mm in zip(reach, spacing, strict=True)]
    offset = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).astype(np.float32)
    if blob.outline is not None:
        return _distance_to_outline(blob, blob.outline, offset)
    to_axes = Rotation.from_rotvec(blob.turn).as_matrix() / np.asarray(blob.axes)
    turned = offset @ to_axes.astype(np.float32)
    length = np.sqrt(np.sum(turned**2, axis=-1))
    turned /= np.maximum(length, np.float32(1e-6))[..., None]
    boundary = np.ones(length.shape, dtype=np.float32)
    for x, y, z, height, phase in blob.waves:
        boundary += np.float32(height) * np.cos(turned @ np.array([x, y, z], dtype=np.float32) + np.float32(phase))
    return np.asarray(length / np.maximum(boundary, np.float32(NEAREST_BOUNDARY)), dtype=np.float32)


def _scale(blob: Blob, outline: Outline) -> float:
    """How much an outline grows to have the blob's volume."""
    own_ml = float(outline.mask().sum()) * float(np.prod(outline.spacing_mm)) / 1000.0
    return float((blob.volume_ml / own_ml) ** (1.0 / 3.0))


def _furthest_mm(blob: Blob, outline: Outline) -> float:
    points = (np.argwhere(outline.mask()) - _middle(outline)) * np.asarray(outline.spacing_mm)
    return 1.3 * _scale(blob, outline) * float(np.linalg.norm(points, axis=1).max()) + 1.0


def _middle(outline: Outline) -> NDArray[np.float64]:
    return (np.asarray(outline.shape) - 1.0) / 2.0


def _distance_to_outline(blob: Blob, outline: Outline, offset: FloatArray) -> FloatArray:
    """Signed distance (mm) of offsets (..., 3) in mm from the blob's centre."""
    pad = 2
    mask = np.pad(outline.mask(), pad)
    outside = ndimage.distance_transform_edt(~mask, sampling=outline.spacing_mm)
    inside = ndimage.distance_transform_edt(mask, sampling=outline.spacing_mm)
    signed = ndimage.gaussian_filter((outside - inside).astype(np.float32), 0.7)
    scale = _scale(blob, outline)
    turn = Rotation.from_rotvec(blob.turn).as_matrix()
    index = (offset @ (turn / scale).astype(np.float32)) / np.asarray(outline.spacing_mm, dtype=np.float32)
    index = np.moveaxis(index + (_middle(outline) + pad).astype(np.float32), -1, 0)
    limits = (np.asarray(mask.shape, dtype=np.float32) - 1.0)[:, None, None, None]
    held = np.clip(index, 0.0, limits)
    step = (index - held) * np.asarray(outline.spacing_mm, dtype=np.float32)[:, None, None, None]
    beyond = np.sqrt(np.sum(step**2, axis=0))
    sampled = ndimage.map_coordinates(signed, held, order=1, output=np.float32)
    return np.asarray((sampled + beyond) * np.float32(scale), dtype=np.float32)


def _windows(shape: tuple[int, int, int], centre: tuple[int, int, int], ratio: FloatArray) -> tuple[Box, Box]:
    """The part of the array around `centre` that `ratio` covers, and the part of `ratio` that lies in the array."""
    outer, inner = [], []
    for size, middle, width in zip(shape, centre, ratio.shape, strict=True):
        start = middle - width // 2
        low, high = max(start, 0), min(start + width, size)
        outer.append(slice(low, high))
        inner.append(slice(low - start, high - start))
    return (outer[0], outer[1], outer[2]), (inner[0], inner[1], inner[2])


def _size(voxel_ml: float, tissue: BoolArray, blob: Blob, ratio: FloatArray) -> float:
    """Ratio below which exactly the requested volume of tissue lies; infinite where there is not enough."""
    count = max(1, round(blob.volume_ml / voxel_ml))
    inside = ratio[tissue]
    return float("inf") if inside.size < count else float(np.partition(inside, count - 1)[count - 1])


def _share_inside(tissue: BoolArray, voxel_ml: float, blob: Blob, ratio: FloatArray) -> float:
    """Share of the shape that lies on tissue; 0 where it reaches the end of its box."""
    x, y, z = tissue.shape
    outer, inner = _windows((x, y, z), blob.centre, ratio)
    size = _size(voxel_ml, tissue[outer], blob, ratio[inner])
    whole = ratio <= size
    if whole[[0, -1]].any() or whole[:, [0, -1]].any() or whole[:, :, [0, -1]].any():
        return 0.0
    return float((whole[inner] & tissue[outer]).sum() / whole.sum())
