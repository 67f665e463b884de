"""Is a found mask a brain? What a person would look at: size, roundness, symmetry, coverage, and the template.

Bounds lie outside everything measured on heads with good masks (`benchmarks`, extraction) and are not tuned on masks
that failed: a doubtful mask costs a person a look, a bad one would cost a wrong verdict.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anomri.core.geometry import Geometry, apply_affine
from anomri.errors import PreparationFailed
from anomri.extraction.locate import Location
from anomri.preparation.mask import PLAUSIBLE_ML

__all__ = ["measure_mask", "verify_mask"]

Mask = NDArray[np.bool_]

# measure → (lowest, highest, what it means where it lies outside)
_BOUNDS: dict[str, tuple[float, float, str]] = {
    "volume_ml": (*PLAUSIBLE_ML, "no adult brain has this volume"),
    "explained": (0.2, 1.0, "the template's brain was found nowhere in it"),
    "agreement": (0.8, 1.0, "mask and template disagree"),
    # The outlines measured have 0.79 to 0.94, those of the network the more; a ball or an egg has 0.99.
    "roundness": (0.6, 0.975, "its surface is too ragged or too smooth for a brain's"),
    "evenness": (0.85, 1.0, "its halves differ more than a brain's"),
    "cut_off": (0.0, 0.1, "the image ends inside the brain"),
}


def measure_mask(mask: Mask, geometry: Geometry, location: Location, template: Mask) -> dict[str, float]:
    """What tells a brain mask from others.

    Parameters
    ----------
    mask, template : (X, Y, Z) found brain and the template's, on an isotropic grid along the world's axes.

    Returns
    -------
    ``volume_ml``; ``explained`` (`Location`); ``agreement``: Dice of mask and template;
    ``roundness``: surface of a ball of this volume ÷ the mask's, 0 to 1; ``evenness``: smaller ÷ larger half, left and
    right of the template's mid-plane; ``cut_off``: share of the mask's surface that lies on the grid's edge.
    """
    spacing = geometry.spacing_mm[0]
    volume_mm3 = float(mask.sum()) * spacing**3
    faces, at_edge = _faces(mask)
    # Faces of voxels count a slanted surface too often: by 3/2 for one of every direction alike.
    surface_mm2 = spacing**2 * faces / 1.5
    ball_mm2 = float(np.cbrt(36.0 * np.pi * volume_mm3**2))
    left, right = _halves(mask, geometry, location)
    return {
        "volume_ml": volume_mm3 / 1000.0,
        "explained": location.explained,
        "agreement": 2.0 * float((mask & template).sum()) / max(float(mask.sum() + template.sum()), 1.0),
        "roundness": min(ball_mm2 / max(surface_mm2, 1e-6), 1.0),
        "evenness": min(left, right) / max(left, right, 1.0),
        "cut_off": at_edge / max(faces, 1.0),
    }


def verify_mask(measured: dict[str, float]) -> None:
    """Refuse what cannot be a brain mask.

    Raises
    ------
    PreparationFailed : a measure lies outside its bounds.
    """
    wrong = [
        f"{meaning} ({name.removesuffix('_ml').replace('_', ' ')} {measured[name]:.4g}, expected {low:g}–{high:g})"
        for name, (low, high, meaning) in _BOUNDS.items()
        if not low <= measured[name] <= high
    ]
    if wrong:
        raise PreparationFailed(
            f"no brain could be cut out of the head: {'; '.join(wrong)}",
            remedy="Give a brain mask with --mask, or check that the scan is a whole adult head and its header right.",
            code="extraction",
        )


def _faces(mask: Mask) -> tuple[float, float]:
    """Faces of voxels between mask and background or edge, and those at the edge."""
    inner, edge = 0, 0
    for axis in range(3):
        inner += int(np.count_nonzero(np.diff(mask, axis=axis)))
        edge += int(np.take(mask, 0, axis=axis).sum() + np.take(mask, -1, axis=axis).sum())
    return float(inner + edge), float(edge)


def _halves(mask: Mask, geometry: Geometry, location: Location) -> tuple[float, float]:
    at = np.argwhere(mask)[::5].astype(np.float64)
    x = apply_affine(np.linalg.inv(location.world) @ geometry.affine, at)[:, 0]
    return float((x < 0).sum()), float((x > 0).sum())
