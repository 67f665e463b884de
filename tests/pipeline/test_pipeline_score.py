"""One scan, one model, one outcome: every verdict, on made brains with a model fitted in the test."""

from __future__ import annotations

import dataclasses
import importlib
import json
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from anomri import io
from anomri.calibration import p_value
from anomri.core.geometry import Geometry, apply_affine, orientation_code
from anomri.core.outcome import Outcome
from anomri.core.prepared import Prepared
from anomri.core.reading import Reading
from anomri.core.region import Region
from anomri.core.scan import Scan
from anomri.errors import CalibrationError, InputError, ModelError
from anomri.io.array import array_scan
from anomri.methods.zatlas import ZAtlas
from anomri.models.fusion import Scaling
from anomri.pipeline import score, unreadable
from anomri.preparation import prepare
from anomri.scope import Limit, Scope
from anomri.simulate import Anatomy, corrupt, phantom
from brains import ALARM_RATE, digest, made_brain

# Fitting the model on made brains takes ten seconds.
pytestmark = pytest.mark.slow

NEW, WORSE = 31, 32


@pytest.fixture(scope="module")
def healthy() -> Anatomy:
    return made_brain(NEW)


@pytest.fixture(scope="module")
def outcome(fitted_brains: Any, healthy: Anatomy) -> Outcome:
    return score(healthy.scan, fitted_brains.model, covariates={"age": 80.0})


@pytest.fixture(scope="module")
def spoilt() -> tuple[Scan, Anatomy]:
    made = made_brain(WORSE)
    return corrupt(made.scan, "noise", severity=5, seed=1, brain=made.brain).scan, made


@pytest.fixture(scope="module")
def failed(fitted_brains: Any, spoilt: tuple[Scan, Anatomy]) -> Outcome:
    return score(spoilt[0], fitted_brains.model)


def content(outcome: Outcome) -> bytes:
    """All of an outcome that goes to disk."""
    arrays = [outcome.expected, *(outcome.maps[name] for name in sorted(outcome.maps))]
    arrays += [] if outcome.heatmap is None else [outcome.heatmap.values, outcome.heatmap.examined.mask]
    return outcome.result.model_dump_json().encode() + b"".join(a.tobytes() for a in arrays if a is not None)


def test_a_normal_scan_is_not_failed_and_its_numbers_agree(outcome, fitted_brains):
    result, calibration = outcome.result, fitted_brains.model.calibrated()
    assert result.verdict in ("pass", "warn")
    assert not result.in_training
    assert result.p_value == p_value(result.score, calibration.reference_scores)
    assert result.reference_scores == calibration.reference_scores
    assert result.n_normals == 10
    low, high = result.p_value_interval
    assert low <= result.p_value <= high
    assert (result.verdict == "warn") == (result.score > result.thresholds.warn)
    assert sum(d.share for d in result.drivers) == pytest.approx(1.0)
    assert {d.branch: d.kind for d in result.drivers} == {"zatlas": "local", "iqm1c": "quality"}
    assert set(result.versions) >= {"anomri", "numpy", "SimpleITK"}


def test_an_age_outside_the_normals_is_noted(outcome):
    assert any("80 years" in note and "20 to 29" in note for note in outcome.result.notes)


def test_the_heatmap_comes_home_to_the_scan_s_own_grid(outcome, healthy):
    heatmap, grid = outcome.heatmap, healthy.scan.geometry
    assert heatmap.geometry.same_grid(grid, 1e-9)
    assert heatmap.scale == "z"
    known = np.isfinite(heatmap.values)
    np.testing.assert_array_equal(known, heatmap.examined.mask)
    assert not (known & ~healthy.brain).any()
    assert known.sum() > 0.4 * healthy.brain.sum()
    axis = outcome.result.slice_axis
    assert orientation_code(grid.affine)[axis] in "SI"
    others = tuple(i for i in range(3) if i != axis)
    expected = {i: v for i, v in enumerate(np.where(known, heatmap.values, -1).max(axis=others)) if v >= 0}
    assert {s.index: s.score for s in outcome.result.slices} == pytest.approx(expected)
    assert outcome.expected.shape == grid.shape
    assert set(outcome.maps) == {"zatlas-signed_z"}
    level = outcome.result.thresholds.finding_level
    assert all(f.peak > level for f in outcome.result.findings)


def test_scoring_twice_gives_the_same_bytes(outcome, healthy, fitted_brains):
    timings: dict[str, float] = {}
    again = score(healthy.scan, fitted_brains.model, covariates={"age": 80.0}, timings=timings)
    assert content(again) == content(outcome)
    assert {"brain", "register", "examine", "heatmap", "judge"} <= set(timings)


