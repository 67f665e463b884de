"""The voxel-wise atlas against statistics worked out voxel by voxel."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from anomri.core.prepared import Prepared
from anomri.core.score import smooth_inside
from anomri.errors import CalibrationError, ModelError
from anomri.methods.zatlas import ZAtlas, ZAtlasConfig
from synthetic import GRID, SHAPE, prepared_population, with_lesion

CONFIG = ZAtlasConfig(sigma_mm=4.0, floor_percentile=5.0, coverage=0.8, top_voxels=20, least_normals=2)


@pytest.fixture(scope="module")
def normals() -> list[Prepared]:
    return prepared_population(9, seed=1)


@pytest.fixture(scope="module")
def atlas(normals: list[Prepared]) -> ZAtlas:
    method = ZAtlas(CONFIG)
    method.fit(normals, seed=0)
    return method


@pytest.fixture(scope="module")
def person() -> Prepared:
    return prepared_population(1, seed=5)[0]


def smoothed(prepared: Prepared) -> np.ndarray:
    sigma = tuple(CONFIG.sigma_mm / s for s in GRID.spacing_mm)
    return smooth_inside(prepared.scan.voxels, prepared.inside.mask, sigma)


def test_each_voxel_has_the_median_and_mad_of_the_normals_that_know_it(atlas, normals):
    smooth = [smoothed(p) for p in normals]
    known = [p.inside.mask for p in normals]
    state = atlas.state()
    spreads, medians = [], []
    places = [tuple(v) for v in np.argwhere(np.mean(known, axis=0) >= CONFIG.coverage)]
    for place in places:
        values = np.sort([s[place] for s, k in zip(smooth, known, strict=True) if k[place]])
        median = np.median(values)
        medians.append(median)
        spreads.append(1.4826 * np.median(np.abs(values - median)))
    floor = np.percentile(spreads, CONFIG.floor_percentile)
    index = tuple(np.array(places).T)
    np.testing.assert_allclose(state["median"][index], medians, rtol=1e-5)
    np.testing.assert_allclose(state["spread"][index], np.maximum(spreads, floor), rtol=1e-4)
    assert (np.array(spreads) < floor).sum() == pytest.approx(0.05 * len(spreads), abs=2)


def test_the_expected_image_is_the_median_scan_where_the_normals_have_brain(atlas, normals):
    covered = np.mean([p.inside.mask for p in normals], axis=0) >= CONFIG.coverage
    median = np.median([p.scan.voxels for p in normals], axis=0)
    np.testing.assert_allclose(atlas.state()["expected"], np.where(covered, median, 0), rtol=1e-6)


def test_brain_is_where_the_mask_says_whatever_the_sign_of_its_values(atlas, normals, person):
    def darker(prepared: Prepared) -> Prepared:
        voxels = np.where(prepared.inside.mask, prepared.scan.voxels - np.float32(0.75), np.float32(0.0))
        return dataclasses.replace(prepared, scan=dataclasses.replace(prepared.scan, voxels=voxels))

    assert (darker(person).scan.voxels[person.region.mask] < 0).mean() > 0.4
    method = ZAtlas(CONFIG)
    method.fit([darker(p) for p in normals], seed=0)
    expected = atlas.examine(person)
    reading = method.examine(darker(person))
    assert reading.score == pytest.approx(expected.score, rel=1e-3)
    np.testing.assert_allclose(reading.maps["signed_z"], expected.maps["signed_z"], atol=2e-3)


def test_a_voxel_too_few_normals_cover_takes_the_statistics_of_the_nearest_one(atlas, normals):
    covered = np.mean([p.inside.mask for p in normals], axis=0) >= CONFIG.coverage
    assert not covered[0, 0, 0]
    away = np.linalg.norm(np.argwhere(covered), axis=1)
    nearest = {tuple(v) for v in np.argwhere(covered)[np.isclose(away, away.min())]}
    for name in ("median", "spread"):
        values = atlas.state()[name]
        assert values[0, 0, 0] in {values[place] for place in nearest}
        assert np.isfinite(values).all()
    assert atlas.state()["spread"].min() > 0


def test_the_map_is_the_distance_in_spreads_and_the_score_the_mean_of_the_largest(atlas, person):
    reading = atlas.examine(person)
    state = atlas.state()
    z = (smoothed(person) - state["median"]) / state["spread"]
    inside = person.region.mask
    np.testing.assert_allclose(reading.maps["signed_z"][inside], z[inside], rtol=1e-5)
    np.testing.assert_array_equal(reading.map[inside], np.abs(reading.maps["signed_z"][inside]))
    assert np.isnan(reading.map[~inside]).all()
    assert reading.score == pytest.approx(np.sort(np.abs(z[inside]))[-20:].mean(), rel=1e-5)
    assert reading.map_scale == "z"


@pytest.mark.parametrize("strength", [0.6, -0.6])
def test_a_lesion_of_either_sign_is_found_where_it_is(atlas, person, strength):
    lesioned = with_lesion(person, strength, seed=3)
    change = np.abs(lesioned.scan.voxels - person.scan.voxels)
    centre = np.array([np.average(axis, weights=change) for axis in np.indices(SHAPE)])
    before, after = atlas.examine(person), atlas.examine(lesioned)
    assert after.score > 1.5 * before.score
    peak = np.array(np.unravel_index(np.nanargmax(after.map), SHAPE))
    assert np.linalg.norm(2.0 * (peak - centre)) < 6.0
    assert np.sign(after.maps["signed_z"][tuple(peak)]) == np.sign(strength)


def test_a_training_scan_brightened_as_a_whole_departs_everywhere(atlas, person):
    bright = dataclasses.replace(
        person, scan=dataclasses.replace(person.scan, voxels=(person.scan.voxels * 1.5).astype(np.float32))
    )
    assert np.nanmedian(atlas.examine(bright).maps["signed_z"]) > 2


def test_too_few_normals_are_refused():
    with pytest.raises(CalibrationError) as error:
        ZAtlas(ZAtlasConfig()).fit(prepared_population(4, seed=1), seed=0)
    assert error.value.code == "too_few_normals"


def test_a_scan_on_another_grid_is_refused(atlas, person):
    half = {name: array[::2] for name, array in atlas.state().items()}
    with pytest.raises(ModelError) as error:
        ZAtlas.restore(CONFIG, half).examine(person)
    assert error.value.code == "grid"


def test_weights_that_disagree_are_refused(atlas):
    state = dict(atlas.state())
    for damaged in ({**state, "median": state["median"][1:]}, {**state, "more": state["median"]}):
        with pytest.raises(ModelError):
            ZAtlas.restore(CONFIG, damaged)


def test_the_expected_image_moves_to_a_site_as_the_median_does_and_takes_no_noise_of_few_scans(atlas):
    site = prepared_population(8, seed=7)
    brighter = [
        dataclasses.replace(p, scan=dataclasses.replace(p.scan, voxels=p.scan.voxels * np.float32(1.2))) for p in site
    ]
    own, moved = atlas.state(), atlas.adapted(brighter).state()
    covered = np.mean([p.inside.mask for p in site], axis=0) >= CONFIG.coverage
    shift = np.where(covered, moved["median"] - own["median"], 0.0)
    assert np.abs(shift).max() > 0.05
    np.testing.assert_allclose(moved["expected"] - own["expected"], shift, atol=1e-6)
