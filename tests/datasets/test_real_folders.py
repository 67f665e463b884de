"""The real folders are listed as their README counts them."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomri.datasets import list_dataset, make_split, read_ratings, without_duplicates
from anomri.errors import InputError

pytestmark = pytest.mark.data

# Adapter, folder, images, subjects, abnormal, with mask, with age.
COUNTS = [
    ("t1w-site-a", "t1w_site_a", 12, 12, 0, 0, 12),
    ("t1w-site-b", "t1w_site_b", 17, 11, 0, 0, 17),
    ("ms-mni", "ms_mni", 3, 1, 3, 3, 3),
    ("aged-2mm", "aged_2mm", 10, 5, 10, 5, 10),
    ("pelvis-t2", "pelvis_t2", 3, 1, 0, 0, 0),
    ("lgg-slices", "flair_glioma", 314, 64, 128, 314, 314),
    ("brats-slices", "brats_slices", 32, 8, 32, 32, 0),
    ("tumour-slices", "tumor_2d", 235, 235, 146, 0, 0),
    ("lesion-shapes", "lesion_shapes", 261, 261, 261, 261, 0),
    ("quality-ratings", "quality_ratings", 1366, 1366, 0, 0, 0),
]


@pytest.mark.parametrize(("name", "folder", "images", "subjects", "abnormal", "masks", "ages"), COUNTS)
def test_a_folder_holds_what_its_readme_counts(shared_data, name, folder, images, subjects, abnormal, masks, ages):
    records = list_dataset(name, shared_data / folder).records
    assert len(records) == images
    assert len({r.subject for r in records}) == subjects
    assert sum(r.label == "abnormal" for r in records) == abnormal
    assert sum(r.mask is not None for r in records) == masks
    assert sum(r.age is not None for r in records) == ages


def test_marked_copies_among_the_tumour_slices_are_all_found_and_more_are(shared_data: Path):
    records = list_dataset("tumour-slices", shared_data / "tumor_2d").records
    marked = {r.path for r in records if r.group != r.subject}
    found = without_duplicates(records, pictures=True)
    assert len(marked) == found.exact == 23
    assert not marked & {r.path for r in found.kept}
    assert found.similar == 16
    assert found.contradictory == 0


def test_raters_of_abide_and_ds030(shared_data: Path):
    scans = read_ratings(shared_data / "quality_ratings")
    assert sum(scan.cohort == "ds030" for scan in scans) == 265
    assert {rating for scan in scans for rating in scan.ratings.values()} == {-1, 0, 1}
    assert len({scan.site for scan in scans if scan.cohort == "abide"}) == 17
    assert all(len(scan.metrics) > 60 for scan in scans)


def test_a_folder_without_the_tables_has_no_ratings(tmp_path: Path):
    with pytest.raises(InputError):
        read_ratings(tmp_path)


def test_site_b_splits_by_person_with_its_second_contrast(shared_data: Path):
    listing = list_dataset("t1w-site-b", shared_data / "t1w_site_b")
    split = make_split(listing, {"train": 1, "test": 1}, seed=0)
    people = {side: {e.group for e in split.entries if e.side == side} for side in ("train", "test")}
    assert not people["train"] & people["test"]
    assert all(entry.voxels for entry in split.entries)
