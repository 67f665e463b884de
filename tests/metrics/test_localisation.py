"""Whether a map points at the lesion, on maps drawn by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from anomri.errors import InputError
from anomri.metrics.localisation import detected_share, top_hit

SPACING = (2.0, 2.0, 2.0)


def lesion_at(*voxel, shape=(20, 20, 20)):
    mask = np.zeros(shape, bool)
    mask[voxel] = True
    return mask


def map_with_peak(*voxel, shape=(20, 20, 20)):
    values = np.random.default_rng(0).normal(0, 0.1, shape)
    values[voxel] = 50.0
    values[:2] = np.nan
    return values


@pytest.mark.parametrize(("offset", "hit"), [(0, 1.0), (2, 1.0), (3, 0.0)])
def test_a_maximum_within_five_millimetres_is_a_hit(offset, hit):
    found = top_hit(map_with_peak(10 + offset, 10, 10), lesion_at(10, 10, 10), spacing_mm=SPACING)
    assert found.hit == hit
    assert found.distance_mm == pytest.approx(2.0 * offset)


def test_chance_is_the_share_of_the_examined_voxels_near_the_lesion():
    lesion = lesion_at(10, 10, 10)
    offsets = np.argwhere(np.ones((20, 20, 20))) - 10
    near = (np.linalg.norm(2.0 * offsets, axis=1) <= 5.0).sum()
    found = top_hit(map_with_peak(5, 5, 5), lesion, spacing_mm=SPACING)
    assert found.chance == pytest.approx(near / (18 * 20 * 20))
    flat = np.where(np.isnan(map_with_peak(5, 5, 5)), np.nan, 1.0)
    assert top_hit(flat, lesion, spacing_mm=SPACING, fwhm_mm=0.0).hit == found.chance


def test_smoothing_prefers_a_blob_to_a_spike():
    values = np.zeros((20, 20, 20))
    values[4, 4, 4] = 3.0
    values[12:15, 12:15, 12:15] = 2.0
    lesion = lesion_at(13, 13, 13)
    assert top_hit(values, lesion, spacing_mm=SPACING, fwhm_mm=6.0).hit == 1.0
    assert top_hit(values, lesion, spacing_mm=SPACING, fwhm_mm=0.0).hit == 0.0


def test_without_a_lesion_everything_is_nan():
    nothing = np.zeros((20, 20, 20), bool)
    values = map_with_peak(5, 5, 5)
    assert all(math.isnan(x) for x in top_hit(values, nothing, spacing_mm=SPACING))
    assert math.isnan(detected_share(nothing, ~nothing))
    assert math.isnan(detected_share(~nothing, nothing))


def test_the_share_of_detected_voxels_in_boxes():
    boxes, detected = np.zeros((4, 4, 4), bool), np.zeros((4, 4, 4), bool)
    boxes[:2], detected[1:, 0, 0] = True, True
    assert detected_share(detected, boxes) == pytest.approx(1 / 3)
    values = np.where(boxes, 1.0, 0.0)
    values[1, 2, 2] = 9.0
    assert top_hit(values, boxes, spacing_mm=SPACING, margin_mm=0.0, fwhm_mm=0.0).hit == 1.0


def test_maps_that_do_not_fit_are_refused():
    with pytest.raises(InputError):
        detected_share(np.zeros((2, 2, 2), bool), np.zeros((3, 2, 2), bool))
    with pytest.raises(InputError):
        top_hit(np.full((20, 20, 20), np.nan), lesion_at(1, 1, 1), spacing_mm=SPACING)
