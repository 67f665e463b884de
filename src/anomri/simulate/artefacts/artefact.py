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
from scipy import ndimage

from anomri.simulate.outline import Outline
from anomri.simulate.simulated import Drawn

__all__ = [
    "ArtefactEntry",
    "Clean",
    "Drawn",
    "add_rician_noise",
    "left_right_axis",
    "noise_sd",
    "phase_encode_axis",
    "slice_axis",
    "up_axis",
    "with_neighbours_outside",
]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]

# Turns the median absolute value of a normal variable into its standard deviation.
MEDIAN_TO_SD = 1.4826
# Slices are thicker than the voxels in them are wide; below this ratio the voxels count as cubes.
THICK = 1.2


@dataclass(frozen=True, eq=False, slots=True)
class Clean:
    """A scan as an artefact sees it.

    Parameters
    ----------
    voxels : (X, Y, Z) float32.
    brain : (X, Y, Z) bool.
    spacing_mm, orientation : of the grid, e.g. ``LAS``.
    white_signal : white-matter signal, the 75th percentile inside the brain.
    csf_signal : signal of fluid: the bright end inside the brain where the sequence is T2w, else the dark end.
    sequence : of the scan, where it is known.
    stripped : nothing outside the brain is known, so it must not leak in.
    affine : (4, 4) of the grid.
    outline : a lesion shape that was given.
    donor : (X, Y, Z) float32, another scan on the same grid that was given.
    """

    voxels: FloatArray
    brain: BoolArray
    spacing_mm: tuple[float, float, float]
    orientation: str
    white_signal: float
    stripped: bool
    csf_signal: float
    affine: NDArray[np.float64]
    sequence: str | None = None
    outline: Outline | None = None
    donor: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class ArtefactEntry:
    """A row of `ARTEFACTS`, `LESIONS` or `RECIPES`.

    Parameters
    ----------
    draw : (clean, severity 1–5, generator) → drawn.
    apply : (clean, drawn) → new voxels (X, Y, Z) float32, not yet masked.
    drawn_type : class of `drawn`.
    version : changes whenever the voxels may.
    summary : one line.
    local : whether only the changed voxels are wrong (the others stay exactly as they were).
    core : (clean, drawn) → (X, Y, Z) bool, truth of a local kind; None takes all voxels that changed in the brain.
    levels : 5, or 1 for a kind that cannot be dialled.
    moves : whether the brain itself moves on the grid, so that its old mask no longer holds.
    takes_outline, takes_donor : what may be given besides the scan.
    """

    draw: Callable[[Clean, int, np.random.Generator], Drawn]
    apply: Callable[[Clean, Any], FloatArray]
    drawn_type: type[Drawn]
    version: int
    summary: str
    local: bool = False
    core: Callable[[Clean, Any], BoolArray] | None = None
    levels: int = 5
    moves: bool = False
    takes_outline: bool = False
    takes_donor: bool = False


def phase_encode_axis(clean: Clean, rng: np.random.Generator) -> int:
    """Array axis of the slow phase-encode direction: left–right or front–back.

    3D head scans read out along feet–head, the longest side of the field of view, so that axis is never drawn.
    """
    return int(rng.choice([axis for axis, code in enumerate(clean.orientation) if code not in "SI"]))


def slice_axis(clean: Clean) -> int:
    """Array axis slices follow one another on: the one with the thickest voxels, feet–head where they are cubes."""
    thickest = int(np.argmax(clean.spacing_mm))
    return thickest if clean.spacing_mm[thickest] > THICK * min(clean.spacing_mm) else up_axis(clean)


def up_axis(clean: Clean) -> int:
    """Array axis that runs between feet and head."""
    return next(axis for axis, code in enumerate(clean.orientation) if code in "SI")


def left_right_axis(clean: Clean) -> int:
    """Array axis that runs between left and right."""
    return next(axis for axis, code in enumerate(clean.orientation) if code in "LR")


def with_neighbours_outside(clean: Clean) -> FloatArray:
    """The voxels of a scan; outside a stripped brain each has the value of the nearest voxel of the brain.

    What lies there is unknown and not dark: a filter that saw zeros would draw a dark rim.
    """
    if not clean.stripped:
        return clean.voxels
    nearest = ndimage.distance_transform_edt(~clean.brain, return_distances=False, return_indices=True)
    filled: FloatArray = clean.voxels[tuple(nearest)]
    return filled


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
