"""Lesions found and false findings, on maps drawn by hand, against MONAI and slow loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomri.errors import InputError
from anomri.metrics.bootstrap import bootstrap_statistics
from anomri.metrics.lesionwise import (
    FROC_RATES,
    Matched,
    contrasts_of,
    froc,
    froc_sensitivities_of,
    lesions_of,
    match_lesions,
)

ONE = (1.0, 1.0, 1.0)
SHAPE = (40, 40, 20)


def ball(*centre, radius=3.0, shape=SHAPE):
    grid = np.indices(shape) - np.array(centre).reshape(3, 1, 1, 1)
    return np.linalg.norm(grid, axis=0) <= radius


def match(values, lesion, **more):
    return match_lesions(values, lesion, 0.5, spacing_mm=ONE, **more)


def scan(lesion_scores=(), false_scores=()):
    hits = np.array(lesion_scores, float)
    return Matched(hits, np.ones(hits.size), np.array(false_scores, float), 0, 0)


def test_components_touch_by_corners_and_small_ones_are_ignored():
    mask = np.zeros((10, 10, 10), bool)
    mask[0:2, 0:2, 0:2] = True
    mask[2:4, 2:4, 2:4] = True
    mask[8, 8, 8] = True
    found = lesions_of(mask, spacing_mm=ONE)
    assert found.volumes_ml.tolist() == [0.016]
    assert found.ignored == 1
    assert set(np.unique(found.labels)) == {-1, 0, 1}
    assert lesions_of(mask, spacing_mm=(3.0, 2.0, 2.0)).volumes_ml.tolist() == [0.192, 0.012]


def test_contrast_is_measured_against_the_tissue_around_a_lesion_alone():
    rng = np.random.default_rng(2)
    image = rng.normal(100, 10, SHAPE)
    near, far = ball(12, 12, 10), ball(30, 30, 10)
    image[near] += 25
    image[far] -= 15
    brain = np.ones(SHAPE, bool)
    lesions = lesions_of(near | far, spacing_mm=ONE)
    found = contrasts_of(image, lesions, brain, spacing_mm=ONE)
    grid = np.indices(SHAPE).reshape(3, -1).T
    for value, mask in zip(found, (near, far), strict=True):
        inside = grid[mask.ravel()]
        distance = np.array([np.linalg.norm(inside - v, axis=1).min() for v in grid])
        around = image.ravel()[(distance > 0) & (distance <= 5)]
        assert value == pytest.approx(abs(image[mask].mean() - around.mean()) / around.std())
    assert found == pytest.approx([2.5, 1.5], abs=0.3)
    assert np.isnan(contrasts_of(image, lesions, near, spacing_mm=ONE)).all()


def test_a_hit_has_the_largest_value_of_its_candidate_and_what_hits_nothing_is_false():
    lesion = ball(10, 10, 10) | ball(30, 30, 10)
    values = np.where(ball(11, 10, 10), 1.0, 0.0) + np.where(ball(20, 35, 5), 2.0, 0.0)
    values[11, 10, 10] = 7.0
    found = match(values, lesion)
    assert sorted(found.lesion_scores.tolist()) == [-math.inf, 7.0]
    assert found.false_scores.tolist() == [2.0]
    assert found.lesion_ml == pytest.approx([ball(10, 10, 10).sum() / 1000] * 2)


def test_one_candidate_may_hit_several_lesions_and_is_then_not_false():
    lesion = ball(10, 10, 10) | ball(18, 10, 10)
    found = match(np.where(lesion | ball(14, 10, 10), 3.0, 0.0), lesion)
    assert found.lesion_scores.tolist() == [3.0, 3.0]
    assert found.false_scores.size == 0


def test_a_tenth_of_the_lesion_or_a_centroid_within_two_millimetres_is_a_hit():
    lesion = ball(20, 20, 10, radius=6.0)
    inside = np.where(ball(20, 20, 10, radius=1.5), 1.0, 0.0)
    assert 0 < (inside[lesion] > 0).sum() < 0.1 * lesion.sum()
    assert match(inside, lesion).lesion_scores.tolist() == [1.0]
    edge = np.where(ball(20, 20, 10, radius=1.5).astype(int), 1.0, 0.0)
    for shift, hit in ((8, True), (9, False)):
        moved = np.roll(edge, shift, axis=0)
        assert np.isfinite(match(moved, lesion).lesion_scores).tolist() == [hit]
        assert match(moved, lesion).false_scores.size == (not hit)


@pytest.mark.parametrize(("covered", "hit"), [(9, False), (10, True)])
def test_a_candidate_that_lies_elsewhere_must_cover_a_tenth(covered, hit):
    lesion, values = np.zeros(SHAPE, bool), np.zeros(SHAPE)
    lesion[10:20, 10:20, 5] = True
    # A bar that enters the lesion by so many voxels and has its centre far outside.
    values[20 - covered : 40, 12, 5] = 1.0
    values[22:40, 12, 5:9] = 1.0
    found = match(values, lesion)
    assert (values[lesion] > 0).sum() == covered
    assert np.isfinite(found.lesion_scores).tolist() == [hit]
    assert found.false_scores.size == (not hit)


def test_the_strict_rule_asks_for_the_union():
    lesion = ball(20, 20, 10, radius=3.0)
    wide = np.where(ball(20, 20, 10, radius=8.0), 1.0, 0.0)
    assert lesion.sum() < 0.1 * (wide > 0).sum()
    assert np.isfinite(match(wide, lesion).lesion_scores).all()
    strict = match(wide, lesion, strict=True)
    assert strict.lesion_scores.tolist() == [-math.inf]
    assert strict.false_scores.tolist() == [1.0]
    assert match(np.where(lesion, 1.0, 0.0), lesion, strict=True).lesion_scores.tolist() == [1.0]


def test_what_is_small_counts_in_neither_direction():
    speck = ball(10, 10, 10, radius=1.0)
    nothing = np.zeros(SHAPE, bool)
    assert speck.sum() < 10
    touching = match(np.where(ball(10, 10, 10), 1.0, 0.0), speck)
    assert (touching.lesion_scores.size, touching.false_scores.size, touching.ignored_lesions) == (0, 0, 1)
    reaching = np.zeros(SHAPE)
    reaching[10:30, 10, 10] = 1.0
    beside = np.where(ball(10, 10, 13, radius=1.5), 1.0, 0.0)
    beside[speck] = 0.0
    for values in (reaching, beside):
        assert match(values, speck).false_scores.size == 0
    assert match(np.roll(beside, 3, axis=2), speck).false_scores.size == 1
    lonely = match(np.where(speck, 1.0, 0.0), nothing)
    assert (lonely.false_scores.size, lonely.ignored_candidates) == (0, 1)


def test_a_refused_scan_finds_nothing_and_a_quiet_normal_scan_costs_nothing():
    found = match(np.full(SHAPE, np.nan), ball(10, 10, 10))
    assert found.lesion_scores.tolist() == [-math.inf]
    assert match(np.zeros(SHAPE), np.zeros(SHAPE, bool)).false_scores.size == 0
    with pytest.raises(InputError):
        match(np.zeros((2, 2, 2)), np.zeros(SHAPE, bool))


SCORES = st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.0]), max_size=6)
HITS = st.lists(st.sampled_from([-math.inf, 1.0, 2.0, 3.0, 4.0]), max_size=4)
SCANS = st.lists(st.builds(scan, HITS, SCORES), min_size=1, max_size=4)
NORMALS = st.lists(st.builds(scan, st.just([]), SCORES), min_size=1, max_size=4)


@settings(deadline=None, max_examples=100, derandomize=True)
@given(SCANS, NORMALS, st.sampled_from(["normals", "patients"]))
def test_sensitivity_is_the_best_of_all_thresholds(patients, normals, false_on):
    found = froc(patients, normals, false_on=false_on)
    hits = np.concatenate([p.lesion_scores for p in patients])
    counted = normals if false_on == "normals" else patients
    false = np.concatenate([c.false_scores for c in counted])
    if hits.size == 0:
        assert all(math.isnan(x) for x in (*found.sensitivity, found.mean))
        return
    for rate, value in zip(FROC_RATES, found.sensitivity, strict=True):
        allowed = [t for t in (1, 2, 3, 4, 5) if (false >= t).sum() / len(counted) <= rate]
        assert value == max((hits >= t).mean() for t in allowed)
    assert found.mean == pytest.approx(np.mean(found.sensitivity))
    assert list(found.sensitivity) == sorted(found.sensitivity)


def test_the_curve_is_that_of_monai():
    curve = pytest.importorskip("monai.metrics", reason="monai is not installed").compute_froc_curve_data
    rng = np.random.default_rng(0)
    patients = [scan(rng.normal(1, 1, 3), rng.normal(0, 1, 12)) for _ in range(5)]
    found = froc(patients, [], false_on="patients")
    false = np.concatenate([p.false_scores for p in patients])
    hits = np.concatenate([p.lesion_scores for p in patients])
    per_scan, sensitivity = curve(false, hits, num_targets=15, num_images=5)
    assert found.sensitivity == pytest.approx([sensitivity[per_scan <= rate].max() for rate in FROC_RATES])


def test_without_lesions_or_without_the_scans_to_count_on_it_is_undefined():
    assert math.isnan(froc([scan([1.0])], [], false_on="normals").mean)
    assert math.isnan(froc([], [scan()], false_on="normals").mean)
    assert froc([scan([1.0])], [scan()], false_on="normals").mean == 1.0


@pytest.mark.parametrize("false_on", ["normals", "patients"])
def test_lesions_and_false_findings_travel_with_their_scan(false_on):
    rng = np.random.default_rng(1)
    patients = [scan(rng.normal(1, 1, k), rng.normal(0, 1, 3)) for k in (1, 2, 5)]
    normals = [scan((), rng.normal(0, 1, k)) for k in (0, 4)]
    shares = froc_sensitivities_of(patients, normals, false_on=false_on)
    twice = froc([patients[0], patients[0], patients[2]], [normals[1], normals[1]], false_on=false_on)
    assert shares(np.array([[2.0, 0, 1, 0, 2]]))[0] == pytest.approx(twice.sensitivity)
    whole = froc(patients, normals, false_on=false_on).mean
    abnormal = [True] * 3 + [False] * 2

    def mean(weights):
        return shares(weights).mean(axis=-1)

    found, last = bootstrap_statistics(
        [[mean], [lambda w: shares(w)[..., -1]]], abnormal, list("abcde"), rng=rng, draws=200
    )
    assert found.estimate == pytest.approx(whole)
    assert found.low <= whole <= found.high
    assert last.estimate == pytest.approx(froc(patients, normals, false_on=false_on).sensitivity[-1])
