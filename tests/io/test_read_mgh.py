"""MGH and MGZ: sound ones as nibabel writes them, broken ones refused by their code."""

from __future__ import annotations

import gzip
import struct

import nibabel as nib
import numpy as np
import pytest

from anomri.core.scan import Scan
from anomri.errors import AnomriError
from anomri.io import read

VOXELS = np.random.default_rng(5).integers(0, 100, (8, 9, 10))
AFFINE = np.array([[-1.0, 0, 0, 90], [0, 0, 1.5, -70], [0, -2, 0, -50], [0, 0, 0, 1]])
DIMS, TYPE, GOOD, SPACING, COSINES, CENTRE = 4, 20, 28, 30, 42, 78


def mgh(kind: str = "i2", **changes: tuple[int, str, object]) -> bytes:
    """A sound file, some fields of its header then overwritten: place, format and value."""
    content = bytearray(nib.MGHImage(VOXELS.astype(kind), AFFINE).to_bytes())
    for at, code, value in changes.values():
        struct.pack_into(f">{code}", content, at, value)
    return bytes(content)


@pytest.mark.parametrize("kind", ["u1", "i2", "i4", "f4"])
@pytest.mark.parametrize("packed", [False, True])
def test_values_and_grid_are_those_nibabel_wrote(tmp_path, kind, packed):
    path = tmp_path / ("x.mgz" if packed else "x.mgh")
    path.write_bytes(gzip.compress(mgh(kind)) if packed else mgh(kind))
    scan = read(path)
    np.testing.assert_array_equal(scan.voxels, VOXELS)
    np.testing.assert_allclose(scan.geometry.affine, AFFINE, atol=1e-4)
    assert scan.source.format == "mgh"
    assert scan.source.notes == ()


def test_a_plain_file_named_mgz_is_read_and_noted(tmp_path):
    (tmp_path / "x.mgz").write_bytes(mgh())
    assert "unlike its name" in read(tmp_path / "x.mgz").source.notes[0]


def test_what_freesurfer_writes_behind_the_image_is_passed_over(tmp_path):
    tags = struct.pack(">5f", 2300, 0.15, 3, 900, 256) + b"\0\0\0\x03" + bytes(8) + b"mri_convert of Somebody"
    (tmp_path / "x").write_bytes(mgh() + tags)
    scan = read(tmp_path / "x")
    assert scan.source.notes == ()
    assert "Somebody" not in repr(scan)


def test_without_orientation_it_is_noted(tmp_path):
    (tmp_path / "x").write_bytes(mgh(good=(GOOD, "h", 0)))
    scan = read(tmp_path / "x")
    assert "left and right are unknown" in scan.source.notes[0]
    np.testing.assert_allclose(np.abs(np.linalg.det(scan.geometry.affine)), 1)


PACKED = gzip.compress(mgh())
BAD = {
    "cut header": (mgh()[:200], "truncated"),
    "four bytes": (mgh()[:4], "truncated"),
    "cut voxels": (nib.MGHImage(VOXELS.astype("i2"), AFFINE).to_bytes()[: 284 + 1000], "truncated"),
    "gz cut at half": (PACKED[: len(PACKED) // 2], "truncated"),
    "gz bad CRC": (PACKED[:-6] + bytes([PACKED[-6] ^ 1]) + PACKED[-5:], "checksum"),
    "gz bomb": (gzip.compress(mgh() + bytes(50 << 20)), "compression_bomb"),
    "negative size": (mgh(x=(DIMS, "i", -8)), "bad_header"),
    "size of zero": (mgh(x=(DIMS + 4, "i", 0)), "bad_header"),
    "no frame": (mgh(x=(DIMS + 12, "i", 0)), "bad_header"),
    "a size beyond all scans": (mgh(x=(DIMS, "i", 1 << 30)), "bad_header"),
    "declares gigabytes": (mgh(x=(DIMS, "i", 32000), y=(DIMS + 4, "i", 1000)), "truncated"),
    "declares terabytes": (mgh(x=(DIMS, "i", 32000), y=(DIMS + 4, "i", 32000)), "too_large"),
    "two slices": (mgh(z=(DIMS + 8, "i", 2)), "too_thin"),
    "three frames": (mgh(n=(DIMS + 12, "i", 3)), "not_one_volume"),
    "one-bit values": (mgh(t=(TYPE, "i", 5)), "unsupported_type"),
    "NaN in the grid": (mgh(c=(COSINES, "f", np.nan)), "geometry"),
    "centre at infinity": (mgh(c=(CENTRE, "f", np.inf)), "geometry"),
    "singular": (mgh(c=(COSINES, "f", 0.0)), "geometry"),
    "sheared": (mgh(c=(COSINES + 4, "f", 0.3)), "sheared"),
    "metres": (mgh(s=(SPACING, "f", 1000.0)), "units"),
    "constant": (nib.MGHImage(np.zeros((8, 9, 10), "i2"), AFFINE).to_bytes(), "no_signal"),
    "2 % NaN": (nib.MGHImage(np.where(VOXELS < 3, np.nan, VOXELS).astype("f4"), AFFINE).to_bytes(), "nonfinite"),
    "text": (b"\0\0\0\1text that is no image at all, only named like one", "unknown_format"),
}


@pytest.mark.parametrize(("content", "code"), BAD.values(), ids=BAD)
def test_what_cannot_be_is_refused_by_its_code(code_of, content, code):
    assert code_of(content, "x.mgz") == code


def test_a_mutated_file_is_read_soundly_or_refused(tmp_path):
    base = mgh("f4")
    odd = [0, 1, -1, 7, 255, 32767, -32768, 2**31 - 1, -(2**31)]
    codes = set()
    for seed in range(300):
        rng = np.random.default_rng(seed)
        content = bytearray(base)
        for _ in range(rng.integers(1, 4)):
            if rng.random() < 0.5:
                struct.pack_into(">i", content, 4 * int(rng.integers(1, 20)), odd[rng.integers(len(odd))])
            else:
                content[int(rng.integers(90))] = rng.integers(256)
        if rng.random() < 0.2:
            del content[int(rng.integers(len(content))) :]
        (tmp_path / "x").write_bytes(gzip.compress(content, 1) if rng.random() < 0.3 else content)
        try:
            scan = read(tmp_path / "x", max_voxels=100_000)
        except AnomriError as error:
            codes.add(error.code)
            continue
        assert isinstance(scan, Scan)
        assert np.isfinite(scan.voxels).all()
    assert len(codes) >= 5
