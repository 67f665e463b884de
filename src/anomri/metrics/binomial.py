"""The exact interval of a proportion, and the counts that a known one gives."""

from __future__ import annotations

import numpy as np
from scipy import special

from anomri.errors import InputError

__all__ = ["clopper_pearson", "expected_counts"]


def clopper_pearson(successes: int, trials: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a proportion.

    Parameters
    ----------
    successes : 0 ≤ successes ≤ trials.
    trials : at least 1.
    confidence : in (0, 1).

    Returns
    -------
    (low, high) in [0, 1]; covers the true proportion with at least `confidence`, whatever it is.

    Raises
    ------
    InputError : the counts or the confidence are out of range.

    References
    ----------
    Clopper and Pearson, Biometrika 26, 1934.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise InputError(f"{successes} of {trials} is no proportion", remedy="Give 0 ≤ k ≤ n, n ≥ 1.", code="counts")
    if not 0 < confidence < 1:
        raise InputError(f"a confidence of {confidence}", remedy="Give one between 0 and 1.", code="confidence")
    tail = (1.0 - confidence) / 2.0
    misses = trials - successes
    low = float(special.betaincinv(successes, misses + 1, tail)) if successes else 0.0
    high = float(special.betaincinv(successes + 1, misses, 1.0 - tail)) if misses else 1.0
    return low, high


def expected_counts(trials: int, rate: float, *, confidence: float = 0.95) -> tuple[int, int]:
    """Counts between which a binomial variable falls with at least this confidence: its quantiles of both equal tails.

    Parameters
    ----------
    trials : at least 0.
    rate : probability of a success, in [0, 1].

    Returns
    -------
    (low, high) in 0 … trials; each the smallest count whose cumulative probability reaches its tail.

    Raises
    ------
    InputError : trials, rate or confidence are out of range.
    """
    if trials < 0 or not 0.0 <= rate <= 1.0 or not 0.0 < confidence < 1.0:
        raise InputError(
            f"{trials} trials at a rate of {rate} with a confidence of {confidence}",
            remedy="Give at least none, and a rate and a confidence between 0 and 1.",
            code="counts",
        )
    cumulative = special.bdtr(np.arange(trials + 1, dtype=np.float64), trials, rate)
    tail = (1.0 - confidence) / 2.0
    low, high = np.minimum(np.searchsorted(cumulative, (tail, 1.0 - tail)), trials)
    return int(low), int(high)