def test_a_spoilt_scan_fails_and_says_by_which_metrics(failed):
    result = failed.result
    assert result.verdict == "fail"
    assert result.score > result.thresholds.fail
    assert result.p_value == pytest.approx(1 / 11)
    quality = next(d for d in result.drivers if d.branch == "iqm1c")
    assert len(quality.metrics) == 3
    deviations = [abs(m.deviation) for m in quality.metrics]
    assert deviations == sorted(deviations, reverse=True)
    for metric in quality.metrics:
        assert metric.value == result.quality[metric.name]
        assert not metric.normal_low <= metric.value <= metric.normal_high
    assert "10 of 10 normal scans" in result.reason


def test_a_scan_that_trained_the_model_is_judged_by_its_out_of_fold_score(fitted_brains):
    model = fitted_brains.model
    normal = max(model.calibrated().normals, key=lambda n: n.score)
    given = next(i for i in fitted_brains.inputs if i.scan_id == normal.scan_id)
    scan = io.read(given.path, scan_id="another-name")
    result = score(scan, model, alarm_rate=0.15).result
    assert result.in_training
    assert result.score == normal.score
    # One of the ten it is compared with, so that its p is at least 2/11.
    assert result.p_value == pytest.approx(2 / 11)
    assert result.verdict == "warn"
    assert "the model learnt from, judged by a model that had not seen it" in result.reason


def test_the_same_arrays_reach_fit_score_and_a_call_of_prepare(fitted_brains, monkeypatch):
    assert len(fitted_brains.seen) == 10
    given = fitted_brains.inputs[0]
    scan = io.read(given.path, scan_id=given.scan_id)
    reached = []
    examine = ZAtlas.examine

    def watched(self: ZAtlas, prepared: Any, **more: Any) -> Any:
        reached.append(digest(prepared))
        return examine(self, prepared, **more)

    monkeypatch.setattr(ZAtlas, "examine", watched)
    score(scan, fitted_brains.model)
    assert reached == [fitted_brains.seen[given.scan_id]]
    assert digest(prepare(scan, fitted_brains.model.recipe)) == reached[0]


def test_what_is_no_brain_is_out_of_scope_and_has_no_score(fitted_brains):
    rng = np.random.default_rng(0)
    noise = array_scan(np.abs(rng.normal(size=(60, 60, 60))), np.diag([3.0, 3.0, 3.0, 1.0]))
    nothing = array_scan(np.zeros((60, 60, 60)), np.diag([3.0, 3.0, 3.0, 1.0]))
    for scan in (phantom(0), noise, nothing):
        found = score(scan, fitted_brains.model)
        assert found.result.verdict == "out_of_scope"
        assert found.result.score is None
        assert found.result.p_value is None
        assert found.heatmap is None
        assert [d.kind for d in found.result.drivers] == ["scope"]
        assert found.result.reason.startswith("This scan is not what the model was made for: ")


def test_an_upside_down_brain_is_out_of_scope(healthy, fitted_brains):
    axis = next(i for i in range(3) if orientation_code(healthy.scan.geometry.affine)[i] in "SI")
    turned = array_scan(np.flip(healthy.scan.voxels, axis), healthy.scan.geometry.affine)
    assert score(turned, fitted_brains.model).result.verdict == "out_of_scope"


def test_a_scan_that_cannot_be_prepared_is_out_of_scope_never_passed(healthy, fitted_brains):
    flat = array_scan(np.where(healthy.brain, 500.0, 0.0), healthy.scan.geometry.affine)
    assert score(flat, fitted_brains.model).result.verdict == "out_of_scope"


@pytest.mark.parametrize(
    ("code", "verdict"),
    [("missing_slices", "out_of_scope"), ("not_mri", "out_of_scope"), ("mask_unreadable", "unreadable")],
)
def test_a_sound_file_that_holds_no_scan_to_judge_is_out_of_scope(fitted_brains, code, verdict):
    error = InputError("it is not what it should be", remedy="Give another.", code=code)
    result = unreadable("odd", error, fitted_brains.model).result
    assert (result.verdict, result.score) == (verdict, None)
    assert f"({code})" in result.reason


def test_a_file_that_could_not_be_read_has_a_row_with_the_reason(fitted_brains):
    error = InputError("the file ends early", remedy="Copy it again.", code="truncated")
    result = unreadable("broken", error, fitted_brains.model, sha256="ab").result
    assert result.verdict == "unreadable"
    assert result.reason == "the file ends early (truncated). Copy it again."
    assert result.score is None
    assert json.loads(result.model_dump_json())["input"]["sha256"] == "ab"


