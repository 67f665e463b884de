"""Calibrating to a site, on synthetic scans: with enough of its normals, with few, and with the wrong ones."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomri import io
from anomri.core.prepared import Prepared
from anomri.errors import CalibrationError, DataLeak, ModelError, OutputConflict
from anomri.io.write import write_nifti
from anomri.methods.zatlas import ZAtlas
from anomri.models import Model
from anomri.pipeline import FitInput, calibrate, fit
from anomri.pipeline.adapt import adapted
from brains import digest
from measured import as_measured, drawn_features
from synthetic import prepared_population


@pytest.fixture(scope="module")
def visitors() -> list[Prepared]:
    """Normal scans of another scanner: brighter, so that they score higher."""
    rng = np.random.default_rng(3)
    people = [as_measured(p, drawn_features(rng)) for p in prepared_population(20, seed=9)]
    return [
        dataclasses.replace(p, scan=dataclasses.replace(p.scan, voxels=(p.scan.voxels * 1.1).astype(np.float32)))
        for p in people
    ]


@pytest.fixture(scope="module")
def half_model(people: list[Prepared], lay: Any, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """As bundled models are: weights in half precision."""
    out = tmp_path_factory.mktemp("half") / "model"
    return fit(["zatlas"], lay(people, out), out, name="half", preset=["zatlas-tiny"], half=True).model


def calibrated(model: Model, scans: list[Prepared], lay: Any, out: Path, **more: Any) -> Any:
    return calibrate(model, lay(scans, out), out, site="there", **more)


def test_enough_normals_of_a_site_alone_make_the_calibration(half_model, visitors, lay, tmp_path):
    summary = calibrated(half_model, visitors, lay, tmp_path / "there")
    calibration = Model.load(tmp_path / "there").calibrated()
    assert not summary.approximate
    assert calibration.kind == "site"
    assert calibration.site == "there"
    expected = sorted(half_model.branches[0].method.examine(p, seed=0).score for p in visitors)
    assert calibration.reference_scores == pytest.approx(expected)
    assert summary.n_normals == 20
    assert summary.smallest_rate == pytest.approx(1 / 21)
    low, high = summary.fail_interval
    assert low <= summary.thresholds.fail <= high
    assert summary.thresholds.fail > half_model.calibrated().thresholds().fail
    assert Model.load(tmp_path / "there").content_sha256 == half_model.content_sha256


def test_few_normals_move_the_scores_approximately_and_promise_nothing(half_model, visitors, lay, tmp_path):
    summary = calibrated(half_model, visitors[:4], lay, tmp_path / "there")
    calibration = summary.model.calibrated()
    assert summary.approximate
    assert calibration.approximate
    assert summary.fail_interval is None
    assert calibration.normals == half_model.calibrated().normals
    assert [n.scan_id for n in calibration.site_normals] == [p.scan.scan_id for p in visitors[:4]]
    assert calibration.of_site(visitors[0].scan.source.image_sha256) == calibration.site_normals[0]
    assert calibration.of_site("0" * 64) is None
    assert np.median(calibration.reference_scores) > np.median(half_model.calibrated().reference_scores)


def test_a_rate_of_one_s_own_decides_what_is_enough(half_model, visitors, lay, tmp_path):
    summary = calibrated(half_model, visitors[:9], lay, tmp_path / "there", alarm_rate=0.1)
    assert not summary.approximate
    assert summary.thresholds.fail_rate == 0.1


def test_a_scan_that_trained_the_model_is_a_leak(half_model, people, visitors, lay, tmp_path):
    with pytest.raises(DataLeak) as error:
        calibrated(half_model, [*visitors[:3], people[2]], lay, tmp_path / "there")
    assert error.value.scan == people[2].scan.scan_id


def test_a_training_scan_is_a_leak_before_any_scan_is_prepared(fitted_brains, tmp_path, monkeypatch):
    module = sys.modules["anomri.pipeline.calibrate"]
    monkeypatch.setattr(module, "gather", lambda *_args, **_more: pytest.fail("scans were prepared"))
    # Compressed anew, under another name and with another subject: the image tells.
    scan = io.read(fitted_brains.inputs[4].path)
    write_nifti(tmp_path / "other.nii", scan.voxels, scan.geometry)
    (tmp_path / "broken.nii").write_bytes(b"words")
    given = [FitInput(tmp_path / name, name, name) for name in ("broken.nii", "other.nii")]
    with pytest.raises(DataLeak) as error:
        calibrate(fitted_brains.model, given, tmp_path / "there", site="there")
    assert error.value.scan == "other.nii"
    assert not list(tmp_path.glob("there*"))


def test_scans_out_of_scope_are_left_out_and_if_none_is_left_nothing_is_written(half_model, visitors, lay, tmp_path):
    far = [as_measured(p, {**drawn_features(np.random.default_rng(0)), "overlap": 0.1}) for p in visitors]
    summary = calibrated(half_model, [far[0], *visitors[1:]], lay, tmp_path / "there")
    assert [d.scan_id for d in summary.dropped] == [far[0].scan.scan_id]
    assert "outline does not fit" in summary.dropped[0].reason
    assert summary.n_normals == 19
    with pytest.raises(CalibrationError) as error:
        calibrated(half_model, far, lay, tmp_path / "nowhere")
    assert error.value.code == "no_normals"
    assert not (tmp_path / "nowhere").exists()


def test_a_model_of_a_site_is_refused_before_any_scan_is_prepared(half_model, visitors, lay, tmp_path):
    model = calibrated(half_model, visitors, lay, tmp_path / "there").model
    with pytest.raises(CalibrationError) as error:
        calibrate(model, [], tmp_path / "again", site="elsewhere")
    assert error.value.code == "not_cross_validated"
    assert not list(tmp_path.glob("again*"))


def test_the_arrays_that_are_scored_are_those_that_were_prepared(half_model, visitors, lay, tmp_path, monkeypatch):
    reached = {}
    examine = ZAtlas.examine

    def watched(self: ZAtlas, prepared: Prepared, **more: Any) -> Any:
        reached[prepared.scan.scan_id] = digest(prepared)
        return examine(self, prepared, **more)

    monkeypatch.setattr(ZAtlas, "examine", watched)
    calibrated(half_model, visitors[:3], lay, tmp_path / "there")
    assert reached == {p.scan.scan_id: digest(p) for p in visitors[:3]}


def test_a_rate_that_cannot_be_promised_leaves_nothing_behind(half_model, visitors, lay, tmp_path):
    with pytest.raises(CalibrationError):
        calibrated(half_model, visitors[:3], lay, tmp_path / "there", alarm_rate=0.001)
    assert not (tmp_path / "there" / "model.json").exists()


def test_a_model_never_replaces_the_one_it_is_made_from(half_model):
    before = (half_model.folder / "model.json").read_bytes()
    with pytest.raises(OutputConflict):
        calibrate(half_model, [], half_model.folder, site="elsewhere")
    assert (half_model.folder / "model.json").read_bytes() == before


def test_an_adapted_model_finds_a_site_more_normal_and_scores_each_of_its_normals_by_the_others(
    half_model, visitors, lay, tmp_path
):
    plain = calibrated(half_model, visitors, lay, tmp_path / "plain").model
    summary = calibrated(half_model, visitors, lay, tmp_path / "moved", adapt=True)
    model = Model.load(tmp_path / "moved")
    assert np.median(model.calibrated().reference_scores) < np.median(plain.calibrated().reference_scores)
    assert "moved to 20 normal scans of there" in model.card.cohort
    assert model.card.validation.endswith("That was measured before its statistics were moved to there.")
    assert {t.scan_id for t in model.card.training} == {
        *(t.scan_id for t in half_model.card.training),
        *(p.scan.scan_id for p in visitors),
    }
    folds = {n.scan_id: n.fold for n in model.calibrated().normals}
    assert len(set(folds.values())) == 4
    one = visitors[0]
    others = [p for p in visitors if folds[p.scan.scan_id] != folds[one.scan.scan_id]]
    expected = half_model.branches[0].method.adapted(others).examine(one, seed=0).score
    found = next(n.score for n in model.calibrated().normals if n.scan_id == one.scan.scan_id)
    assert found == pytest.approx(expected)
    assert not (tmp_path / "moved.fit").exists()
    assert summary.model.content_sha256 != half_model.content_sha256


def test_a_model_with_a_branch_that_cannot_be_adapted_says_so_before_any_scan_is_prepared(half_model, tmp_path):
    class Rigid:
        pass

    branch = dataclasses.replace(half_model.branches[0], method=Rigid())
    rigid = dataclasses.replace(half_model, branches=(branch,))
    with pytest.raises(ModelError, match="cannot be adapted"):
        calibrate(rigid, [FitInput(tmp_path / "none.nii.gz", "none", "none")], tmp_path / "x", site="x", adapt=True)


def test_three_subjects_are_too_few_to_adapt_by_and_that_is_said_before_any_scan_is_prepared(half_model, tmp_path):
    given = [FitInput(tmp_path / f"none-{n}.nii.gz", f"none-{n}", f"person-{n % 3}") for n in range(5)]
    with pytest.raises(CalibrationError) as error:
        calibrate(half_model, given, tmp_path / "there", site="there", adapt=True)
    assert error.value.code == "too_few_normals"


def test_scans_that_are_left_out_do_not_count_among_the_subjects_to_adapt_by(half_model, visitors, lay, tmp_path):
    far = as_measured(visitors[0], {**drawn_features(np.random.default_rng(0)), "overlap": 0.1})
    with pytest.raises(CalibrationError) as error:
        calibrated(half_model, [far, *visitors[1:4]], lay, tmp_path / "there", adapt=True)
    assert error.value.code == "too_few_normals"
    assert not (tmp_path / "there").exists()


def test_the_ages_of_a_site_are_among_those_an_adapted_model_knows(half_model, visitors):
    site = [
        dataclasses.replace(p, covariates={"age": age}) for p, age in zip(visitors, (64.0, 81.0, 70.0), strict=False)
    ]
    card = half_model.card.model_copy(update={"age_range": (19.0, 55.0)})
    model = dataclasses.replace(half_model, card=card)
    assert adapted(model, site, site="there").card.age_range == (19.0, 81.0)
    without = [dataclasses.replace(p, covariates={}) for p in site]
    assert adapted(model, without, site="there").card.age_range == (19.0, 55.0)
    unknown = dataclasses.replace(half_model, card=card.model_copy(update={"age_range": None}))
    assert adapted(unknown, site, site="there").card.age_range is None
