"""Lesions have the size, place, contrast and truth that were asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from anomri.errors import InputError
from anomri.io import array_scan
from anomri.simulate import Record, lesion, replay


@settings(max_examples=20)
@given(
    st.floats(1.0, 20.0),
    st.floats(0.3, 3.0),
    st.sampled_from(["bright", "dark"]),
    st.integers(0, 10_000),
)
def test_size_truth_and_mask_hold_for_any_lesion(head, brain, volume_ml, contrast, sign, seed):
    made = lesion(
        head,
        volume_ml=volume_ml,
        contrast=contrast,
        sign=sign,
        seed=seed,
        brain=brain,
        grey_white_difference=350.0,
    )
    assert made.core.sum() * head.geometry.voxel_ml == pytest.approx(volume_ml, rel=0.02)
    np.testing.assert_array_equal(made.changed, made.scan.voxels != head.voxels)
    assert not (made.core & ~made.changed).any()
    np.testing.assert_array_equal(made.scan.voxels > 0, brain)
    difference = made.scan.voxels - head.voxels
    assert (difference >= 0).all() if sign == "bright" else (difference <= 0).all()


@pytest.mark.parametrize("sign", ["bright", "dark"])
def test_the_core_is_where_half_of_the_amplitude_is_reached(sign):
    flat = array_scan(
        np.full((60, 60, 60), 1000.0, dtype=np.float32),
        np.eye(4),
    )
    everywhere = np.ones((60, 60, 60), dtype=bool)
    made = lesion(flat, volume_ml=8.0, contrast=0.5, sign=sign, seed=1, brain=everywhere, grey_white_difference=400.0)
    share = np.abs(made.scan.voxels - 1000.0) / 200.0
    np.testing.assert_array_equal(made.core, share >= 0.5)
    assert share.max() == pytest.approx(1.0, abs=1e-3)
    # The edge is soft but short: full strength and nothing lie within about a millimetre of the boundary.
    deep = ndimage.distance_transform_edt(made.core)
    far = ndimage.distance_transform_edt(~made.core)
    assert share[deep > 3.0].min() > 0.97
    assert share[far > 3.0].max() < 0.03
    # Star-convex and uneven: one piece, with more surface than a sphere.
    assert ndimage.label(made.core)[1] == 1
    radii = np.linalg.norm(
        np.argwhere(made.core ^ ndimage.binary_erosion(made.core)) - made.record.drawn["centre"], axis=1
    )
    assert radii.std() / radii.mean() > 0.08


def test_shape_and_place_depend_on_neither_contrast_nor_sign(head, brain):
    cores = [
        lesion(head, volume_ml=3.0, contrast=c, sign=s, seed=9, brain=brain, grey_white_difference=350.0).core
        for c, s in [(0.5, "bright"), (2.0, "bright"), (1.0, "dark")]
    ]
    np.testing.assert_array_equal(cores[0], cores[1])
    np.testing.assert_array_equal(cores[0], cores[2])


def test_the_centre_lies_among_the_candidates(head, brain):
    right = brain.copy()
    right[20:] = False
    for seed in range(10):
        made = lesion(
            head,
            volume_ml=1.0,
            contrast=1.0,
            sign="bright",
            seed=seed,
            brain=brain,
            grey_white_difference=350.0,
            candidates=right,
        )
        assert right[tuple(made.record.drawn["centre"])]


def test_a_record_from_json_makes_the_same_bytes_and_the_input_stays(head, brain):
    before = head.voxels.copy()
    made = lesion(head, volume_ml=2.0, contrast=1.0, sign="dark", seed=3, brain=brain, grey_white_difference=350.0)
    again = replay(head, Record.model_validate_json(made.record.model_dump_json()), brain)
    assert again.scan.voxels.tobytes() == made.scan.voxels.tobytes()
    np.testing.assert_array_equal(again.core, made.core)
    assert again.record == made.record
    assert made.record.settings["volume_ml"] == 2.0
    np.testing.assert_array_equal(head.voxels, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"volume_ml": 0.0}, "volume_ml"),
        ({"contrast": -1.0}, "contrast"),
        ({"grey_white_difference": float("nan")}, "grey_white_difference"),
        ({"sign": "grey"}, "grey"),
        ({"volume_ml": 2000.0}, "no place"),
        ({"candidates": np.zeros((40, 48, 36), dtype=bool)}, "could lie"),
        ({"candidates": np.zeros((2, 2, 2), dtype=bool)}, "candidates of shape"),
    ],
)
def test_what_cannot_be_done_is_refused(change, message, head, brain):
    asked = {
        "volume_ml": 1.0,
        "contrast": 1.0,
        "sign": "bright",
        "seed": 0,
        "brain": brain,
        "grey_white_difference": 350.0,
        **change,
    }
    with pytest.raises(InputError, match=message):
        lesion(head, **asked)
