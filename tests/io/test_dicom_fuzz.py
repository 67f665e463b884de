"""Whatever is done to a DICOM file, it is read soundly or refused by one of our errors, never by anything else."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from anomri.core.scan import Scan
from anomri.errors import AnomriError
from anomri.io import find_images, read
from dicom_slices import enhanced, series, write

AFFINE = np.diag([-1.0, -1.2, 2.0, 1.0])
NUMBERS = [b"0", b"-1", b"1e999", b"nan", b"", b"1\\2", b"\0", b"-0.0", b"99999999", b"\xff\xfe", b"1_0"]
LENGTHS = [0, 1, 7, 0xFFFF, 0xFFFFFFFF, 0x7FFFFFFF, 255]


def flip_bytes(content, rng):
    out = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        out[rng.integers(132, len(out))] = rng.integers(256)
    return bytes(out)


def change_a_length(content, rng):
    """Two or four bytes after something that looks like an element."""
    out, at = bytearray(content), int(rng.integers(132, max(len(content) - 12, 133)))
    width = int(rng.choice([2, 4]))
    out[at : at + width] = (LENGTHS[rng.integers(len(LENGTHS))] & (256**width - 1)).to_bytes(width, "little")
    return bytes(out)


def change_a_number(content, rng):
    """A decimal string of the grid."""
    names = [b"\x20\x00\x32\x00", b"\x20\x00\x37\x00", b"\x28\x00\x30\x00", b"\x28\x00\x10\x00", b"\x28\x00\x00\x01"]
    at = content.find(names[rng.integers(len(names))])
    if at < 0:
        return flip_bytes(content, rng)
    word = NUMBERS[rng.integers(len(NUMBERS))]
    return content[: at + 8] + word + content[at + 8 + len(word) :]


def cut(content, rng):
    return content[: rng.integers(len(content) + 1)]


def splice(content, rng):
    a, b = sorted(rng.integers(len(content) + 1, size=2))
    return content[:a] + content[b:] if rng.random() < 0.5 else content[:b] + content[a:]


MUTATIONS = [flip_bytes, change_a_length, change_a_number, change_a_number, cut, splice]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("one_file", [False, True])
def test_a_mutated_file_is_read_soundly_or_refused(tmp_path, syntax, one_file):
    voxels = np.random.default_rng(0).integers(0, 99, (9, 8, 8)).astype(np.int16)
    images = (
        [enhanced(voxels, AFFINE)] if one_file else series(voxels, AFFINE, EchoTime="3", ImageType=["ORIGINAL", "M"])
    )
    write(tmp_path / "x", images, syntax=syntax)
    file = tmp_path / "x/IM0000"
    base = file.read_bytes()
    read_well, codes = 0, set()
    for seed in range(120):
        rng = np.random.default_rng([one_file, len(syntax), seed])
        content = base
        for _ in range(rng.integers(1, 4)):
            content = MUTATIONS[rng.integers(len(MUTATIONS))](content, rng) if len(content) > 140 else content
        file.write_bytes(content)
        for path in (file, tmp_path / "x"):
            try:
                found = find_images([path])[0]
                scan = read(found.path, members=found.members, max_voxels=100_000)
            except AnomriError as error:
                codes.add(error.code)
                continue
            read_well += 1
            assert isinstance(scan, Scan)
            assert np.isfinite(scan.voxels).all()
    assert read_well > 5
    assert len(codes) >= 4
