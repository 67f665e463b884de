"""Cerebrospinal fluid, grey and white matter by an intensity model that template maps steer.

Which class is which is decided by the maps and never by brightness, so the order of the class means is evidence of the
contrast: a T2-weighted image ends with the fluid brightest.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from anomri.errors import InputError

__all__ = ["CSF", "GREY", "WHITE", "Tissue", "classify"]

CSF, GREY, WHITE = 1, 2, 3

SAMPLE_VOXELS = 20_000
MOST_ITERATIONS = 60
# A class can be found where the template says it is all but absent: registration is affine and brains differ.
PRIOR_FLOOR = 0.1
# Relative to the scan's median; keeps a class from shrinking onto one repeated value.
SMALLEST_SD = 0.01
CONVERGED_AT = 1e-3
FIELD_DEGREE = 3
FIELD_LIMITS = (0.25, 4.0)

FloatArray = NDArray[np.floating]


@dataclass(frozen=True, eq=False, slots=True)
class Tissue:
    """Tissue classes of one brain.

    Parameters
    ----------
    labels : (X, Y, Z) uint8: 0 outside the mask, 1 CSF, 2 grey, 3 white matter.
    means : (3,) float64, mean intensity of CSF, grey, white after the coarse field correction, in the scan's units.
    sds : (3,) float64, standard deviations of the same.
    converged : whether the means stood still before the iterations ran out.
    """

    labels: NDArray[np.uint8]
    means: NDArray[np.float64]
    sds: NDArray[np.float64]
    converged: bool

    def __post_init__(self) -> None:
        for array in (self.labels, self.means, self.sds):
            array.setflags(write=False)


def classify(voxels: FloatArray, mask: NDArray[np.bool_], priors: FloatArray, *, seed: int) -> Tissue:
    """Label every voxel of the mask as CSF, grey or white matter.

    Expectation maximisation of one Gaussian per class with spatial priors and a smooth multiplicative field (a
    polynomial of degree 3 in position), on a random sample of the mask; then each voxel takes the class of largest
    prior × likelihood.

    Parameters
    ----------
    voxels : (X, Y, Z) intensities, not bias-corrected, any scale.
    mask : (X, Y, Z), the brain.
    priors : (3, X, Y, Z) probabilities ≥ 0 of CSF, grey, white on the scan's grid; need not add up to 1.
    seed : of the sample.

    Returns
    -------
    Labels do not depend on a global factor of the intensities; means and standard deviations are proportional to it.

    Raises
    ------
    InputError : the shapes disagree, the mask is empty, the image has no contrast inside the mask, or a prior is
        zero everywhere in the mask.

    References
    ----------
    Van Leemput K. et al., IEEE Trans. Med. Imaging 18:897, 1999 (EM with spatial priors and a polynomial field);
    Ashburner J., Friston K., NeuroImage 26:839, 2005.
    """
    _check(voxels, mask, priors)
    where = np.nonzero(mask)
    inside = voxels[where].astype(np.float32)
    low, scale, high = np.percentile(inside, (1, 50, 99))
    if not (high > low and scale > 0):
        raise InputError(
            "the image has no contrast inside the brain", remedy="Check the image and its mask.", code="no_contrast"
        )
    inside /= np.float32(scale)
    shares = _shares(priors, where)

    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(inside.size, size=min(SAMPLE_VOXELS, inside.size), replace=False))
    axes = _unit_axes(where)
    basis = _polynomials(tuple(axis[chosen] for axis in axes))
    model = _fit(inside[chosen].astype(np.float64), shares[:, chosen].astype(np.float64), basis)

    field = _field(axes, model.field)
    level = float(field.mean(dtype=np.float64))
    flat = inside / field
    labels = np.zeros(mask.shape, dtype=np.uint8)
    labels[where] = 1 + np.argmax(_log_joint(flat, shares, model.means, model.sds), axis=0).astype(np.uint8)
    return Tissue(labels, model.means * (float(scale) * level), model.sds * (float(scale) * level), model.converged)


@dataclass(frozen=True, eq=False, slots=True)
class _Model:
    means: NDArray[np.float64]
    sds: NDArray[np.float64]
    field: NDArray[np.float64]
    converged: bool


def _check(voxels: FloatArray, mask: NDArray[np.bool_], priors: FloatArray) -> None:
    if voxels.ndim != 3 or mask.shape != voxels.shape or priors.shape != (3, *voxels.shape):
        raise InputError(
            f"voxels {voxels.shape}, mask {mask.shape} and priors {priors.shape} do not share a grid",
            remedy="Carry mask and priors onto the scan's grid first.",
            code="geometry",
        )
    if not mask.any():
        raise InputError("the mask is empty", remedy="Check the mask.", code="mask_empty")


def _shares(priors: FloatArray, where: tuple[NDArray[np.intp], ...]) -> NDArray[np.float32]:
    """(3, n) priors of the mask's voxels, floored, adding up to 1."""
    shares = np.stack([np.clip(prior[where], 0.0, None).astype(np.float32) for prior in priors])
    if not (shares.max(axis=1) > 0).all():
        raise InputError(
            "a tissue prior is zero everywhere in the mask",
            remedy="Check that template and scan are aligned.",
            code="priors",
        )
    shares += PRIOR_FLOOR
    shares /= shares.sum(axis=0)
    return shares


