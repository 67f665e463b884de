"""Splits on disk, and the ways to cheat with one: a person on both sides, an image twice, an image exchanged."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from anomri.core.geometry import Geometry
from anomri.datasets import make_split, read_split, sides_in, verify_split, write_split
from anomri.datasets.record import Listing, Record
from anomri.errors import DataLeak, InputError
from anomri.io import write_nifti

SHARES = {"train": 1.0, "test": 1.0}


def scan(path: Path, seed: int) -> Path:
    values = np.random.default_rng(seed).normal(100, 10, (9, 10, 11)).astype(np.float32)
    write_nifti(path, values, Geometry(values.shape, np.eye(4)))
    return path


@pytest.fixture
def listing(tmp_path: Path) -> Listing:
    """Six people, two visits each."""
    made = [
        Record("made", scan(tmp_path / f"sub-{n}_ses-{v}.nii.gz", 10 * n + v), f"sub-{n}", f"sub-{n}", label="normal")
        for n in range(6)
        for v in (1, 2)
    ]
    return Listing("made", tmp_path, tuple(made))


def test_a_split_comes_back_as_written_and_gives_the_records_by_side(listing: Listing, tmp_path: Path):
    split = make_split(listing, SHARES, seed=4)
    write_split(tmp_path / "split.json", split)
    again = read_split(tmp_path / "split.json")
    assert again == split
    verify_split(again, tmp_path)
    sides = sides_in(again, listing)
    assert [len(part) for part in sides.values()] == [6, 6]
    assert not {r.subject for r in sides["train"]} & {r.subject for r in sides["test"]}


def test_the_same_seed_writes_the_same_bytes(listing: Listing, tmp_path: Path):
    for name in ("a.json", "b.json"):
        write_split(tmp_path / name, make_split(listing, SHARES, seed=4))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_person_on_both_sides_is_caught(listing: Listing, tmp_path: Path):
    path = tmp_path / "split.json"
    write_split(path, make_split(listing, SHARES, seed=4))
    cheat = json.loads(path.read_text())
    first = cheat["entries"][0]
    first["side"] = "test" if first["side"] == "train" else "train"
    path.write_text(json.dumps(cheat))
    with pytest.raises(DataLeak, match=first["group"]) as caught:
        read_split(path)
    assert caught.value.code == "leak_person"
    with pytest.raises(DataLeak):
        write_split(path, make_split(listing, SHARES, seed=4).model_validate(cheat))


@pytest.mark.parametrize("how", ["same bytes", "compressed otherwise", "another origin"])
def test_an_image_on_both_sides_is_caught_whatever_its_file(listing: Listing, how: str):
    sides = dict(zip(listing.records, [e.side for e in make_split(listing, SHARES, seed=4).entries], strict=True))
    original = listing.records[0]
    other = next(record for record in listing.records if sides[record] != sides[original])
    if how == "same bytes":
        other.path.write_bytes(original.path.read_bytes())
    elif how == "compressed otherwise":
        other.path.write_bytes(gzip.compress(gzip.decompress(original.path.read_bytes()), 9, mtime=7))
    else:
        values = np.random.default_rng(1).normal(100, 10, (9, 10, 11)).astype(np.float32)
        moved = np.eye(4)
        moved[:3, 3] = 5
        write_nifti(other.path, values, Geometry(values.shape, moved))
    with pytest.raises(DataLeak, match="the same image") as caught:
        make_split(listing, SHARES, seed=4)
    assert caught.value.code == "leak_image"


def test_an_image_that_was_exchanged_is_caught(listing: Listing, tmp_path: Path):
    split = make_split(listing, SHARES, seed=4)
    scan(listing.records[3].path, 999)
    with pytest.raises(DataLeak, match=listing.records[3].path.name) as caught:
        verify_split(split, tmp_path)
    assert caught.value.code == "leak_changed"


def test_a_missing_image_is_named(listing: Listing, tmp_path: Path):
    split = make_split(listing, SHARES, seed=4)
    listing.records[3].path.unlink()
    with pytest.raises(InputError, match=listing.records[3].path.name):
        verify_split(split, tmp_path)
    with pytest.raises(InputError, match="not in the folder"):
        sides_in(split, replace(listing, records=listing.records[:3]))


@pytest.mark.parametrize("text", ["", "{}", '{"format": "anomri-split-2"}', "[1, 2]"])
def test_another_file_is_not_a_split(tmp_path: Path, text: str):
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_split(path)
    assert caught.value.code == "split"


def test_a_set_without_patients_says_that_images_were_split(tmp_path: Path):
    made = tuple(Record("tumour-slices", tmp_path / f"{n}.h5", f"{n}", f"{n}") for n in range(4))
    for record in made:
        record.path.write_text(record.subject)
    split = make_split(Listing("tumour-slices", tmp_path, made), SHARES, seed=0)
    assert split.keep == "image"
    assert {entry.voxels for entry in split.entries} == {None}
