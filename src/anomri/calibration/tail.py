"""How far out a score lies among the scores of normal scans.

Two conventions hold everywhere here:

* Higher is more abnormal, and a tie counts against the scan's abnormality: p = (1 + #{normal ≥ score}) / (n + 1).
* A threshold is exceeded by a score strictly above it, and then ``score > threshold(normals, rate)`` says exactly what
  ``p_value(score, normals) <= rate`` says, ties and rounding included.

References: Vovk, Gammerman, Shafer, *Algorithmic Learning in a Random World*, 2005 (the p-value and its validity);
David and Nagaraja, *Order Statistics*, 3rd ed., 2003, section 7.1 (the interval of a quantile).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from anomri.core.score import robust_centre_spread
from anomri.errors import CalibrationError
from anomri.metrics.binomial import clopper_pearson

__all__ = [
    "centre_spread",
    "finding_level",
    "normals_needed",
    "p_value",
    "p_value_interval",
    "rate_note",
    "robust_z",
    "smallest_rate",
    "threshold",
    "threshold_interval",
    "verdict",
]

Scores = Sequence[float] | NDArray[np.floating]
# Below about three expected exceedances, one or two odd normals decide where the threshold lies.
STEADY_COUNT = 3


def p_value(score: float, normals: Scores) -> float:
    """Share of normal scans at least as abnormal as this one, the scan itself counted among them.

    Parameters
    ----------
    score : finite.
    normals : (n,) finite scores of normal scans, n ≥ 1, any order, ties allowed.

    Returns
    -------
    p in [1 / (n + 1), 1]. Where the scan is exchangeable with the normals, P(p ≤ α) ≤ α for every α.

    Raises
    ------
    CalibrationError : a score is not finite, or there is no normal.
    """
    values = _checked(normals)
    return (1 + _at_least(score, values)) / (values.size + 1)


def p_value_interval(score: float, normals: Scores, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the probability that a normal scan scores at least this much, given how few normals were seen.

    Returns
    -------
    (low, high) in [0, 1]: Clopper–Pearson on the k = #{normal ≥ score} of n. Holds the `p_value`.

    Raises
    ------
    CalibrationError : a score is not finite, or there is no normal.
    """
    values = _checked(normals)
    return clopper_pearson(_at_least(score, values), values.size, confidence=confidence)


def threshold(normals: Scores, rate: float) -> float:
    """The score a normal scan exceeds with probability at most `rate`.

    Returns
    -------
    The ⌈(n + 1)(1 − rate)⌉-th smallest of the n scores. ``score > threshold`` exactly where ``p_value <= rate``.

    Raises
    ------
    CalibrationError : `rate` is finer than n normals can show, a score is not finite, or there is no normal.
    """
    values = np.sort(_checked(normals))
    # p ≤ rate allows (ranks − 1) normals at or above the score, so the ranks-th largest must lie below it.
    return float(values[values.size - _ranks_within(rate, values.size)])


