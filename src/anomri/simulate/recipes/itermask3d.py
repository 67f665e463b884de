"""The test artefacts of IterMask3D, as its code makes them: one extent each.

They act on a normalised volume and their strength hangs on what its background is. Here that is: z-scores within the
brain, clipped at ± 3, background −3. What a recipe changes there is scaled back and added to the scan. Positions
are those of its grid of 192 voxels of 1 mm, centred on this one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from anomri.simulate.artefacts.artefact import Clean, Drawn, FloatArray
from anomri.simulate.recipes.two_stage import add_spikes, invert_planes

__all__ = [
    "Nothing",
    "Seeded",
    "apply_bias",
    "apply_ghosting",
    "apply_middle_chunk",
    "apply_noise",
    "apply_spike",
    "apply_top_chunk",
    "apply_zipper",
    "draw_nothing",
    "draw_seeded",
    "normalised",
]

CLIP = 3.0
GRID = 192
CHUNK, MIDDLE = 30, (80, 110)
COEFFICIENT, ORDER = 0.1, 3
SPIKE_PLACE, SPIKE_INTENSITY = 0.45, 4.0
GHOSTS, GHOST_INTENSITY, GHOST_RESTORE = 4, 2.0, 0.01
NOISE_SHARE, ROWS_KEPT = 0.003, 2
ZIPPERS = ((60, 65), (90, 95), (120, 125))


class Nothing(Drawn):
    """Nothing is drawn."""


class Seeded(Drawn):
    """Only noise is drawn."""

    noise_seed: int


def draw_nothing(_clean: Clean, _severity: int, _rng: np.random.Generator) -> Nothing:
    """Nothing is drawn."""
    return Nothing()


def draw_seeded(_clean: Clean, _severity: int, rng: np.random.Generator) -> Seeded:
    """The seed of the noise."""
    return Seeded(noise_seed=int(rng.integers(2**62)))


def normalised(clean: Clean) -> tuple[FloatArray, float]:
    """z-scores within the brain, clipped, background −3; and the standard deviation they are in."""
    inside = clean.voxels[clean.brain].astype(np.float64)
    mean, spread = float(inside.mean()), float(inside.std())
    scaled = np.clip((clean.voxels - np.float32(mean)) / np.float32(spread), -CLIP, CLIP)
    return np.where(clean.brain, scaled, np.float32(-CLIP)), spread


def _changed_by(clean: Clean, before: FloatArray, after: FloatArray, spread: float) -> FloatArray:
    return np.asarray(clean.voxels + np.float32(spread) * (after - before), dtype=np.float32)


def _index(literal: int, size: int, spacing_mm: float) -> int:
    """Where a voxel of the recipe's grid lies on this one."""
    return int(np.clip(round(size / 2 + (literal - GRID / 2) / spacing_mm), 0, size))


def _emptied(clean: Clean, first: int, last: int) -> FloatArray:
    """The volume's minimum, which is its background, in slices of the second axis."""
    out = clean.voxels.copy()
    out[:, first:last] = clean.voxels.min()
    return out


def apply_top_chunk(clean: Clean, _drawn: Nothing) -> FloatArray:
    """30 slices of the second axis, from the first that holds brain, are background."""
    first = int(np.flatnonzero(clean.brain.any(axis=(0, 2)))[0])
    return _emptied(clean, first, first + round(CHUNK / clean.spacing_mm[1]))


def apply_middle_chunk(clean: Clean, _drawn: Nothing) -> FloatArray:
    """Slices 80 to 109 of the second axis are background."""
    first, last = (_index(i, clean.voxels.shape[1], clean.spacing_mm[1]) for i in MIDDLE)
    return _emptied(clean, first, last)


