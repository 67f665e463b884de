"""How the mask shrinks: first to find the subject's own threshold, then to what stays above it.

Phase A hides the whole brain and shows, at each of n steps, the share 1/n of it whose error is smallest. The curve τ(t)
of the errors at which the mask is cut gives the threshold (`anomri.metrics.slope`). Phase B begins with the whole brain
again, cuts at that threshold each time, and ends when the mask no longer shrinks.

References
----------
Liang et al., Medical Image Analysis 107, 103763, 2026 (arXiv 2504.04911) and its published code. Phase B there has no
bound on its passes.

Shapes: V voxels of the brain, in the order of its mask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

__all__ = ["Reconstruct", "Shrunk", "coarse_to_fine", "keep_largest", "refine", "shrink"]

Errors = NDArray[np.float32]
Mask = NDArray[np.bool_]
# (V,) hidden voxels, number of the step → (V,) squared errors
Reconstruct = Callable[[Mask, int], Errors]

# Percents of the brain that are shown when a pass of the short schedule begins; dense where thresholds are found.
_SHOWN = (0, 25, 50, 70, 80, 88, 92, 94, 96, 97, 98, 99)


@dataclass(frozen=True, eq=False, slots=True)
class Shrunk:
    """Phase A.

    Parameters
    ----------
    taus : (n,) τ(1 … n).
    shown : (V,) share of the brain that was shown when a voxel was hidden for the last time.
    """

    taus: NDArray[np.float64]
    shown: NDArray[np.float32]


def keep_largest(errors: Errors, share: float) -> tuple[float, Mask]:
    """The threshold above which `share` of the errors lie, and the voxels above it.

    Returns
    -------
    τ, the r-th smallest error with r = ⌊V (1 − share)⌋, at least the first, and errors > τ.
    """
    # The small sum undoes the rounding of a share such as 1 − 0.29.
    rank = int(np.floor(errors.size * (1.0 - share) + 1e-9))
    rank = min(max(rank, 1), errors.size)
    tau = float(np.partition(errors, rank - 1)[rank - 1])
    return tau, errors > tau


def coarse_to_fine(steps: int) -> tuple[int, ...]:
    """The steps, of 1 … n, at which the short schedule makes a pass: the first, the last, and few in between."""
    return tuple(sorted({min(round(percent * steps / 100) + 1, steps) for percent in _SHOWN} | {steps}))


def shrink(reconstruct: Reconstruct, voxels: int, *, steps: int, passes: Sequence[int] | None = None) -> Shrunk:
    """Phase A.

    Parameters
    ----------
    voxels : V.
    steps : n; the pass of step t begins with the share 1 − (t − 1)/n of the brain hidden.
    passes : steps at which a pass is made, ascending from 1 to n; τ in between is interpolated (monotone, cubic). None
        for all, as published.
    """
    made = range(1, steps + 1) if passes is None else passes
    mask = np.ones(voxels, dtype=bool)
    shown = np.zeros(voxels, dtype=np.float32)
    taus: list[float] = []
    errors: Errors | None = None
    for t in made:
        if errors is not None:
            _, mask = keep_largest(errors, 1.0 - (t - 1) / steps)
            shown[mask] = (t - 1) / steps
        errors = reconstruct(mask, t)
        taus.append(keep_largest(errors, 1.0 - t / steps)[0])
    if passes is None:
        return Shrunk(np.array(taus), shown)
    # τ of a step that was passed over lies between its neighbours: noise must not let the curve fall.
    rising = np.maximum.accumulate(taus)
    return Shrunk(PchipInterpolator(np.array(made), rising)(np.arange(1, steps + 1)), shown)


def refine(
    reconstruct: Reconstruct, voxels: int, threshold: float, *, most: int = 50, least_shrink: float = 0.01
) -> tuple[Mask, Errors, bool]:
    """Phase B.

    Parameters
    ----------
    most : passes, at most.
    least_shrink : a pass that takes less than this share off the mask is the last one; one that adds to it is too.

    Returns
    -------
    The mask after the last pass (the segmentation), the errors of that pass, and whether the mask grew in it: a voxel
    once shown may be hidden again, as the error is taken over the whole brain.
    """
    mask = np.ones(voxels, dtype=bool)
    errors = np.zeros(voxels, dtype=np.float32)
    for number in range(1, most + 1):
        before = int(mask.sum())
        if before == 0:
            break
        errors = reconstruct(mask, number)
        mask = errors > threshold
        after = int(mask.sum())
        if (before - after) / before < least_shrink:
            return mask, errors, after > before
    return mask, errors, False
