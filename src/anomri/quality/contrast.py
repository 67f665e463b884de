"""Signal, noise and contrast of the tissue classes, and the smooth field that lies over them."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from anomri.core.score import MAD_TO_SD
from anomri.quality.tissue import CSF, GREY, WHITE

__all__ = ["fit_field", "tissue_metrics"]

FIELD_DEGREE = 3
FIELD_VOXELS = 60_000
# Standard deviations beyond which a voxel no longer votes on the field.
FIELD_OUTLIER = 2.5
FIELD_ROUNDS = 3
FEWEST_VOXELS = 100

Labels = NDArray[np.uint8]
Volume = NDArray[np.float32]


def fit_field(values: Volume, labels: Labels) -> Volume:
    """Smooth multiplicative field of an image: exp of a Legendre polynomial of degree 3, fitted to white and grey.

    log values ≈ level of the class + polynomial, by least squares that drops outliers.

    Parameters
    ----------
    values : (X, Y, Z) intensities of the mask's box.
    labels : (X, Y, Z) tissue classes.

    Returns
    -------
    (X, Y, Z) float32 > 0; median 1 over white and grey matter. All ones where too few voxels stand.
    """
    where = np.nonzero((labels >= GREY) & (values > 0))
    count = where[0].size
    if count < FEWEST_VOXELS:
        return np.ones(values.shape, dtype=np.float32)
    every = max(1, count // FIELD_VOXELS)
    index = tuple(axis[::every] for axis in where)
    target = np.log(values[index].astype(np.float64))
    classes = labels[index]
    bases = [legendre.legvander(np.linspace(-1.0, 1.0, n), FIELD_DEGREE) for n in values.shape]
    powers = [p for p in product(range(FIELD_DEGREE + 1), repeat=3) if 0 < sum(p) <= FIELD_DEGREE]
    columns = [np.prod([bases[a][index[a], p[a]] for a in range(3)], axis=0) for p in powers]
    present = [k for k in (GREY, WHITE) if (classes == k).any()]
    design = np.stack([*columns, *(classes == k for k in present)], axis=1).astype(np.float64)
    weights = _trimmed_least_squares(design, target)[: len(powers)]

    grid = np.zeros((FIELD_DEGREE + 1,) * 3)
    for power, weight in zip(powers, weights, strict=True):
        grid[power] = weight
    log_field = np.einsum("abc,xa,yb,zc->xyz", grid, *bases, optimize=True).astype(np.float32)
    log_field -= np.float32(np.median(log_field[index]))
    field: Volume = np.exp(np.clip(log_field, -3.0, 3.0))
    return field


def _trimmed_least_squares(design: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    keep = np.ones(len(target), dtype=bool)
    weights: NDArray[np.float64] = np.zeros(design.shape[1])
    for _ in range(FIELD_ROUNDS):
        rows = design[keep]
        gram = rows.T @ rows
        # A mask one voxel thick along an axis leaves that axis's terms undetermined.
        gram[np.diag_indices_from(gram)] += 1e-9 * np.trace(gram)
        weights = np.asarray(np.linalg.solve(gram, rows.T @ target[keep]), dtype=np.float64)
        left = target - design @ weights
        spread = MAD_TO_SD * float(np.median(np.abs(left - np.median(left))))
        keep = np.abs(left - np.median(left)) <= FIELD_OUTLIER * spread + 1e-12
    return weights


def tissue_metrics(flat: Volume, field: Volume, labels: Labels) -> dict[str, float | None]:
    """Metrics of the class medians and spreads of the field-corrected image, and of the field itself.

    Parameters
    ----------
    flat : (X, Y, Z) field-corrected intensities of the mask's box.
    field : (X, Y, Z), from `fit_field`.
    labels : (X, Y, Z) tissue classes.
    """
    centre: dict[int, float] = {}
    spread: dict[int, float] = {}
    for k in (CSF, GREY, WHITE):
        members = flat[labels == k]
        if members.size >= FEWEST_VOXELS:
            centre[k] = float(np.median(members))
            spread[k] = MAD_TO_SD * float(np.median(np.abs(members - np.float32(centre[k]))))
    inside = labels > 0
    total = float(np.count_nonzero(inside))
    brain = field[inside]
    out: dict[str, float | None] = {
        "white_signal_to_noise": _ratio(centre.get(WHITE), spread.get(WHITE)),
        "grey_signal_to_noise": _ratio(centre.get(GREY), spread.get(GREY)),
        "csf_signal_to_noise": _ratio(centre.get(CSF), spread.get(CSF)),
        "grey_white_contrast_to_noise": None,
        "joint_variation": None,
        "grey_white_ratio": _ratio(centre.get(GREY), centre.get(WHITE)),
        "csf_white_ratio": _ratio(centre.get(CSF), centre.get(WHITE)),
        "field_range": float(np.ptp(np.log(np.percentile(brain, (2.0, 98.0))))),
        "csf_share": np.count_nonzero(labels == CSF) / total,
        "white_share": np.count_nonzero(labels == WHITE) / total,
    }
    if GREY in centre and WHITE in centre:
        apart = abs(centre[WHITE] - centre[GREY])
        out["grey_white_contrast_to_noise"] = _ratio(apart, float(np.hypot(spread[WHITE], spread[GREY])))
        out["joint_variation"] = _ratio(spread[WHITE] + spread[GREY], apart)
    return out


def _ratio(above: float | None, below: float | None) -> float | None:
    if above is None or below is None or not below > 0:
        return None
    return above / below
