"""The exact interval of a proportion."""

from __future__ import annotations

from scipy import special

from anomri.errors import InputError

__all__ = ["clopper_pearson"]


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
