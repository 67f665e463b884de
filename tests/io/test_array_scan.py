"""A scan made in memory keeps its promises and leaves its ingredients alone."""

import hashlib

import numpy as np
import pytest

from anomri.errors import InputError
from anomri.io import array_scan

AFFINE = np.diag([-1.0, 1, 1, 1])


def test_the_scan_is_a_copy_with_a_digest_of_affine_and_voxels():
    voxels = np.asfortranarray(np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32))
    scan = array_scan(voxels, AFFINE, "phantom", sequence="T1w")
    expected = hashlib.sha256(AFFINE.tobytes() + np.ascontiguousarray(voxels).tobytes()).hexdigest()
    assert (scan.scan_id, scan.sequence) == ("phantom", "T1w")
    assert (scan.source.format, scan.source.sha256, scan.source.orientation) == ("array", expected, "LAS")
    voxels[0, 0, 0] = 9
    assert scan.voxels[0, 0, 0] != 9
    assert scan.voxels.flags.c_contiguous


@pytest.mark.parametrize(
    ("voxels", "affine", "code"),
    [
        (np.full((4, 4, 4), np.nan), AFFINE, "nonfinite"),
        (np.full((4, 4, 4), 1e300), AFFINE, "nonfinite"),
        (np.ones((4, 4, 4), complex), AFFINE, "unsupported_type"),
        (np.ones((4, 4)), AFFINE, "geometry"),
        (np.ones((4, 4, 4)), np.eye(3), "geometry"),
        (np.ones((4, 4, 4)), np.zeros((4, 4)), "geometry"),
    ],
)
def test_what_is_no_image_is_refused(voxels, affine, code):
    with pytest.raises(InputError) as caught:
        array_scan(voxels, affine)
    assert caught.value.code == code
