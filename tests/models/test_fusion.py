"""Several branches, one score: against numbers worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomri.core.reading import Reading
from anomri.errors import ModelError
from anomri.models.fusion import (
    Scaling,
    fuse_maps,
    fuse_scores,
    fused_reading,
    leading_branch,
    mean_scaling,
    measure_scaling,
    shares,
    standardised,
)

SCALINGS = {"a": Scaling(location=1.0, spread=0.5, peak=4.0), "b": Scaling(location=0.0, spread=2.0, peak=2.0)}
positive = st.floats(1e-6, 1e6)


def test_a_scaling_is_mean_and_drawn_sd_of_the_logarithms_and_the_median_peak():
    found = measure_scaling(np.exp([1.0, 2.0, 6.0]), np.array([5.0, 7.0, 30.0]))
    assert found.location == pytest.approx(3.0)
    # Two degrees of freedom of three scans beside ten of a typical 0.15.
    assert found.spread == pytest.approx(np.sqrt((4 + 1 + 9 + 10 * 0.0225) / 12))
    assert found.peak == 7.0
    assert measure_scaling(np.exp([1.0, 2.0]), None).peak is None


def test_a_handful_of_scores_that_happen_to_agree_does_not_make_a_branch_loud():
    rng = np.random.default_rng(0)
    few = [measure_scaling(np.exp(rng.normal(0.0, 0.15, 7)), None).spread for _ in range(500)]
    raw = [rng.normal(0.0, 0.15, 7).std(ddof=1) for _ in range(500)]
    assert 0.11 < min(few) < max(few) < 0.22
    assert min(raw) < 0.07 < 0.25 < max(raw)
    many = measure_scaling(np.exp(rng.normal(0.0, 0.6, 2000)), None).spread
    assert many == pytest.approx(0.6, rel=0.05)


@pytest.mark.parametrize("scores", [[2.0], [3.0, 3.0], [0.0, -1.0]])
def test_scores_that_do_not_vary_give_no_scaling(scores):
    with pytest.raises(ModelError) as error:
        measure_scaling(np.array(scores), None)
    assert error.value.code == "scaling"


def test_the_final_scaling_is_the_mean_of_the_folds():
    mean = mean_scaling([Scaling(location=1, spread=2, peak=4), Scaling(location=3, spread=4, peak=8)])
    assert mean == Scaling(location=2, spread=3, peak=6)
    assert mean_scaling([Scaling(location=1, spread=2)]).peak is None


def test_the_fused_score_is_the_largest_standardised_one():
    scores = {"a": math.e**2, "b": math.e**3}  # z = 2 and 1.5
    assert fuse_scores(scores, SCALINGS) == pytest.approx(2.0)
    assert fuse_scores({**scores, "b": math.e**5}, SCALINGS) == pytest.approx(2.5)
    assert standardised(0.0, SCALINGS["a"]) < -50


def test_a_single_branch_is_left_as_it_is():
    only = Reading(score=3.0, map=np.array([[[1.0, np.nan]]], np.float32), map_scale="z")
    fused = fused_reading({"a": only}, {})
    assert fused.score == 3.0
    assert fused.map is only.map
    assert fused.map_scale == "z"
    assert shares({"a": 3.0}, {}) == {"a": 1.0}


@settings(max_examples=50)
@given(positive, positive)
def test_shares_add_up_to_one_and_the_winner_has_the_largest(one, other):
    scores = {"a": one, "b": other}
    found = shares(scores, SCALINGS)
    assert sum(found.values()) == pytest.approx(1.0)
    assert min(found.values()) >= 0
    z = {name: standardised(score, SCALINGS[name]) for name, score in scores.items()}
    if max(z.values()) > 0 and z["a"] != z["b"]:
        assert max(found, key=found.__getitem__) == max(z, key=z.__getitem__)


def test_shares_by_hand():
    assert shares({"a": math.e**2, "b": math.e**1}, SCALINGS) == pytest.approx({"a": 2 / 2.5, "b": 0.5 / 2.5})
    assert shares({"a": math.e**2, "b": math.e**-1}, SCALINGS) == pytest.approx({"a": 1.0, "b": 0.0})
    assert shares({"a": 0.1, "b": 0.1}, SCALINGS) == {"a": 0.5, "b": 0.5}


@settings(max_examples=30)
@given(positive, positive, st.floats(1.0, 10.0))
def test_a_more_abnormal_branch_never_lowers_the_fused_score(one, other, factor):
    assert fuse_scores({"a": one * factor, "b": other}, SCALINGS) >= fuse_scores({"a": one, "b": other}, SCALINGS)


def test_maps_are_averaged_after_division_by_their_peaks():
    nan = np.nan
    maps = {"a": np.array([[[8.0, 4.0, nan]]], np.float32), "b": np.array([[[2.0, 6.0, nan]]], np.float32)}
    np.testing.assert_allclose(fuse_maps(maps, SCALINGS), [[[1.5, 2.0, nan]]])
    assert fuse_maps({}, SCALINGS) is None
    for peak in (None, 0.0):
        with pytest.raises(ModelError):
            fuse_maps(maps, {**SCALINGS, "b": Scaling(location=0.0, spread=1.0, peak=peak)})


def test_one_map_among_branches_without_keeps_its_scale_and_named_maps_carry_their_branch():
    values = np.array([[[1.0, 2.0]]], np.float32)
    readings = {
        "a": Reading(score=math.e**2, map=values, map_scale="z", expected=values, maps={"signed_z": -values}),
        "b": Reading(score=1.0, values={"deviation/snr": 2.0}),
    }
    fused = fused_reading(readings, SCALINGS)
    assert fused.map is values
    assert fused.map_scale == "z"
    assert fused.expected is values
    assert set(fused.maps) == {"a-signed_z"}
    assert fused.score == pytest.approx(2.0)


def test_two_maps_make_a_raw_one():
    values = np.array([[[1.0, 2.0]]], np.float32)
    readings = {name: Reading(score=2.0, map=values, map_scale="z") for name in SCALINGS}
    assert fused_reading(readings, SCALINGS).map_scale == "raw"


def two_maps() -> dict[str, Reading]:
    """Divided by 4 and 2 they are 2, 1 and 1, 3: "a" leads in the first voxel, "b" in the second."""
    maps = {"a": [8.0, 4.0, np.nan], "b": [2.0, 6.0, np.nan]}
    return {
        name: Reading(score=2.0, map=np.array([[row]], np.float32), expected=np.full((1, 1, 3), i, np.float32))
        for i, (name, row) in enumerate(maps.items())
    }


def test_the_leading_branch_is_the_one_whose_share_of_the_map_is_largest():
    maps = {name: r.map for name, r in two_maps().items() if r.map is not None}
    zero = np.array([0])

    def leads(*columns: int) -> str:
        at = np.array(columns)
        return leading_branch(maps, SCALINGS, (zero.repeat(at.size), zero.repeat(at.size), at))

    assert [leads(0), leads(1), leads(0, 1), leads(0, 0, 1)] == ["a", "b", "b", "a"]
    assert leads(2) == "a"
    assert leading_branch({"b": maps["b"]}, {}, (zero, zero, zero)) == "b"


def test_the_expected_image_is_that_of_the_branch_that_leads_where_the_map_is_largest():
    readings = two_maps()
    fused = fused_reading(readings, SCALINGS)
    # (2 + 1) / 2 and (1 + 3) / 2: the second voxel, where "b" leads.
    assert fused.expected is readings["b"].expected
    silent = {**readings, "b": Reading(score=2.0, map=readings["b"].map)}
    assert fused_reading(silent, SCALINGS).expected is readings["a"].expected
    unknown = {name: Reading(2.0, np.full((1, 1, 3), np.nan, np.float32), r.expected) for name, r in readings.items()}
    assert fused_reading(unknown, SCALINGS).expected is readings["a"].expected
