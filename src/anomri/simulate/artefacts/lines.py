"""Bad lines: single phase-encode lines that were lost or came with a wrong phase."""

from __future__ import annotations

import numpy as np
from scipy import fft

from anomri.simulate.artefacts.artefact import Clean, Drawn, FloatArray, phase_encode_axis

__all__ = ["LinesDrawn", "apply_lines", "draw_lines"]

# Number of bad lines, severity 1–5. The one of severity 1 lies in the outer k-space, all others where they fall.
COUNT = (1, 1, 4, 10, 25)
# Distance of the outer line and of the first inner one from the centre, as shares of the largest frequency.
OUTER, INNER = (0.6, 0.9), (0.03, 0.08)
# The very centre holds most of the image and is acquired with care: no bad line comes nearer.
NEAREST = 3


class LinesDrawn(Drawn):
    """`lines` are signed, 0 is the centre of k-space; `gains` are what each is multiplied with, real and imaginary."""

    axis: int
    lines: tuple[int, ...]
    gains: tuple[tuple[float, float], ...]


def draw_lines(clean: Clean, severity: int, rng: np.random.Generator) -> LinesDrawn:
    """Lines are lost, or get a random phase; near the centre more are hit, where it shows."""
    axis = phase_encode_axis(clean, rng)
    half = clean.voxels.shape[axis] // 2
    lost, sign = bool(rng.integers(2)), int(rng.choice([-1, 1]))
    phase = rng.uniform(0.5 * np.pi, 1.5 * np.pi, max(COUNT))
    outer, inner = (max(NEAREST, round(half * rng.uniform(*share))) for share in (OUTER, INNER))
    pool = np.array([k for k in range(-half + 1, half) if abs(k) >= NEAREST and k != sign * inner])
    weight = 1.0 / np.abs(pool)
    further = rng.choice(pool, size=min(max(COUNT) - 1, pool.size), replace=False, p=weight / weight.sum())
    lines = [sign * outer] if severity == 1 else [sign * inner, *further.tolist()][: COUNT[severity - 1]]
    gains = [(0.0, 0.0) if lost else (float(np.cos(p)), float(np.sin(p))) for p in phase[: len(lines)]]
    return LinesDrawn(axis=axis, lines=tuple(int(k) for k in lines), gains=tuple(gains))


def apply_lines(clean: Clean, drawn: LinesDrawn) -> FloatArray:
    """K'(k_y) = g · K(k_y) at the bad lines, g 0 or of modulus 1; magnitude at the end."""
    size = clean.voxels.shape[drawn.axis]
    gain = np.ones(size, dtype=np.complex64)
    for line, (real, imaginary) in zip(drawn.lines, drawn.gains, strict=True):
        gain[line % size] = real + 1j * imaginary
    shape = [1, 1, 1]
    shape[drawn.axis] = size
    spectrum = fft.fft(clean.voxels, axis=drawn.axis, workers=1)
    spectrum *= gain.reshape(shape)
    changed: FloatArray = np.abs(fft.ifft(spectrum, axis=drawn.axis, workers=1, overwrite_x=True))
    return changed
