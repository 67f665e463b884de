"""Each kind of normalisation against numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomri.errors import InputError, PreparationFailed
from anomri.preparation.intensity import LANDMARK_PERCENTILES, from_zero, normalise, verify_landmarks

# 0, 1, … 100 inside the mask, so that percentile p is p.
VOXELS = np.concatenate([np.arange(101.0), [-7.0, 400.0, 50.0]]).astype(np.float32).reshape(104, 1, 1)
MASK = (np.arange(104) < 101).reshape(104, 1, 1)
LANDMARKS = tuple(2.0 * p + 10 for p in LANDMARK_PERCENTILES)


def test_a_scan_whose_values_begin_at_0_stays_as_it_is():
    rippled = np.where(np.arange(104) % 25 == 0, np.float32(-3.0), VOXELS.ravel()).reshape(VOXELS.shape)
    for voxels in (VOXELS, rippled):
        same, added = from_zero(voxels, MASK)
        assert same is voxels
        assert added == 0.0


def test_a_scan_normalised_before_begins_at_0_again_and_keeps_its_contrast():
    scores = np.where(MASK, (VOXELS - 50.0) / 29.0, np.float32(0.0)).astype(np.float32)
    lifted, added = from_zero(scores, MASK)
    assert added == pytest.approx(50.0 / 29.0, rel=0.01)
    assert (lifted[~MASK] == 0).all()
    np.testing.assert_allclose(lifted[MASK] * 29.0, VOXELS[MASK], atol=0.11)


def test_percentiles_become_a_tenth_and_one():
    out = normalise(VOXELS, MASK, "percentile", percentiles=(10.0, 60.0), ceiling=None).ravel()
    assert out[10] == pytest.approx(0.1)
    assert out[60] == pytest.approx(1.0)
    assert out[35] == pytest.approx(0.55)
    assert out[100] == pytest.approx(0.1 + 0.9 * 90 / 50)
    assert out[0] == 0.0  # 0.1 − 0.9 · 10 / 50 is below 0
    assert (out[101:] == 0).all()


def test_the_ceiling_cuts_what_is_brighter():
    out = normalise(VOXELS, MASK, "percentile", percentiles=(10.0, 60.0), ceiling=1.2)
    assert out.max() == np.float32(1.2)
    assert out.ravel()[60] == pytest.approx(1.0)


def test_zscore_gives_mean_0_and_sd_1_inside():
    out = normalise(VOXELS, MASK, "zscore").ravel()
    assert out[:101].mean() == pytest.approx(0.0, abs=1e-6)
    assert out[:101].std() == pytest.approx(1.0, rel=1e-6)
    assert out[0] == pytest.approx(-50 / np.std(np.arange(101)), rel=1e-6)
    assert (out[101:] == 0).all()


def test_minmax_spans_the_whole_volume_background_included():
    out = normalise(VOXELS, MASK, "minmax", ceiling=None).ravel()
    assert out[0] == pytest.approx(7 / 407)
    assert out[100] == pytest.approx(107 / 407)
    assert (out[101:] == 0).all()


def test_the_histogram_goes_through_its_landmarks_and_on_beyond_them():
    out = normalise(VOXELS, MASK, "histogram", landmarks=LANDMARKS, ceiling=None).ravel()
    np.testing.assert_allclose(out[:101], 2.0 * np.arange(101) + 10, rtol=1e-5)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_the_histogram_keeps_the_order_of_values(seed):
    rng = np.random.default_rng(seed)
    voxels = np.round(rng.gamma(2.0, 30.0, (40, 5, 1))).astype(np.float32)  # with ties, and equal percentiles
    landmarks = tuple(np.cumsum(rng.uniform(0.01, 1.0, len(LANDMARK_PERCENTILES))))
    mask = np.ones(voxels.shape, bool)
    out = normalise(voxels, mask, "histogram", landmarks=landmarks, ceiling=None).ravel()
    order = np.argsort(voxels.ravel(), kind="stable")
    assert (np.diff(out[order]) >= 0).all()
    middle = np.percentile(voxels, 50)
    if (voxels == middle).mean() < 0.02:
        assert np.percentile(out, 50) == pytest.approx(landmarks[LANDMARK_PERCENTILES.index(50.0)], rel=0.2)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e4))
def test_a_factor_of_the_scanner_changes_nothing(seed, factor):
    voxels = np.random.default_rng(seed).gamma(2.0, 30.0, (200, 1, 1)).astype(np.float32)
    mask = np.ones(voxels.shape, bool)
    for kind, more in (("percentile", {}), ("zscore", {}), ("minmax", {}), ("histogram", {"landmarks": LANDMARKS})):
        one = normalise(voxels, mask, kind, **more)
        other = normalise(voxels * np.float32(factor), mask, kind, **more)
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["percentile", "zscore", "histogram", "minmax"])
def test_values_that_do_not_vary_are_refused(kind):
    flat = np.full((5, 5, 5), 3.0, np.float32)
    with pytest.raises(PreparationFailed) as error:
        normalise(flat, np.ones(flat.shape, bool), kind, landmarks=LANDMARKS)
    assert error.value.code == "no_contrast"


@pytest.mark.parametrize("landmarks", [(), LANDMARKS[:-1], (*LANDMARKS[:-1], LANDMARKS[-2])])
def test_landmarks_that_cannot_be_matched_are_refused(landmarks):
    verify_landmarks(LANDMARKS)
    with pytest.raises(InputError) as error:
        verify_landmarks(landmarks)
    assert error.value.code == "landmarks"