def with_head(scan: Scan, brain: np.ndarray) -> tuple[Scan, Region]:
    """The same brain inside a skull and a scalp, and its mask on the larger grid."""
    wide = 8
    inside = np.pad(brain, wide)
    shell = ndimage.binary_dilation(inside, iterations=6) & ~ndimage.binary_dilation(inside, iterations=2)
    voxels = np.pad(scan.voxels, wide)
    voxels = np.where(shell, np.float32(0.8 * np.percentile(scan.voxels[brain], 99)), voxels)
    # Low signal everywhere between, as in a head.
    filled = ndimage.binary_fill_holes(shell | inside)
    voxels = np.where(filled & ~inside & ~shell, voxels.max() * 0.1, voxels)
    affine = scan.geometry.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ np.full(3, wide)
    head = array_scan(voxels, affine, "head")
    return head, Region(inside, head.geometry, "brain", "user")


def test_the_brain_of_a_full_head_is_cut_out_and_the_verdict_at_most_a_warning(healthy, fitted_brains):
    head, mask = with_head(healthy.scan, healthy.brain)
    alone = score(head, fitted_brains.model)
    assert alone.result.brain_from == "extracted"
    assert 2.0 * (alone.brain.mask & mask.mask).sum() / (alone.brain.mask.sum() + mask.mask.sum()) > 0.95
    assert any("cut out of the head" in note for note in alone.result.notes)
    assert alone.result.verdict in ("pass", "warn")
    if alone.result.verdict == "pass":
        assert any("at most warn" in note for note in alone.result.notes)


def test_a_head_without_a_brain_is_out_of_scope_and_the_reason_says_what_was_tried(healthy, fitted_brains):
    head, _ = with_head(healthy.scan, healthy.brain)
    noise = np.random.default_rng(0).uniform(50.0, 900.0, head.voxels.shape).astype(np.float32)
    result = score(dataclasses.replace(head, voxels=noise), fitted_brains.model).result
    assert result.verdict == "out_of_scope"
    assert result.brain_from is None
    assert "--mask" in result.reason
    assert "no brain could be cut out" in result.reason


def test_a_head_that_is_refused_after_its_brain_was_found_says_where_that_came_from(healthy, fitted_brains):
    head, mask = with_head(healthy.scan, healthy.brain)
    large = Scope(limits={"volume_ml": Limit(low=5000.0, high=None)})
    model = dataclasses.replace(fitted_brains.model, scope=large)
    for given, origin in ((None, "extracted"), (mask, "given")):
        refused = score(head, model, mask=given)
        assert refused.result.verdict == "out_of_scope"
        assert refused.result.brain_from == origin
        assert refused.brain is not None


