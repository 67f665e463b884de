"""What the artefacts share: what they see of a scan, and how one is drawn and applied.

Every artefact first draws all its parameters from a seed, then applies them without further chance, so that a record
of the draw makes the same voxels again. The order of the draws does not depend on the severity: one seed gives the
same artefact at five strengths.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomri.simulate.simulated import Drawn

__all__ = ["ArtefactEntry", "Clean", "Drawn", "add_rician_noise", "noise_sd", "phase_encode_axis"]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]

# Turns the median absolute value of a normal variable into its standard deviation.
MEDIAN_TO_SD = 1.4826


@dataclass(frozen=True, eq=False, slots=True)
class Clean:
    """A scan as an artefact sees it.

    Parameters
    ----------
    voxels : (X, Y, Z) float32.
    brain : (X, Y, Z) bool.
    spacing_mm, orientation : of the grid, e.g. ``LAS``.
    white_signal : white-matter signal, the 75th percentile inside the brain.
    stripped : nothing outside the brain is known, so it must not leak in.
    """

    voxels: FloatArray
    brain: BoolArray
    spacing_mm: tuple[float, float, float]
    orientation: str
    white_signal: float
    stripped: bool


@dataclass(frozen=True, slots=True)
class ArtefactEntry:
    """A row of `ARTEFACTS`.

    Parameters
    ----------
    draw : (clean, severity 1–5, generator) → drawn.
    apply : (clean, drawn) → new voxels (X, Y, Z) float32, not yet masked.
    drawn_type : class of `drawn`.
    version : changes whenever the voxels may.
    summary : one line.
    local : whether only the changed voxels are wrong (the others stay exactly as they were).
    """

    draw: Callable[[Clean, int, np.random.Generator], Drawn]
    apply: Callable[[Clean, Any], FloatArray]
    drawn_type: type[Drawn]
    version: int
    summary: str
    local: bool = False


def phase_encode_axis(clean: Clean, rng: np.random.Generator) -> int:
    """Array axis of the slow phase-encode direction: left–right or front–back.

    3D head scans read out along feet–head, the longest side of the field of view, so that axis is never drawn.
    """
    return int(rng.choice([axis for axis, code in enumerate(clean.orientation) if code not in "SI"]))


def noise_sd(clean: Clean) -> float:
    """Noise standard deviation inside the brain, from the finest diagonal wavelet band.

    1.4826 · median |d| of the Haar coefficients d that differ along all three axes, over 2 × 2 × 2 blocks wholly
    inside the brain (Donoho and Johnstone, Biometrika 81 (1994), section 6); 0 where there is no such block.
    """
    even = tuple(slice(0, n // 2 * 2) for n in clean.voxels.shape)
    detail, inside = clean.voxels[even].astype(np.float64), clean.brain[even]
    for axis in range(3):
        first, second = [slice(None)] * 3, [slice(None)] * 3
        first[axis], second[axis] = slice(0, None, 2), slice(1, None, 2)
        detail = (detail[tuple(first)] - detail[tuple(second)]) / np.sqrt(2.0)
        inside = inside[tuple(first)] & inside[tuple(second)]
    return MEDIAN_TO_SD * float(np.median(np.abs(detail[inside]))) if inside.any() else 0.0


def add_rician_noise(voxels: FloatArray, sd: float, seed: int) -> FloatArray:
    """√((x + n₁)² + n₂²) with n₁, n₂ normal of standard deviation `sd` (Gudbjartsson and Patz, MRM 34 (1995))."""
    rng = np.random.default_rng(seed)
    real = voxels + np.float32(sd) * rng.standard_normal(voxels.shape, dtype=np.float32)
    imaginary = np.float32(sd) * rng.standard_normal(voxels.shape, dtype=np.float32)
    noisy: FloatArray = np.hypot(real, imaginary)
    return noisy
