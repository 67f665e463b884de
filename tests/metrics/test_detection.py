"""Detection figures against scikit-learn and slow definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as oracle

from anomri.errors import InputError
from anomri.metrics.binomial import clopper_pearson
from anomri.metrics.detection import auroc, average_precision, oracle_fpr_at_tpr, oracle_tpr_at_fpr, realised_rate

SCORES = st.lists(st.one_of(st.integers(-4, 4).map(float), st.just(math.inf)), min_size=1, max_size=30)
LAWS = settings(deadline=None, max_examples=100, derandomize=True)


def labels(normal, abnormal):
    return np.r_[np.zeros(len(normal)), np.ones(len(abnormal))]


def pooled(normal, abnormal):
    # scikit-learn refuses inf; any value above the rest ranks the same.
    return np.minimum(np.r_[normal, abnormal], 99.0)


@LAWS
@given(SCORES, SCORES)
def test_auroc_is_the_share_of_pairs_in_order(normal, abnormal):
    pairs = [(a > n) + 0.5 * (a == n) for a in abnormal for n in normal]
    assert auroc(normal, abnormal) == pytest.approx(np.mean(pairs), abs=1e-12)
    assert auroc(normal, abnormal) == pytest.approx(
        oracle.roc_auc_score(labels(normal, abnormal), pooled(normal, abnormal)), abs=1e-12
    )


@LAWS
@given(SCORES, SCORES)
def test_average_precision_agrees_with_scikit_learn(normal, abnormal):
    found = average_precision(normal, abnormal)
    truth, scores = labels(normal, abnormal), pooled(normal, abnormal)
    assert found.value == pytest.approx(oracle.average_precision_score(truth, scores), abs=1e-12)
    assert found.prevalence == pytest.approx(truth.mean())
    assert found.lift == pytest.approx(found.value / truth.mean())


@LAWS
@given(SCORES, SCORES, st.sampled_from([0.01, 0.05, 0.5]))
def test_average_precision_at_another_prevalence_reweights_the_classes(normal, abnormal, prevalence):
    truth, scores = labels(normal, abnormal), pooled(normal, abnormal)
    weights = np.where(truth == 1, prevalence / len(abnormal), (1 - prevalence) / len(normal))
    expected = oracle.average_precision_score(truth, scores, sample_weight=weights)
    assert average_precision(normal, abnormal, prevalence=prevalence).value == pytest.approx(expected, abs=1e-9)


@LAWS
@given(SCORES, SCORES, st.sampled_from([0.01, 0.1, 0.5, 0.95, 1.0]))
def test_operating_points_are_the_best_over_all_thresholds(normal, abnormal, rate):
    thresholds = {*normal, *abnormal}
    points = [(np.mean(np.array(normal) >= t), np.mean(np.array(abnormal) >= t)) for t in thresholds]
    assert oracle_fpr_at_tpr(normal, abnormal, tpr=rate) == min(f for f, t in points if t >= rate)
    assert oracle_tpr_at_fpr(normal, abnormal, fpr=rate) == max([t for f, t in points if f <= rate], default=0.0)


@LAWS
@given(SCORES, SCORES, st.randoms(use_true_random=False))
def test_only_the_order_of_the_scores_matters_and_everything_stays_in_bounds(normal, abnormal, random):
    def figures(low, high):
        return (
            auroc(low, high),
            average_precision(low, high).value,
            average_precision(low, high, prevalence=0.05).value,
            oracle_fpr_at_tpr(low, high, tpr=0.8),
            oracle_tpr_at_fpr(low, high, fpr=0.1),
        )

    found = figures(normal, abnormal)
    assert all(0 <= x <= 1 + 1e-12 for x in found)
    shuffled = random.sample(normal, len(normal)), random.sample(abnormal, len(abnormal))
    assert figures(*shuffled) == pytest.approx(found)
    assert figures(*(np.arctan(np.array(s)) for s in (normal, abnormal))) == pytest.approx(found)
    assert auroc(abnormal, normal) == pytest.approx(1 - found[0])


def test_a_refused_scan_ranks_above_every_score_and_ties_with_another_refused_one():
    assert auroc([0.0, 1e300], [math.inf]) == 1.0
    assert auroc([math.inf], [math.inf]) == 0.5
    assert auroc([math.inf, 0.0], [1.0]) == 0.5
    assert oracle_tpr_at_fpr([math.inf, 0.0], [math.inf, 1.0], fpr=0.1) == 0.0


def test_an_empty_class_gives_nan():
    for value in (auroc([], [1.0]), auroc([1.0], []), oracle_fpr_at_tpr([], [1.0]), oracle_tpr_at_fpr([1.0], [])):
        assert math.isnan(value)
    assert all(math.isnan(x) for x in average_precision([], [1.0]))
    assert math.isnan(realised_rate([], 0.0).rate)


def test_a_score_that_is_no_number_is_refused():
    for call in (lambda: auroc([math.nan], [1.0]), lambda: realised_rate([math.nan], 0.0)):
        with pytest.raises(InputError):
            call()
    with pytest.raises(InputError):
        average_precision([0.0], [1.0], prevalence=1.0)


def test_the_realised_rate_counts_what_lies_strictly_above():
    rate = realised_rate([0.0, 1.0, 1.0, 2.0, math.inf], 1.0)
    assert (rate.rate, rate.alarms, rate.n) == (0.4, 2, 5)
    assert rate.low < 0.4 < rate.high


@pytest.mark.parametrize(("k", "n"), [(0, 1), (0, 60), (3, 60), (59, 60), (60, 60)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_exact_interval_agrees_with_scipy(k, n, confidence):
    expected = stats.binomtest(k, n).proportion_ci(confidence_level=confidence, method="exact")
    assert clopper_pearson(k, n, confidence=confidence) == pytest.approx((expected.low, expected.high), rel=1e-9)


@pytest.mark.parametrize(("k", "n", "confidence"), [(1, 0, 0.95), (3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)])
def test_impossible_counts_are_refused(k, n, confidence):
    with pytest.raises(InputError):
        clopper_pearson(k, n, confidence=confidence)
