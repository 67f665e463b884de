"""Counts a known rate gives, against scipy's quantile function."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from anomri.errors import InputError
from anomri.metrics.binomial import expected_counts


@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.integers(1, 400), st.floats(1e-6, 1.0 - 1e-6), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_counts_are_the_quantiles_of_both_tails(trials, rate, confidence):
    tail = (1.0 - confidence) / 2.0
    for count, share in zip(expected_counts(trials, rate, confidence=confidence), (tail, 1.0 - tail), strict=True):
        assert stats.binom.cdf(count, trials, rate) >= share - 1e-12
        assert count == 0 or stats.binom.cdf(count - 1, trials, rate) < share + 1e-12


@pytest.mark.parametrize(("trials", "rate"), [(60, 0.05), (5000, 0.05), (5000, 0.1), (11, 0.01), (20, 0.5)])
def test_the_counts_are_those_of_scipy(trials, rate):
    assert expected_counts(trials, rate) == tuple(int(n) for n in stats.binom.interval(0.95, trials, rate))


def test_certainty_leaves_no_room():
    assert expected_counts(7, 0.0) == (0, 0)
    assert expected_counts(7, 1.0) == (7, 7)
    assert expected_counts(0, 0.3) == (0, 0)


@pytest.mark.parametrize(
    ("trials", "rate", "confidence"), [(-1, 0.1, 0.95), (3, 1.2, 0.95), (3, float("nan"), 0.95), (3, 0.1, 1.0)]
)
def test_impossible_counts_are_refused(trials, rate, confidence):
    with pytest.raises(InputError):
        expected_counts(trials, rate, confidence=confidence)
