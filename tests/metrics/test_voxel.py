"""Voxel figures against scikit-learn and a slow sweep over thresholds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as oracle

from anomri.errors import InputError
from anomri.metrics.overlap import dice
from anomri.metrics.voxel import count_voxels, oracle_dice, voxel_average_precision

LAWS = settings(deadline=None, max_examples=80, derandomize=True)
VALUES = hnp.arrays(np.float32, (3, 4), elements=st.sampled_from([-1.0, 0.0, 0.5, 2.0, math.inf, math.nan]))
LESIONS = hnp.arrays(bool, (3, 4))


@LAWS
@given(st.lists(st.tuples(VALUES, LESIONS), min_size=1, max_size=3))
def test_pooled_figures_agree_with_scikit_learn_and_with_every_threshold(scans):
    maps, lesions = [m for m, _ in scans], [g for _, g in scans]
    counts = count_voxels(maps, lesions)
    values, truth = np.concatenate([m.ravel() for m in maps]), np.concatenate([g.ravel() for g in lesions])
    seen = ~np.isnan(values)
    found = voxel_average_precision(counts)
    if truth[seen].any() and not truth[seen].all():
        expected = oracle.average_precision_score(truth[seen], np.minimum(values[seen], 99))
        assert found.value == pytest.approx(expected, abs=1e-12)
        assert found.prevalence == pytest.approx(truth[seen].mean())
        assert found.lift == pytest.approx(found.value / found.prevalence)
    else:
        assert all(math.isnan(x) for x in found)
    best = oracle_dice(counts)
    if not truth.any():
        assert math.isnan(best.dice)
        return
    every = [dice(values > t, truth) for t in (-math.inf, -1.5, -0.5, 0.2, 1.0, 3.0)]
    assert best.dice == pytest.approx(max(every))
    assert best.dice == pytest.approx(dice(values > np.float32(best.threshold), truth))


@LAWS
@given(VALUES, LESIONS, st.randoms(use_true_random=False))
def test_nothing_but_the_order_of_the_values_matters(values, lesion, random):
    counts = count_voxels([values], [lesion])
    place = list(range(values.size))
    random.shuffle(place)
    moved = [np.arctan(values).ravel()[place]], [lesion.ravel()[place]]
    again = count_voxels(*moved)
    assert voxel_average_precision(again) == pytest.approx(voxel_average_precision(counts), nan_ok=True)
    assert oracle_dice(again).dice == pytest.approx(oracle_dice(counts).dice, nan_ok=True)


def test_a_map_that_is_the_lesion_is_perfect_and_a_constant_one_reaches_the_prevalence():
    lesion = np.zeros((10, 10), bool)
    lesion[2:4, 2:5] = True
    perfect = count_voxels([lesion.astype(np.float32)], [lesion])
    assert voxel_average_precision(perfect).value == oracle_dice(perfect).dice == 1.0
    flat = count_voxels([np.zeros(lesion.shape, np.float32)], [lesion])
    assert voxel_average_precision(flat) == (0.06, 0.06, 1.0)
    assert oracle_dice(flat).dice == pytest.approx(2 * 6 / 106)


def test_lesion_voxels_that_were_not_examined_are_missed_by_dice_and_left_out_of_precision():
    lesion = np.array([True, True, False, False])
    values = np.array([1.0, np.nan, 0.0, 0.0], np.float32)
    counts = count_voxels([values], [lesion])
    assert oracle_dice(counts).dice == pytest.approx(2 / 3)
    assert voxel_average_precision(counts) == (1.0, 1 / 3, 3.0)
    refused = count_voxels([np.full(4, np.nan, np.float32)], [lesion])
    assert oracle_dice(refused) == (0.0, math.inf)
    assert math.isnan(voxel_average_precision(refused).value)


def test_the_oracle_of_each_subject_is_no_worse_than_the_oracle_of_all():
    rng = np.random.default_rng(0)
    lesions = [rng.random((6, 6, 6)) < share for share in (0.05, 0.3)]
    maps = [(rng.normal(shift, 1, g.shape) + g).astype(np.float32) for g, shift in zip(lesions, (0, 3), strict=True)]
    pooled = oracle_dice(count_voxels(maps, lesions)).threshold
    for values, lesion in zip(maps, lesions, strict=True):
        assert oracle_dice(count_voxels([values], [lesion])).dice >= dice(values > np.float32(pooled), lesion)


def test_maps_and_masks_that_do_not_fit_are_refused():
    with pytest.raises(InputError):
        count_voxels([np.zeros((2, 2))], [np.zeros((2, 3), bool)])
    with pytest.raises(InputError):
        count_voxels([np.zeros((2, 2))], [])
