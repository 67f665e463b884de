"""p-values, thresholds and verdicts against their definitions, and the laws they obey."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from anomri.calibration import (
    finding_level,
    normals_needed,
    p_value,
    p_value_interval,
    robust_z,
    smallest_rate,
    threshold,
    threshold_interval,
    verdict,
)
from anomri.calibration.tail import rate_note
from anomri.errors import CalibrationError

# Few distinct values, so that ties are common.
SCORES = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=40)
SCORE = st.floats(-5, 5, allow_nan=False).map(lambda x: round(2 * x) / 2)
RATE = st.one_of(st.floats(0.01, 0.99), st.integers(1, 99).map(lambda i: i / 100))
LAWS = settings(deadline=None, max_examples=150, derandomize=True)


@LAWS
@given(SCORE, SCORES)
def test_p_counts_the_normals_at_least_as_abnormal_and_the_scan_itself(score, normals):
    p = p_value(score, normals)
    assert p == sum(c >= score for c in [*normals, score]) / (len(normals) + 1)
    assert smallest_rate(len(normals)) <= p <= 1


@LAWS
@given(SCORE, SCORE, SCORES)
def test_a_higher_score_never_gets_a_higher_p(a, b, normals):
    low, high = sorted((a, b))
    assert p_value(high, normals) <= p_value(low, normals)


@LAWS
@given(SCORE, SCORES, RATE)
def test_exceeding_the_threshold_is_having_p_at_most_the_rate(score, normals, rate):
    if rate < smallest_rate(len(normals)):
        with pytest.raises(CalibrationError) as caught:
            threshold(normals, rate)
        assert caught.value.code == "too_few_normals"
        assert str(normals_needed(rate)) in caught.value.remedy
    else:
        assert (score > threshold(normals, rate)) == (p_value(score, normals) <= rate)


@pytest.mark.parametrize("n", [19, 60, 99, 100])
@pytest.mark.parametrize("percent", range(6, 100))
def test_the_threshold_is_the_order_statistic_of_the_formula(n, percent):
    normals = np.arange(1.0, n + 1)
    # In integers, so that no rounding is shared with the implementation.
    assert threshold(normals, percent / 100) == -((n + 1) * (100 - percent) // -100)


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.01, 1 / 3, 0.29, 0.07])
def test_normals_needed_is_the_smallest_number_that_suffices(rate):
    n = normals_needed(rate)
    assert smallest_rate(n) <= rate < smallest_rate(n - 1)
    threshold(np.arange(float(n)), rate)


def test_ties_are_conservative():
    assert p_value(1.0, [1.0] * 19) == 1.0
    assert threshold([1.0] * 19, 0.05) == 1.0
    assert p_value(1.0, [0.0] * 18 + [1.0]) == 0.1


@pytest.mark.parametrize(("n", "decimals"), [(19, 6), (60, 6), (60, 0)])
def test_exchangeable_normals_raise_no_more_alarms_than_asked_for(n, decimals):
    draws = np.random.default_rng(1).normal(size=(4000, n + 1)).round(decimals)
    p = np.array([p_value(row[0], row[1:]) for row in draws])
    for rate in (0.05, 0.1, 0.2):
        realised = np.mean(p <= rate)
        assert realised <= rate + 3 * math.sqrt(rate * (1 - rate) / len(draws))
    if decimals:
        assert np.mean(p <= 0.2) == pytest.approx(math.floor(0.2 * (n + 1)) / (n + 1), abs=0.025)


@LAWS
@given(SCORE, SCORES)
def test_the_interval_holds_the_p_value(score, normals):
    low, high = p_value_interval(score, normals)
    assert 0 <= low <= p_value(score, normals) <= high <= 1


def test_the_interval_agrees_with_scipy():
    normals = np.arange(60.0)
    low, high = p_value_interval(57.0, normals)
    oracle = stats.binomtest(3, 60).proportion_ci(method="exact")
    assert (low, high) == pytest.approx((oracle.low, oracle.high), rel=1e-9)


def test_the_threshold_interval_covers_the_true_quantile():
    rng = np.random.default_rng(2)
    truth = stats.norm.ppf(0.9)
    intervals = [threshold_interval(rng.normal(size=60), 0.1) for _ in range(2000)]
    covered = np.mean([low <= truth <= high for low, high in intervals])
    assert 0.945 <= covered <= 0.995


def test_a_threshold_that_the_normals_cannot_bound_from_above_says_so():
    normals = np.arange(19.0)
    low, high = threshold_interval(normals, 0.05)
    assert high == math.inf
    assert low < threshold(normals, 0.05)


def test_robust_z_is_in_standard_deviations_and_survives_outliers():
    normals = np.random.default_rng(3).normal(10, 2, 5000)
    normals[:20] = 1e6
    assert robust_z(16.0, normals) == pytest.approx(3, abs=0.2)


def test_robust_z_falls_back_where_most_scores_are_equal():
    normals = [1.0] * 6 + [2.0, 3.0]
    assert robust_z(2.0, normals) == pytest.approx(1 / np.std(normals, ddof=1))
    assert robust_z(2.0, [1.0, 1.0]) is None
    assert robust_z(2.0, [1.0]) is None


def test_the_verdict_turns_at_the_rate_and_at_twice_the_rate():
    assert [verdict(p, 0.05) for p in (0.01, 0.05, 0.051, 0.1, 0.101, 1.0)] == [
        "fail",
        "fail",
        "warn",
        "warn",
        "pass",
        "pass",
    ]


def test_a_finding_level_is_a_threshold_of_peaks():
    peaks = np.random.default_rng(4).gumbel(size=60)
    assert np.mean(peaks > finding_level(peaks, 0.1)) <= 0.1


def test_a_rate_that_hangs_on_one_or_two_normals_carries_a_note():
    assert rate_note(0.05, 59) is None
    assert "59" in (rate_note(0.05, 19) or "")


@pytest.mark.parametrize(
    "call",
    [
        lambda: p_value(math.nan, [1.0]),
        lambda: p_value(math.inf, [1.0]),
        lambda: p_value(1.0, [math.nan, 1.0]),
        lambda: p_value(1.0, []),
        lambda: p_value_interval(math.nan, [1.0]),
        lambda: robust_z(math.nan, [1.0, 2.0]),
        lambda: threshold([math.nan] * 30, 0.1),
        lambda: threshold([1.0] * 30, math.nan),
        lambda: threshold([1.0] * 30, 1.0),
        lambda: verdict(math.nan, 0.05),
        lambda: verdict(0.0, 0.05),
        lambda: verdict(0.5, math.nan),
        lambda: verdict(0.5, 0.5),
        lambda: normals_needed(0.0),
    ],
)
def test_what_is_not_a_number_never_becomes_a_verdict(call):
    with pytest.raises(CalibrationError):
        call()
