from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomri.errors import InputError
from anomri.quality import CSF, GREY, WHITE, classify
from anomri.quality.tissue import SAMPLE_VOXELS


def dice(one: Any, other: Any) -> float:
    return 2.0 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_labels_match_the_known_tissue(make_phantom: Callable[..., Any], seed: int) -> None:
    brain = make_phantom(seed)
    tissue = classify(brain.voxels, brain.mask, brain.priors, seed=0)
    assert tissue.converged
    assert dice(tissue.labels == GREY, brain.truth == GREY) >= 0.85
    assert dice(tissue.labels == WHITE, brain.truth == WHITE) >= 0.85
    assert dice(tissue.labels == CSF, brain.truth == CSF) >= 0.75
    assert ((tissue.labels > 0) == brain.mask).all()


def test_labels_survive_priors_that_lie_a_centimetre_off(phantom: Any) -> None:
    off = np.roll(phantom.priors, 5, axis=2)
    tissue = classify(phantom.voxels, phantom.mask, off, seed=0)
    assert dice(tissue.labels == WHITE, phantom.truth == WHITE) >= 0.8


def test_means_and_spreads_are_those_of_the_classes(phantom: Any) -> None:
    tissue = classify(phantom.clean, phantom.mask, phantom.priors, seed=0)
    for k in (GREY, WHITE):
        members = phantom.clean[phantom.truth == k]
        assert tissue.means[k - 1] == pytest.approx(members.mean(), rel=0.1)
    assert (tissue.sds > 0).all()


def test_priors_and_not_brightness_say_which_class_is_which(make_phantom: Callable[..., Any]) -> None:
    t1 = make_phantom(3)
    t2 = make_phantom(3, levels=(1000.0, 600.0, 400.0))
    assert np.argsort(classify(t1.voxels, t1.mask, t1.priors, seed=0).means).tolist() == [0, 1, 2]
    assert np.argsort(classify(t2.voxels, t2.mask, t2.priors, seed=0).means).tolist() == [2, 1, 0]


def test_the_same_seed_gives_the_same_bytes(phantom: Any) -> None:
    one = classify(phantom.voxels, phantom.mask, phantom.priors, seed=7)
    two = classify(phantom.voxels, phantom.mask, phantom.priors, seed=7)
    assert one.labels.tobytes() == two.labels.tobytes()
    assert one.means.tobytes() == two.means.tobytes()


def test_another_seed_hardly_matters(phantom: Any) -> None:
    assert np.count_nonzero(phantom.mask) > SAMPLE_VOXELS
    one = classify(phantom.voxels, phantom.mask, phantom.priors, seed=1)
    two = classify(phantom.voxels, phantom.mask, phantom.priors, seed=2)
    assert np.mean(one.labels[phantom.mask] == two.labels[phantom.mask]) > 0.98


@settings(max_examples=3, deadline=None)
@given(factor=st.floats(1e-3, 1e4))
def test_a_global_factor_changes_no_label(phantom: Any, factor: float) -> None:
    plain = classify(phantom.voxels, phantom.mask, phantom.priors, seed=0)
    scaled = classify(phantom.voxels * np.float32(factor), phantom.mask, phantom.priors, seed=0)
    assert np.mean(plain.labels == scaled.labels) > 0.9999
    np.testing.assert_allclose(scaled.means, plain.means * factor, rtol=1e-4)
    np.testing.assert_allclose(scaled.sds, plain.sds * factor, rtol=1e-3)


def test_the_input_is_left_alone_and_the_result_is_read_only(phantom: Any) -> None:
    before = phantom.voxels.copy(), phantom.priors.copy()
    tissue = classify(phantom.voxels, phantom.mask, phantom.priors, seed=0)
    assert np.array_equal(before[0], phantom.voxels)
    assert np.array_equal(before[1], phantom.priors)
    with pytest.raises(ValueError, match="read-only"):
        tissue.labels[0, 0, 0] = 1


def test_what_cannot_be_classified_is_refused(phantom: Any) -> None:
    flat = phantom.mask.astype(np.float32)
    no_white = phantom.priors.copy()
    no_white[2] = 0
    cases = {
        "mask_empty": (phantom.voxels, np.zeros_like(phantom.mask), phantom.priors),
        "no_contrast": (flat, phantom.mask, phantom.priors),
        "priors": (phantom.voxels, phantom.mask, no_white),
        "geometry": (phantom.voxels, phantom.mask, phantom.priors[:2]),
    }
    for code, (voxels, mask, priors) in cases.items():
        with pytest.raises(InputError) as caught:
            classify(voxels, mask, priors, seed=0)
        assert caught.value.code == code
