"""Bias field correction by N4 at the resolution a smooth field needs.

References
----------
Tustison N. J. et al., "N4ITK: improved N3 bias correction", IEEE TMI 29(6), 1310–1320, 2010.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from anomri.core.geometry import Geometry, carry, whole_voxels
from anomri.preparation.itk import from_itk, one_thread, to_itk

__all__ = ["VERSION", "correct_bias"]

VERSION = 3
_GRID_MM = 5.0
_ITERATIONS = (30, 20, 10)


def correct_bias(
    voxels: NDArray[np.float32], mask: NDArray[np.bool_], geometry: Geometry
) -> tuple[NDArray[np.float32], float]:
    """Divide a scan by its bias field, estimated inside the mask on a grid of about 5 mm.

    Returns
    -------
    Corrected voxels (X, Y, Z), 0 outside the mask, and the strength of the field removed: the range of its natural
    logarithm between the 2nd and 98th percentile inside the mask.
    """
    with one_thread():
        coarse_field = _log_field(voxels, mask, geometry)
    # The spline is smooth at 5 mm, so linear interpolation back to the native grid loses nothing that matters.
    field = carry(from_itk(coarse_field), _grid_of(coarse_field), geometry, outside="edge")
    low, high = np.percentile(field[mask], [2, 98])
    return np.where(mask, voxels * np.exp(-field), 0.0).astype(np.float32), float(high - low)


def _log_field(voxels: NDArray[np.float32], mask: NDArray[np.bool_], geometry: Geometry) -> Any:
    """Natural logarithm of the field, on the coarse grid."""
    # Averaged and not sampled: with an even factor the middle of a block lies between voxels, and which of them a
    # sample takes is decided by the last bit of the affine.
    factors = [max(1, whole_voxels(_GRID_MM, s)) for s in geometry.spacing_mm]
    share = sitk.BinShrink(to_itk(mask.astype(np.float32), geometry), factors)
    total = sitk.BinShrink(to_itk(np.where(mask, voxels, np.float32(0.0)), geometry), factors)
    inside = share >= 0.5
    coarse = sitk.Mask(total / sitk.Maximum(share, 0.5), inside)
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations(_ITERATIONS)
    n4.SetConvergenceThreshold(1e-3)
    n4.Execute(coarse, inside)
    return n4.GetLogBiasFieldAsImage(coarse)


def _grid_of(image: sitk.Image) -> Geometry:
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    x, y, z = image.GetSize()
    return Geometry((x, y, z), flip @ affine)
