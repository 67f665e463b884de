"""Intervals of a detection figure by resampling subjects.

The subject is the unit: all cases of a subject come and go together. Subjects are drawn with replacement within strata,
so that every draw has as many normal and abnormal subjects (and as many of each site) as the data. A draw is a row of
whole weights, so a statistic is computed for hundreds of draws at once from `Counts`.

Reference: Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993, chapters 8 and 13 (percentile interval).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anomri.errors import InputError
from anomri.metrics.detection import Order, Scores, Statistic, checked_scores

__all__ = ["Interval", "bootstrap_difference", "bootstrap_interval"]

# Draws at a time: keeps the weights of some thousand cases within a few megabytes.
CHUNK = 250


class Interval(NamedTuple):
    """The statistic of the data itself and a percentile interval."""

    estimate: float
    low: float
    high: float


def bootstrap_interval(
    scores: Scores,
    abnormal: Sequence[bool] | NDArray[np.bool_],
    subjects: Sequence[Hashable],
    statistic: Statistic,
    *,
    rng: np.random.Generator,
    sites: Sequence[Hashable] | None = None,
    draws: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """Interval of a statistic over subjects.

    Parameters
    ----------
    scores, abnormal, subjects : (n,) of the cases; higher scores are more abnormal.
    statistic : of `Counts`, e.g. `auroc_of`.
    rng : source of the draws.
    sites : (n,) further strata, one a subject; None for a single site.
    draws : number of resamples.
    confidence : in (0, 1).

    Returns
    -------
    `Interval`; `nan` where a class is empty.

    Raises
    ------
    InputError : lengths differ, a score is `nan`, a subject has two sites.
    """
    estimates, drawn = _resample([scores], abnormal, subjects, statistic, rng=rng, sites=sites, draws=draws)
    return _percentiles(float(estimates[0]), drawn[0], confidence)


def bootstrap_difference(
    first: Scores,
    second: Scores,
    abnormal: Sequence[bool] | NDArray[np.bool_],
    subjects: Sequence[Hashable],
    statistic: Statistic,
    *,
    rng: np.random.Generator,
    sites: Sequence[Hashable] | None = None,
    draws: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """Interval of statistic(first) − statistic(second), two scores of the same cases, on the same draws.

    Parameters, returns and errors as for `bootstrap_interval`.
    """
    estimates, drawn = _resample([first, second], abnormal, subjects, statistic, rng=rng, sites=sites, draws=draws)
    return _percentiles(float(estimates[0] - estimates[1]), drawn[0] - drawn[1], confidence)


def _resample(
    scores: Sequence[Scores],
    abnormal: Sequence[bool] | NDArray[np.bool_],
    subjects: Sequence[Hashable],
    statistic: Statistic,
    *,
    rng: np.random.Generator,
    sites: Sequence[Hashable] | None,
    draws: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The statistic of each set of scores: (m,) of the data and (m, draws) of the same draws."""
    values = [checked_scores(s) for s in scores]
    flags = np.asarray(abnormal, dtype=bool)
    n = flags.size
    if n == 0 or any(size != n for size in (*(v.size for v in values), len(subjects))):
        raise InputError("scores, labels and subjects differ in length", remedy="Give one of each.", code="lengths")
    orders = [Order(v, flags) for v in values]
    estimates = np.array([float(statistic(order.counts(np.ones(n)))) for order in orders])
    drawn = np.empty((len(orders), draws))
    done = 0
    for weights in _weights(flags, subjects, sites, rng=rng, draws=draws):
        for row, order in zip(drawn, orders, strict=True):
            row[done : done + len(weights)] = statistic(order.counts(weights))
        done += len(weights)
    return estimates, drawn


def _weights(
    abnormal: NDArray[np.bool_],
    subjects: Sequence[Hashable],
    sites: Sequence[Hashable] | None,
    *,
    rng: np.random.Generator,
    draws: int,
) -> Iterator[NDArray[np.float64]]:
    """How often each case stands in each draw, (≤ CHUNK, n) at a time."""
    index = {subject: i for i, subject in enumerate(dict.fromkeys(subjects))}
    case = np.array([index[s] for s in subjects])
    strata = [group for group in _strata(abnormal, case, sites) if group.size]
    for start in range(0, draws, CHUNK):
        size = min(CHUNK, draws - start)
        times = np.zeros((size, len(index)))
        for group in strata:
            times[:, group] = rng.multinomial(group.size, np.full(group.size, 1.0 / group.size), size=size)
        yield times[:, case]


def _strata(
    abnormal: NDArray[np.bool_], case: NDArray[np.int_], sites: Sequence[Hashable] | None
) -> list[NDArray[np.int_]]:
    """Subjects with the same classes and the same site; one with cases of both classes is a stratum of its own kind."""
    kinds: dict[int, set[Hashable]] = {}
    places: dict[int, set[Hashable]] = {}
    for i, subject in enumerate(case.tolist()):
        kinds.setdefault(subject, set()).add(bool(abnormal[i]))
        places.setdefault(subject, set()).add(None if sites is None else sites[i])
    if any(len(p) > 1 for p in places.values()):
        raise InputError("a subject stands at two sites", remedy="Give each subject one site.", code="sites")
    groups: dict[tuple[frozenset[Hashable], frozenset[Hashable]], list[int]] = {}
    for subject, kind in kinds.items():
        groups.setdefault((frozenset(kind), frozenset(places[subject])), []).append(subject)
    return [np.array(group) for group in groups.values()]


def _percentiles(estimate: float, drawn: NDArray[np.float64], confidence: float) -> Interval:
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(drawn, [tail, 100.0 - tail])
    return Interval(estimate, float(low), float(high))
