"""A made head around a stripped brain: fluid, bone, scalp, eyes, a face and a neck, in air with noise.

Every brain gets a head of its own from the seed; the brain's voxels keep their values until contrast, shading and noise
act on the whole. It shows what a full head looks like to software that looks for the brain; it is no model of anatomy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomri.core.geometry import Geometry, apply_affine, ras_axes
from anomri.core.region import Region
from anomri.core.scan import Scan
from anomri.errors import InputError
from anomri.io import array_scan

__all__ = ["CONTRASTS", "Contrast", "Head", "head_around"]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]

Contrast = Literal["T1w", "T2w", "FLAIR"]
CONTRASTS: tuple[Contrast, ...] = ("T1w", "T2w", "FLAIR")

# Room for the head around the brain: sides, back, front; below; above (mm).
_ROOM_MM = ((40.0, 40.0), (40.0, 60.0), (80.0, 35.0))
# The skull's inside is smoother than a brain: furrows up to twice this wide are bridged (mm).
_SMOOTH_MM = 8.0
_FLUID_MM, _BONE_MM, _SCALP_MM, _SKIN_MM = (1.0, 4.0), (4.0, 8.0), (4.0, 9.0), 2.0
# Signal as a share of white matter's: fluid, bone, fat, skin, muscle.
_SIGNAL: dict[Contrast, tuple[tuple[float, float], ...]] = {
    "T1w": ((0.1, 0.3), (0.02, 0.1), (1.1, 1.8), (0.4, 0.7), (0.4, 0.7)),
    "T2w": ((1.5, 2.2), (0.02, 0.1), (0.8, 1.5), (0.4, 0.8), (0.2, 0.5)),
    "FLAIR": ((0.05, 0.2), (0.02, 0.1), (0.8, 1.6), (0.5, 0.9), (0.4, 0.8)),
}
_SHADING, _NOISE = (0.1, 0.35), (0.01, 0.04)
_DEFACED = 0.5


@dataclass(frozen=True, eq=False, slots=True)
class Head:
    """A made head and the brain in it.

    Parameters
    ----------
    scan : full head in RAS+ order, nowhere exactly 0 but where a face was cut off.
    brain : the truth, on the head's grid.
    seed : what it was drawn from.
    """

    scan: Scan
    brain: Region
    seed: int


def head_around(brain: Scan, mask: BoolArray, *, seed: int, contrast: Contrast = "T1w") -> Head:
    """Put a stripped T1-weighted brain into a head.

    Parameters
    ----------
    mask : (X, Y, Z) the brain on its scan's grid.
    seed : of the head, its shading, noise and defacing.
    contrast : what the head is to look like; for ``T2w`` and ``FLAIR`` the brain's values are turned over.

    Returns
    -------
    The head, on the brain's grid in RAS+ order with room around it.

    Raises
    ------
    InputError : the mask is empty or on another grid, or the brain has no signal.
    """
    Region(mask, brain.geometry, "brain", "user")
    rng = np.random.default_rng(seed)
    voxels, inside, geometry = _with_room(brain, mask)
    white = float(np.percentile(voxels[inside], 85))
    if not white > 0:
        raise InputError("the brain has no signal", remedy="Check the scan and its mask.", code="no_signal")
    share = voxels / np.float32(white)
    signal = _head_signal(inside, geometry, contrast, rng)
    signal[inside] = _contrasted(share[inside], contrast)
    signal = _scanned(signal, geometry, rng)
    if rng.random() < _DEFACED:
        signal[_face(inside, geometry, rng)] = 0.0
    scan = array_scan(
        signal * np.float32(white),
        geometry.affine,
        scan_id=f"{brain.scan_id}-head-{seed:04d}",
        sequence=contrast,
        notes=("simulated: head around a brain",),
    )
    return Head(scan, Region(inside, geometry, "brain", "simulated"), seed)


def _with_room(brain: Scan, mask: BoolArray) -> tuple[FloatArray, BoolArray, Geometry]:
    """Brain and mask in RAS+ order, with room for a head around the brain."""
    order, flips, geometry = ras_axes(brain.geometry)
    voxels = np.flip(brain.voxels.transpose(order), flips)
    inside = np.flip(mask.transpose(order), flips)
    start, room, box = [], [], []
    for axis, spacing in enumerate(geometry.spacing_mm):
        used = np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis})))
        box.append(slice(used[0], used[-1] + 1))
        before, after = (int(np.ceil(mm / spacing)) for mm in _ROOM_MM[axis])
        start.append(used[0] - before)
        room.append((before, after))
    padded = np.pad(inside[tuple(box)], room)
    values = np.where(padded, np.pad(voxels[tuple(box)], room), np.float32(0.0))
    affine = geometry.affine.copy()
    affine[:3, 3] = apply_affine(affine, np.array([start]))[0]
    return values.astype(np.float32), padded, Geometry(padded.shape, affine)


def _head_signal(inside: BoolArray, geometry: Geometry, contrast: Contrast, rng: np.random.Generator) -> FloatArray:
    """Signal of everything around the brain, white matter being 1; 0 in air and where the brain is."""
    fluid, bone, fat, skin, muscle = (float(rng.uniform(*span)) for span in _SIGNAL[contrast])
    spacing = geometry.spacing_mm
    # Closed by a ball: within its radius of the brain, and no ball outside reaches it.
    closed = _distance_mm(_distance_mm(inside, spacing) > _SMOOTH_MM, spacing) > _SMOOTH_MM
    beyond = _distance_mm(closed | inside, spacing)
    place = _places_mm(inside, geometry)
    low = place[2] < -20.0
    edges = np.cumsum([rng.uniform(*span) for span in (_FLUID_MM, _BONE_MM, _SCALP_MM)])
    thicker = 1.0 + 0.2 * _waves(inside.shape, rng)
    away = beyond / thicker
    signal = np.zeros(inside.shape, dtype=np.float32)
    body = _body(place, rng)
    skull = away <= edges[1]
    scalp = (away <= edges[2]) & ~skull
    signal[body] = muscle
    texture = _waves(inside.shape, rng, modes=14)
    signal[body & (texture > 0.9)] = fat
    signal[body & (texture < -1.2)] = bone
    depth = _distance_mm(~(body | (away <= edges[2])), spacing)
    signal[scalp] = fat
    signal[(depth < _SKIN_MM) & (scalp | body)] = skin
    signal[skull] = bone
    signal[away <= edges[0]] = fluid
    for side in (-1.0, 1.0):
        eye = np.sqrt((place[0] - 32.0 * side) ** 2 + (place[1] - 62.0) ** 2 + (place[2] + 30.0) ** 2)
        signal[(eye < 16.0) & (away > edges[1])] = fat
        signal[(eye < 12.0) & (away > edges[1])] = fluid
    airway = (np.hypot(place[0], 0.6 * (place[1] - 50.0)) < 12.0) & low & (away > edges[1])
    signal[airway] = 0.0
    signal[inside] = 0.0
    return signal


def _places_mm(inside: BoolArray, geometry: Geometry) -> FloatArray:
    """(3, X, Y, Z) millimetres from the middle of the brain's box, right, front, up, as in a brain 135 mm wide."""
    places = np.empty((3, *inside.shape), dtype=np.float32)
    scale = 1.0
    for axis, spacing in enumerate(geometry.spacing_mm):
        used = np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis})))
        if axis == 0:
            scale = 135.0 / max(float(used[-1] - used[0] + 1) * spacing, 1.0)
        line = (np.arange(inside.shape[axis]) - (used[0] + used[-1]) / 2.0) * spacing * scale
        places[axis] = line.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    return places