def _unit_axes(where: tuple[NDArray[np.intp], ...]) -> tuple[NDArray[np.float32], ...]:
    """Coordinates of the mask's voxels, each axis scaled to [-1, 1] over the mask."""
    axes = []
    for index in where:
        low, high = int(index.min()), int(index.max())
        axes.append(((index - (low + high) / 2) / max((high - low) / 2, 1.0)).astype(np.float32))
    return tuple(axes)


def _powers() -> tuple[tuple[int, ...], ...]:
    return tuple(p for p in product(range(FIELD_DEGREE + 1), repeat=3) if 0 < sum(p) <= FIELD_DEGREE)


def _polynomials(axes: tuple[FloatArray, ...]) -> NDArray[np.float64]:
    """(n, m) monomials in position without the constant, which the class means carry."""
    x, y, z = (axis.astype(np.float64) for axis in axes)
    return np.stack([x**a * y**b * z**c for a, b, c in _powers()], axis=1)


def _field(axes: tuple[NDArray[np.float32], ...], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """(n,) multiplicative field at the given coordinates."""
    x, y, z = axes
    field = np.ones(x.shape, dtype=np.float32)
    for (a, b, c), weight in zip(_powers(), weights, strict=True):
        term = np.full(x.shape, weight, dtype=np.float32)
        for axis in (x,) * a + (y,) * b + (z,) * c:
            term *= axis
        field += term
    return np.clip(field, *FIELD_LIMITS)


def _log_joint(
    values: FloatArray, shares: FloatArray, means: NDArray[np.float64], sds: NDArray[np.float64]
) -> FloatArray:
    """(3, n) log of prior × Gaussian likelihood, up to one constant."""
    out = np.log(shares)
    for k, (mean, sd) in enumerate(zip(means, sds, strict=True)):
        out[k] -= 0.5 * ((values - values.dtype.type(mean)) / values.dtype.type(sd)) ** 2 + values.dtype.type(
            np.log(sd)
        )
    return out


def _fit(values: NDArray[np.float64], shares: NDArray[np.float64], basis: NDArray[np.float64]) -> _Model:
    """Means, standard deviations and field of the sample; starts from the priors alone."""
    resp = shares
    field = np.ones_like(values)
    weights = np.zeros(basis.shape[1])
    means = np.full(3, np.inf)
    sds = np.ones(3)
    for _ in range(MOST_ITERATIONS):
        flat = values / field
        mass = resp.sum(axis=1)
        before, means = means, resp @ flat / mass
        spread = (resp * (flat - means[:, None]) ** 2).sum(axis=1) / mass
        sds = np.maximum(np.sqrt(spread), SMALLEST_SD)
        if np.abs(means - before).max() < CONVERGED_AT:
            return _Model(means, sds, weights, True)
        joint = _log_joint(flat, shares, means, sds)
        resp = np.exp(joint - joint.max(axis=0))
        resp /= resp.sum(axis=0)
        weights = _field_weights(values, resp, means, sds, basis)
        field = np.clip(1.0 + basis @ weights, *FIELD_LIMITS)
    return _Model(means, sds, weights, False)


def _field_weights(
    values: NDArray[np.float64],
    resp: NDArray[np.float64],
    means: NDArray[np.float64],
    sds: NDArray[np.float64],
    basis: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Weighted least squares of values ≈ (1 + basis · weights) × expected intensity."""
    precision = resp / sds[:, None] ** 2
    total = precision.sum(axis=0)
    expected = (precision * means[:, None]).sum(axis=0) / total
    design = basis * (np.sqrt(total) * expected)[:, None]
    target = np.sqrt(total) * (values - expected)
    gram = design.T @ design
    # A touch of ridge: a mask one voxel thick along an axis leaves that axis's terms undetermined.
    gram[np.diag_indices_from(gram)] += 1e-6 * np.trace(gram) / len(gram) + 1e-12
    solved: NDArray[np.float64] = np.linalg.solve(gram, design.T @ target)
    return solved
