"""Thresholds that no lesion has chosen, against slow searches."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from anomri.errors import InputError
from anomri.metrics.thresholds import (
    otsu_threshold,
    robust_z_threshold,
    threshold_at_false_positive_ml,
)

NOTHING = np.full((3, 3), np.nan)
MAPS = hnp.arrays(np.float32, (3, 4), elements=st.sampled_from([0.0, 1.0, 1.5, 2.0, 4.0, math.nan]))


@settings(deadline=None, max_examples=100, derandomize=True)
@given(
    st.lists(st.tuples(MAPS, st.sampled_from([0.5, 1.0])), min_size=1, max_size=4), st.sampled_from([0.0, 0.7, 2, 9])
)
def test_it_is_the_lowest_level_with_little_enough_false_positive(scans, allowed):
    maps, voxels = [m for m, _ in scans], [v for _, v in scans]

    def mean_ml(level):
        return np.mean([(m > level).sum() * v for m, v in scans])

    found = threshold_at_false_positive_ml(maps, voxels, ml_per_scan=allowed)
    levels = sorted({-math.inf, *(x for m in maps for x in m[~np.isnan(m)].tolist())})
    assert found == next(level for level in levels if mean_ml(level) <= allowed + 1e-9)


def test_without_normals_there_is_no_threshold():
    assert math.isnan(threshold_at_false_positive_ml([], []))
    with pytest.raises(InputError):
        threshold_at_false_positive_ml([NOTHING], [])


def test_one_millilitre_of_one_millimetre_voxels_is_a_thousand_of_them():
    values = np.arange(20**3, dtype=np.float32).reshape(20, 20, 20)
    level = threshold_at_false_positive_ml([values, values], [0.001, 0.001])
    assert (values > level).sum() == 1000


def test_robust_z_is_counted_from_the_median():
    values = np.array([np.nan, 0.0, 1.0, 2.0, 3.0, 1000.0])
    assert robust_z_threshold(values, z=4.0) == pytest.approx(2.0 + 4 * 1.4826 * 1.0)
    assert math.isnan(robust_z_threshold(np.zeros(5)))


def test_otsu_separates_two_heaps_as_a_search_over_all_levels_does():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 1, 900), rng.normal(6, 1, 300), [np.nan]])
    own = values[:-1]
    _, edges = np.histogram(own, bins=256)

    def between(level):
        low, high = own[own < level], own[own >= level]
        return low.size * high.size * (low.mean() - high.mean()) ** 2

    best = max(between(e) for e in edges[1:-1])
    assert between(otsu_threshold(values)) >= 0.999 * best
    two = np.r_[np.zeros(50), np.ones(50)]
    assert 0 < otsu_threshold(two) < 1


@pytest.mark.parametrize("rule", [otsu_threshold, robust_z_threshold])
def test_thresholds_move_with_the_map_and_need_something_examined(rule):
    values = np.random.default_rng(1).exponential(size=4000)
    assert rule(values + 3.0) == pytest.approx(rule(values) + 3.0)
    assert math.isnan(rule(NOTHING))