def apply_bias(clean: Clean, _drawn: Nothing) -> FloatArray:
    """(x − min) · B + min, B = exp(Σ_{i+j+k ≤ 3} 0.1 · X^i Y^j Z^k) over the whole grid, from −1 to 1."""
    x, y, z = np.meshgrid(*[np.linspace(-1.0, 1.0, n) for n in clean.voxels.shape], indexing="ij", sparse=True)
    powers = [(i, j, k) for i in range(ORDER + 1) for j in range(ORDER + 1) for k in range(ORDER + 1)]
    total = sum(x**i * y**j * z**k for i, j, k in powers if i + j + k <= ORDER)
    before, spread = normalised(clean)
    after = (before + np.float32(CLIP)) * np.exp(COEFFICIENT * total) - CLIP
    return _changed_by(clean, before, np.asarray(after, dtype=np.float32), spread)


def apply_spike(clean: Clean, _drawn: Nothing) -> FloatArray:
    """Four times the entry of k-space with the largest real part, at 0.45 of every axis."""
    before, spread = normalised(clean)
    after = add_spikes(before, np.full((1, 3), SPIKE_PLACE), SPIKE_INTENSITY)
    return _changed_by(clean, before, after, spread)


def apply_ghosting(clean: Clean, _drawn: Nothing) -> FloatArray:
    """Every fourth plane of the second axis × −1, the two in the middle kept."""
    before, spread = normalised(clean)
    after = invert_planes(before, axis=1, every=GHOSTS, intensity=GHOST_INTENSITY, restore=GHOST_RESTORE)
    return _changed_by(clean, before, after, spread)


def apply_noise(clean: Clean, drawn: Seeded) -> FloatArray:
    """Slice by slice of the third axis, uniform noise on k-space but for its two middle rows; the real part remains.

    Real and imaginary noise lie within 0.003 of the largest real and imaginary part of the slice's k-space.
    """
    rng = np.random.default_rng(drawn.noise_seed)
    before, spread = normalised(clean)
    after = np.empty_like(before)
    rows = np.ones(before.shape[0], dtype=np.bool_)
    rows[before.shape[0] // 2 - ROWS_KEPT // 2 :][:ROWS_KEPT] = False
    for z in range(before.shape[2]):
        spectrum = fft.fftshift(fft.fft2(before[:, :, z], workers=1))
        reach = [NOISE_SHARE * float(np.abs(part).max()) for part in (spectrum.real, spectrum.imag)]
        real, imaginary = (rng.uniform(-1.0, 1.0, (int(rows.sum()), before.shape[1])) * r for r in reach)
        spectrum[rows] += (real + 1j * imaginary).astype(np.complex64)
        after[:, :, z] = fft.ifft2(fft.ifftshift(spectrum), workers=1).real
    return _changed_by(clean, before, after, spread)


def apply_zipper(clean: Clean, drawn: Seeded) -> FloatArray:
    """Slice by slice of the third axis, three bands of the second hold what is in effect white noise.

    It is the real part of k-space times uniform noise in k-space's own range, cut to 8 bits without saturation, and
    stretched over the slice's range.
    """
    rng = np.random.default_rng(drawn.noise_seed)
    before, spread = normalised(clean)
    after, size = before.copy(), before.shape[1]
    bands: NDArray[np.intp] = np.concatenate(
        [np.arange(*(_index(i, size, clean.spacing_mm[1]) for i in band)) for band in ZIPPERS]
    )
    for z in range(before.shape[2]):
        plane = before[:, :, z]
        spectrum = fft.fftshift(fft.fft2(plane.astype(np.float64), workers=1))
        real, imaginary = (rng.uniform(p.min(), p.max(), plane.shape) for p in (spectrum.real, spectrum.imag))
        bytes_ = np.trunc((spectrum * (real + 1j * imaginary)).real) % 256.0
        low, high = float(plane.min()), float(plane.max())
        span = max(float(bytes_.max() - bytes_.min()), 1.0)
        stretched = low + (bytes_ - bytes_.min()) / span * (high - low)
        after[:, bands, z] = stretched[:, bands]
    return _changed_by(clean, before, after, spread)
