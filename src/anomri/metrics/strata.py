"""The same figures within groups: slice positions, ages, sites, lesion sizes; and over subjects."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anomri.errors import InputError
from anomri.metrics.detection import Rate, Scores, auroc, checked_scores, rate_of

__all__ = [
    "CONTRAST_STRATA",
    "VOLUME_STRATA",
    "Summary",
    "Within",
    "auroc_within",
    "contrast_stratum",
    "position_binned_auroc",
    "rates_within",
    "summary",
    "volume_stratum",
]

# Upper bounds in ml; a lesion belongs to the first it lies below.
VOLUME_STRATA = {"< 0.1 ml": 0.1, "0.1–1 ml": 1.0, "1–10 ml": 10.0, "> 10 ml": float("inf")}
# Upper bounds in standard deviations of the tissue around.
CONTRAST_STRATA = {"< 1 SD": 1.0, "1–2 SD": 2.0, "> 2 SD": float("inf")}


class Within(NamedTuple):
    """AUROC over pairs of the same stratum only, and of each stratum by itself (`nan` where it lacks a class)."""

    pooled: float
    by_stratum: Mapping[Hashable, float]


class Summary(NamedTuple):
    """Mean and median over the `n` subjects that have a value; `undefined` counts those with `nan`."""

    mean: float
    median: float
    n: int
    undefined: int


def auroc_within(scores: Scores, abnormal: Sequence[bool] | NDArray[np.bool_], strata: Sequence[Hashable]) -> Within:
    """AUROC that compares cases of the same stratum only, so that the stratum itself cannot be what is detected.

    Parameters
    ----------
    scores, abnormal, strata : (n,) of the cases: slices by position, subjects by decade of age, by site, …

    Returns
    -------
    `Within`; pooled is the share of pairs in order among all pairs within strata, ties counting half (the
    stratum-adjusted AUROC with pair weights), `nan` where no stratum has both classes.

    Raises
    ------
    InputError : lengths differ, or a score is `nan`.

    References
    ----------
    Janes and Pepe, Biometrika 96, 2009 (covariate-adjusted ROC).
    """
    values, flags = checked_scores(scores), np.asarray(abnormal, dtype=bool)
    if not values.size == flags.size == len(strata):
        raise InputError("scores, labels and strata differ in length", remedy="Give one of each.", code="lengths")
    index = {stratum: i for i, stratum in enumerate(dict.fromkeys(strata))}
    member = np.array([index[s] for s in strata], dtype=int)
    by_stratum: dict[Hashable, float] = {}
    ordered, pairs = 0.0, 0
    for stratum, i in index.items():
        own, own_flags = values[member == i], flags[member == i]
        by_stratum[stratum] = auroc(own[~own_flags], own[own_flags])
        count = int(own_flags.sum()) * int((~own_flags).sum())
        if count:
            ordered += by_stratum[stratum] * count
            pairs += count
    return Within(ordered / pairs if pairs else float("nan"), by_stratum)


def position_binned_auroc(
    scores: Scores,
    abnormal: Sequence[bool] | NDArray[np.bool_],
    positions: Sequence[float] | NDArray[np.floating],
    *,
    bins: int = 10,
) -> Within:
    """Slice AUROC between slices of about the same position; end slices are easy to tell from central ones.

    Parameters
    ----------
    scores, abnormal : (n,) of the slices.
    positions : (n,) place of the slice in its stack, 0 at one end to 1 at the other.
    bins : number of equally wide bins.

    Returns
    -------
    `Within`, strata 0 … bins − 1.

    Raises
    ------
    InputError : as for `auroc_within`, or a position outside [0, 1].
    """
    places = np.asarray(positions, dtype=np.float64)
    if not ((places >= 0) & (places <= 1)).all():
        raise InputError(
            "a slice position outside 0 to 1", remedy="Divide by the length of the stack.", code="position"
        )
    return auroc_within(scores, abnormal, np.minimum((places * bins).astype(int), bins - 1).tolist())


def volume_stratum(volume_ml: float) -> str:
    """Name of the stratum of a lesion volume, one of `VOLUME_STRATA`."""
    return next(name for name, bound in VOLUME_STRATA.items() if volume_ml < bound)


def contrast_stratum(contrast: float) -> str:
    """Name of the stratum of a lesion's contrast (see `contrasts_of`), one of `CONTRAST_STRATA`."""
    return next((name for name, bound in CONTRAST_STRATA.items() if contrast < bound), "undefined")


def rates_within(hits: Sequence[bool] | NDArray[np.bool_], strata: Sequence[Hashable]) -> dict[Hashable, Rate]:
    """Share of hits in each stratum, e.g. of lesions found by `volume_stratum`.

    The exact interval takes the cases as independent; lesions of one patient are not: see `bootstrap_mean`.

    Raises
    ------
    InputError : lengths differ.
    """
    if len(hits) != len(strata):
        raise InputError("hits and strata differ in length", remedy="Give one of each.", code="lengths")
    found: dict[Hashable, list[bool]] = {}
    for hit, stratum in zip(hits, strata, strict=True):
        found.setdefault(stratum, []).append(bool(hit))
    return {stratum: rate_of(sum(own), len(own)) for stratum, own in found.items()}


def summary(values: Sequence[float] | NDArray[np.floating]) -> Summary:
    """Mean and median over subjects; `nan` where none has a value."""
    every = np.asarray(values, dtype=np.float64)
    own = every[~np.isnan(every)]
    if own.size == 0:
        return Summary(float("nan"), float("nan"), 0, every.size)
    return Summary(float(own.mean()), float(np.median(own)), own.size, every.size - own.size)