def test_a_full_head_is_judged_as_any_scan_where_full_heads_are_among_the_normals(spoilt, fitted_brains):
    scan, made = spoilt
    head, mask = with_head(scan, made.brain)
    calibration = fitted_brains.model.calibrated()
    heads = [n.model_copy(update={"full_head": True}) for n in calibration.normals]
    few = (*heads[: len(heads) // 2], *calibration.normals[len(heads) // 2 :])
    for normals, verdict in ((tuple(heads), "fail"), (few, "warn")):
        like = calibration.model_copy(update={"normals": normals})
        result = score(head, dataclasses.replace(fitted_brains.model, calibration=like), mask=mask).result
        assert result.brain_from == "given"
        assert result.verdict == verdict
        assert not any("full head" in note for note in result.notes)


def test_a_full_head_in_a_mask_is_at_most_warned_of(spoilt, failed, fitted_brains):
    scan, made = spoilt
    head, mask = with_head(scan, made.brain)
    masked = score(head, fitted_brains.model, mask=mask)
    assert masked.result.score == pytest.approx(failed.result.score, rel=0.05)
    assert masked.result.score > masked.result.thresholds.fail
    assert masked.result.verdict == "warn"
    assert "held at warn: the scan is a full head" in masked.result.reason
    assert masked.brain is mask


def test_a_stripped_scan_with_its_mask_is_not_capped(spoilt, fitted_brains):
    scan, made = spoilt
    mask = Region(made.brain.copy(), scan.geometry, "brain", "user")
    assert score(scan, fitted_brains.model, mask=mask).result.verdict == "fail"


def test_a_rate_finer_than_the_normals_can_show_is_refused_with_the_scan_s_name(healthy, fitted_brains):
    with pytest.raises(CalibrationError) as error:
        score(healthy.scan, fitted_brains.model, alarm_rate=0.05)
    assert error.value.scan == healthy.scan.scan_id
    assert "19" in error.value.remedy
    assert fitted_brains.model.calibrated().alarm_rate == ALARM_RATE


def test_a_model_without_calibration_judges_nobody(healthy, fitted_brains):
    bare = dataclasses.replace(fitted_brains.model, calibration=None)
    with pytest.raises(ModelError):
        score(healthy.scan, bare)


def with_ball(scan: Scan, brain: np.ndarray, place: np.ndarray, value: float) -> Scan:
    """Of 10 mm radius, in the scan's world."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in scan.geometry.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    away = np.linalg.norm(apply_affine(scan.geometry.affine, index) - place, axis=1).reshape(scan.geometry.shape)
    return dataclasses.replace(scan, voxels=np.where((away < 10.0) & brain, np.float32(value), scan.voxels))


@pytest.mark.parametrize(("share", "direction"), [(2.5, "brighter"), (0.05, "darker")])
def test_a_finding_says_what_it_is_like_however_the_scan_is_stored(healthy, fitted_brains, share, direction):
    scan, brain = healthy.scan, healthy.brain
    centre = apply_affine(scan.geometry.affine, np.argwhere(brain).astype(float)).mean(axis=0)
    place = centre + np.array([-28.0, -10.0, 12.0])
    scan = with_ball(scan, brain, place, share * float(np.median(scan.voxels[brain])))
    # The atlas of ten made brains is a coarse one: almost half of its normals exceed the level that is used here.
    result = score(scan, fitted_brains.model, alarm_rate=0.45).result
    finding = result.findings[0]
    assert np.linalg.norm(np.array(finding.centroid_mm) - place) < 6.0
    assert (finding.direction, finding.side, finding.branch) == (direction, "left", "zatlas")
    assert finding.depth_mm is not None
    edge = apply_affine(scan.geometry.affine, np.argwhere(ndimage.binary_dilation(brain) & ~brain).astype(float))
    nearest = np.linalg.norm(edge - np.array(finding.centroid_mm), axis=1).min()
    assert finding.depth_mm == pytest.approx(nearest, abs=max(scan.geometry.spacing_mm))
    assert finding.template_mm is not None
    assert finding.template_mm[0] < -15.0
    turn = np.diag([-1.0, 1.0, -1.0, 1.0])
    turn[[0, 2], 3] = scan.geometry.shape[0] - 1, scan.geometry.shape[2] - 1
    turned = Scan(
        scan.voxels[::-1, :, ::-1].copy(),
        Geometry(scan.geometry.shape, scan.geometry.affine @ turn),
        scan.scan_id,
        scan.source,
        scan.sequence,
    )
    assert [f.sentence for f in score(turned, fitted_brains.model, alarm_rate=0.45).result.findings] == [
        f.sentence for f in result.findings
    ]


def test_a_finding_of_another_branch_brings_that_branch_s_expected_image(healthy, fitted_brains, monkeypatch):
    """The atlas finds one place; a branch that is made here finds a stronger one, where it expected more."""
    scan, brain, model = healthy.scan, healthy.brain, fitted_brains.model
    centre = apply_affine(scan.geometry.affine, np.argwhere(brain).astype(float)).mean(axis=0)
    bright = centre + np.array([-28.0, -10.0, 12.0])
    scan = with_ball(scan, brain, bright, 2.5 * float(np.median(scan.voxels[brain])))

    def read(_: Any, prepared: Prepared) -> dict[str, Reading]:
        atlas = model.branches[0].method.examine(prepared, seed=0)
        region, x = prepared.region.mask, prepared.scan.geometry
        index = np.stack(np.meshgrid(*(np.arange(n) for n in x.shape), indexing="ij"), axis=-1).reshape(-1, 3)
        away = np.linalg.norm(apply_affine(x.affine, index) - [30.0, -20.0, 20.0], axis=1).reshape(x.shape)
        found = np.where(region, 1000.0 * (away < 12.0), np.nan).astype(np.float32)
        return {"zatlas": atlas, "iqm1c": Reading(1.0, found, prepared.scan.voxels + np.float32(0.5))}

    # The fused map is then the atlas's own and half of the other's.
    scaling = {"zatlas": Scaling(location=0, spread=1, peak=0.5), "iqm1c": Scaling(location=0, spread=1, peak=1.0)}
    records = tuple(r.model_copy(update={"scaling": scaling[r.name]}) for r in model.card.branches)
    model = dataclasses.replace(model, card=model.card.model_copy(update={"branches": records}))
    monkeypatch.setattr(importlib.import_module("anomri.pipeline.score"), "read_branches", read)
    outcome = score(scan, model, alarm_rate=0.45)
    made, atlas, *_ = outcome.result.findings
    assert (made.side, made.branch, made.direction) == ("right", "iqm1c", "darker")
    assert (atlas.side, atlas.branch, atlas.direction) == ("left", "zatlas", "brighter")
    assert set(outcome.expected_by) == {"zatlas"}
    known = np.isfinite(outcome.expected_by["zatlas"]) & outcome.brain.mask
    assert np.median(outcome.expected[known] - outcome.expected_by["zatlas"][known]) == pytest.approx(0.5, abs=0.1)
