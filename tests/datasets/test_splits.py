"""Splits by subject: nobody stands on both sides, and the order of the scans decides nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomri.datasets.splits import folds_by_subject, hold_out_by_subject
from anomri.errors import CalibrationError

subjects = st.lists(st.integers(0, 30).map(lambda n: f"sub-{n:02d}"), min_size=1, max_size=60)


@settings(max_examples=60)
@given(subjects, st.integers(2, 6), st.integers(0, 99), st.randoms(use_true_random=False))
def test_folds_keep_subjects_together_are_even_and_do_not_hang_on_order(people, count, seed, random):
    if len(set(people)) < count:
        with pytest.raises(CalibrationError):
            folds_by_subject(people, count, seed=seed)
        return
    folds = dict(zip(people, folds_by_subject(people, count, seed=seed), strict=True))
    assert list(folds_by_subject(people, count, seed=seed)) == [folds[p] for p in people]
    sizes = np.bincount(list(folds.values()), minlength=count)
    assert len(sizes) == count
    assert sizes.max() - sizes.min() <= 1
    shuffled = list(people)
    random.shuffle(shuffled)
    assert dict(zip(shuffled, folds_by_subject(shuffled, count, seed=seed), strict=True)) == folds


@settings(max_examples=60)
@given(subjects, st.floats(0.05, 0.9), st.integers(0, 99))
def test_a_hold_out_takes_whole_subjects_about_the_share_and_at_least_two(people, share, seed):
    distinct = set(people)
    count = max(2, round(share * len(distinct)))
    if count >= len(distinct):
        with pytest.raises(CalibrationError):
            hold_out_by_subject(people, share, seed=seed)
        return
    held = hold_out_by_subject(people, share, seed=seed)
    inside = {p for p, out in zip(people, held, strict=True) if out}
    assert len(inside) == count
    assert not inside & {p for p, out in zip(people, held, strict=True) if not out}


def test_seeds_split_differently():
    people = [f"sub-{n}" for n in range(40)]
    splits = {folds_by_subject(people, 5, seed=seed) for seed in range(5)}
    assert len(splits) == 5
    assert len({hold_out_by_subject(people, 0.2, seed=seed) for seed in range(5)}) == 5
