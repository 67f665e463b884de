"""Susceptibility void: metal or air bends the field, takes the signal and piles it up beside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from anomri.simulate.artefacts.artefact import Clean, Drawn, FloatArray, up_axis

__all__ = ["VoidDrawn", "apply_void", "core_void", "draw_void"]

# Radius of the object and largest shift along readout in mm, severity 1–5.
RADIUS_MM, SHIFT_MM = (3.0, 5.0, 8.0, 12.0, 18.0), (1.0, 2.0, 4.0, 8.0, 12.0)
# The field is uneven enough to dephase the signal up to this many radii; shifts below this many voxels are left out.
DEPHASED, SOFTNESS, LEAST_SHIFT = 1.5, 0.08, 0.02
# Parts a voxel is carried in.
PARTS = 4
# The object lies at most this deep below the brain's surface: a sinus, a clip, a port.
DEEPEST_MM = 12.0


class VoidDrawn(Drawn):
    """Centre voxel, radius and largest shift in mm (its sign is the readout's direction), readout axis."""

    centre: tuple[int, int, int]
    radius_mm: float
    shift_mm: float
    readout: int


def draw_void(clean: Clean, severity: int, rng: np.random.Generator) -> VoidDrawn:
    """Somewhere near the brain's surface."""
    depth = ndimage.distance_transform_edt(np.pad(clean.brain, 1), sampling=clean.spacing_mm)[1:-1, 1:-1, 1:-1]
    near = np.flatnonzero((depth > 0) & (depth <= DEEPEST_MM))
    x, y, z = np.unravel_index(near[rng.integers(near.size)], clean.brain.shape)
    across = [axis for axis in range(3) if axis != up_axis(clean)]
    return VoidDrawn(
        centre=(int(x), int(y), int(z)),
        radius_mm=RADIUS_MM[severity - 1],
        shift_mm=float(rng.choice([-1.0, 1.0])) * SHIFT_MM[severity - 1],
        readout=across[int(rng.integers(2))],
    )


def apply_void(clean: Clean, drawn: VoidDrawn) -> FloatArray:
    """Signal at y goes to y + Δ(y), Δ = s/2 · (R/r)³ · (3cos²θ − 1) outside the object, θ from the field's direction.

    Signal is carried, not sampled: where rows bunch up it piles up, and where they part it thins out. What dephases
    near the object, and the object itself, gives none.
    """
    distance, cosine = _polar(clean, drawn)
    ratio = drawn.radius_mm / np.maximum(distance, drawn.radius_mm)
    shift = 0.5 * drawn.shift_mm * ratio**3 * (3.0 * cosine**2 - 1.0) / clean.spacing_mm[drawn.readout]
    kept = _kept(distance, drawn.radius_mm)
    source = clean.voxels * kept
    moved = np.abs(shift) > LEAST_SHIFT
    step: FloatArray = np.where(moved, shift, 0.0).astype(np.float32)
    carried = _carry(np.moveaxis(source, drawn.readout, 2), np.moveaxis(step, drawn.readout, 2))
    touched = moved | (kept < 0.999)
    touched = ndimage.binary_dilation(touched, iterations=int(np.ceil(np.abs(step).max())) + 1)
    return np.where(touched, np.moveaxis(carried, 2, drawn.readout), clean.voxels).astype(np.float32)


def core_void(clean: Clean, drawn: VoidDrawn) -> NDArray[np.bool_]:
    """The object and where the signal is dephased."""
    distance, _ = _polar(clean, drawn)
    return np.asarray(_kept(distance, drawn.radius_mm) <= np.exp(-0.5), dtype=np.bool_)


def _kept(distance: FloatArray, radius_mm: float) -> FloatArray:
    """0 inside the object, e^−1 up to 1.5 radii, 1 beyond, the last step a soft one."""
    dephased = special.expit((DEPHASED - distance / radius_mm) / SOFTNESS)
    return np.where(distance <= radius_mm, 0.0, np.exp(-dephased)).astype(np.float32)


def _polar(clean: Clean, drawn: VoidDrawn) -> tuple[FloatArray, FloatArray]:
    """Distance from the object's centre in mm and cosine of the angle to the field, which runs from feet to head."""
    steps = [
        (np.arange(size, dtype=np.float32) - middle) * np.float32(mm)
        for size, middle, mm in zip(clean.voxels.shape, drawn.centre, clean.spacing_mm, strict=True)
    ]
    x, y, z = np.meshgrid(*steps, indexing="ij", sparse=True)
    distance = np.sqrt(x**2 + y**2 + z**2)
    along = (x, y, z)[up_axis(clean)]
    return distance, np.asarray(along / np.maximum(distance, np.float32(1e-3)), dtype=np.float32)


def _carry(rows: FloatArray, shift: FloatArray) -> FloatArray:
    """Move signal along the last axis by its own shift, shared linearly between the two voxels it falls on.

    Each voxel is carried in parts, so that no gaps open between neighbours that part.
    """
    size = rows.shape[2]
    line = np.repeat(np.arange(rows.shape[0] * rows.shape[1], dtype=np.int64), size) * size
    out = np.zeros(rows.size)
    for part in range(PARTS):
        away = (part + 0.5) / PARTS - 0.5
        values = _between(rows, away).ravel() / PARTS
        target = (np.arange(size) + away + _between(shift, away)).ravel()
        below = np.floor(target).astype(np.int64)
        upper = target - below
        for index, weight in ((below, 1.0 - upper), (below + 1, upper)):
            inside = (index >= 0) & (index < size)
            out += np.bincount(line[inside] + index[inside], weights=(values * weight)[inside], minlength=rows.size)
    return np.asarray(out.reshape(rows.shape), dtype=np.float32)


def _between(rows: FloatArray, away: float) -> NDArray[np.float64]:
    """Values `away` (−0.5 … 0.5) voxels from each voxel of the last axis, interpolated linearly."""
    values = rows.astype(np.float64)
    neighbour = np.roll(values, -1 if away > 0 else 1, axis=2)
    edge = -1 if away > 0 else 0
    neighbour[:, :, edge] = values[:, :, edge]
    return np.asarray((1.0 - abs(away)) * values + abs(away) * neighbour)
