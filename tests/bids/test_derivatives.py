"""From result folders to BIDS names, without a run."""

from __future__ import annotations

import importlib
import json
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from anomri.bids.derivatives import first_result, lay_out, outcome_of, results_of, seed
from anomri.bids.names import BidsName
from anomri.errors import InputError
from anomri.runs.scorer import Request
from anomri.runs.settings import Settings
from anomri.runs.worker import write_outcome

GOOD = BidsName.parse("sub-01_ses-1_run-1_T1w")
SETTINGS = Settings("fake", "1", "0" * 64, 0.1, "all", "0")
PLACE = "sub-01/ses-1/anat/sub-01_ses-1_run-1"
PAGES = {f"{PLACE}_desc-anomri_T1w.{ending}" for ending in ("json", "html", "png")}
NAMES = ("brain_mask", "examined_mask", "brain_T1w", "expected_T1w", "anomaly_statmap", "zatlas_statmap")
IMAGES = {f"{PLACE}_desc-{name}.{ending}" for name in NAMES for ending in ("nii.gz", "json")}


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, Path]:
    """Work folders, each with the result of one scan: judged well, judged badly, unreadable."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "runs")
        fake = importlib.import_module("fake_scorer")
    scorer, made = fake.open_fake(Request("fake")), {}
    error = InputError("the file is cut off", remedy="Copy it again.", code="truncated")
    outcomes = {
        "pass": fake.outcome_of(str(GOOD), 0.2, scorer.model, sha256="1"),
        "fail": fake.outcome_of(str(GOOD), 0.95, scorer.model, sha256="2"),
        "bad": scorer.unreadable(str(GOOD), error, sha256="3"),
    }
    for name, outcome in outcomes.items():
        made[name] = tmp_path_factory.mktemp(name)
        stamp = SETTINGS.stamp(mask_sha256=None, covariates={})
        write_outcome(outcome, made[name] / str(GOOD), keep="all", stamp=stamp, stages={})
    return made


@pytest.fixture
def place(results, tmp_path):
    """Lay out a fresh copy of one of the results."""

    def call(which: str, out: Path | None = None, *, work: Path | None = None) -> Path:
        out = tmp_path / "out" if out is None else out
        work = tmp_path / "work" if work is None else work
        out.mkdir(exist_ok=True)
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(results[which], work)
        lay_out(work, out, SETTINGS, sources={str(GOOD): "bids:raw:x"})
        return out

    return call


def test_a_result_folder_becomes_named_files(place, files, results):
    out = place("fail")
    assert set(files(out)) == PAGES | IMAGES
    work = results["fail"] / str(GOOD)
    for file, name in (
        ("result.json", "anomri_T1w.json"),
        ("report.html", "anomri_T1w.html"),
        ("preview.png", "anomri_T1w.png"),
        ("heatmap.nii.gz", "anomaly_statmap.nii.gz"),
        ("mask.nii.gz", "brain_mask.nii.gz"),
        ("maps/scan.nii.gz", "brain_T1w.nii.gz"),
        ("maps/expected.nii.gz", "expected_T1w.nii.gz"),
        ("maps/examined.nii.gz", "examined_mask.nii.gz"),
        ("maps/zatlas.nii.gz", "zatlas_statmap.nii.gz"),
    ):
        assert (out / f"{PLACE}_desc-{name}").read_bytes() == (work / file).read_bytes()


def same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is other is None or np.array_equal(one, other, equal_nan=True)


@pytest.mark.parametrize("which", ["fail", "bad"])
def test_a_result_is_read_back_from_its_names_as_from_its_folder(results, tmp_path, which):
    work, out = tmp_path / "work", tmp_path / "out"
    out.mkdir()
    shutil.copytree(results[which], work)
    folder = work / str(GOOD)
    if which == "fail":
        shutil.copy(folder / "maps/expected.nii.gz", folder / "maps/expected-dae-small.nii.gz")
        shutil.copy(folder / "maps/zatlas.nii.gz", folder / "maps/signed_z.nii.gz")
    before = outcome_of(folder)
    lay_out(work, out, SETTINGS, sources={})
    # Neither another run's files nor the user's own are taken for the result's.
    (out / PLACE).parent.mkdir(parents=True, exist_ok=True)
    for other in (f"{PLACE}_desc-manual_mask.nii.gz", f"{PLACE[:-1]}2_desc-brain_mask.nii.gz"):
        (out / other).write_text("no image")
    after = outcome_of(out / f"{PLACE}_desc-anomri_T1w.json")
    assert after.result == before.result
    assert set(after.maps) == set(before.maps) == ({"signed_z", "zatlas"} if which == "fail" else set())
    assert set(after.expected_by) == set(before.expected_by) == ({"dae-small"} if which == "fail" else set())
    assert all(same(after.maps[name], before.maps[name]) for name in before.maps)
    assert same(after.expected, before.expected)
    if before.heatmap is None:
        assert after.heatmap is after.scan is None
        return
    assert (after.heatmap.scale, after.heatmap.method) == (before.heatmap.scale, before.heatmap.method)
    assert same(after.heatmap.values, before.heatmap.values)
    assert same(after.scan.voxels, before.scan.voxels)
    assert same(after.brain.mask, before.brain.mask)


def test_what_a_name_or_a_sidecar_does_not_say_is_refused(place):
    out = place("fail")
    (out / f"{PLACE}_desc-anomaly_statmap.json").unlink()
    for file, code in ((f"{PLACE}_desc-anomri_T1w.json", "layers"), (f"{PLACE}_desc-anomri_T1w.html", "no_result")):
        with pytest.raises(InputError) as caught:
            outcome_of(out / file)
        assert caught.value.code == code
    (out / f"{PLACE}_desc-anomri_T1w.json").write_text("{}")
    with pytest.raises(InputError) as caught:
        outcome_of(out / f"{PLACE}_desc-anomri_T1w.json")
    assert caught.value.code == "result_format"


def test_images_are_renamed_not_copied(results, tmp_path):
    work, out = tmp_path / "work", tmp_path / "out"
    out.mkdir()
    shutil.copytree(results["fail"], work)
    number = (work / str(GOOD) / "heatmap.nii.gz").stat().st_ino
    lay_out(work, out, SETTINGS, sources={})
    assert (out / f"{PLACE}_desc-anomaly_statmap.nii.gz").stat().st_ino == number


def test_sidecars_say_what_an_image_is(place):
    out = place("fail")
    said = {name: json.loads((out / f"{PLACE}_desc-{name}.json").read_text()) for name in NAMES}
    assert all(sidecar["Description"] and sidecar["Sources"] == ["bids:raw:x"] for sidecar in said.values())
    assert (said["brain_mask"]["Type"], said["examined_mask"]["Type"]) == ("Brain", "ROI")
    assert said["brain_T1w"]["SkullStripped"] is said["expected_T1w"]["SkullStripped"] is True
    assert (said["anomaly_statmap"]["Scale"], said["anomaly_statmap"]["Method"]) == ("z", "fake")


def test_what_a_further_branch_expected_is_an_image_of_the_scans_kind(results, tmp_path, files):
    work, out = tmp_path / "work", tmp_path / "out"
    out.mkdir()
    shutil.copytree(results["fail"], work)
    shutil.copy(work / str(GOOD) / "maps/expected.nii.gz", work / str(GOOD) / "maps/expected-dae-small.nii.gz")
    lay_out(work, out, SETTINGS, sources={})
    more = {f"{PLACE}_desc-expectedDaeSmall_T1w.{ending}" for ending in ("nii.gz", "json")}
    assert set(files(out)) == PAGES | IMAGES | more
    said = json.loads((out / f"{PLACE}_desc-expectedDaeSmall_T1w.json").read_text())
    assert "dae-small" in said["Description"]
    shutil.rmtree(work)
    shutil.copytree(results["bad"], work)
    lay_out(work, out, SETTINGS, sources={})
    assert set(files(out)) == PAGES


def test_an_unreadable_scan_takes_the_maps_of_an_earlier_result_with_it(place, files):
    place("fail")
    out = place("bad")
    assert set(files(out)) == PAGES
    place("pass")
    assert set(files(out)) == PAGES | IMAGES
    assert [result.verdict for _, result in results_of(out)] == ["pass"]


def test_files_of_the_users_own_and_other_runs_stay(place):
    out = place("fail")
    others = [out / f"{PLACE}_desc-manual_mask.nii.gz", out / f"{PLACE[:-1]}2_desc-brain_mask.nii.gz"]
    for other in others:
        other.touch()
    place("bad")
    assert all(other.exists() for other in others)


def test_results_of_other_settings_stay_where_they_are(results, tmp_path, files):
    other = Settings("other", "1", "1" * 64, 0.1, "all", "0")
    lay_out(results["fail"], tmp_path, other, sources={})
    assert files(tmp_path) == {}


def test_what_was_seeded_counts_as_finished_and_is_not_laid_out_again(place, files, tmp_path):
    out = place("fail")
    before = files(out)
    seed(tmp_path / "again", out, [GOOD, BidsName.parse("sub-02_T1w")])
    assert [path.name for path in (tmp_path / "again").rglob("*")] == [str(GOOD), "result.json"]
    lay_out(tmp_path / "again", out, SETTINGS, sources={})
    assert files(out) == before


class _Killed(BaseException):
    pass


@pytest.mark.parametrize(("before", "after"), [("fail", "bad"), ("fail", "pass"), ("bad", "pass"), (None, "fail")])
def test_a_kill_at_any_step_costs_nothing(place, files, tmp_path, monkeypatch, before, after):
    whole = files(place(after, tmp_path / "whole"))
    for step in range(1, 200):
        out, work = tmp_path / f"out-{step}", tmp_path / f"work-{step}"
        if before is not None:
            place(before, out)
        with monkeypatch.context() as patch:
            left = _die_at(patch, step)
            with suppress(_Killed):
                place(after, out, work=work)
            if left[0] > 0:
                break
        _assert_whole(out)
        lay_out(work, out, SETTINGS, sources={str(GOOD): "bids:raw:x"})
        assert files(out) == whole
    assert step > 5


def _die_at(patch: pytest.MonkeyPatch, step: int) -> list[int]:
    """Let the n-th renaming or removing below an output folder be the last; how many were left."""
    left = [step]

    def dying(act):
        def call(self, *arguments, **options):
            target = Path(arguments[0]) if arguments else self
            if "sub-01" in target.parts:
                left[0] -= 1
                if left[0] == 0:
                    raise _Killed
            return act(self, *arguments, **options)

        return call

    patch.setattr(Path, "replace", dying(Path.replace))
    patch.setattr(Path, "unlink", dying(Path.unlink))
    return left


def _assert_whole(out: Path) -> None:
    """A verdict that stands has its report, and its maps where it was judged."""
    found = first_result(out)
    if found is not None and found[1].score is not None:
        names = {path.name for path in (out / PLACE).parent.iterdir() if not path.name.startswith(".")}
        assert {Path(name).name for name in PAGES | IMAGES} <= names


def test_a_map_gets_a_label_that_bids_allows(results, tmp_path, files):
    work, out = tmp_path / "work", tmp_path / "out"
    out.mkdir()
    shutil.copytree(results["fail"], work)
    maps = work / str(GOOD) / "maps"
    (maps / "zatlas.nii.gz").rename(maps / "signed_z-two.nii.gz")
    lay_out(work, out, SETTINGS, sources={})
    assert f"{PLACE}_desc-signedZTwo_statmap.nii.gz" in files(out)


def test_two_maps_of_one_label_are_refused(results, tmp_path):
    work = tmp_path / "work"
    shutil.copytree(results["fail"], work)
    maps = work / str(GOOD) / "maps"
    shutil.copy(maps / "zatlas.nii.gz", maps / "anomaly.nii.gz")
    with pytest.raises(InputError) as caught:
        lay_out(work, tmp_path / "out", SETTINGS, sources={})
    assert caught.value.code == "map_name"
