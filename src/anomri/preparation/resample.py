"""Carry a brain onto the model's grid: low-passed where that grid is coarser, the border never diluted.

References
----------
Lowe D. G., IJCV 60(2), 91–110, 2004, section 3: a grid's image is blurred by σ = 0.5 voxels at the least, which keeps
aliasing away, and blurs add in squares. From spacing s to spacing t = f·s, then, σ = 0.5·√(f² − 1) voxels of s; Cardoso
M. J. et al., MICCAI 2015, derive the same form from point spread functions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anomri.core.geometry import Geometry, carry
from anomri.core.score import smooth_inside

__all__ = ["VERSION", "resample"]

VERSION = 2
_BLUR_OF_A_GRID = 0.5


def resample(
    voxels: NDArray[np.float32], mask: NDArray[np.bool_], source: Geometry, target: Geometry
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Voxels inside a mask, and the mask, on another grid.

    Parameters
    ----------
    voxels : (X, Y, Z) on `source`, 0 outside the mask.
    target : its axes run along those of `source`, or it is isotropic.

    Returns
    -------
    Values (X', Y', Z'), 0 outside the brain, and the brain on `target`: where at least half of what is interpolated
    from lies in the mask. An axis along which the target is as fine as the source is interpolated alone.
    """
    sigma = _sigma_voxels(source.spacing_mm, target.spacing_mm)
    smooth = smooth_inside(voxels, mask, sigma) if any(sigma) else voxels
    share = carry(mask.astype(np.float32), source, target)
    within = share > 0.5
    values = np.where(within, carry(smooth, source, target) / np.maximum(share, 0.5), 0.0)
    return values.astype(np.float32), within


def _sigma_voxels(
    spacing_mm: tuple[float, float, float], target_mm: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Blur along each axis of the source that lets the target sample it."""
    pairs = zip(spacing_mm, target_mm, strict=True)
    x, y, z = (_BLUR_OF_A_GRID * float(np.sqrt(max(0.0, (t / s) ** 2 - 1.0))) for s, t in pairs)
    return x, y, z
