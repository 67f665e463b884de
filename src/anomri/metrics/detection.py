"""How well scan scores tell abnormal from normal.

Higher scores are more abnormal. ``auroc``, ``average_precision`` and ``tpr`` are better when higher, ``fpr`` lower.
A score of +inf is allowed (a refused scan counts as an alarm, whoever it belongs to), `nan` never is. Where a number is
undefined because a class is empty it is `nan`, never 0. What is called ``oracle`` takes its threshold from the tested
cases.

Everything rests on one table, `Counts`: how many normal and abnormal cases score at least each value that occurs. Its
arrays may carry leading axes, one row a bootstrap draw, so that resampling needs no loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anomri.errors import InputError
from anomri.metrics.binomial import clopper_pearson

__all__ = [
    "AveragePrecision",
    "Counts",
    "Order",
    "Rate",
    "Statistic",
    "auroc",
    "auroc_of",
    "average_precision",
    "average_precision_of",
    "checked_scores",
    "oracle_fpr_at_tpr",
    "oracle_fpr_at_tpr_of",
    "oracle_tpr_at_fpr",
    "oracle_tpr_at_fpr_of",
    "rate_of",
    "realised_rate",
]

Scores = Sequence[float] | NDArray[np.floating]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Counts:
    """Cases at or above each of the k distinct scores, highest first.

    Parameters
    ----------
    false, true : (..., k) numbers (or summed weights) of normal and of abnormal cases; non-decreasing along k, the
        last column holds the class sizes.
    """

    false: Floats
    true: Floats

    @property
    def fpr(self) -> Floats:
        """(..., k) false-positive rate; `nan` without normals."""
        return _ratio(self.false, self.false[..., -1:])

    @property
    def tpr(self) -> Floats:
        """(..., k) true-positive rate; `nan` without abnormals."""
        return _ratio(self.true, self.true[..., -1:])


Statistic = Callable[[Counts], Floats]


class AveragePrecision(NamedTuple):
    """Area under the precision–recall steps, the prevalence it holds at, and the quotient of both."""

    value: float
    prevalence: float
    lift: float


class Rate(NamedTuple):
    """A proportion with its exact 95 % interval: `alarms` of `n` cases."""

    rate: float
    low: float
    high: float
    alarms: int
    n: int


class Order:
    """The order of pooled scores, found once and used for every draw of weights."""

    def __init__(self, scores: Floats, abnormal: NDArray[np.bool_]) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ordered = scores[self._order]
        # Compared, not subtracted: inf − inf is nan.
        self._last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) if scores.size else np.array([], int)
        self._abnormal = abnormal[self._order]

    def counts(self, weights: Floats) -> Counts:
        """`Counts` of cases weighted by `weights` (..., n)."""
        ordered = weights[..., self._order]
        true = np.cumsum(ordered * self._abnormal, axis=-1)
        false = np.cumsum(ordered * ~self._abnormal, axis=-1)
        return Counts(false=false[..., self._last], true=true[..., self._last])


def auroc_of(counts: Counts) -> Floats:
    """(...,) area under the ROC curve: P(s₁ > s₀) + ½ P(s₁ = s₀)."""
    true, false = counts.true, counts.false
    step = np.diff(false, axis=-1, prepend=0.0)
    height = true - 0.5 * np.diff(true, axis=-1, prepend=0.0)
    return _ratio((step * height).sum(axis=-1), true[..., -1] * false[..., -1])


def average_precision_of(counts: Counts, *, prevalence: float | None = None) -> Floats:
    """(...,) Σ (Rₙ − Rₙ₋₁) Pₙ over the distinct scores, without interpolation.

    Parameters
    ----------
    prevalence : the classes are reweighted to this share of abnormal cases; None keeps them as they are.
    """
    recall = counts.tpr
    if prevalence is None:
        precision = _ratio(counts.true, counts.true + counts.false)
    else:
        hits = prevalence * recall
        precision = _ratio(hits, hits + (1.0 - prevalence) * counts.fpr)
    gain = np.diff(recall, axis=-1, prepend=0.0)
    # In a draw of weights the highest scores may all have weight 0: no precision, but no gain either.
    area: Floats = np.where(gain > 0, gain * precision, 0.0).sum(axis=-1)
    return _defined(area, counts)


def oracle_fpr_at_tpr_of(counts: Counts, *, tpr: float = 0.95) -> Floats:
    """(...,) smallest false-positive rate of all thresholds with at least this true-positive rate."""
    return _defined(np.where(counts.tpr >= tpr, counts.fpr, np.inf).min(axis=-1), counts)


def oracle_tpr_at_fpr_of(counts: Counts, *, fpr: float = 0.05) -> Floats:
    """(...,) largest true-positive rate of all thresholds with at most this false-positive rate."""
    return _defined(np.where(counts.fpr <= fpr, counts.tpr, 0.0).max(axis=-1), counts)


def auroc(normal: Scores, abnormal: Scores) -> float:
    """Probability that an abnormal case scores above a normal one, ties counting half.

    Parameters
    ----------
    normal, abnormal : (n₀,) and (n₁,) scores, higher is more abnormal.

    Returns
    -------
    In [0, 1], 0.5 is chance; `nan` where a class is empty.

    Raises
    ------
    InputError : a score is `nan`.

    References
    ----------
    Hanley and McNeil, Radiology 143, 1982.
    """
    return _single(auroc_of, normal, abnormal)


def average_precision(normal: Scores, abnormal: Scores, *, prevalence: float | None = None) -> AveragePrecision:
    """Step-wise area under the precision–recall curve; comparable between sets of the same prevalence only.

    Parameters
    ----------
    prevalence : in (0, 1); the value at that share of abnormal cases instead of the share in the set.

    Returns
    -------
    Value in (0, 1], prevalence (what a random score reaches), lift = value / prevalence; `nan` where a class is empty.

    Raises
    ------
    InputError : a score is `nan`, or the prevalence is not in (0, 1).
    """
    if prevalence is not None and not 0 < prevalence < 1:
        raise InputError(f"a prevalence of {prevalence}", remedy="Give one between 0 and 1.", code="prevalence")
    value = _single(lambda c: average_precision_of(c, prevalence=prevalence), normal, abnormal)
    n, m = np.size(normal), np.size(abnormal)
    share = float("nan") if n * m == 0 else m / (n + m) if prevalence is None else prevalence
    return AveragePrecision(value, share, value / share)


def oracle_fpr_at_tpr(normal: Scores, abnormal: Scores, *, tpr: float = 0.95) -> float:
    """Smallest false-positive rate at which at least `tpr` of the abnormal cases are found.

    An oracle: the threshold comes from the tested cases. `nan` where a class is empty; InputError for a `nan` score.
    """
    return _single(lambda c: oracle_fpr_at_tpr_of(c, tpr=tpr), normal, abnormal)


def oracle_tpr_at_fpr(normal: Scores, abnormal: Scores, *, fpr: float = 0.05) -> float:
    """Largest true-positive rate at which at most `fpr` of the normal cases are alarms.

    An oracle: the threshold comes from the tested cases. `nan` where a class is empty; InputError for a `nan` score.
    """
    return _single(lambda c: oracle_tpr_at_fpr_of(c, fpr=fpr), normal, abnormal)


def realised_rate(scores: Scores, threshold: float) -> Rate:
    """Share of cases above a threshold fixed beforehand, with its exact interval.

    Parameters
    ----------
    scores : (n,) of independent cases (one a subject): of normals for the realised false-alarm rate, of abnormals for
        the sensitivity.
    threshold : exceeded by a score strictly above it, as in `anomri.calibration`; a score of +inf is always an alarm.

    Returns
    -------
    `Rate`; all `nan` where n = 0 or the threshold is `nan`.

    Raises
    ------
    InputError : a score is `nan`.
    """
    values = checked_scores(scores)
    if np.isnan(threshold):
        return Rate(float("nan"), float("nan"), float("nan"), 0, values.size)
    return rate_of(int(np.count_nonzero((values > threshold) | np.isposinf(values))), values.size)


def rate_of(alarms: int, n: int) -> Rate:
    """`Rate` of counts; `nan` where n = 0. InputError unless 0 ≤ alarms ≤ n."""
    if n == 0:
        return Rate(float("nan"), float("nan"), float("nan"), 0, 0)
    return Rate(alarms / n, *clopper_pearson(alarms, n), alarms, n)


def checked_scores(scores: Scores) -> Floats:
    """Flat float64 scores; InputError where one is `nan`."""
    values = np.asarray(scores, dtype=np.float64).ravel()
    if np.isnan(values).any():
        raise InputError("a score is not a number", remedy="Score every case; a refused one is +inf.", code="score")
    return values


def _single(statistic: Statistic, normal: Scores, abnormal: Scores) -> float:
    low, high = checked_scores(normal), checked_scores(abnormal)
    if low.size == 0 or high.size == 0:
        return float("nan")
    pooled = np.concatenate([low, high])
    order = Order(pooled, np.arange(pooled.size) >= low.size)
    return float(statistic(order.counts(np.ones(pooled.size))))


def _ratio(top: Floats, bottom: Floats) -> Floats:
    out = np.full(np.broadcast_shapes(top.shape, bottom.shape), np.nan)
    np.divide(top, bottom, out=out, where=np.broadcast_to(bottom > 0, out.shape))
    return out


def _defined(values: Floats, counts: Counts) -> Floats:
    return np.where((counts.true[..., -1] > 0) & (counts.false[..., -1] > 0), values, np.nan)
