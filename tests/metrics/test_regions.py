"""Areas over low voxel false-positive rates, against curves drawn point by point."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as oracle

from anomri.errors import InputError
from anomri.metrics.lesionwise import lesions_of
from anomri.metrics.regions import aupimo, spro

# Voxels of 20 mm³, so that no lesion is too small.
SPACING = (2.0, 2.0, 5.0)
LAWS = settings(deadline=None, max_examples=60, derandomize=True)
VALUES = hnp.arrays(np.float32, (4, 3, 3), elements=st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, math.nan]))
LESIONS = hnp.arrays(bool, (4, 3, 3), elements=st.sampled_from([True, False, False, False]))


def slow_spro(maps, lesions, limit, saturation_ml):
    outside = np.concatenate([m[~g & ~np.isnan(m)] for m, g in zip(maps, lesions, strict=True)])
    points = [(0.0, 0.0)]
    regions = [(m, lesions_of(g, spacing_mm=SPACING)) for m, g in zip(maps, lesions, strict=True)]
    for level in (4, 3, 2, 1, 0):
        overlaps = [
            min((m[found.labels == i + 1] >= level).sum() / min((found.labels == i + 1).sum(), saturation_ml * 50), 1)
            for m, found in regions
            for i in range(found.volumes_ml.size)
        ]
        points.append(((outside >= level).mean(), np.mean(overlaps)))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 < limit and x1 > x0:
            end = min(x1, limit)
            area += (end - x0) * (y0 + (y0 + (y1 - y0) * (end - x0) / (x1 - x0))) / 2
    return area / limit


@LAWS
@given(st.lists(st.tuples(VALUES, LESIONS), min_size=1, max_size=3), st.sampled_from([0.05, 0.3, 1.0]))
def test_spro_is_the_area_under_its_curve(scans, limit):
    maps, lesions = [m for m, _ in scans], [g for _, g in scans]
    found = spro(maps, lesions, [SPACING] * len(maps), limit=limit, saturation_ml=0.06)
    outside = [~np.isnan(m[~g]) for m, g in scans]
    if not any(g.any() for g in lesions) or not any(o.any() for o in outside):
        assert math.isnan(found)
        return
    assert found == pytest.approx(slow_spro(maps, lesions, limit, 0.06), abs=1e-9)
    assert 0 <= found <= 1


def test_spro_of_lesions_of_one_voxel_up_to_every_rate_is_the_voxel_auroc():
    rng = np.random.default_rng(0)
    lesion = np.zeros((9, 9, 9), bool)
    lesion[::4, ::4, ::4] = True
    values = (rng.normal(size=lesion.shape) + lesion).round(1).astype(np.float32)
    expected = oracle.roc_auc_score(lesion.ravel(), values.ravel())
    assert spro([values], [lesion], [SPACING], limit=1.0) == pytest.approx(expected)


def test_a_saturated_lesion_need_not_be_covered_and_a_perfect_map_is_perfect():
    lesion = np.zeros((10, 10, 10), bool)
    lesion[:5] = True
    half = np.zeros(lesion.shape, np.float32)
    half[:3] = 1.0
    spacing = (1.0, 1.0, 1.0)
    assert spro([half], [lesion], [spacing], saturation_ml=0.3) == pytest.approx(1.0)
    assert spro([half], [lesion], [spacing], saturation_ml=0.5) == pytest.approx(0.6 + 0.4 * 0.5 * 0.05)
    assert spro([lesion.astype(np.float32)], [lesion], [spacing]) == pytest.approx(1.0)


def test_each_lesion_counts_the_same_and_small_ones_not_at_all():
    lesion = np.zeros((12, 12, 12), bool)
    lesion[:3], lesion[6:9, :2, :2], lesion[11, 11, 11] = True, True, True
    values = np.where(lesion, 1.0, 0.0).astype(np.float32)
    values[:3] = 0.0
    values[11, 11, 11] = 5.0
    found = spro([values], [lesion], [(1.0, 1.0, 1.0)])
    assert found == pytest.approx(0.5 + 0.5 * 0.5 * 0.05)


def slow_aupimo(values, lesion, normals, low, high):
    rates = np.exp(np.linspace(np.log(low), np.log(high), 20001))[1:-1]
    levels = sorted({*np.unique(values[lesion & ~np.isnan(values)]).tolist(), *np.concatenate(normals).tolist(), 99.0})
    shared = np.array([np.mean([(own >= t).mean() for own in normals]) for t in levels])
    recall = np.array([(values[lesion] >= t).mean() for t in levels])
    return np.mean([recall[shared <= rate].max() for rate in rates])


@pytest.mark.parametrize("seed", range(4))
def test_aupimo_is_recall_averaged_over_the_band_on_a_logarithmic_scale(seed):
    rng = np.random.default_rng(seed)
    normals = [rng.normal(size=size).round(1) for size in (300, 500, 400)]
    lesion = rng.random((8, 8, 2)) < 0.2
    values = (rng.normal(size=lesion.shape) + 2 * lesion).round(1)
    values[0, 0] = np.nan
    found = aupimo([values, values], [lesion, ~lesion & False], normals, band=(0.001, 0.1))
    assert found[0] == pytest.approx(slow_aupimo(values, lesion, normals, 0.001, 0.1), abs=2e-3)
    assert math.isnan(found[1])


def test_aupimo_of_perfect_and_of_blind_maps_and_where_normals_are_too_few():
    normal = np.random.default_rng(0).normal(size=200_000)
    lesion = np.array([True, True, False])
    assert aupimo([np.array([9.0, 9.0, 0.0]), np.array([-9.0, 9.0, 9.0])], [lesion] * 2, [normal]).tolist() == [1, 0.5]
    assert math.isnan(aupimo([np.array([9.0, 9.0, 0.0])], [lesion], [normal[:1000]])[0])
    assert math.isnan(aupimo([np.array([9.0, 9.0, 0.0])], [lesion], [])[0])


def test_only_the_order_of_the_values_matters():
    rng = np.random.default_rng(3)
    lesion = np.zeros((10, 10, 10), bool)
    lesion[3:6, 3:6, 3:6] = True
    maps = [(rng.normal(size=lesion.shape) + m).astype(np.float64) for m in (lesion, 0 * lesion)]
    both = [lesion, lesion & False]
    ones = [(1.0, 1.0, 1.0)] * 2
    bent = [np.exp(m) for m in maps]
    assert spro(bent, both, ones) == pytest.approx(spro(maps, both, ones))
    band = (0.01, 0.1)
    assert aupimo(bent[:1], both[:1], bent[1:], band=band) == pytest.approx(
        aupimo(maps[:1], both[:1], maps[1:], band=band)
    )


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError):
        spro([np.zeros((2, 2, 2))], [], [])
    with pytest.raises(InputError):
        aupimo([np.zeros(2)], [np.zeros(2, bool)], [], band=(0.1, 0.1))
