"""Whatever is done to a file, it is read soundly or refused by one of our errors, never by anything else."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from anomri.core.scan import Scan
from anomri.errors import AnomriError
from anomri.io import read

ODD = [0, 1, -1, 2, 7, 8, 127, 255, 348, 540, 32767, -32768, 1e30, -1e30, 1e-30, np.nan, np.inf, -np.inf, 0.5]
FIELDS = [
    "sizeof_hdr", "dim", "datatype", "bitpix", "pixdim", "vox_offset", "scl_slope", "scl_inter", "xyzt_units",
    "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "srow_x", "srow_y", "srow_z",
]  # fmt: skip


def change_field(content, rng):
    kind = nib.Nifti1Header if content[:4] in ((348).to_bytes(4, "little"), (348).to_bytes(4, "big")) else None
    if kind is None or len(content) < 348:
        return flip_bytes(content, rng)
    order = "<" if content[0] else ">"
    header = kind(content[:348], endianness=order, check=False)
    field = header[FIELDS[rng.integers(len(FIELDS))]]
    odd = ODD[rng.integers(len(ODD))]
    if field.dtype.kind in "iu":
        limits = np.iinfo(field.dtype)
        odd = int(np.clip(np.nan_to_num(odd), limits.min, limits.max))
    with np.errstate(all="ignore"):
        field[... if field.ndim == 0 else rng.integers(field.size)] = odd
    return bytes(header.binaryblock) + content[348:]


def flip_bytes(content, rng):
    out = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        if out:
            out[rng.integers(min(len(out), 400))] = rng.integers(256)
    return bytes(out)


def flip_anywhere(content, rng):
    out = bytearray(content)
    if out:
        out[rng.integers(len(out))] ^= 1 << rng.integers(8)
    return bytes(out)


def cut(content, rng):
    return content[: rng.integers(len(content) + 1)]


def splice(content, rng):
    a, b = sorted(rng.integers(len(content) + 1, size=2))
    return content[:a] + content[b:] if rng.random() < 0.5 else content[:b] + content[a:]


def pack(content, rng):
    return gzip.compress(content, int(rng.integers(0, 10)), mtime=0)


MUTATIONS = [change_field, change_field, change_field, flip_bytes, flip_anywhere, cut, splice, pack]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_mutated_file_is_read_soundly_or_refused(tmp_path, nifti_bytes, version, order):
    base = nifti_bytes(version=version, order=order)
    path = tmp_path / "x.nii"
    read_well, codes = 0, set()
    for seed in range(150):
        rng = np.random.default_rng([version, ord(order), seed])
        content = base
        for _ in range(rng.integers(1, 4)):
            content = MUTATIONS[rng.integers(len(MUTATIONS))](content, rng)
        path.write_bytes(content)
        try:
            scan = read(path, max_voxels=100_000)
        except AnomriError as error:
            codes.add(error.code)
            continue
        read_well += 1
        assert isinstance(scan, Scan)
        assert np.isfinite(scan.voxels).all()
    # The mutations reach deep: some files survive, and many guards are met.
    assert read_well > 5
    assert len(codes) >= (8 if version == 1 else 3)
