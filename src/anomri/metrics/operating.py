"""What a threshold set on other normal scans does: sensitivity, realised false alarms, and what an alarm is worth.

The headline of every table. The threshold comes from calibration normals that serve nothing else; abnormal cases never
touch it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from anomri.errors import InputError
from anomri.metrics.detection import Rate, Scores, checked_scores, realised_rate

__all__ = ["OperatingPoint", "alarms_per_100", "conformal_threshold", "operating_point", "ppv"]


class OperatingPoint(NamedTuple):
    """A threshold in use.

    `gap` is the realised minus the nominal false-alarm rate; `refused_normal` and `refused_abnormal` count the scores
    of +inf, which are among the alarms.
    """

    threshold: float
    sensitivity: Rate
    false_alarms: Rate
    gap: float
    refused_normal: int
    refused_abnormal: int


def conformal_threshold(calibration: Scores, rate: float) -> float:
    """The score that another normal scan exceeds with probability at most `rate`.

    Parameters
    ----------
    calibration : (n,) scores of calibration normals; +inf for a refused one.
    rate : nominal false-alarm rate α in (0, 1).

    Returns
    -------
    The ⌈(n + 1)(1 − α)⌉-th smallest of the n; `nan` where α < 1 / (n + 1), which n normals cannot show.

    Raises
    ------
    InputError : a score is `nan`, or the rate is not in (0, 1).

    References
    ----------
    Vovk, Gammerman, Shafer, *Algorithmic Learning in a Random World*, 2005.
    """
    if not 0 < rate < 1:
        raise InputError(f"a false-alarm rate of {rate}", remedy="Give one between 0 and 1.", code="rate")
    values = np.sort(checked_scores(calibration))
    # As divisions, a p-value's own arithmetic: (n + 1)(1 − α) may round across an integer.
    p_values = np.arange(1, values.size + 1) / (values.size + 1)
    within = np.count_nonzero(p_values <= rate)
    return float(values[values.size - within]) if within else float("nan")


def operating_point(normal: Scores, abnormal: Scores, *, calibration: Scores, rate: float) -> OperatingPoint:
    """Sensitivity and realised false alarms at the `conformal_threshold`.

    Parameters
    ----------
    normal, abnormal : (n₀,) and (n₁,) scores of the tested cases, one a subject; +inf for a refused one.
    calibration, rate : as for `conformal_threshold`.

    Returns
    -------
    `OperatingPoint`; rates are `nan` where a class is empty or the threshold undefined.

    Raises
    ------
    InputError : as for `conformal_threshold`.
    """
    threshold = conformal_threshold(calibration, rate)
    false_alarms = realised_rate(normal, threshold)
    return OperatingPoint(
        threshold=threshold,
        sensitivity=realised_rate(abnormal, threshold),
        false_alarms=false_alarms,
        gap=false_alarms.rate - rate,
        refused_normal=int(np.count_nonzero(np.isposinf(normal))),
        refused_abnormal=int(np.count_nonzero(np.isposinf(abnormal))),
    )


def ppv(sensitivity: float, false_alarm_rate: float, *, prevalence: float) -> float:
    """Share of alarms that are abnormal where a share `prevalence` of all scans is.

    Returns
    -------
    In [0, 1]; `nan` where nothing is an alarm or a rate is `nan`.

    Raises
    ------
    InputError : the prevalence is not in (0, 1).
    """
    if not 0 < prevalence < 1:
        raise InputError(f"a prevalence of {prevalence}", remedy="Give one between 0 and 1.", code="prevalence")
    hits, false = prevalence * sensitivity, (1.0 - prevalence) * false_alarm_rate
    return float("nan") if hits + false == 0 else hits / (hits + false)


def alarms_per_100(false_alarm_rate: float) -> float:
    """False alarms in 100 normal scans."""
    return 100.0 * false_alarm_rate
