"""Splits by subject: nobody stands on both sides, and the order of the scans decides nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomri.datasets.record import Record
from anomri.datasets.splits import folds_by_subject, sides_of
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


def test_seeds_split_differently():
    people = [f"sub-{n}" for n in range(40)]
    splits = {folds_by_subject(people, 5, seed=seed) for seed in range(5)}
    assert len(splits) == 5


SHARES = {"train": 0.6, "calibrate": 0.2, "test": 0.2}
people_at_sites = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["a", "b", "c"])), min_size=1, max_size=80)


def records(pairs) -> list[Record]:
    return [
        Record("made", Path(f"{n}.nii.gz"), subject=f"sub-{person}-{n}", group=f"family-{person}", site=site)
        for n, (person, site) in enumerate(pairs)
    ]


@settings(max_examples=80)
@given(people_at_sites, st.integers(0, 99), st.booleans(), st.randoms(use_true_random=False))
def test_families_stay_together_and_sides_get_their_share_in_any_order(pairs, seed, stratify, random):
    made = records(pairs)
    families = {record.group for record in made}
    if len(families) < 3:
        with pytest.raises(CalibrationError):
            sides_of(made, SHARES, seed=seed, stratify_by_site=stratify)
        return
    sides = sides_of(made, SHARES, seed=seed, stratify_by_site=stratify)
    side = dict(zip((record.group for record in made), sides, strict=True))
    assert list(sides) == [side[record.group] for record in made]
    counts = Counter(side.values())
    assert all(abs(counts[name] - share * len(families)) < 2 for name, share in SHARES.items())
    shuffled = list(made)
    random.shuffle(shuffled)
    again = sides_of(shuffled, SHARES, seed=seed, stratify_by_site=stratify)
    assert dict(zip((record.path for record in shuffled), again, strict=True)) == dict(
        zip((record.path for record in made), sides, strict=True)
    )


def test_stratified_each_side_gets_its_share_of_every_site():
    made = records([(n, "abc"[n % 3]) for n in range(150)])
    sides = sides_of(made, SHARES, seed=3, stratify_by_site=True)
    counts = Counter(zip((record.site for record in made), sides, strict=True))
    assert all(abs(counts[site, name] - 50 * share) <= 2 for site in "abc" for name, share in SHARES.items())


@settings(max_examples=60)
@given(people_at_sites, st.integers(0, 99))
def test_kept_by_site_neither_a_site_nor_a_family_is_torn_apart(pairs, seed):
    made = records(pairs)
    try:
        sides = sides_of(made, {"train": 1, "test": 1}, seed=seed, keep="site")
    except CalibrationError:
        return
    for name in ("site", "group"):
        of = {}
        for record, side in zip(made, sides, strict=True):
            assert of.setdefault(getattr(record, name), side) == side
    assert len(set(sides)) == 2


def test_a_traveller_ties_two_sites_together():
    made = records([(1, "a"), (1, "b"), (2, "a"), (3, "b"), (4, "c")])
    sides = sides_of(made, {"train": 1, "test": 1}, seed=0, keep="site")
    assert len(set(sides[:4])) == 1
    assert sides[4] != sides[0]


@pytest.mark.parametrize(
    ("shares", "code"), [({}, "shares"), ({"train": 0.8, "test": 0.0}, "shares"), (SHARES, "too_few_normals")]
)
def test_impossible_splits_are_refused(shares, code):
    with pytest.raises(CalibrationError) as caught:
        sides_of(records([(1, "a"), (2, "a")]), shares, seed=0)
    assert caught.value.code == code


def test_a_split_by_site_needs_sites():
    made = [Record("made", Path("a"), subject="a", group="a"), Record("made", Path("b"), subject="b", group="b")]
    for keep, stratify in (("site", False), ("group", True)):
        with pytest.raises(CalibrationError) as caught:
            sides_of(made, {"train": 1, "test": 1}, seed=0, keep=keep, stratify_by_site=stratify)
        assert caught.value.code == "no_site"
