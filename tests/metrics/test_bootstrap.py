"""Resampling subjects: same draws as a slow loop, coverage, pairing, speed."""

from __future__ import annotations

import numpy as np
import pytest

from anomri.errors import InputError
from anomri.metrics.bootstrap import (
    bootstrap_difference,
    bootstrap_interval,
    bootstrap_mean,
    bootstrap_statistics,
    holm,
)
from anomri.metrics.detection import auroc, auroc_of, average_precision_of, oracle_fpr_at_tpr_of, oracle_tpr_at_fpr_of


def cases(rng, n=60, effect=1.0):
    abnormal = np.arange(n) >= n // 2
    return rng.normal(size=n) + effect * abnormal, abnormal, [f"s{i}" for i in range(n)]


def test_it_is_a_stratified_resampling_of_subjects():
    rng = np.random.default_rng(0)
    scores, abnormal, _ = cases(rng, 80)
    subjects = [f"s{i // 2}" for i in range(80)]
    found = bootstrap_interval(scores, abnormal, subjects, auroc_of, rng=np.random.default_rng(1), draws=4000)
    slow = []
    for _ in range(4000):
        parts = []
        for flag in (False, True):
            own = np.unique(np.flatnonzero(abnormal == flag) // 2)
            drawn = rng.choice(own, own.size)
            parts.append(np.concatenate([scores[2 * i : 2 * i + 2] for i in drawn]))
        slow.append(auroc(*parts))
    assert found.estimate == auroc(scores[~abnormal], scores[abnormal])
    assert (found.low, found.high) == pytest.approx(np.percentile(slow, [2.5, 97.5]), abs=0.015)


def test_the_interval_covers_the_true_auroc():
    truth = 0.7602499  # Φ(1/√2), the AUROC of two unit normals one apart
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        found = bootstrap_interval(*cases(rng, 100), auroc_of, rng=rng, draws=400)
        hits += found.low <= truth <= found.high
    assert 0.89 <= hits / 200 <= 0.99


def test_scans_of_one_subject_do_not_count_as_independent():
    scores, abnormal, _ = cases(np.random.default_rng(3), 40)
    thrice = np.repeat(scores, 3), np.repeat(abnormal, 3)
    by_subject = bootstrap_interval(*thrice, [f"s{i // 3}" for i in range(120)], auroc_of, rng=np.random.default_rng(4))
    by_scan = bootstrap_interval(*thrice, list(range(120)), auroc_of, rng=np.random.default_rng(4))
    assert by_subject.high - by_subject.low > 1.4 * (by_scan.high - by_scan.low)


def test_paired_differences_use_the_same_draws():
    rng = np.random.default_rng(5)
    scores, abnormal, subjects = cases(rng)
    same = bootstrap_difference(scores, scores, abnormal, subjects, auroc_of, rng=rng)
    assert same == (0.0, 0.0, 0.0, 1.0)
    close = bootstrap_difference(scores, scores + rng.normal(0, 0.1, 60), abnormal, subjects, auroc_of, rng=rng)
    apart = bootstrap_interval(scores, abnormal, subjects, auroc_of, rng=rng)
    assert close.high - close.low < 0.3 * (apart.high - apart.low)


def test_a_subject_with_cases_of_both_classes_stays_whole_and_sites_keep_their_size():
    rng = np.random.default_rng(6)
    scores, abnormal, _ = cases(rng, 40)
    subjects = [str(i % 20) for i in range(40)]
    sites = ["AB"[i % 2] for i in range(40)]
    sizes = []

    def record(counts):
        sizes.append(np.stack([counts.false[..., -1], counts.true[..., -1]]))
        return auroc_of(counts)

    bootstrap_interval(scores, abnormal, subjects, record, rng=rng, sites=sites, draws=50)
    assert all((s == 20).all() for s in sizes)
    with pytest.raises(InputError):
        bootstrap_interval(scores, abnormal, subjects, auroc_of, rng=rng, sites=["A"] * 20 + ["B"] * 20)


@pytest.mark.parametrize("statistic", [auroc_of, average_precision_of, oracle_fpr_at_tpr_of, oracle_tpr_at_fpr_of])
def test_every_statistic_lies_in_its_interval_and_repeats_from_the_seed(statistic):
    data = cases(np.random.default_rng(7))
    first, again = (bootstrap_interval(*data, statistic, rng=np.random.default_rng(8), draws=500) for _ in range(2))
    assert first == again
    assert 0 <= first.low <= first.estimate <= first.high <= 1


def test_an_empty_class_gives_nan_and_unequal_lengths_are_refused():
    rng = np.random.default_rng(9)
    assert np.isnan(bootstrap_interval([1.0, 2.0], [True, True], "ab", auroc_of, rng=rng, draws=10)).all()
    with pytest.raises(InputError):
        bootstrap_interval([1.0, 2.0], [True, False, True], "abc", auroc_of, rng=rng)


def test_slices_of_a_subject_travel_together_in_a_mean():
    rng = np.random.default_rng(10)
    per_subject = rng.normal(size=30)
    slices, owners = np.repeat(per_subject, 5), [i // 5 for i in range(150)]
    found = bootstrap_mean(slices, owners, rng=rng, draws=4000)
    assert found.estimate == pytest.approx(per_subject.mean())
    # The standard error of a mean of 30, not of 150.
    half = 1.96 * per_subject.std() / np.sqrt(30)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)


def test_a_mean_leaves_out_what_has_no_value():
    rng = np.random.default_rng(11)
    assert bootstrap_mean([1.0, np.nan, 3.0], "abc", rng=rng, draws=50).estimate == 2.0
    assert np.isnan(bootstrap_mean([np.nan], "a", rng=rng, draws=50)).all()
    with pytest.raises(InputError):
        bootstrap_mean([1.0], "ab", rng=rng)


def test_seeds_that_differ_widen_the_interval_and_seeds_that_agree_do_not():
    rng = np.random.default_rng(12)
    scores, abnormal, subjects = cases(rng, 200)

    def width(runs):
        found = bootstrap_interval(runs, abnormal, subjects, auroc_of, rng=np.random.default_rng(13))
        each = [auroc(r[~abnormal], r[abnormal]) for r in np.atleast_2d(runs)]
        assert found.estimate == pytest.approx(np.mean(each))
        return found.high - found.low

    one = width(scores)
    assert width(np.stack([scores] * 3)) == pytest.approx(one, rel=0.1)
    better = scores + 2.0 * abnormal
    assert width(np.stack([scores, scores, better])) > 1.5 * one


def test_methods_with_different_numbers_of_seeds_can_be_compared():
    rng = np.random.default_rng(14)
    scores, abnormal, subjects = cases(rng, 100, effect=0.0)
    better = np.stack([scores + 2.0 * abnormal + rng.normal(0, 0.1, 100) for _ in range(3)])
    found = bootstrap_difference(better, scores, abnormal, subjects, auroc_of, rng=rng)
    assert found.low > 0
    assert found.p == pytest.approx(2 / 2001)
    back = bootstrap_difference(scores, better, abnormal, subjects, auroc_of, rng=rng)
    assert back.high < 0
    assert back.estimate == pytest.approx(-found.estimate)


def test_without_a_difference_p_is_rarely_small():
    rng = np.random.default_rng(15)
    small = 0
    for _ in range(100):
        scores, abnormal, subjects = cases(rng, 80)
        other = scores + rng.normal(0, 0.5, 80)
        noisy = scores + rng.normal(0, 0.5, 80)
        small += bootstrap_difference(noisy, other, abnormal, subjects, auroc_of, rng=rng, draws=300).p <= 0.05
    assert small <= 12


def test_holm_is_the_step_down_of_bonferroni():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([0.02, np.nan, 0.5]) == pytest.approx([0.04, np.nan, 0.5], nan_ok=True)
    assert holm([]).size == 0


def test_an_infinite_score_is_drawn_like_any_other():
    scores = np.r_[np.zeros(20), [np.inf] * 3, np.ones(20), [np.inf] * 2]
    abnormal = np.arange(45) >= 23
    found = bootstrap_interval(scores, abnormal, list(range(45)), auroc_of, rng=np.random.default_rng(16))
    finite = bootstrap_interval(
        np.minimum(scores, 9.0), abnormal, list(range(45)), auroc_of, rng=np.random.default_rng(16)
    )
    assert found == finite


def test_figures_share_their_draws_and_two_equal_seeds_are_one():
    values = np.random.default_rng(5).normal(size=12)

    def mean(weights):
        return weights @ values / weights.sum(axis=-1)

    def intervals(*figures):
        flags, names = np.ones(12, bool), [f"s{i // 2}" for i in range(12)]
        return bootstrap_statistics(figures, flags, names, rng=np.random.default_rng(0), draws=200)

    one, shifted = intervals([mean], [lambda w: mean(w) + 1.0])
    assert shifted == pytest.approx([x + 1.0 for x in one])
    assert intervals([mean, mean])[0] == pytest.approx(one)
    # Seeds that differ widen the interval: they are drawn, too.
    (apart,) = intervals([mean, lambda w: mean(w) + 1.0])
    assert apart.estimate == pytest.approx(one.estimate + 0.5)
    assert apart.high - apart.low > one.high - one.low