def threshold_interval(normals: Scores, rate: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the (1 − rate) quantile of the scores of all normal scans, from order statistics.

    Returns
    -------
    (low, high): two of the n scores, or ∓inf where n normals cannot bound that side.

    Raises
    ------
    CalibrationError : as for `threshold`.
    """
    values = np.sort(_checked(normals))
    _ranks_within(rate, values.size)
    tail = (1.0 - confidence) / 2.0
    # at_most[k] = P(no more than k of the n normals lie below the quantile)
    at_most = special.bdtr(np.arange(values.size + 1, dtype=np.float64), values.size, 1.0 - rate)
    low = int(np.count_nonzero(at_most <= tail))
    high = int(np.argmax(at_most >= 1.0 - tail)) + 1
    return (
        float(values[low - 1]) if low >= 1 else -math.inf,
        float(values[high - 1]) if high <= values.size else math.inf,
    )


def finding_level(peaks: Scores, rate: float) -> float:
    """The heatmap value that a normal scan exceeds anywhere with probability at most `rate`.

    Parameters
    ----------
    peaks : (n,) largest heatmap value of each normal scan.

    Returns
    -------
    `threshold` of the peaks: one level for the whole map, so that the number of voxels is accounted for.

    Raises
    ------
    CalibrationError : as for `threshold`.
    """
    return threshold(peaks, rate)


def smallest_rate(n: int) -> float:
    """The finest false-alarm rate n normals can show: 1 / (n + 1)."""
    return 1.0 / (n + 1)


def normals_needed(rate: float) -> int:
    """The smallest number of normals that can show `rate`: ⌈1 / rate⌉ − 1.

    Raises
    ------
    CalibrationError : `rate` is not in (0, 1).
    """
    _check_rate(rate)
    n = max(math.ceil(1.0 / rate) - 2, 1)
    while smallest_rate(n) > rate:
        n += 1
    return n


def rate_note(rate: float, n: int) -> str | None:
    """A sentence of warning for a rate finer than 3 / (n + 1), else None."""
    if rate >= STEADY_COUNT / (n + 1):
        return None
    return (
        f"A false-alarm rate of {rate:g} from {n} normal scans hangs on the one or two oddest of them; "
        f"{normals_needed(rate / STEADY_COUNT)} would make it steady."
    )


def centre_spread(normals: Scores) -> tuple[float, float | None]:
    """Median and robust standard deviation of scores.

    Returns
    -------
    (median, spread): 1.4826 · MAD; the sample standard deviation where more than half of the scores are equal and the
    MAD is 0; None where all are equal, or there is only one.

    Raises
    ------
    CalibrationError : a score is not finite, or there is none.
    """
    values = _checked(normals)
    centre, spread = robust_centre_spread(values)
    if math.isfinite(spread):
        return centre, spread
    if values.size < 2 or values.min() == values.max():
        return centre, None
    return centre, float(values.std(ddof=1))


def robust_z(score: float, normals: Scores) -> float | None:
    """How many robust standard deviations (`centre_spread`) a score lies above the normals' median.

    Returns
    -------
    Negative below the median; None where the normals do not vary.

    Raises
    ------
    CalibrationError : a score is not finite, or there is no normal.
    """
    centre, spread = centre_spread(normals)
    if not math.isfinite(score):
        raise _not_finite()
    return None if spread is None else (score - centre) / spread


def verdict(p: float, alarm_rate: float) -> Literal["pass", "warn", "fail"]:
    """``fail`` at p ≤ R, ``warn`` at p ≤ 2R, else ``pass``.

    Raises
    ------
    CalibrationError : p is not in (0, 1] or R not in (0, 0.5).
    """
    check_alarm_rate(alarm_rate)
    if not 0.0 < p <= 1.0:
        raise CalibrationError(f"{p} is not a p-value", remedy="Report this scan.", code="p_value")
    if p <= alarm_rate:
        return "fail"
    return "warn" if p <= 2.0 * alarm_rate else "pass"


def check_alarm_rate(rate: float) -> None:
    """Raise `CalibrationError` unless 0 < rate < 0.5 (twice the rate is where warnings begin)."""
    if not 0.0 < rate < 0.5:
        raise CalibrationError(f"an alarm rate of {rate}", remedy="Give one between 0 and 0.5.", code="rate")


def _check_rate(rate: float) -> None:
    if not 0.0 < rate < 1.0:
        raise CalibrationError(f"a false-alarm rate of {rate}", remedy="Give one between 0 and 1.", code="rate")


def _ranks_within(rate: float, n: int) -> int:
    """The largest j with j / (n + 1) ≤ rate, compared in floating point as a p-value would be."""
    _check_rate(rate)
    ranks = math.floor(rate * (n + 1))
    # The product may round across an integer (0.29 · 100 is 28.999…), the division of integers does not.
    if (ranks + 1) / (n + 1) <= rate:
        ranks += 1
    elif ranks / (n + 1) > rate:
        ranks -= 1
    if ranks < 1:
        raise CalibrationError(
            f"a false-alarm rate of {rate:g} is finer than {n} normal scans can show (smallest {smallest_rate(n):.3g})",
            remedy=f"It takes at least {normals_needed(rate)} normal scans, or a larger rate.",
            code="too_few_normals",
        )
    return ranks


def _at_least(score: float, values: NDArray[np.float64]) -> int:
    if not math.isfinite(score):
        raise _not_finite()
    return int(np.count_nonzero(values >= score))


def _checked(normals: Scores) -> NDArray[np.float64]:
    values = np.asarray(normals, dtype=np.float64).ravel()
    if values.size == 0:
        raise CalibrationError("there is no normal scan to compare with", remedy="Calibrate first.", code="no_normals")
    if not np.isfinite(values).all():
        raise _not_finite()
    return values


def _not_finite() -> CalibrationError:
    return CalibrationError("a score is not finite", remedy="Report this scan.", code="score")
