"""What a scanner does to a synthetic head, and people to its image: shading to defacing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomri.extraction.smooth import smooth_field

__all__ = ["acquired"]

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

_SHADING, _COIL = (0.0, 0.5), (0.0, 0.6)
_GAMMA = (0.8, 1.25)
_NOISE, _GHOST = (0.0, 0.08), (0.0, 0.1)
# Resolution in voxels of the training grid: blur of all axes, thickness of slices.
_BLUR, _SLICES = (0.0, 0.7), (2, 3)
# Odds of: thick slices, ghosts, air set to 0, a face cut off, an image that ends early (below, above, aside).
_THICK, _GHOSTED, _QUIET, _DEFACED, _ENDS = 0.2, 0.3, 0.35, 0.4, (0.5, 0.08, 0.1)


def acquired(
    signal: FloatArray, air: FloatArray, place: FloatArray, distance: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, BoolArray]:
    """The image of a head.

    Parameters
    ----------
    signal : (X, Y, Z) of tissue.
    air : (X, Y, Z) share of each voxel that is air.
    place : (3, X, Y, Z) template world, mm.
    distance : (X, Y, Z) from the brain, mm; negative inside.

    Returns
    -------
    Values (X, Y, Z) ≥ 0, and where the field of view reaches; beyond it values are 0.
    """
    values = np.maximum(signal, 0.0) ** np.float32(rng.uniform(*_GAMMA))
    values = values * _shading(distance, rng)
    values = ndimage.gaussian_filter(values, rng.uniform(*_BLUR))
    if rng.random() < _THICK:
        values = _sliced(values, rng)
    bright = np.float32(max(float(np.percentile(values, 95)), 1e-3))
    if rng.random() < _GHOSTED:
        axis = int(rng.integers(3))
        values = values + np.float32(rng.uniform(*_GHOST)) * np.roll(values, values.shape[axis] // 2, axis=axis)
    noise = bright * np.float32(rng.uniform(*_NOISE)) * rng.standard_normal((2, *values.shape), dtype=np.float32)
    values = np.hypot(values + noise[0], noise[1])
    if rng.random() < _QUIET:
        values = np.where(air > rng.uniform(0.5, 0.99), np.float32(0.0), values)
    if rng.random() < _DEFACED:
        values = np.where(_face(place, distance, rng), np.float32(0.0), values)
    kept = _field_of_view(distance, rng)
    return np.where(kept, values, np.float32(0.0)).astype(np.float32), kept


def _shading(distance: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Smooth, and brighter or darker towards the surface as near a coil."""
    shape = (distance.shape[0], distance.shape[1], distance.shape[2])
    log = np.float32(rng.uniform(*_SHADING)) * smooth_field(shape, 3, rng)
    log += np.float32(rng.uniform(*_COIL) * rng.choice([-0.5, 1.0])) * np.clip(distance / 40.0, -1.5, 1.0)
    shading: FloatArray = np.exp(log)
    return shading


def _sliced(values: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Thick slices along one axis, joined again in steps or smoothly."""
    axis, thick = int(rng.integers(3)), int(rng.choice(_SLICES))
    averaged = ndimage.uniform_filter1d(values, thick, axis=axis)
    middles = np.arange(thick // 2, values.shape[axis], thick)
    slices = np.take(averaged, middles, axis=axis)
    at = (np.arange(values.shape[axis]) - middles[0]) / thick
    if rng.random() < 0.5:
        steps: FloatArray = np.take(slices, np.clip(np.round(at).astype(int), 0, len(middles) - 1), axis=axis)
        return steps
    low = np.clip(np.floor(at).astype(int), 0, len(middles) - 2)
    share = np.clip(at - low, 0.0, 1.0).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    joined: FloatArray = np.take(slices, low, axis=axis) * (1.0 - share) + np.take(slices, low + 1, axis=axis) * share
    return joined


def _face(place: FloatArray, distance: FloatArray, rng: np.random.Generator) -> BoolArray:
    """All in front of and below a slanted plane, or a box of it; the brain stays."""
    steep = rng.uniform(0.2, 1.5)
    ahead = steep * place[1] - place[2]
    clear = ahead > float(ahead[distance < 0.0].max(initial=-np.inf)) + rng.uniform(0.0, 12.0)
    if rng.random() < 0.3:
        clear &= np.abs(place[0]) < rng.uniform(35.0, 80.0)
    face: BoolArray = clear & (distance > 2.0)
    return face


def _field_of_view(distance: FloatArray, rng: np.random.Generator) -> BoolArray:
    """Where the image reaches: it may end below the brain, and seldom within it."""
    kept = np.ones(distance.shape, dtype=bool)
    inside = np.argwhere(distance < 0.0)
    low, high = (inside.min(axis=0), inside.max(axis=0)) if len(inside) else (np.zeros(3, int), np.zeros(3, int))
    below, above, aside = (rng.random(3) < _ENDS).tolist()
    if below:
        kept[:, :, : max(0, low[2] + int(rng.integers(-14, 4)))] = False
    if above:
        kept[:, :, high[2] - int(rng.integers(-3, 5)) :] = False
    if aside:
        axis = int(rng.integers(2))
        line = np.arange(distance.shape[axis]).reshape([-1 if a == axis else 1 for a in range(3)])
        kept &= (line > low[axis] - int(rng.integers(-2, 8))) & (line < high[axis] + int(rng.integers(-2, 8)))
    return kept
