"""The subject's own threshold: known curves give back their numbers, failures fall back and say so."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomri.metrics.slope import SlopeRule, map_curve, normal_slope, pick_threshold, slope_threshold

T = np.arange(1, 101, dtype=np.float64)


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.floats(1e-3, 50.0), st.floats(0.005, 0.0156))
def test_an_exact_tangent_gives_back_its_constants_and_the_measured_value(a, b):
    curve = a * np.tan(b * T)
    slope = a * b / np.cos(b * T) ** 2
    gamma = float(np.sqrt(slope[60] * slope[61]))
    found = pick_threshold(curve, SlopeRule(gamma))
    assert found.path == "fit"
    assert (found.a, found.b) == (pytest.approx(a, rel=1e-3), pytest.approx(b, rel=1e-3))
    assert found.r2 == pytest.approx(1.0)
    np.testing.assert_allclose(found.slope, slope, rtol=1e-2)
    assert found.step == 62
    assert found.threshold == curve[61]


def test_the_threshold_is_the_measured_value_not_the_fitted_one():
    noisy = 0.1 * np.tan(0.015 * T) + 0.01 * np.sin(T)
    found = pick_threshold(noisy, SlopeRule(0.01))
    assert found.path == "fit"
    assert found.step is not None
    assert found.threshold == noisy[found.step - 1]
    assert found.threshold != pytest.approx(found.a * math.tan(found.b * found.step), rel=1e-6)


def test_a_straight_line_has_one_slope_everywhere():
    below, above = (pick_threshold(0.02 * T, SlopeRule(gamma)) for gamma in (0.03, 0.015))
    np.testing.assert_allclose(below.slope, 0.02, rtol=0.05)
    assert below.step is None
    assert above.step == 1


def test_a_curve_that_never_rises_steeply_has_no_threshold():
    found = pick_threshold(0.1 * np.tan(0.01 * T), SlopeRule(gamma=1.0))
    assert (found.step, found.threshold) == (None, None)


@pytest.mark.parametrize("level", [0.0, 2.0])
def test_a_constant_curve_falls_back(level):
    found = pick_threshold(np.full(100, level), SlopeRule(gamma=0.5))
    assert found.path.startswith("differences")
    # τ(0) is 0: five steps average the one rise there is, to 2/3 at the cut end.
    assert found.step == (1 if level else None)


def test_early_outliers_leave_too_few_points_to_fit():
    curve = np.r_[0.1, 0.2, np.full(98, 50.0)]
    found = pick_threshold(curve, SlopeRule(gamma=1.0, limit=10.0))
    assert found.path == "differences: too few points"
    assert math.isnan(found.a)
    assert found.step == 1


def test_points_from_the_limit_on_are_not_fitted():
    curve = 0.5 * np.tan(0.0155 * T)
    broken = np.where(T > 90, 1000.0, curve)
    found = pick_threshold(broken, SlopeRule(gamma=1e9, limit=100.0))
    assert found.path == "fit"
    assert (found.a, found.b) == (pytest.approx(0.5, rel=1e-3), pytest.approx(0.0155, rel=1e-3))


def test_a_poor_fit_falls_back_to_differences_over_five_steps():
    curve = np.where(T < 60, 0.0, 5.0)
    found = pick_threshold(curve, SlopeRule(gamma=0.9))
    assert found.path == "differences: poor fit"
    slow = [
        np.mean([curve[j] - (curve[j - 1] if j else 0.0) for j in range(max(0, i - 2), min(100, i + 3))])
        for i in range(100)
    ]
    np.testing.assert_allclose(found.slope, slow)
    assert found.step == 58
    assert found.threshold == 0.0


def test_gamma_is_a_quantile_over_normals_of_the_steepest_slope_before_their_last_voxels():
    curves = [a * np.tan(0.0155 * T) for a in (1.0, 2.0, 3.0)]
    at_98 = [a * 0.0155 / np.cos(0.0155 * 98) ** 2 for a in (1.0, 2.0, 3.0)]
    found = normal_slope(curves, SlopeRule(0.0), share=0.02, quantile=0.5)
    assert found == pytest.approx(at_98[1], rel=1e-3)
    steps = [pick_threshold(curve, SlopeRule(found * 1.001)).step for curve in curves]
    assert steps[0] is None or steps[0] > 98
    assert steps[1] == 99
    assert steps[2] in range(90, 99)


def test_any_map_has_a_curve_of_its_quantiles():
    values = np.random.default_rng(0).permutation(np.arange(1000, dtype=np.float32)).reshape(10, 10, 10)
    values[0, 0, 0] = np.nan
    curve = map_curve(values)
    own = np.sort(values[~np.isnan(values)])
    assert [curve[t - 1] for t in (1, 50, 100)] == [own[999 * t // 100 - 1] - own[0] for t in (1, 50, 100)]


def test_a_map_with_a_steep_end_has_a_threshold_and_a_flat_one_has_none():
    rng = np.random.default_rng(1)
    flat = rng.uniform(size=20_000)
    steep = np.r_[flat, rng.uniform(1, 30, size=1000)]
    gamma = normal_slope([map_curve(rng.uniform(size=20_000)) for _ in range(5)], SlopeRule(0.0))
    assert slope_threshold(flat, SlopeRule(10 * gamma)) == math.inf
    assert 0.5 < slope_threshold(steep, SlopeRule(10 * gamma)) < 6.0


def test_the_threshold_moves_with_the_map_and_needs_something_examined():
    values = np.random.default_rng(1).exponential(size=4000)
    rule = SlopeRule(gamma=0.1)
    assert slope_threshold(values + 3.0, rule) == pytest.approx(slope_threshold(values, rule) + 3.0)
    assert math.isnan(slope_threshold(np.full((3, 3), np.nan), rule))
