"""A mask is taken where it lies on the scan's grid, and only there."""

import nibabel as nib
import numpy as np
import pytest

from anomri.errors import InputError
from anomri.io import array_scan, read_mask

AFFINE = np.diag([1.0, 1.5, 2, 1])


@pytest.fixture
def scan():
    return array_scan(np.random.default_rng(0).normal(size=(8, 9, 10)), AFFINE, "sub-01")


def save(path, mask, affine=AFFINE):
    nib.save(nib.Nifti1Image(mask, affine), path)
    return path


@pytest.mark.parametrize("kind", ["u1", "i2", "f4"])
def test_every_value_but_zero_is_inside(tmp_path, scan, kind):
    mask = np.random.default_rng(1).integers(-1, 3, (8, 9, 10)).astype(kind)
    region = read_mask(save(tmp_path / "m.nii.gz", mask), scan)
    np.testing.assert_array_equal(region.mask, mask != 0)
    assert (region.name, region.made_by) == ("brain", "user")
    assert region.geometry is scan.geometry


@pytest.mark.parametrize(
    ("shape", "affine"),
    [((8, 9, 11), AFFINE), ((8, 9, 10), np.diag([1, 1.5, 2.1, 1])), ((8, 9, 10), np.diag([-1, 1.5, 2, 1]))],
)
def test_a_mask_on_another_grid_is_refused(tmp_path, scan, shape, affine):
    with pytest.raises(InputError) as caught:
        read_mask(save(tmp_path / "m.nii", np.ones(shape, np.uint8), affine), scan)
    assert (caught.value.code, caught.value.scan) == ("mask_grid", "sub-01")


def test_an_empty_mask_is_refused(tmp_path, scan):
    with pytest.raises(InputError) as caught:
        read_mask(save(tmp_path / "m.nii", np.zeros((8, 9, 10), np.uint8)), scan)
    assert caught.value.code == "mask_empty"


def test_a_mask_that_cannot_be_read_is_blamed_and_not_the_scan(tmp_path, scan):
    (tmp_path / "m.nii").write_bytes(b"no image at all")
    for path, why in ((tmp_path / "m.nii", "not a NIfTI file"), (tmp_path / "none.nii", "no such file")):
        with pytest.raises(InputError, match=f"the mask cannot be used: .*{why}") as caught:
            read_mask(path, scan)
        assert (caught.value.code, caught.value.scan) == ("mask_unreadable", "sub-01")
