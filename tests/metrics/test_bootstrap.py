"""Resampling subjects: same draws as a slow loop, coverage, pairing, speed."""

from __future__ import annotations

import numpy as np
import pytest

from anomri.errors import InputError
from anomri.metrics.bootstrap import bootstrap_difference, bootstrap_interval
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
