"""Fitting on synthetic prepared scans: out-of-fold scores, no leak, and the same model after a kill."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anomri.core.geometry import Geometry
from anomri.core.prepared import Prepared
from anomri.errors import (
    CalibrationError,
    DataLeak,
    EnvironmentProblem,
    InputError,
    ModelError,
    OutputConflict,
    SettingError,
)
from anomri.io.write import write_nifti
from anomri.methods import iqm1c, load_preset
from anomri.methods.zatlas import ZAtlas
from anomri.models import Model
from anomri.pipeline import FitInput, fit
from anomri.pipeline import gather as gather_module
from anomri.pipeline.fit import FOLDS
from anomri.pipeline.gather import gather
from anomri.pipeline.specs import branch_specs
from anomri.pipeline.store import load_prepared
from anomri.preparation import RECIPES
from brains import made_brain
from synthetic import with_lesion

RECIPE = RECIPES["brain-t1"]
# `anomri.pipeline.fit` itself is the verb.
fit_module = importlib.import_module("anomri.pipeline.fit")
# A fit that ends itself by SIGKILL when the second fold has been scored.
KILLED = """
import json, os, signal, sys
from pathlib import Path
from anomri.pipeline import FitInput, fit

def report(line):
    if line.startswith("fold 2"):
        os.kill(os.getpid(), signal.SIGKILL)

