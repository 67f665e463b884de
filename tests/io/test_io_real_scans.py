"""Real scans read as nibabel reads them, in time."""

import time
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from anomri.errors import InputError
from anomri.io import array_scan, read, read_mask, read_participants, write_nifti

DATA = Path(__file__).parents[3] / "shared" / "data"
SCANS = [
    "t1w_site_a/sub-05_T1w.nii.gz",
    "t1w_site_b/sub-03_inplaneT2.nii.gz",
    "ms_mni/patient26_FLAIR.nii.gz",
    "aged_2mm/Subj1_FL.nii.gz",
]

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.is_dir(), reason="the shared data folder is absent"),
]


@pytest.mark.parametrize("name", SCANS)
def test_a_real_scan_is_read_as_nibabel_reads_it(name, tmp_path):
    scan = read(DATA / name)
    expected = nib.load(DATA / name)
    np.testing.assert_array_equal(scan.voxels, expected.get_fdata().astype(np.float32))
    np.testing.assert_array_equal(scan.geometry.affine, expected.affine)
    assert scan.source.orientation == "".join(nib.aff2axcodes(expected.affine))
    write_nifti(tmp_path / "again.nii.gz", scan.voxels, scan.geometry)
    assert read(tmp_path / "again.nii.gz").geometry.same_grid(scan.geometry, 1e-4)


def test_no_header_of_the_real_files_is_refused_and_masks_are_named_masks():
    codes = Counter()
    for folder in ("t1w_site_a", "t1w_site_b", "ms_mni", "aged_2mm", "brats_slices", "lesion_shapes"):
        files = sorted((DATA / folder).rglob("*.nii.gz"))
        for path in files[:: max(1, len(files) // 12)]:
            try:
                read(path)
            except InputError as error:
                codes[folder, error.code] += 1
    assert {code for _, code in codes} <= {"no_signal"}
    assert not {folder for folder, _ in codes} & {"t1w_site_a", "t1w_site_b"}


def test_a_real_mask_lies_on_its_scan():
    scan = read(DATA / "ms_mni/patient26_FLAIR.nii.gz")
    region = read_mask(DATA / "ms_mni/patient26_lesions.nii.gz", scan)
    # The table beside it states 8.2 ml.
    assert region.volume_ml == pytest.approx(8.2, abs=0.1)


def test_real_tables_of_participants_are_read():
    table = read_participants(DATA / "t1w_site_a/participants.tsv")
    assert len(table.by_subject) == 60
    assert table.covariates("sub-03_T1w") == {"age": 47.0, "sex": 0.0}
    assert read_participants(DATA / "t1w_site_b/participants.tsv").covariates("sub-01_T1w") == {"age": 35.0, "sex": 1.0}


def test_a_scan_of_five_million_voxels_is_read_in_time():
    path = DATA / "t1w_site_b/sub-04_T1w.nii.gz"
    read(path)
    start = time.process_time()
    scan = read(path)
    assert scan.voxels.size > 5e6
    assert time.process_time() - start < 0.6


def test_a_read_scan_and_the_same_array_are_the_same_numbers_in_the_same_layout():
    scan = read(DATA / SCANS[0])
    made = array_scan(scan.voxels, scan.geometry.affine)
    assert made.voxels.strides == scan.voxels.strides
