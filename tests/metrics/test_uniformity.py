"""P-values of normals against scipy and simulated scans."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from anomri.calibration import p_value
from anomri.errors import InputError
from anomri.metrics.uniformity import family_wise_rate, share_below, uniformity, voxel_share_below


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_distance_agrees_with_scipy(power):
    p = np.random.default_rng(0).random(77) ** power
    found = uniformity(p)
    assert found.ks == pytest.approx(stats.kstest(p, "uniform").statistic)
    assert found.excess == pytest.approx(stats.kstest(p, "uniform", alternative="greater").statistic)
    assert uniformity(p[::-1]) == found


def test_worked_cases():
    assert uniformity([0.5]) == (0.5, 0.5)
    assert uniformity([1.0, 1.0]) == (1.0, 0.0)
    assert all(math.isnan(x) for x in uniformity([]))
    rate = share_below([0.01, 0.05, 0.2, 1.0], 0.05, calibration=99)
    assert (rate.alarms, rate.n, rate.rate) == (2, 4, 0.5)


def test_a_share_no_p_value_can_reach_is_undefined():
    assert math.isnan(share_below([0.02], 0.01, calibration=49).rate)
    assert not math.isnan(share_below([0.02], 0.02, calibration=49).rate)
    with pytest.raises(InputError):
        uniformity([1.1])


def test_conformal_p_values_of_exchangeable_scans_are_uniform_up_to_their_grid():
    rng = np.random.default_rng(1)
    p = [p_value(rng.normal(), rng.normal(size=99)) for _ in range(1500)]
    assert uniformity(p).ks < 0.05
    rate = share_below(p, 0.05, calibration=99)
    assert rate.low <= 0.05 <= rate.high


def test_maps_are_judged_by_voxel_and_by_scan():
    first, second = np.array([0.001, 0.5, np.nan, 0.9]), np.array([0.2, 0.02, 0.03, 0.7])
    assert voxel_share_below([first, second, np.full(3, np.nan)], 0.05) == pytest.approx((1 / 3 + 2 / 4) / 2)
    rate = family_wise_rate([first, second], 0.01)
    assert (rate.alarms, rate.n) == (1, 2)
    assert math.isnan(voxel_share_below([np.full(3, np.nan)], 0.05))
    assert math.isnan(family_wise_rate([], 0.05).rate)
