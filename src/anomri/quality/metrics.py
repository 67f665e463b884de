"""Measure a scan: every image quality metric of the table `METRICS`.

Measured on the native voxels, before bias correction or any other change of the values. Lengths are in millimetres and
frequencies in cycles per millimetre, so that small changes of spacing hardly matter.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from anomri.errors import InputError
from anomri.quality.air import air_metrics
from anomri.quality.contrast import fit_field, tissue_metrics
from anomri.quality.definitions import METRICS, MetricDefinition
from anomri.quality.shape import shape_metrics, slice_metrics
from anomri.quality.spectrum import spectral_metrics
from anomri.quality.texture import texture_metrics
from anomri.quality.tissue import WHITE

__all__ = ["METRICS", "MetricDefinition", "measure", "measure_without_tissue"]


def measure(
    voxels: NDArray[np.floating],
    mask: NDArray[np.bool_],
    labels: NDArray[np.uint8],
    spacing_mm: tuple[float, float, float],
    *,
    air: NDArray[np.bool_] | None,
) -> dict[str, float | None]:
    """All metrics of one scan.

    Parameters
    ----------
    voxels : (X, Y, Z) intensities as acquired, finite; axes are left–right, back–front, feet–head.
    mask : (X, Y, Z), the brain.
    labels : (X, Y, Z) tissue classes from `classify`.
    spacing_mm : distance between voxel centres along X, Y, Z.
    air : (X, Y, Z), voxels outside the head; None for a stripped scan.

    Returns
    -------
    One entry for every key of `METRICS`, in its order; None where a metric needs air and there is none, or where it
    is undefined for this image. A global factor of the intensities changes nothing.

    Raises
    ------
    InputError : the shapes disagree, the mask is empty, or white matter is absent or not brighter than 0.
    """
    _check(voxels, mask, labels, air)
    box = tuple(slice(int(where.min()), int(where.max()) + 1) for where in np.nonzero(mask))
    inside = mask[box]
    classes = np.where(inside, labels[box], np.uint8(0))
    values = np.where(inside, voxels[box], 0).astype(np.float32)
    white = float(np.median(values[classes == WHITE])) if (classes == WHITE).any() else 0.0
    if not white > 0:
        raise InputError(
            "no white matter to measure the scan by", remedy="Check the image and its mask.", code="no_white"
        )
    values /= np.float32(white)
    field = fit_field(values, classes)
    flat = values / field
    found = (
        tissue_metrics(flat, field, classes)
        | texture_metrics(values, inside, classes, spacing_mm)
        | spectral_metrics(values, inside, spacing_mm)
        | shape_metrics(flat, inside, spacing_mm)
        | slice_metrics(flat, classes)
        | air_metrics(voxels, mask, air, white)
    )
    return {name: _known(found[name]) for name in METRICS}


def measure_without_tissue(
    voxels: NDArray[np.floating], mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> dict[str, float | None]:
    """The metrics of a single slice or a body that need no tissue classes; intensities ÷ median of the mask.

    Parameters
    ----------
    voxels, mask : (X, Y, Z); (X, Y, 1) for a slice.

    Returns
    -------
    One entry for every key of `METRICS`; None for all that need tissue classes, a whole brain, more slices or air.

    Raises
    ------
    InputError : the mask is empty.
    """
    nothing = np.zeros(mask.shape, dtype=np.uint8)
    _check(voxels, mask, nothing, None)
    box = tuple(slice(int(where.min()), int(where.max()) + 1) for where in np.nonzero(mask))
    inside = mask[box]
    values = np.where(inside, voxels[box], 0).astype(np.float32)
    middle = float(np.median(values[inside]))
    if middle > 0:
        values /= np.float32(middle)
    found = texture_metrics(values, inside, nothing[box], spacing_mm) | spectral_metrics(values, inside, spacing_mm)
    return {name: _known(found.get(name)) for name in METRICS}


def _check(
    voxels: NDArray[np.floating],
    mask: NDArray[np.bool_],
    labels: NDArray[np.uint8],
    air: NDArray[np.bool_] | None,
) -> None:
    shapes = [mask.shape, labels.shape] + ([] if air is None else [air.shape])
    if voxels.ndim != 3 or any(shape != voxels.shape for shape in shapes):
        raise InputError(
            f"voxels {voxels.shape} and their masks {shapes} do not share a grid",
            remedy="Give mask, labels and air on the scan's grid.",
            code="geometry",
        )
    if not mask.any():
        raise InputError("the mask is empty", remedy="Check the mask.", code="mask_empty")


def _known(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
