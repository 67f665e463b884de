"""The threshold from calibration normals, and what it does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomri.calibration import threshold
from anomri.errors import InputError
from anomri.metrics.operating import alarms_per_100, conformal_threshold, operating_point, ppv

LAWS = settings(deadline=None, max_examples=100, derandomize=True)
FINITE = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=120)


@LAWS
@given(FINITE, st.sampled_from([0.01, 0.05, 0.1, 0.29, 0.5]))
def test_it_is_the_order_statistic_and_the_one_calibration_uses(normals, rate):
    found = conformal_threshold(normals, rate)
    n = len(normals)
    if rate < 1 / (n + 1):
        assert math.isnan(found)
        return
    rank = math.ceil((n + 1) * (1 - rate) - 1e-9)
    assert found == sorted(normals)[rank - 1] == threshold(normals, rate)


def test_refused_calibration_normals_push_the_threshold_up_to_infinity():
    assert conformal_threshold([0.0] * 18 + [math.inf], 0.1) == 0.0
    assert conformal_threshold([0.0] * 17 + [math.inf] * 2, 0.1) == math.inf


def test_a_worked_operating_point():
    calibration = np.arange(1.0, 20.0)
    point = operating_point([0.0, 5.0, 18.0, 18.5], [20.0, math.inf, 1.0], calibration=calibration, rate=0.1)
    assert point.threshold == 18.0
    assert (point.sensitivity.alarms, point.sensitivity.n) == (2, 3)
    assert (point.false_alarms.alarms, point.false_alarms.n) == (1, 4)
    assert point.gap == pytest.approx(0.15)
    assert (point.refused_normal, point.refused_abnormal) == (0, 1)
    assert alarms_per_100(point.false_alarms.rate) == 25.0


def test_a_refused_scan_is_an_alarm_whatever_the_threshold():
    point = operating_point([math.inf, 0.0], [math.inf], calibration=[math.inf] * 19, rate=0.1)
    assert (point.false_alarms.alarms, point.sensitivity.alarms) == (1, 1)


def test_a_rate_the_normals_cannot_show_gives_nan_and_an_impossible_one_is_refused():
    point = operating_point([0.0], [1.0], calibration=[0.0] * 18, rate=0.05)
    assert math.isnan(point.threshold)
    assert math.isnan(point.sensitivity.rate)
    assert math.isnan(point.gap)
    with pytest.raises(InputError):
        conformal_threshold([0.0], 1.0)


@LAWS
@given(st.integers(0, 40), st.integers(0, 40), st.sampled_from([0.05, 0.2]))
def test_the_value_of_an_alarm_is_the_share_in_a_population(hits, false, prevalence):
    found = ppv(hits / 40, false / 40, prevalence=prevalence)
    abnormal = [hits / 40 * prevalence * 1e6, false / 40 * (1 - prevalence) * 1e6]
    if hits + false == 0:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(abnormal[0] / sum(abnormal))


def test_the_value_of_an_alarm_needs_a_prevalence():
    with pytest.raises(InputError):
        ppv(1.0, 0.0, prevalence=0.0)
