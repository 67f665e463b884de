"""How far a few scans of a site move the statistics of normals: by the formula, and by laws it must keep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomri.training.moving import moved_centre, moved_spread

value = st.floats(-100, 100)
positive = st.floats(0.01, 100)


def array(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def test_a_centre_goes_as_far_as_the_formula_says():
    # d² = 4, v = π/2 / 8: w = 1 − 0.19635 / 4.
    moved = moved_centre(array(1.0), array(5.0), array(2.0), 8, together=False)
    assert moved == pytest.approx(1.0 + 4.0 * (1.0 - np.pi / 16.0 / 4.0))


def test_what_chance_explains_moves_nothing():
    assert moved_centre(array(1.0), array(1.2), array(1.0), 8, together=False) == pytest.approx(1.0)


def test_a_map_moves_as_a_whole_and_metrics_one_by_one():
    own, site, spread = np.zeros(2), array(0.1, 5.0), np.ones(2)
    apart = moved_centre(own, site, spread, 10, together=False)
    assert apart[0] == 0.0
    weight = 1.0 - np.pi / 20.0 / np.mean([0.01, 25.0])
    assert moved_centre(own, site, spread, 10, together=True) == pytest.approx(weight * site)


@given(value, value, positive, st.integers(3, 500))
def test_a_moved_centre_lies_between_both_and_nearer_to_the_site_the_more_scans(own, site, spread, count):
    few, many = (moved_centre(array(own), array(site), array(spread), n, together=False)[0] for n in (count, 2 * count))
    low, high = min(own, site), max(own, site)
    assert low - 1e-9 <= few <= high + 1e-9
    assert abs(many - site) <= abs(few - site) + 1e-9


@given(positive, positive, st.integers(3, 500))
def test_a_moved_spread_lies_between_both_and_an_equal_one_stays(own, site, count):
    moved = moved_spread(array(own), array(site), count)[0]
    assert min(own, site) * (1 - 1e-9) <= moved <= max(own, site) * (1 + 1e-9)
    assert moved_spread(array(own), array(own), count)[0] == pytest.approx(own)


def test_ten_scans_of_a_site_count_as_much_as_the_model():
    assert moved_spread(array(1.0), array(3.0), 10)[0] == pytest.approx(np.sqrt(5.0), rel=0.01)


def test_moving_with_enough_scans_lowers_the_error_of_a_centre():
    """Against both alternatives, over sites drawn around the model's: staying, and taking the site's median."""
    rng = np.random.default_rng(0)
    shift, count = 0.6, 8
    truths = shift * rng.standard_normal(4000)
    medians = np.median(truths[:, None] + rng.standard_normal((4000, count)), axis=1)
    moved = moved_centre(np.zeros(4000), medians, np.ones(4000), count, together=True)
    error = np.mean((moved - truths) ** 2)
    assert error < np.mean(truths**2)
    assert error < np.mean((medians - truths) ** 2)
