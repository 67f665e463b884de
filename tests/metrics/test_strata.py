"""Figures within groups, against pairs counted one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomri.errors import InputError
from anomri.metrics.detection import auroc
from anomri.metrics.strata import (
    auroc_within,
    contrast_stratum,
    position_binned_auroc,
    rates_within,
    summary,
    volume_stratum,
)

CASES = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0, 2.0, math.inf]), st.booleans(), st.sampled_from("ABC")),
    min_size=1,
    max_size=30,
)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(CASES)
def test_only_pairs_of_the_same_stratum_are_compared(cases):
    pairs = [(s1 > s0) + 0.5 * (s1 == s0) for s0, y0, g0 in cases for s1, y1, g1 in cases if g0 == g1 and y1 and not y0]
    scores, abnormal, strata = zip(*cases, strict=True)
    found = auroc_within(scores, abnormal, strata)
    assert found.pooled == pytest.approx(np.mean(pairs) if pairs else math.nan, nan_ok=True)
    for name, value in found.by_stratum.items():
        own = [[s for s, y, g in cases if g == name and y == flag] for flag in (False, True)]
        assert value == pytest.approx(auroc(*own), nan_ok=True)


def test_a_score_that_is_only_the_slice_position_looks_good_until_it_is_binned():
    positions = np.tile(np.linspace(0, 1, 100), 20)
    rng = np.random.default_rng(0)
    abnormal = rng.random(positions.size) < 0.8 * np.exp(-(((positions - 0.5) / 0.15) ** 2))
    score = -np.abs(np.round(positions, 1) - 0.5)
    assert auroc(score[~abnormal], score[abnormal]) > 0.8
    binned = position_binned_auroc(score, abnormal, positions, bins=50)
    assert binned.pooled == pytest.approx(0.5, abs=0.06)
    assert set(binned.by_stratum) == set(range(50))


def test_positions_outside_the_stack_and_unequal_lengths_are_refused():
    with pytest.raises(InputError):
        position_binned_auroc([0.0], [True], [1.2])
    with pytest.raises(InputError):
        auroc_within([0.0, 1.0], [True], ["A"])
    with pytest.raises(InputError):
        rates_within([True], [])


@pytest.mark.parametrize(
    ("volume", "name"),
    [(0.05, "< 0.1 ml"), (0.1, "0.1–1 ml"), (1.0, "1–10 ml"), (10.0, "> 10 ml"), (900.0, "> 10 ml")],
)
def test_lesions_are_sorted_by_volume(volume, name):
    assert volume_stratum(volume) == name


def test_lesions_are_sorted_by_contrast():
    assert [contrast_stratum(c) for c in (0.5, 1.0, 2.0, math.nan)] == ["< 1 SD", "1–2 SD", "> 2 SD", "undefined"]


def test_hits_are_counted_in_each_stratum():
    found = rates_within([True, False, True], ["a", "a", "b"])
    assert (found["a"].rate, found["a"].n, found["b"].alarms) == (0.5, 2, 1)


def test_a_summary_names_what_is_undefined():
    assert summary([1.0, math.nan, 2.0, 6.0]) == (3.0, 2.0, 3, 1)
    assert summary([math.nan])[2:] == (0, 1)
    assert math.isnan(summary([]).mean)
