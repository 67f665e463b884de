"""Overlap of masks against hand-worked cases and MONAI."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from anomri.errors import InputError
from anomri.metrics.overlap import (
    dice,
    false_positive_ml,
    iou,
    surface_distance_95_mm,
    unexamined_ml,
    without_margin,
)

MASKS = hnp.arrays(bool, (4, 3, 2))
LAWS = settings(deadline=None, max_examples=60, derandomize=True)


def box(*corner, size=10, shape=(30, 30, 30)):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(c, c + size) for c in corner)] = True
    return mask


def test_known_masks():
    a, b = np.zeros((4, 4, 4), bool), np.zeros((4, 4, 4), bool)
    a[:2], b[1:3] = True, True
    assert dice(a, b) == 0.5
    assert iou(a, b) == pytest.approx(1 / 3)
    assert dice(b, b) == iou(b, b) == 1.0
    assert dice(np.zeros_like(b), b) == iou(np.zeros_like(b), b) == 0.0
    assert false_positive_ml(a, b, voxel_ml=0.5) == 8.0
    assert false_positive_ml(a, np.zeros_like(a), voxel_ml=0.5) == 16.0


def test_nothing_fits_a_lesion_that_is_not_there():
    nothing = np.zeros((4, 4, 4), bool)
    assert math.isnan(dice(~nothing, nothing))
    assert math.isnan(iou(~nothing, nothing))
    assert math.isnan(surface_distance_95_mm(~nothing, nothing, spacing_mm=(9.0, 9.0, 9.0)))


@LAWS
@given(MASKS, MASKS)
def test_overlaps_keep_their_laws(a, b):
    if not b.any():
        return
    assert 0 <= iou(a, b) <= dice(a, b) <= 1
    assert dice(a, b) == pytest.approx(2 * iou(a, b) / (1 + iou(a, b)))
    turned = tuple(np.transpose(m, (2, 0, 1))[::-1] for m in (a, b))
    assert dice(*turned) == dice(a, b)
    if a.any():
        assert dice(a, b) == dice(b, a)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 1.0, 3.0)])
def test_the_surface_distance_agrees_with_monai(spacing):
    torch = pytest.importorskip("torch")
    monai = pytest.importorskip("monai.metrics", reason="monai is not installed")
    rng = np.random.default_rng(0)
    prediction, lesion = box(5, 6, 7), box(8, 6, 5, size=13)
    prediction |= rng.random(lesion.shape) > 0.999
    expected = monai.compute_hausdorff_distance(
        torch.tensor(prediction)[None, None], torch.tensor(lesion)[None, None], percentile=95, spacing=list(spacing)
    )
    assert surface_distance_95_mm(prediction, lesion, spacing_mm=spacing) == pytest.approx(float(expected), rel=1e-6)


def test_the_surface_distance_of_a_shifted_box_and_where_it_is_undefined():
    lesion = box(5, 5, 5, size=12)
    assert surface_distance_95_mm(lesion, lesion, spacing_mm=(1.0, 1.0, 1.0)) == 0.0
    assert surface_distance_95_mm(box(8, 5, 5, size=12), lesion, spacing_mm=(2.0, 1.0, 1.0)) == 6.0
    assert math.isnan(surface_distance_95_mm(np.zeros_like(lesion), lesion, spacing_mm=(1.0, 1.0, 1.0)))
    # 10 x 10 x 10 voxels of 1 mm are 1 ml and not more.
    assert math.isnan(surface_distance_95_mm(lesion, box(5, 5, 5), spacing_mm=(1.0, 1.0, 1.0)))


def test_the_margin_is_neither_lesion_nor_not():
    lesion = np.zeros((20, 20, 20), bool)
    lesion[10, 10, 10] = True
    values = np.ones(lesion.shape)
    values[0] = np.nan
    found = without_margin(values, lesion, spacing_mm=(2.0, 2.0, 2.0))
    distance = np.linalg.norm(2.0 * (np.argwhere(np.ones(lesion.shape)) - 10), axis=1).reshape(lesion.shape)
    assert (np.isnan(found) == (((distance <= 5) & (distance > 0)) | np.isnan(values))).all()
    assert np.array_equal(without_margin(values, ~np.ones_like(lesion), spacing_mm=(2, 2, 2)), values, equal_nan=True)


def test_what_the_brain_mask_took_from_a_lesion_is_counted():
    lesion = np.zeros((4, 4), bool)
    lesion[:2, 0] = True
    values = np.zeros((4, 4))
    values[0] = np.nan
    assert unexamined_ml(values, lesion, voxel_ml=0.25) == 0.25


def test_masks_of_different_grids_are_refused():
    a, b = np.zeros((2, 2, 2), bool), np.zeros((3, 2, 2), bool)
    for call in (dice, iou, lambda p, q: false_positive_ml(p, q, voxel_ml=1.0)):
        with pytest.raises(InputError):
            call(a, b)
