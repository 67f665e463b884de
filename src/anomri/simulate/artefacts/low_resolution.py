"""Low resolution: thick slices, interpolated back to the grid of the scan."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from anomri.simulate.artefacts.artefact import (
    Clean,
    Drawn,
    FloatArray,
    add_rician_noise,
    noise_sd,
    with_neighbours_outside,
)

__all__ = ["LowResolutionDrawn", "apply_low_resolution", "draw_low_resolution"]

# Thickness of a slab in voxels, severity 1–5.
THICKNESS = (1.5, 2.0, 3.0, 4.0, 5.0)


class LowResolutionDrawn(Drawn):
    """Slabs of `thickness` voxels along `axis`, the first beginning at `start`."""

    axis: int
    thickness: float
    start: float
    noise_sd: float
    noise_seed: int


def draw_low_resolution(clean: Clean, severity: int, rng: np.random.Generator) -> LowResolutionDrawn:
    """Axis, and where the slabs begin."""
    thickness = THICKNESS[severity - 1]
    return LowResolutionDrawn(
        axis=int(rng.integers(3)),
        thickness=thickness,
        start=-float(rng.uniform(0.0, 1.0)) * thickness,
        noise_sd=noise_sd(clean),
        noise_seed=int(rng.integers(2**62)),
    )


def apply_low_resolution(clean: Clean, drawn: LowResolutionDrawn) -> FloatArray:
    """Mean of each slab, linear interpolation between slab centres, then Rician noise up to the level the scan had."""
    values = np.moveaxis(with_neighbours_outside(clean), drawn.axis, 0)
    to_slabs, back = _slabs(len(values), drawn)
    operator = back @ to_slabs
    blurred = np.tensordot(operator, values, axes=1)
    retained = float(np.mean(np.sum(operator**2, axis=1)))
    lost = drawn.noise_sd * np.sqrt(max(0.0, 1.0 - retained))
    result = np.ascontiguousarray(np.moveaxis(blurred, 0, drawn.axis), dtype=np.float32)
    return add_rician_noise(result, float(lost), drawn.noise_seed)


def _slabs(size: int, drawn: LowResolutionDrawn) -> tuple[FloatArray, FloatArray]:
    """Matrices from planes to slab means (n, N) and from slab means to planes (N, n)."""
    count = int(np.ceil((size - drawn.start) / drawn.thickness)) + 1
    lower = drawn.start + drawn.thickness * np.arange(count)[:, None]
    plane = np.arange(size)[None, :]
    shared = np.clip(np.minimum(lower + drawn.thickness, plane + 1.0) - np.maximum(lower, plane), 0.0, None)
    full = shared.sum(axis=1) > 0
    shared, lower = shared[full], lower[full, 0]
    means = (shared / shared.sum(axis=1, keepdims=True)).astype(np.float32)
    position = (np.arange(size) + 0.5 - lower[0]) / drawn.thickness - 0.5
    back = ndimage.map_coordinates(
        np.eye(len(lower), dtype=np.float32),
        np.stack(np.broadcast_arrays(position[:, None], np.arange(len(lower))[None, :])),
        order=1,
        mode="nearest",
    )
    return means, np.asarray(back, dtype=np.float32)
