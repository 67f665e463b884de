"""The trivial baselines against their definitions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from anomri.core.geometry import Geometry
from anomri.core.region import Region
from anomri.errors import CalibrationError, ModelError
from anomri.methods.baselines import (
    PRESETS,
    Asymmetry,
    BlurResidual,
    Constant,
    Gradient,
    Intensity,
    Sharpness,
    Volume,
)
from synthetic import GRID, prepared_population, with_lesion

MAPS = {"baseline-asymmetry": Asymmetry, "baseline-blur": BlurResidual, "baseline-gradient": Gradient}
FEATURES = {"baseline-volume": Volume, "baseline-intensity": Intensity, "baseline-sharpness": Sharpness}


@pytest.fixture(scope="module")
def normals():
    return prepared_population(12, seed=1)


@pytest.fixture(scope="module")
def person():
    return prepared_population(1, seed=2)[0]


def with_voxels(prepared, voxels, geometry=None):
    grid = prepared.scan.geometry if geometry is None else geometry
    scan = dataclasses.replace(prepared.scan, voxels=voxels.astype(np.float32), geometry=grid)
    region = dataclasses.replace(prepared.region, geometry=grid)
    inside = dataclasses.replace(prepared.inside, mask=scan.voxels != 0, geometry=grid)
    return dataclasses.replace(prepared, scan=scan, region=region, inside=inside)


def with_quality(prepared, **metrics):
    return dataclasses.replace(prepared, quality={**prepared.quality, **metrics})


def build(kind, name, **changes):
    return kind(PRESETS[name].config.model_copy(update=changes))


def fit(kind, name, normals, **changes):
    method = build(kind, name, **changes)
    method.fit(normals, seed=0)
    return method


def test_constant_gives_everybody_the_same(normals):
    method = fit(Constant, "baseline-constant", normals)
    assert {method.examine(p).score for p in normals} == {0.0}
    assert method.state() == {}


def test_random_depends_on_scan_and_seed_alone_and_is_spread_out(normals):
    method = build(Constant, "baseline-random")
    scores = [method.examine(p, seed=5).score for p in normals]
    assert scores == [build(Constant, "baseline-random").examine(p, seed=5).score for p in normals]
    assert len(set(scores)) == len(normals)
    assert scores[0] != method.examine(normals[0], seed=6).score
    assert 0.2 < np.mean(scores) < 0.8


def test_a_feature_score_is_the_root_mean_square_of_robust_deviations(normals, person):
    method = fit(Volume, "baseline-volume", normals, metrics=("surface_excess",))
    columns = {
        "volume_ml": (lambda p: p.brain.mask.sum() * 0.008),
        "surface_excess": (lambda p: p.quality["surface_excess"]),
    }
    expected = {}
    for name, measure in columns.items():
        found = sorted(measure(p) for p in normals)
        centre = (found[5] + found[6]) / 2
        away = sorted(abs(x - centre) for x in found)
        expected[f"deviation/{name}"] = (measure(person) - centre) / (1.4826 * (away[5] + away[6]) / 2)
    reading = method.examine(person)
    assert reading.values == pytest.approx(expected, rel=1e-4)
    assert reading.score == pytest.approx(np.sqrt(np.mean(np.square(list(expected.values())))), rel=1e-4)


def test_volume_is_that_of_the_whole_mask_before_registration(normals, person):
    method = fit(Volume, "baseline-volume", normals)
    small = ndimage.binary_erosion(person.brain.mask, iterations=3)
    shrunk = dataclasses.replace(person, brain=Region(small, GRID, "brain", "test"))
    assert method.examine(shrunk).score > method.examine(person).score


def test_intensity_sees_gain_and_contrast(normals, person):
    method = fit(Intensity, "baseline-intensity", normals)
    inside = person.inside.mask
    flat = np.where(inside, 0.3 * (person.scan.voxels - 0.6) + 0.6, 0)
    for changed in (1.3 * person.scan.voxels, flat):
        assert method.examine(with_voxels(person, changed)).score > 2 * method.examine(person).score


def test_sharpness_can_be_a_single_metric(normals, person):
    method = fit(Sharpness, "baseline-sharpness", normals, metrics=("noise_level",))
    noisy = with_quality(person, noise_level=2 * person.quality["noise_level"])
    assert method.examine(noisy).score > 5 > method.examine(person).score
    assert list(method.examine(person).values) == ["deviation/noise_level"]


@pytest.mark.parametrize("name", FEATURES)
def test_a_metric_that_is_not_there_is_named(name, normals, person):
    method = fit(FEATURES[name], name, normals)
    metric = method.config.metrics[0]
    without = dataclasses.replace(person, quality={k: v for k, v in person.quality.items() if k != metric})
    with pytest.raises(ModelError, match=metric) as caught:
        method.examine(without)
    assert caught.value.code == "missing_metric"
    with pytest.raises(CalibrationError, match=metric):
        build(FEATURES[name], name).fit([*normals, with_quality(person, **{metric: None})], seed=0)


def test_a_metric_undefined_in_one_scan_counts_as_far_away(normals, person):
    method = fit(Sharpness, "baseline-sharpness", normals)
    values = method.examine(with_quality(person, noise_level=None)).values
    assert values["deviation/noise_level"] == method.config.undefined_deviation


def test_asymmetry_is_the_difference_to_the_mirror_image(person):
    values, _ = build(Asymmetry, "baseline-asymmetry").measure(person)
    # The test grid is symmetric about x = 0, so mirroring is reversing.
    np.testing.assert_allclose(values, np.abs(person.scan.voxels - person.scan.voxels[::-1]), atol=1e-6)


@pytest.mark.parametrize("shift", [3, -2])
def test_asymmetry_mirrors_about_the_plane_of_the_world_not_of_the_array(person, shift):
    symmetric = np.maximum(person.scan.voxels, person.scan.voxels[::-1])
    moved = np.array(GRID.affine)
    moved[0, 3] -= 2.0 * shift
    rolled = with_voxels(person, np.roll(symmetric, shift, axis=0), Geometry(GRID.shape, moved))
    values, brain = build(Asymmetry, "baseline-asymmetry").measure(rolled)
    assert np.abs(values[brain]).max() < 1e-5


def test_a_blur_residual_has_no_edge_at_the_border_of_the_brain(person):
    brain = person.inside.mask
    values, known = build(BlurResidual, "baseline-blur").measure(with_voxels(person, np.where(brain, 0.7, 0.0)))
    np.testing.assert_array_equal(known, brain)
    assert values[brain].max() < 1e-5
    sharp, _ = build(BlurResidual, "baseline-blur").measure(person)
    coarse, _ = build(BlurResidual, "baseline-blur-4").measure(person)
    assert 0 < sharp[brain].mean() < coarse[brain].mean()


def test_a_gradient_is_the_slope_per_millimetre(person):
    brain = person.inside.mask
    x, y, _ = np.indices(GRID.shape)
    values, known = build(Gradient, "baseline-gradient").measure(
        with_voxels(person, np.where(brain, 1.0 + 0.06 * x + 0.08 * y, 0.0))
    )
    np.testing.assert_array_equal(known, ndimage.binary_erosion(brain))
    np.testing.assert_allclose(values[known], 0.05, rtol=1e-4)


@pytest.mark.parametrize("name", MAPS)
def test_the_map_counts_robust_spreads_above_the_normals(name, normals, person):
    method = fit(MAPS[name], name, normals, floor_percentile=0.0)
    reading = method.examine(person)
    voxel = tuple(np.argwhere(person.region.mask)[4321])
    found = []
    for each in [*normals, person]:
        values, known = method.measure(each)
        smooth = [ndimage.gaussian_filter(a.astype(float), 2.0, truncate=3.0) for a in (values * known, known)]
        found.append(smooth[0][voxel] / smooth[1][voxel])
    centre = np.median(found[:-1])
    spread = 1.4826 * np.median(np.abs(np.array(found[:-1]) - centre))
    assert reading.map[voxel] == pytest.approx((found[-1] - centre) / spread, rel=1e-3)
    assert reading.map_scale == "z"
    inside = np.sort(reading.map[person.region.mask])
    assert reading.score == pytest.approx(inside[-round(0.01 * inside.size) :].mean(), rel=1e-5)


@pytest.mark.parametrize("name", MAPS)
def test_the_peak_of_a_strong_lesion_lies_at_it_or_at_its_mirror_image(name, normals, person):
    method = fit(MAPS[name], name, normals)
    ill = with_lesion(person, 2.0, seed=3)
    lesion = ill.scan.voxels - person.scan.voxels > 0.3
    near = ndimage.binary_dilation(lesion | lesion[::-1], iterations=2)
    assert near[np.unravel_index(np.nanargmax(method.examine(ill).map), GRID.shape)]


@pytest.mark.parametrize("name", [*MAPS, *FEATURES])
def test_too_few_normals_are_refused(name, normals):
    kind = {**MAPS, **FEATURES}[name]
    with pytest.raises(CalibrationError) as caught:
        build(kind, name).fit(normals[:4], seed=0)
    assert caught.value.code == "too_few_normals"


def test_normals_that_do_not_vary_make_no_map(person):
    with pytest.raises(CalibrationError) as caught:
        build(Gradient, "baseline-gradient").fit([person] * 6, seed=0)
    assert caught.value.code == "no_spread"


def test_a_scan_on_another_grid_is_refused(normals, person):
    method = fit(Gradient, "baseline-gradient", normals)
    cut = Geometry((32, 40, 30), GRID.affine)
    region = Region(person.region.mask[..., :30], cut, "examined", "test")
    scan = dataclasses.replace(person.scan, voxels=person.scan.voxels[..., :30].copy(), geometry=cut)
    with pytest.raises(ModelError) as caught:
        method.examine(dataclasses.replace(person, scan=scan, region=region, inside=region))
    assert caught.value.code == "grid"
