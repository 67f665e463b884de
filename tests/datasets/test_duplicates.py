"""Copies of an image are found: the same voxels exactly, the same picture by its looks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomri.datasets.duplicates import picture_groups, voxel_sha256, without_duplicates
from anomri.datasets.record import Label, Record
from anomri.errors import InputError


def picture(path: Path, seed: int, *, size: int = 64, quality: int | None = None) -> Path:
    """A blurry picture, the same for the same seed."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (8, 8)).astype(np.uint8)
    image = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
    image.save(path, **({} if quality is None else {"quality": quality}))
    return path


def record(path: Path, label: Label = "normal") -> Record:
    return Record("made", path, subject=path.name, group=path.name, label=label)


def test_copies_are_dropped_and_counted_by_kind(tmp_path: Path):
    paths = [
        picture(tmp_path / "a.png", 1),
        picture(tmp_path / "b.png", 2),
        picture(tmp_path / "a_again.png", 1),
        picture(tmp_path / "a_small.jpg", 1, size=48, quality=60),
        picture(tmp_path / "c.png", 3),
    ]
    exact_only = without_duplicates([record(path) for path in paths])
    assert (len(exact_only.kept), exact_only.exact, exact_only.similar) == (4, 1, 0)
    both = without_duplicates([record(path) for path in paths], pictures=True)
    assert [r.path.name for r in both.kept] == ["a.png", "b.png", "c.png"]
    assert (both.exact, both.similar, both.contradictory) == (1, 1, 0)


def test_an_image_that_is_called_both_normal_and_abnormal_is_dropped_with_all_its_copies(tmp_path: Path):
    one, other = picture(tmp_path / "yes.png", 1), picture(tmp_path / "no.png", 1)
    third = picture(tmp_path / "b.png", 2)
    left = without_duplicates([record(one, "abnormal"), record(other, "normal"), record(third)])
    assert [r.path for r in left.kept] == [third]
    assert left.contradictory == 2


def test_sameness_is_handed_on_and_a_brighter_copy_is_the_same_picture(tmp_path: Path):
    first = picture(tmp_path / "a.png", 1)
    brighter = tmp_path / "bright.png"
    Image.open(first).point(lambda value: value // 2 + 60).save(brighter)
    other = picture(tmp_path / "b.png", 2)
    assert picture_groups([other, first, brighter]) == [0, 1, 1]


def test_a_blank_picture_resembles_nothing(tmp_path: Path):
    blank = tmp_path / "blank.png"
    Image.new("L", (20, 20), 7).save(blank)
    assert picture_groups([blank, picture(tmp_path / "a.png", 1)]) == [0, 1]


def test_nothing_in_is_nothing_out():
    assert without_duplicates([], pictures=True).kept == ()


def test_what_is_no_picture_is_refused(tmp_path: Path):
    path = tmp_path / "a.jpg"
    path.write_text("no")
    with pytest.raises(InputError, match=r"a\.jpg is not a picture"):
        voxel_sha256(path)
