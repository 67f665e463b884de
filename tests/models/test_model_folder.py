"""A model comes back from its folder as it was, and no damaged folder is taken for a model."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from anomri.errors import CalibrationError, ModelError, OutputConflict
from anomri.methods import load_method
from anomri.models import Branch, Model, TrainingScan, catalogue, read_card, read_model, write_calibrated, write_model
from anomri.models.folder import find_model


@pytest.fixture
def copy(written: Model, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written.folder, tmp_path / "copy"))


def refused(folder: Path) -> ModelError:
    with pytest.raises(ModelError) as error:
        read_model(folder)
    return error.value


def edit(path: Path, change: Callable[[dict], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def edit_with_digest(folder: Path, name: str, data: bytes) -> None:
    """Change a file and the digest the card states of it, as a careful forger would."""
    (folder / name).write_bytes(data)
    edit(folder / "model.json", lambda card: card["files"].update({name: hashlib.sha256(data).hexdigest()}))


def test_a_model_comes_back_from_its_folder(in_memory, written, normals):
    again = Model.load(written.folder)
    assert again.card == written.card
    assert again.recipe == in_memory.recipe
    assert again.scope == in_memory.scope
    assert again.calibration == written.calibration
    assert again.sha256 == hashlib.sha256((written.folder / "model.json").read_bytes()).hexdigest()
    assert again.scalings == {b.record.name: b.record.scaling for b in in_memory.branches}
    for before, after in zip(in_memory.branches, again.branches, strict=True):
        one, other = (b.method.examine(normals[0], seed=0) for b in (before, after))
        assert one.score == other.score
        if one.map is not None:
            np.testing.assert_array_equal(one.map, other.map)


def test_writing_the_same_model_gives_the_same_bytes(in_memory, tmp_path):
    folders = [write_model(in_memory, tmp_path / name).folder for name in ("one", "other")]
    for file in sorted(folders[0].iterdir()):
        assert file.read_bytes() == (folders[1] / file.name).read_bytes()


def test_the_folder_holds_no_pickle_and_states_every_file(written):
    names = {f.name for f in written.folder.iterdir()}
    assert names == {"model.json", *written.card.files}
    assert names == {
        "MODEL.md",
        "calibration.json",
        "iqm1c.safetensors",
        "model.json",
        "recipe.json",
        "scope.json",
        "zatlas.safetensors",
    }
    card, digest = read_card(written.folder)
    assert card == written.card
    assert digest == written.sha256


def test_half_precision_halves_the_weights_and_reads_as_single(in_memory, written, normals, tmp_path):
    half = write_model(in_memory, tmp_path / "half", half=True)
    stored = load_file(half.folder / "zatlas.safetensors")
    assert {a.dtype for a in stored.values()} == {np.dtype(np.float16)}
    size = [(m.folder / "zatlas.safetensors").stat().st_size for m in (half, written)]
    assert size[0] < 0.51 * size[1]
    scores = [m.branches[0].method.examine(normals[0], seed=0).score for m in (half, written)]
    assert scores[0] == pytest.approx(scores[1], rel=0.01)


def test_half_precision_leaves_what_it_cannot_hold(in_memory, tmp_path):
    state = {name: array.copy() for name, array in in_memory.branches[0].method.state().items()}
    state["expected"][0, 0, 0] = 1e6
    record = in_memory.branches[0].record
    large = Branch(record, load_method("zatlas").restore(in_memory.branches[0].method.config, state))
    model = dataclasses.replace(
        in_memory, branches=(large,), card=in_memory.card.model_copy(update={"branches": (record,)})
    )
    stored = load_file(write_model(model, tmp_path / "large", half=True).folder / "zatlas.safetensors")
    assert stored["expected"].dtype == np.float32
    assert stored["median"].dtype == np.float16


def test_a_calibration_changes_the_model_s_digest_but_not_that_of_its_content(in_memory, written, tmp_path):
    bare = write_model(in_memory, tmp_path / "bare")
    assert bare.content_sha256 == written.content_sha256
    assert bare.sha256 != written.sha256
    with pytest.raises(ModelError) as error:
        bare.calibrated()
    assert error.value.code == "uncalibrated"


def test_half_weights_are_calibrated_again_byte_for_byte(in_memory, written, tmp_path):
    half = write_model(in_memory, tmp_path / "half", half=True)
    calibration = written.calibrated().model_copy(update={"model_sha256": half.content_sha256})
    again = write_calibrated(half, calibration, tmp_path / "again")
    assert again.content_sha256 == half.content_sha256
    for name in ("zatlas.safetensors", "iqm1c.safetensors"):
        assert (again.folder / name).read_bytes() == (half.folder / name).read_bytes()
    assert Model.load(again.folder).calibrated() == calibration


def test_the_calibration_of_another_model_is_refused_before_anything_is_written(written, tmp_path):
    other = written.calibrated().model_copy(update={"model_sha256": "0" * 64})
    with pytest.raises(CalibrationError) as error:
        write_calibrated(written, other, tmp_path / "other")
    assert error.value.code == "other_model"
    assert not (tmp_path / "other").exists()


def test_the_calibration_of_another_model_is_refused_in_a_folder(copy):
    content = json.loads((copy / "calibration.json").read_text())
    edit_with_digest(copy, "calibration.json", json.dumps({**content, "model_sha256": "0" * 64}).encode())
    assert refused(copy).code == "other_model"


def test_a_calibration_does_not_outlive_a_change_of_weights_scope_recipe_or_scaling(copy, written):
    scope = json.loads((copy / "scope.json").read_text())
    next(iter(scope["limits"].values()))["low"] = -1e9
    edit_with_digest(copy, "scope.json", json.dumps(scope).encode())
    assert refused(copy).code == "other_model"
    shutil.copy(written.folder / "scope.json", copy)
    shutil.copy(written.folder / "model.json", copy)
    edit(copy / "model.json", lambda card: card["branches"][0]["scaling"].update(location=0.0))
    assert refused(copy).code == "other_model"


def test_one_flipped_bit_in_any_file_is_noticed(copy, written):
    for name in written.card.files:
        data = bytearray((written.folder / name).read_bytes())
        for place in (0, len(data) // 2, len(data) - 1):
            data[place] ^= 1
            (copy / name).write_bytes(bytes(data))
            assert refused(copy).code == "digest"
            data[place] ^= 1
        (copy / name).write_bytes(bytes(data))
    assert read_model(copy).sha256 == written.sha256


def test_a_missing_or_cut_file_is_noticed(copy, written):
    for name in written.card.files:
        (copy / name).unlink()
        assert refused(copy).code == "damaged"
        (copy / name).write_bytes((written.folder / name).read_bytes()[:-1])
        assert refused(copy).code == "digest"
        shutil.copy(written.folder / name, copy)


def test_a_file_the_card_does_not_state_is_missing(copy):
    edit(copy / "model.json", lambda card: card["files"].pop("scope.json"))
    assert "scope.json" in refused(copy).cause


@pytest.mark.parametrize("outside", ["../secret.json", "/etc/hostname", "..", "inner/x.json"])
def test_a_file_outside_the_folder_is_not_touched(copy, outside):
    edit(copy / "model.json", lambda card: card["files"].update({outside: "0" * 64}))
    assert refused(copy).code in ("outside", "damaged")


@pytest.mark.parametrize(
    ("number", "code"),
    [(3, "newer_format"), (99, "newer_format"), (0, "damaged"), (-1, "damaged"), ("1", "damaged"), (None, "damaged")],
)
def test_only_the_format_this_version_knows_is_read(copy, number, code):
    edit(copy / "model.json", lambda card: card.update(format=number))
    assert refused(copy).code == code


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"format": 2}', b'{"format": 2, "name": 3}'],
)
def test_a_card_that_is_none_is_refused(copy, content):
    (copy / "model.json").write_bytes(content)
    assert refused(copy).code == "damaged"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda card: card["branches"][0].update(method="zatlass"), "unknown_method"),
        (lambda card: card["branches"][0]["config"].update(sigma_mm="wide"), "damaged"),
        (lambda card: card["branches"][0]["config"].update(colour="red"), "damaged"),
        (lambda card: card["branches"][0].update(scaling=None), "damaged"),
        (lambda card: card.update(branches=[]), "damaged"),
        (lambda card: card["branches"][0].update(weights="iqm1c.safetensors"), "weights"),
        (lambda card: card.update(surprise=1), "damaged"),
    ],
)
def test_a_branch_that_cannot_be_restored_is_refused(copy, change, code):
    edit(copy / "model.json", change)
    assert refused(copy).code == code


def test_weights_that_are_no_safetensors_are_refused_even_with_the_right_digest(copy):
    for data in (b"", b"\x80\x04\x95", b"\x00" * 64):
        edit_with_digest(copy, "zatlas.safetensors", data)
        assert refused(copy).code == "damaged"


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".onnx", ".ckpt"])
def test_formats_that_can_run_code_are_refused(tmp_path, suffix):
    file = tmp_path / f"model{suffix}"
    file.write_bytes(b"\x80\x04")
    with pytest.raises(ModelError) as error:
        find_model(file)
    assert error.value.code == "foreign_format"


def test_a_model_that_does_not_exist_is_named(tmp_path):
    for name in ("no-such-model", tmp_path):
        with pytest.raises(ModelError) as error:
            Model.load(name)
        assert error.value.code == "unknown_model"


def test_every_bundled_model_is_listed_and_found_by_name():
    entries = catalogue()
    assert [e.name for e in entries] == sorted(e.name for e in entries)
    for entry in entries:
        assert find_model(entry.name) == entry.folder
        assert Model.load(entry.name).calibrated().normals


def test_a_model_that_was_never_written_cannot_be_calibrated_on_disk(in_memory, written, tmp_path):
    with pytest.raises(ModelError) as error:
        write_calibrated(in_memory, written.calibrated(), tmp_path / "x")
    assert error.value.code == "unwritten"


def test_the_card_for_people_says_what_the_model_is(written):
    text = (written.folder / "MODEL.md").read_text()
    for said in ("tiny 1", "Eight made people.", "zatlas-tiny", "20–80 years", "Not a medical device", "one scanner"):
        assert said in text


def test_a_branch_of_another_version_of_its_method_is_refused(copy, written, monkeypatch):
    assert {r.method_version for r in written.card.branches} == {1}
    monkeypatch.setattr(load_method("iqm1c"), "version", 2)
    error = refused(copy)
    assert error.code == "method_version"
    assert "version 1 of iqm1c; this anomri has version 2" in error.cause
    assert written.content_sha256 != _with_version(written, 2).content_sha256


def _with_version(model: Model, version: int) -> Model:
    branches = tuple(r.model_copy(update={"method_version": version}) for r in model.card.branches)
    return dataclasses.replace(model, card=model.card.model_copy(update={"branches": branches}))


def test_a_model_that_is_replaced_takes_its_own_files_with_it_and_no_others(in_memory, copy):
    (copy / "fit_report.html").write_text("a report")
    only = in_memory.branches[:1]
    card = in_memory.card.model_copy(update={"branches": tuple(b.record for b in only)})
    write_model(dataclasses.replace(in_memory, branches=only, card=card), copy)
    names = {f.name for f in copy.iterdir()}
    assert names == {"MODEL.md", "fit_report.html", "model.json", "recipe.json", "scope.json", "zatlas.safetensors"}


def test_a_folder_that_holds_no_model_is_not_replaced(in_memory, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for place in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(OutputConflict) as error:
            write_model(in_memory, place)
        assert error.value.code == "not_a_model"
    with pytest.raises(OutputConflict) as error:
        write_model(in_memory, Path("/"))
    assert error.value.code == "mount"
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no FIFOs, and links need a privilege")
def test_what_is_no_file_is_refused_without_being_opened(copy, written):
    for name in written.card.files:
        (copy / name).unlink()
        for place in (os.mkfifo, os.mkdir, lambda path: path.symlink_to(path)):
            place(copy / name)
            assert refused(copy).code == "damaged"
            (copy / name).rmdir() if (copy / name).is_dir() else (copy / name).unlink()
        shutil.copy(written.folder / name, copy)
    for place in (os.mkfifo, lambda path: path.symlink_to(path)):
        (copy / "model.json").unlink()
        place(copy / "model.json")
        assert refused(copy).code == "unknown_model"
    loop = copy.parent / "loop"
    loop.symlink_to(loop)
    for folder in (loop, Path("a" * 300), Path("/dev/null"), Path("a\0b")):
        assert refused(folder).code == "unknown_model"


@pytest.mark.parametrize(
    ("name", "size"), [("model.json", 65 * 2**20), ("scope.json", 65 * 2**20), ("zatlas.safetensors", 2**31 + 1)]
)
def test_a_file_far_too_large_is_refused_before_it_is_read(copy, name, size):
    with (copy / name).open("r+b") as file:
        file.truncate(size)
    assert "too large" in refused(copy).cause


def test_weights_of_a_kind_numpy_does_not_know_are_refused(copy):
    header = b'{"median":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    data = len(header).to_bytes(8, "little") + header + b"\0\0"
    edit_with_digest(copy, "zatlas.safetensors", data)
    assert refused(copy).code == "damaged"


@pytest.mark.parametrize(
    ("names", "contrast"),
    [
        (("sub-1_T1w", "sub-2_T1w"), "T1w"),
        # As in a model that was moved to the scans of a site.
        (("sub-1_T1w", "head"), "T1w"),
        (("sub-1_T1w", "sub-2_T2w"), None),
        (("head",), None),
    ],
)
def test_a_model_knows_the_contrast_that_names_of_its_scans_state(written, names, contrast):
    training = tuple(TrainingScan(scan_id=name, subject=name, image_sha256=name) for name in names)
    assert written.card.model_copy(update={"training": training}).sequence == contrast
