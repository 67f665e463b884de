"""Scans, regions, readings and results refuse what they promise not to be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from anomri.core.geometry import Geometry
from anomri.core.reading import Reading
from anomri.core.region import Region
from anomri.core.result import Finding, InputRecord, ModelRecord, Result, Thresholds
from anomri.core.scan import Scan, Source
from anomri.core.score import mean_of_top_fraction, mean_of_top_voxels, robust_centre_spread, smooth_inside
from anomri.errors import InputError

GRID = Geometry((3, 4, 5), np.diag([1.0, 2.0, 3.0, 1.0]))
SOURCE = Source("array", "test 1", "0" * 64, "1" * 64, "RAS")
JUDGED = {
    "scan_id": "a",
    "input": InputRecord(sha256="0" * 64, format="array"),
    "model": ModelRecord(name="m", version="1", sha256="1" * 64),
    "verdict": "pass",
    "reason": "Nothing stands out.",
    "n_normals": 2,
    "reference_scores": (1.0, 2.0),
    "score": 1.5,
    "p_value": 0.5,
    "thresholds": Thresholds(warn=2.0, fail=3.0, warn_rate=0.1, fail_rate=0.05),
}


def test_a_scan_keeps_float32_that_nobody_can_change():
    scan = Scan(np.ones(GRID.shape), GRID, "a", SOURCE)
    assert scan.voxels.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        scan.voxels[0, 0, 0] = 2.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_scan_is_finite(bad):
    voxels = np.ones(GRID.shape, np.float32)
    voxels[1, 1, 1] = bad
    with pytest.raises(InputError) as error:
        Scan(voxels, GRID, "a", SOURCE)
    assert error.value.code == "nonfinite"


def test_a_scan_and_a_region_lie_on_their_grid():
    with pytest.raises(InputError):
        Scan(np.ones((3, 4, 6), np.float32), GRID, "a", SOURCE)
    with pytest.raises(InputError) as error:
        Region(np.ones((3, 4, 6), bool), GRID, "brain", "user")
    assert error.value.code == "mask_grid"


def test_a_region_is_not_empty_and_knows_its_volume():
    with pytest.raises(InputError) as error:
        Region(np.zeros(GRID.shape, bool), GRID, "brain", "user")
    assert error.value.code == "mask_empty"
    mask = np.zeros(GRID.shape, bool)
    mask[:2, 0, 0] = True
    assert Region(mask, GRID, "brain", "user").volume_ml == pytest.approx(0.012)


def test_a_region_of_numbers_is_taken_as_true_and_false():
    region = Region(np.full(GRID.shape, 2, np.uint8), GRID, "brain", "user")
    assert region.mask.dtype == np.bool_
    assert region.mask.all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_reading_has_a_finite_score(bad):
    with pytest.raises(InputError):
        Reading(score=bad)


def test_a_judged_result_comes_back_from_json():
    result = Result(**JUDGED)
    assert Result.model_validate_json(result.model_dump_json()) == result


@pytest.mark.parametrize("missing", ["score", "p_value", "thresholds"])
@pytest.mark.parametrize("verdict", ["pass", "warn", "fail"])
def test_no_verdict_without_its_numbers(missing, verdict):
    with pytest.raises(ValidationError):
        Result(**{**JUDGED, "verdict": verdict, missing: None})


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "unreadable"},
        {"reason": ""},
        {"verdict": "perhaps"},
        {"score": float("nan")},
        {"quality": {"snr": float("inf")}},
        {"unknown": 1},
    ],
)
def test_a_result_that_contradicts_itself_is_refused(change):
    with pytest.raises(ValidationError):
        Result(**{**JUDGED, **change})


def test_a_refusal_needs_no_score_and_may_keep_one():
    for verdict, score in (("unreadable", None), ("out_of_scope", None), ("out_of_scope", 2.0)):
        Result(**{**JUDGED, "verdict": verdict, "score": score, "p_value": None, "thresholds": None})


@settings(max_examples=40)
@given(st.lists(st.floats(-100, 100), min_size=1, max_size=30), st.integers(-1, 40))
def test_the_mean_of_the_top_is_that_of_the_sorted(values, count):
    array = np.array(values)
    top = sorted(values, reverse=True)[: max(count, 1)]
    assert mean_of_top_voxels(array, count) == pytest.approx(np.mean(top), abs=1e-9)


def test_the_top_of_nothing_is_refused():
    with pytest.raises(InputError):
        mean_of_top_voxels(np.array([]), 3)


def test_a_fraction_takes_at_least_one_value():
    values = np.arange(100.0)
    assert mean_of_top_fraction(values, 0.05) == pytest.approx(97.0)
    assert mean_of_top_fraction(values, 1e-6) == 99.0


def test_centre_and_spread_by_hand():
    assert robust_centre_spread(np.array([1.0, 2.0, 3.0, 4.0, 100.0])) == (3.0, pytest.approx(1.4826))
    for values in ([5.0, 5.0, 5.0, 9.0], [7.0]):
        centre, spread = robust_centre_spread(np.array(values))
        assert centre == values[0]
        assert np.isnan(spread)


def test_smoothing_inside_keeps_a_constant_and_ignores_the_outside():
    rng = np.random.default_rng(0)
    mask = rng.random((12, 12, 12)) < 0.4
    values = np.where(mask, 3.0, rng.normal(size=mask.shape) * 1000)
    smooth = smooth_inside(values, mask, (1.0, 2.0, 0.5))
    np.testing.assert_allclose(smooth[mask], 3.0, rtol=1e-5)
    assert (smooth[~mask] == 0).all()


def test_smoothing_inside_is_the_gaussian_mean_of_the_mask():
    mask = np.array([1, 1, 0, 1, 1, 1, 1], bool).reshape(7, 1, 1)
    values = np.array([1.0, 5.0, 99.0, 2.0, 0.0, 4.0, 3.0]).reshape(7, 1, 1)
    sigma = 1.5
    smooth = smooth_inside(values, mask, (sigma, 0.0, 0.0)).ravel()
    place = np.arange(7)
    for voxel in np.flatnonzero(mask):
        # A reflected border stands for the voxels beyond it.
        mirrored = np.concatenate([-1 - place, place, 13 - place])
        weight = np.exp(-0.5 * ((mirrored - voxel) / sigma) ** 2) * (np.abs(mirrored - voxel) <= int(3 * sigma + 0.5))
        weight = weight * np.tile(mask.ravel(), 3)
        expected = np.average(np.tile(values.ravel(), 3), weights=weight)
        assert smooth[voxel] == pytest.approx(expected, rel=1e-5)


def test_a_result_from_before_findings_were_described_still_loads():
    old = {"centroid_mm": [-20.4, 31.6, 5.0], "volume_mm3": 4321.0, "peak": 9.0, "mean": 7.0}
    written = Result(**JUDGED).model_dump(mode="json") | {"findings": [old, {**old, "direction": None, "region": None}]}
    bare, empty = Result.model_validate(written).findings
    assert bare == empty
    assert bare.side is bare.depth_mm is bare.tissue is bare.template_mm is bare.branch is None
    said = "A region of 4.3 ml around (-20, 32, 5) mm departs from what the normals show there"
    assert bare.sentence == said


@pytest.mark.parametrize(
    ("mm3", "said"), [(54.0, "0.054 ml"), (629.0, "0.63 ml"), (998.0, "1.0 ml"), (4849.0, "4.8 ml"), (11960.0, "12 ml")]
)
def test_a_finding_is_told_with_the_digits_its_size_has(mm3: float, said: str):
    finding = Finding(
        centroid_mm=(0, 0, 0), volume_mm3=mm3, peak=9.0, mean=7.0, direction="darker", region="on the left, deep"
    )
    assert finding.sentence == f"A region of {said} is darker than expected, on the left, deep"
