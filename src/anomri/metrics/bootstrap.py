"""Intervals of a figure by resampling subjects.

The subject is the unit: all cases of a subject (slices, lesions, scans) come and go together. Subjects are drawn with
replacement within strata, so that every draw has as many normal and abnormal subjects (and as many of each site) as the
data. A draw is a row of whole weights, so a statistic is computed for hundreds of draws at once. Where a method was
trained with several seeds, every draw also draws seeds, and the figure is their mean.

References: Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993, chapters 8, 13 and 15 (percentile interval,
test); Davison and Hinkley, *Bootstrap Methods and their Application*, 1997, section 3.8 (hierarchical data).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anomri.errors import InputError
from anomri.metrics.detection import Order, Scores, Statistic, checked_scores

__all__ = [
    "Difference",
    "Interval",
    "WeightStatistic",
    "bootstrap_difference",
    "bootstrap_interval",
    "bootstrap_mean",
    "bootstrap_statistics",
    "holm",
]

Floats = NDArray[np.float64]
Flags = Sequence[bool] | NDArray[np.bool_]
# (draws, n) weights of the cases → (draws,) values.
WeightStatistic = Callable[[Floats], Floats]
# Draws at a time: at most so many, and so few that the weights of all cases stay within 16 megabytes.
CHUNK = 250
CHUNK_WEIGHTS = 2_000_000


class Interval(NamedTuple):
    """The statistic of the data itself and a percentile interval."""

    estimate: float
    low: float
    high: float


class Difference(NamedTuple):
    """`Interval` of a difference, and the two-sided p-value of no difference from the same draws (see `holm`)."""

    estimate: float
    low: float
    high: float
    p: float


def bootstrap_interval(
    scores: Scores,
    abnormal: Flags,
    subjects: Sequence[Hashable],
    statistic: Statistic,
    *,
    rng: np.random.Generator,
    sites: Sequence[Hashable] | None = None,
    draws: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """Interval of a detection figure over subjects, and over seeds where there are several.

    Parameters
    ----------
    scores : (n,) of the cases, or (seeds, n) of the same cases by models of several seeds; higher is more abnormal.
    abnormal, subjects : (n,) of the cases.
    statistic : of `Counts`, e.g. `auroc_of`.
    rng : source of the draws.
    sites : (n,) further strata, one a subject; None for a single site.
    draws : number of resamples.
    confidence : in (0, 1).

    Returns
    -------
    `Interval`, the estimate being the mean over seeds; `nan` where a class is empty.

    Raises
    ------
    InputError : lengths differ, a score is `nan`, a subject has two sites.
    """
    runs = _statistics(scores, abnormal, statistic)
    estimates, drawn = _resample([runs], abnormal, subjects, rng=rng, sites=sites, draws=draws)
    return _interval(float(estimates[0]), drawn[0], confidence)


def bootstrap_difference(
    first: Scores,
    second: Scores,
    abnormal: Flags,
    subjects: Sequence[Hashable],
    statistic: Statistic,
    *,
    rng: np.random.Generator,
    sites: Sequence[Hashable] | None = None,
    draws: int = 2000,
    confidence: float = 0.95,
) -> Difference:
    """Interval of statistic(first) − statistic(second), two scores of the same cases, on the same draws of subjects.

    Parameters and errors as for `bootstrap_interval`. Each score may have its own number of seeds; these are drawn
    independently.

    Returns
    -------
    `Difference`; `nan` where a class is empty.
    """
    runs = [_statistics(scores, abnormal, statistic) for scores in (first, second)]
    estimates, drawn = _resample(runs, abnormal, subjects, rng=rng, sites=sites, draws=draws)
    estimate, differences = float(estimates[0] - estimates[1]), drawn[0] - drawn[1]
    if np.isnan(differences).any():
        return Difference(estimate, float("nan"), float("nan"), float("nan"))
    tail = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    return Difference(*_interval(estimate, differences, confidence), min(1.0, 2.0 * (1 + tail) / (draws + 1)))


def bootstrap_statistics(
    figures: Sequence[Sequence[WeightStatistic]],
    abnormal: Flags,
    subjects: Sequence[Hashable],
    *,
    rng: np.random.Generator,
    sites: Sequence[Hashable] | None = None,
    draws: int = 2000,
    confidence: float = 0.95,
) -> tuple[Interval, ...]:
    """Intervals of figures that can be computed from weighted cases, all on the same draws of subjects.

    Parameters as for `bootstrap_interval`, but for `figures`: of each figure one function a seed, (draws, n) weights →
    (draws,), e.g. of `froc_sensitivities_of`.

    Returns
    -------
    `Interval` of each; `nan` where it is undefined in a draw.

    Raises
    ------
    InputError : lengths differ, a subject has two sites.
    """
    estimates, drawn = _resample(figures, abnormal, subjects, rng=rng, sites=sites, draws=draws)
    return tuple(_interval(float(own), row, confidence) for own, row in zip(estimates, drawn, strict=True))


def bootstrap_mean(
    values: Sequence[float] | NDArray[np.floating],
    subjects: Sequence[Hashable],
    *,
    rng: np.random.Generator,
    sites: Sequence[Hashable] | None = None,
    draws: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """Interval of a mean over cases of one class: Dice of scans, hits of lesions, alarms.

    Parameters
    ----------
    values : (n,) of the cases; those that are `nan` have no value and are left out.
    subjects, rng, sites, draws, confidence : as for `bootstrap_interval`.

    Returns
    -------
    `Interval`; `nan` where no case has a value.

    Raises
    ------
    InputError : lengths differ, a subject has two sites.
    """
    every = np.asarray(values, dtype=np.float64)
    if every.size != len(subjects) or (sites is not None and len(sites) != every.size):
        raise InputError("values, subjects and sites differ in length", remedy="Give one of each.", code="lengths")
    kept = np.flatnonzero(~np.isnan(every))
    if kept.size == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    (found,) = bootstrap_statistics(
        [[lambda weights: weights @ every[kept] / weights.sum(axis=-1)]],
        np.ones(kept.size, dtype=bool),
        [subjects[i] for i in kept.tolist()],
        rng=rng,
        sites=None if sites is None else [sites[i] for i in kept.tolist()],
        draws=draws,
        confidence=confidence,
    )
    return found


def holm(p_values: Sequence[float] | NDArray[np.floating]) -> Floats:
    """P-values of a family of planned comparisons, adjusted so that a false one among them is as rare as stated.

    Parameters
    ----------
    p_values : (n,) in [0, 1]; a comparison that is undefined (`nan`) stays so and is not counted.

    Returns
    -------
    (n,) adjusted, in the given order.

    References
    ----------
    Holm, Scandinavian Journal of Statistics 6, 1979.
    """
    every = np.asarray(p_values, dtype=np.float64)
    out = np.full(every.shape, np.nan)
    kept = np.flatnonzero(~np.isnan(every))
    order = kept[np.argsort(every[kept], kind="stable")]
    out[order] = np.minimum(np.maximum.accumulate(every[order] * np.arange(order.size, 0, -1)), 1.0)
    return out


def _statistics(scores: Scores, abnormal: Flags, statistic: Statistic) -> list[WeightStatistic]:
    """The statistic as a function of case weights, one a seed."""
    flags = np.asarray(abnormal, dtype=bool)
    rows = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    if rows.shape[1] != flags.size or flags.size == 0:
        raise InputError("scores and labels differ in length", remedy="Give one of each.", code="lengths")

    def of_seed(row: Floats) -> WeightStatistic:
        order = Order(checked_scores(row), flags)
        return lambda weights: statistic(order.counts(weights))

    return [of_seed(row) for row in rows]


def _resample(
    runs: Sequence[Sequence[WeightStatistic]],
    abnormal: Flags,
    subjects: Sequence[Hashable],
    *,
    rng: np.random.Generator,
    sites: Sequence[Hashable] | None,
    draws: int,
) -> tuple[Floats, Floats]:
    """Of m methods with their seeds: (m,) of the data and (m, draws) of the same draws of subjects."""
    flags = np.asarray(abnormal, dtype=bool)
    n = flags.size
    if n == 0 or len(subjects) != n or (sites is not None and len(sites) != n):
        raise InputError("labels, subjects and sites differ in length", remedy="Give one of each.", code="lengths")
    data = np.ones((1, n))
    estimates = np.array([np.mean([seed(data)[0] for seed in seeds]) for seeds in runs])
    drawn = np.empty((len(runs), draws))
    done = 0
    for weights in _weights(flags, subjects, sites, rng=rng, draws=draws):
        size = len(weights)
        for row, seeds in zip(drawn, runs, strict=True):
            times = rng.multinomial(len(seeds), np.full(len(seeds), 1.0 / len(seeds)), size=size)
            values = np.stack([seed(weights) for seed in seeds], axis=-1)
            row[done : done + size] = (times * values).sum(axis=-1) / len(seeds)
        done += size
    return estimates, drawn


def _weights(
    abnormal: NDArray[np.bool_],
    subjects: Sequence[Hashable],
    sites: Sequence[Hashable] | None,
    *,
    rng: np.random.Generator,
    draws: int,
) -> Iterator[Floats]:
    """How often each case stands in each draw, (≤ CHUNK, n) at a time."""
    index = {subject: i for i, subject in enumerate(dict.fromkeys(subjects))}
    case = np.array([index[s] for s in subjects])
    strata = [group for group in _strata(abnormal, case, sites) if group.size]
    chunk = max(1, min(CHUNK, CHUNK_WEIGHTS // case.size))
    for start in range(0, draws, chunk):
        size = min(chunk, draws - start)
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


def _interval(estimate: float, drawn: Floats, confidence: float) -> Interval:
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(drawn, [tail, 100.0 - tail])
    return Interval(estimate, float(low), float(high))