def _body(place: FloatArray, rng: np.random.Generator) -> BoolArray:
    """Face and neck."""
    x, y, z = place
    wide, long = rng.uniform(52.0, 62.0), rng.uniform(55.0, 65.0)
    neck = ((x / wide) ** 2 + ((y + 15.0 - 0.2 * z) / long) ** 2 < 1.0) & (z < -15.0)
    face = (x / rng.uniform(58.0, 66.0)) ** 2 + ((y - 38.0) / 52.0) ** 2 + ((z + 75.0) / 75.0) ** 2 < 1.0
    nape = (x / wide) ** 2 + ((y + 45.0) / 42.0) ** 2 + ((z + 70.0) / 55.0) ** 2 < 1.0
    body: BoolArray = neck | face | nape
    return body


def _face(inside: BoolArray, geometry: Geometry, rng: np.random.Generator) -> BoolArray:
    """What a defacing tool cuts off: all in front of and below a slanted plane that stays clear of the brain."""
    place = _places_mm(inside, geometry)
    steep = rng.uniform(0.4, 1.2)
    ahead = place[1] * steep - place[2]
    face: BoolArray = ahead > float(ahead[inside].max()) + rng.uniform(3.0, 10.0)
    return face


def _contrasted(share: FloatArray, contrast: Contrast) -> FloatArray:
    """Values of the brain, white matter being 1 in both."""
    if contrast == "T1w":
        return share
    turned: FloatArray = np.clip(2.2 - 1.2 * share, 0.3, None).astype(np.float32)
    if contrast == "T2w":
        return turned
    # Fluid, dark in T1w, is dark again.
    dry = np.clip((share - 0.3) / 0.2, 0.0, 1.0)
    wetted: FloatArray = (0.1 + dry * (turned - 0.1)).astype(np.float32)
    return wetted


def _scanned(signal: FloatArray, geometry: Geometry, rng: np.random.Generator) -> FloatArray:
    """Shading over the whole, partial volume at every border, and Rician noise."""
    blurred = ndimage.gaussian_filter(signal, [0.5 / s for s in geometry.spacing_mm])
    shaded = blurred * np.exp(rng.uniform(*_SHADING) * _waves(signal.shape, rng))
    noise = rng.uniform(*_NOISE) * rng.standard_normal((2, *signal.shape), dtype=np.float32)
    return np.asarray(np.maximum(np.hypot(shaded + noise[0], noise[1]), 1e-4), dtype=np.float32)


def _waves(shape: tuple[int, ...], rng: np.random.Generator, modes: int = 3) -> FloatArray:
    """A smooth field of standard deviation about 1."""
    nodes = rng.standard_normal([modes + 1] * 3)
    zoom = [n / (modes + 1) for n in shape]
    field = ndimage.zoom(nodes, zoom, order=3, mode="nearest", grid_mode=True)
    waves: FloatArray = (field / max(float(field.std()), 1e-6)).astype(np.float32)
    return waves


def _distance_mm(mask: BoolArray, spacing: tuple[float, float, float]) -> FloatArray:
    """Distance to the nearest voxel of a mask, mm; 0 inside it."""
    distance: FloatArray = ndimage.distance_transform_edt(~mask, sampling=spacing).astype(np.float32)
    return distance