inputs = [FitInput(Path(path), *more) for path, *more in json.loads(sys.argv[2])]
fit(["zatlas"], inputs, Path(sys.argv[1]), name="people", preset=["zatlas-tiny"], report=report)
"""


def files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def fit_people(inputs: list[FitInput], out: Path, **more: Any) -> Any:
    return fit(["zatlas"], inputs, out, name="people", preset=["zatlas-tiny"], **more)


def by_id(people: list[Prepared]) -> dict[str, Prepared]:
    return {p.scan.scan_id: p for p in people}


def test_the_model_on_disk_is_calibrated_on_every_scan_once(fitted_people, people):
    summary, _, out = fitted_people
    model = Model.load(out)
    assert model.sha256 == summary.model.sha256
    normals = model.calibrated().normals
    assert [n.scan_id for n in normals] == sorted(p.scan.scan_id for p in people)
    assert {n.image_sha256 for n in normals} == {t.image_sha256 for t in model.card.training}
    assert summary.dropped == ()
    assert model.card.branches[0].scaling is None
    ages = [p.covariates["age"] for p in people]
    assert model.card.age_range == (min(ages), max(ages))
    assert summary.normals_needed[0.05] == 19


def test_folds_keep_a_subject_together_and_differ_little_in_size(fitted_people, people):
    normals = fitted_people[0].model.calibrated().normals
    fold_of: dict[str, set[int]] = {}
    for normal in normals:
        fold_of.setdefault(normal.subject, set()).add(normal.fold)
    assert len(fold_of) == len({p.subject for p in people}) == 20
    assert all(len(folds) == 1 for folds in fold_of.values())
    sizes = [sum(folds == {fold} for folds in fold_of.values()) for fold in range(FOLDS)]
    assert sizes == [4] * FOLDS


def test_each_score_comes_from_an_atlas_that_has_not_seen_its_subject(fitted_people, people):
    config = load_preset("zatlas", "zatlas-tiny")[1].config
    scans = by_id(people)
    normals = fitted_people[0].model.calibrated().normals
    for fold in range(FOLDS):
        held = [n for n in normals if n.fold == fold]
        rest = sorted(n.scan_id for n in normals if n.fold != fold)
        assert not {n.subject for n in held} & {scans[name].subject for name in rest}
        atlas = ZAtlas(config)
        atlas.fit([scans[name] for name in rest], seed=0)
        for normal in held:
            reading = atlas.examine(scans[normal.scan_id])
            assert normal.score == reading.score
            assert normal.peak == float(np.nanmax(reading.map))


def test_a_fit_killed_in_the_middle_ends_with_the_same_bytes(fitted_people, people, lay, tmp_path):
    _, _, whole = fitted_people
    out = tmp_path / "model"
    inputs = lay(people, out)
    given = [[str(i.path), i.scan_id, i.subject, dict(i.covariates)] for i in inputs]
    done = subprocess.run([sys.executable, "-c", KILLED, str(out), json.dumps(given)], check=False, timeout=300)
    assert done.returncode == -9
    assert not out.exists()
    work = out.with_name("model.fit")
    kept = files(work / "fold-0")
    fit_people(inputs, out, work=work)
    assert files(work / "fold-0") == kept
    assert files(out) == files(whole)


def test_finished_stages_are_not_fitted_again_and_a_lost_one_comes_back_the_same(fitted_people, monkeypatch, tmp_path):
    _, inputs, whole = fitted_people
    out = tmp_path / "model"
    shutil.copytree(whole.with_name("model.fit"), tmp_path / "model.fit")
    fits = []
    plain = ZAtlas.fit

    def counted(self: ZAtlas, prepared: Any, **more: Any) -> Any:
        fits.append(len(prepared))
        return plain(self, prepared, **more)

    monkeypatch.setattr(ZAtlas, "fit", counted)
    work = tmp_path / "model.fit"
    fit_people(inputs, out, work=work)
    assert fits == []
    assert files(out) == files(whole)
    shutil.rmtree(work / "final")
    shutil.rmtree(out)
    fit_people(inputs, out, work=work)
    assert fits == [len(inputs)]
    assert files(out) == files(whole)
    fit_people(inputs, out, work=work, settings={"sigma_mm": "5.0"})
    assert len(fits) == 2 + FOLDS
    monkeypatch.setattr(ZAtlas, "version", ZAtlas.version + 1)
    fit_people(inputs, out, work=work, settings={"sigma_mm": "5.0"})
    assert len(fits) == 3 + 2 * FOLDS
    renamed = [dataclasses.replace(i, subject=f"{i.subject}-twin") for i in inputs]
    fit_people(renamed, out, work=work, settings={"sigma_mm": "5.0"})
    assert len(fits) == 4 + 3 * FOLDS


def test_what_was_made_on_the_way_goes_with_the_finished_model_and_nothing_else_does(people, lay, tmp_path):
    out = tmp_path / "model"
    inputs = lay(people, out)
    fit_people(inputs, out)
    assert not (tmp_path / "model.fit").exists()
    lay(people, out)
    (tmp_path / "model.fit" / "notes.txt").write_text("mine")
    (out / "fit_report.html").write_text("the report of before")
    fit_people(inputs, out, seed=1)
    assert [f.name for f in (tmp_path / "model.fit").iterdir()] == ["notes.txt"]
    assert (out / "fit_report.html").read_text() == "the report of before"


def fails_before_preparing(*_: Any, **__: Any) -> Any:
    raise AssertionError("scans were prepared for a fit that cannot work")


@pytest.mark.parametrize(
    ("methods", "presets", "count", "settings", "learnt"),
    [
        (["zatlas"], ["zatlas"], 6, {}, "learn from 4 in a fold; it needs 5"),
        (["zatlas"], ["zatlas"], 12, {"least_normals": "10"}, "learn from 9 in a fold; it needs 10"),
        (["zatlas", "iqm1c"], ["zatlas", "iqm1c"], 8, {}, "learn from 4 in a fold; it needs 5"),
        (["autoencoder", "iqm1c"], ["autoencoder-tiny", "iqm1c"], 6, {}, "autoencoder would learn from 4"),
        (["zatlas"], ["zatlas-tiny"], 4, {}, "4 subjects cannot be split into 5 folds"),
    ],
)
def test_too_few_scans_are_refused_before_any_is_prepared(
    methods, presets, count, settings, learnt, monkeypatch, tmp_path
):
    monkeypatch.setattr(fit_module, "gather", fails_before_preparing)
    inputs = [FitInput(tmp_path / f"{n}.nii", f"s{n}", f"s{n}") for n in range(count)]
    with pytest.raises(CalibrationError) as error:
        fit(methods, inputs, tmp_path / "model", name="few", preset=presets, settings=settings)
    assert learnt in error.value.cause
    assert error.value.code == "too_few_normals"
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_or_run_or_promised_is_refused_before_any_scan_is_prepared(monkeypatch, tmp_path):
    monkeypatch.setattr(fit_module, "gather", fails_before_preparing)
    inputs = [FitInput(tmp_path / f"{n}.nii", f"s{n}", f"s{n}") for n in range(20)]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    for out in (tmp_path / "mine", tmp_path / "mine" / "thesis.txt"):
        with pytest.raises(OutputConflict) as conflict:
            fit_people(inputs, out)
        assert conflict.value.code == "not_a_model"
    with pytest.raises(CalibrationError):
        fit_people(inputs, tmp_path / "model", alarm_rate=0.7)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_a_rate_that_the_normals_cannot_promise_is_said_before_any_scan_is_prepared(people, lay, tmp_path):
    lines: list[str] = []
    fit_people(lay(people[:12], tmp_path / "model"), tmp_path / "model", report=lines.append)
    assert lines[0].startswith("12 normals cannot promise a false-alarm rate of 0.05, which needs 19")
    assert sum("cannot promise" in line for line in lines) == 1


def test_weights_without_their_record_are_not_trusted(fitted_people, tmp_path):
    _, inputs, whole = fitted_people
    shutil.copytree(whole.with_name("model.fit"), tmp_path / "model.fit")
    final = tmp_path / "model.fit" / "final"
    (own,) = final.iterdir()
    (own / "fit.json").unlink()
    (own / "weights.safetensors").write_bytes(b"half a fi")
    fit_people(inputs, tmp_path / "model")
    assert files(tmp_path / "model") == files(whole)


def test_the_order_of_the_scans_does_not_matter(fitted_people, people, lay, tmp_path):
    inputs = lay(people, tmp_path / "model")
    fit_people(list(reversed(inputs)), tmp_path / "model")
    assert files(tmp_path / "model") == files(fitted_people[2])


def test_the_same_image_twice_is_a_leak_whatever_its_file_is_called(people, lay, tmp_path):
    twin = dataclasses.replace(
        people[0],
        scan=dataclasses.replace(
            people[0].scan,
            scan_id="twin",
            source=dataclasses.replace(people[0].scan.source, sha256="f" * 64),
        ),
        subject="somebody-else",
    )
    inputs = lay([*people, twin], tmp_path / "model")
    with pytest.raises(DataLeak) as error:
        fit_people(inputs, tmp_path / "model")
    assert error.value.scan == "twin"
    assert people[0].scan.scan_id in error.value.cause


def test_several_branches_get_their_constants_from_scans_their_folds_did_not_train_on(people, lay, tmp_path):
    out = tmp_path / "model"
    summary = fit(
        ["zatlas", "iqm1c"], lay(people, out), out, name="two", preset=["zatlas-tiny", "iqm1c-tiny"], half=True
    )
    scalings = summary.model.scalings
    assert set(scalings) == {"zatlas", "iqm1c"}
    assert scalings["zatlas"].peak > 0
    assert scalings["iqm1c"].peak is None
    scores = [n.score for n in summary.model.calibrated().normals]
    # The larger of two standardised scores of normals.
    assert -1.0 < np.median(scores) < 2.0
    assert Model.load(out).sha256 == summary.model.sha256


def test_a_training_scan_that_stands_out_is_named(people, lay, tmp_path):
    odd = with_lesion(people[4], 3.0, seed=1)
    inputs = lay([*people[:4], odd, *people[5:]], tmp_path / "model")
    summary = fit_people(inputs, tmp_path / "model")
    assert summary.outlying[0][0] == odd.scan.scan_id
    assert summary.outlying[0][1] > 3


def test_what_cannot_be_read_or_is_no_brain_is_left_out_and_listed(tmp_path):
    (tmp_path / "junk.nii").write_bytes(b"junk")
    made = made_brain(1)
    third = made.scan.voxels[::3, ::3, ::3]
    write_nifti(tmp_path / "small.nii.gz", third, Geometry(third.shape, made.scan.geometry.affine))
    given = [FitInput(tmp_path / f, f.split(".")[0], f) for f in ("junk.nii", "small.nii.gz", "missing.nii")]
    lines: list[str] = []
    with pytest.raises(InputError) as error:
        gather(given, RECIPE, tmp_path / "prepared", jobs=1, report=lines.append)
    assert error.value.code == "no_scans"
    assert len(lines) == 3
    assert "cannot be read" in lines[1]
    assert "less than any adult brain" in lines[2]


def test_a_pipe_among_the_scans_is_left_out_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.nii")
    paths = [tmp_path / "pipe.nii", tmp_path / "gone.nii"]
    heard = []
    with pytest.raises(InputError) as error:
        gather([FitInput(p, p.name, p.name) for p in paths], RECIPE, tmp_path / "work", jobs=1, report=heard.append)
    assert error.value.code == "no_scans"
    assert ["(read_failed)" in line for line in heard] == [True, False]
    assert "(not_a_file)" in heard[1]


def test_pictures_for_a_method_of_volumes_are_refused_before_any_is_read(tmp_path, monkeypatch):
    paths = [tmp_path / name for name in ("a.png", "b.dat")]
    for path in paths:
        Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20)).save(path, "PNG")
    monkeypatch.setattr("anomri.io.read", lambda *_args, **_more: pytest.fail("a picture was read"))
    given = [FitInput(path, path.stem, path.stem) for path in paths]
    with pytest.raises(InputError) as error:
        gather(given, RECIPE, tmp_path / "work", jobs=1, report=lambda _line: None)
    assert error.value.code == "dimensions"
    assert "for volumes" in error.value.cause
    assert not (tmp_path / "work").exists()
    # One that is no picture may be a volume: then each is left out with its own reason.
    monkeypatch.undo()
    (tmp_path / "c.nii").write_bytes(b"words")
    heard = []
    with pytest.raises(InputError):
        gather([*given, FitInput(tmp_path / "c.nii", "c", "c")], RECIPE, tmp_path / "work", jobs=1, report=heard.append)
    assert ["single slice" in line for line in heard] == [True, True, False]


def test_a_full_disk_stops_a_fit_instead_of_leaving_scans_out(tmp_path, monkeypatch):
    path = tmp_path / "brain.nii.gz"
    made = made_brain(1)
    write_nifti(path, made.scan.voxels, made.scan.geometry)

    def full(*_: Any, **__: Any) -> None:
        raise EnvironmentProblem("the disk is full", remedy="Make room.", code="disk_full")

    monkeypatch.setattr(gather_module, "prepare", full)
    with pytest.raises(EnvironmentProblem):
        gather([FitInput(path, "brain", "brain")], RECIPE, tmp_path / "p", jobs=1, report=lambda _: None)


def test_who_a_scan_is_of_may_be_corrected_between_runs(people, lay, tmp_path):
    out = tmp_path / "model"
    inputs = [dataclasses.replace(i, subject="renamed", covariates={"age": 33.0}) for i in lay(people[:2], out)]
    prepared, _ = gather(inputs, RECIPE, tmp_path / "model.fit" / "prepared", jobs=1, report=lambda _: None)
    assert {p.subject for p in prepared} == {"renamed"}
    assert {p.covariates["age"] for p in prepared} == {33.0}


def test_settings_are_read_by_the_method_s_own_config():
    specs, recipe = branch_specs(["zatlas", "iqm1c"], [None, None], {"sigma_mm": "5", "iqm1c.least_normals": "7"})
    assert recipe == "brain-t1"
    assert [s.preset for s in specs] == ["zatlas", "iqm1c"]
    assert specs[0].config.sigma_mm == 5.0
    assert specs[0].config.least_normals == 5
    assert specs[1].config.least_normals == 7


def test_what_a_model_does_not_keep_can_be_set():
    settings = {"perceptual_file": "lpips.safetensors", "perceptual_sha256": "ab"}
    specs, _ = branch_specs(["tokens"], ["tokens-tiny"], settings)
    assert specs[0].config.perceptual_file == Path("lpips.safetensors")
    assert "lpips.safetensors" not in specs[0].config.model_dump_json()


def test_a_file_that_settings_name_is_missed_before_any_scan_is_prepared(tmp_path):
    scans = [FitInput(tmp_path / f"{n}.nii.gz", f"{n}", f"{n}") for n in range(30)]
    settings = {"perceptual_file": str(tmp_path / "none"), "perceptual_sha256": "ab"}
    for given, said in ((settings, "cannot be read"), ({"perceptual_sha256": "ab"}, "digest alone")):
        with pytest.raises(ModelError, match=said):
            fit(["tokens"], scans, tmp_path / "model", name="m", preset=["tokens-tiny"], settings=given)
    assert not list(tmp_path.iterdir())


def test_a_recipe_takes_the_place_of_the_presets_own():
    for name in ("brain-any", "pelvis-t2"):
        specs, recipe = branch_specs(["zatlas", "iqm1c"], ["zatlas-slices", None], {}, recipe=name)
        assert recipe == name
        assert specs[0].preset == "zatlas-slices"
    with pytest.raises(SettingError, match="there is no recipe 'knee'") as caught:
        branch_specs(["zatlas"], [None], {}, recipe="knee")
    assert "brain-any" in caught.value.remedy


@pytest.mark.parametrize(
    ("methods", "settings", "said"),
    [
        (["zatlas"], {"sigma": "5"}, "no such setting: sigma. Known: zatlas.least_normals, zatlas.sigma_mm"),
        (["zatlas"], {"iqm1c.least_normals": "7"}, "no such setting: iqm1c.least_normals"),
        (["zatlas", "zatlas"], {}, "a method stands twice"),
        (["zatlas"], {"sigma_mm": "wide"}, 'sigma_mm of zatlas is "wide". Give a number at least 0 and at most 50.'),
        (["zatlas"], {"sigma_mm": "-4"}, "sigma_mm of zatlas is -4. Give a number at least 0 and at most 50."),
        (["zatlas"], {"sigma_mm": "NaN"}, "sigma_mm of zatlas is NaN. Give a number at least 0 and at most 50."),
        (["zatlas"], {"coverage": "7"}, "coverage of zatlas is 7. Give a number above 0 and at most 1."),
        (["zatlas"], {"top_voxels": "0"}, "top_voxels of zatlas is 0. Give a whole number at least 1."),
        (["zatlas"], {"sigma_mm": "[" * 100_000}, "Give a number at least 0"),
        (["iqm1c"], {"metrics": '["sharpnes"]'}, "there is no quality metric 'sharpnes'. Give a list of a text."),
        (["autoencoder"], {"epochs": "-1"}, "epochs of autoencoder is -1. Give a whole number at least 1."),
        (["autoencoder"], {"decay": "fast"}, 'decay of autoencoder is "fast". Give one of constant, cosine.'),
        (["autoencoder"], {"threshold_quantile": "2"}, "Give a number at least 0 and at most 1 or null."),
        (["autoencoder"], {"grid": "[1, 2]"}, "Give a list of a whole number, a whole number, a whole number or null."),
        (["autoencoder"], {"grid": "[1, 2, 3]"}, "a side is not a multiple of 16"),
        (["baseline-blur"], {"blur_voxels": "Infinity"}, "Give a number above 0 and at most 50."),
    ],
)
def test_settings_that_fit_no_method_are_refused_with_what_would_fit(methods, settings, said):
    with pytest.raises(SettingError) as error:
        branch_specs(methods, [None] * len(methods), settings)
    assert error.value.code == "setting"
    assert error.value.exit_code == 2
    assert said in str(error.value)


def test_methods_made_for_different_recipes_are_refused(monkeypatch):
    elsewhere = dataclasses.replace(iqm1c.PRESETS["iqm1c"], recipe="autoencoder-published")
    monkeypatch.setitem(iqm1c.PRESETS, "iqm1c", elsewhere)
    with pytest.raises(SettingError) as error:
        branch_specs(["zatlas", "iqm1c"], [None, None], {})
    assert error.value.code == "recipes"


def test_an_unknown_method_or_preset_is_refused():
    for method, preset in (("zatla", None), ("zatlas", "huge")):
        with pytest.raises(ModelError):
            branch_specs([method], [preset], {})


def test_prepared_scans_come_back_from_disk_bit_for_bit(people, lay, tmp_path):
    lay(people[:1], tmp_path / "model")
    (path,) = (tmp_path / "model.fit" / "prepared").iterdir()
    again, before = load_prepared(path), people[0]
    assert again.scan.voxels.tobytes() == before.scan.voxels.tobytes()
    np.testing.assert_array_equal(again.region.mask, before.region.mask)
    np.testing.assert_array_equal(again.brain.mask, before.brain.mask)
    assert again.history == before.history
    assert again.quality == before.quality
    assert again.scan.source == before.scan.source
    assert (again.subject, again.covariates) == (before.subject, before.covariates)
    assert (again.region.name, again.region.made_by, again.brain.name) == ("examined", "synthetic", "brain")


def test_a_prepared_scan_that_is_not_whole_or_of_another_version_is_not_used(people, lay, tmp_path):
    lay(people[:1], tmp_path / "model")
    (path,) = (tmp_path / "model.fit" / "prepared").iterdir()
    whole = path.read_bytes()
    assert load_prepared(tmp_path / "nothing") is None
    for damaged in (b"", whole[:10], whole[: len(whole) // 2], whole[:-1], b"junk" * 100):
        path.write_bytes(damaged)
        assert load_prepared(path) is None
    older = whole.replace(b'\\"measured\\"', b'\\"measures\\"')
    assert len(older) == len(whole)
    assert older != whole
    path.write_bytes(older)
    assert load_prepared(path) is None
