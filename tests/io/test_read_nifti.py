"""Every sound form of NIfTI is read as nibabel reads it; every broken one is refused by its code."""

import gzip
import hashlib
import os
import threading
import tracemalloc
import zlib

import nibabel as nib
import numpy as np
import pytest

from anomri.errors import EnvironmentProblem, InputError
from anomri.io import read
from anomri.io import stream as stream_module

STORED = ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]


def test_values_affine_and_digest_are_those_of_the_file(tmp_path, nifti_bytes, values):
    content = nifti_bytes()
    (tmp_path / "sub-01_T1w.nii").write_bytes(content)
    scan = read(tmp_path / "sub-01_T1w.nii")
    assert scan.scan_id == "sub-01_T1w"
    assert scan.sequence == "T1w"
    assert scan.source.format == "nifti"
    assert scan.source.orientation == "LAS"
    assert scan.source.notes == ()
    assert scan.source.sha256 == hashlib.sha256(content).hexdigest()
    np.testing.assert_array_equal(scan.voxels, values)
    np.testing.assert_array_equal(scan.geometry.affine, nib.load(tmp_path / "sub-01_T1w.nii").affine)


@pytest.mark.parametrize("kind", STORED)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [1, 2])
def test_every_type_byte_order_and_version_is_read_as_nibabel_reads_it(tmp_path, nifti_bytes, kind, order, version):
    data = np.random.default_rng(1).integers(0, 100, (8, 9, 10)).astype(kind)
    path = tmp_path / "x.nii.gz"
    path.write_bytes(gzip.compress(nifti_bytes(data, order=order, version=version, scl_slope=0.37, scl_inter=-4)))
    scan = read(path)
    expected = nib.load(path)
    np.testing.assert_array_equal(scan.voxels, expected.get_fdata(dtype=np.float64).astype(np.float32))
    np.testing.assert_array_equal(scan.geometry.affine, expected.affine)
    assert scan.voxels.flags.c_contiguous
    assert not scan.voxels.flags.writeable


def test_a_scan_of_many_slabs_is_put_together_in_order(tmp_path, nifti_bytes, monkeypatch):
    monkeypatch.setattr("anomri.io.decode.SLAB_BYTES", 3 * 8 * 9 * 2)
    monkeypatch.setattr(stream_module, "READ_BYTES", 101)
    monkeypatch.setattr(stream_module, "HEAD_BYTES", 600)
    data = np.arange(8 * 9 * 10, dtype=np.int16).reshape((8, 9, 10))
    for content in (nifti_bytes(data), gzip.compress(nifti_bytes(data))):
        (tmp_path / "x.nii").write_bytes(content)
        np.testing.assert_array_equal(read(tmp_path / "x.nii").voxels, data)


def test_a_header_and_image_pair_is_read_and_hashed_together(tmp_path, values):
    nib.save(nib.Nifti1Pair(values, np.diag([1.0, 1, 1, 1])), tmp_path / "x.hdr")
    scan = read(tmp_path / "x.hdr")
    np.testing.assert_array_equal(scan.voxels, values)
    both = (tmp_path / "x.hdr").read_bytes() + (tmp_path / "x.img").read_bytes()
    assert scan.source.sha256 == hashlib.sha256(both).hexdigest()
    (tmp_path / "x.img").unlink()
    with pytest.raises(InputError, match=r"without its \.img"):
        read(tmp_path / "x.hdr")


def test_an_image_written_anew_is_known_again(tmp_path, nifti_bytes, values):
    content = nifti_bytes()
    (tmp_path / "a.nii").write_bytes(content)
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(content, 1))
    (tmp_path / "c.nii.gz").write_bytes(gzip.compress(content, 9))
    (tmp_path / "d.nii").write_bytes(nifti_bytes(values.astype("f4"), order=">", version=2, descrip=b"another"))
    # Without a qform the sform is written from it: float32 numbers where double ones were computed.
    (tmp_path / "e.nii").write_bytes(nifti_bytes(sform_code=0))
    original = nib.load(tmp_path / "a.nii")
    nib.save(nib.as_closest_canonical(original), tmp_path / "f.nii.gz")
    nib.save(nib.Nifti1Image(np.asarray(original.dataobj), original.affine), tmp_path / "g.nii")
    scans = [read(path) for path in sorted(tmp_path.iterdir())]
    assert len(scans) == len({scan.source.sha256 for scan in scans}) == 7
    assert len({scan.source.image_sha256 for scan in scans}) == 1
    (tmp_path / "other.nii").write_bytes(nifti_bytes(values[::-1]))
    assert read(tmp_path / "other.nii").source.image_sha256 != scans[0].source.image_sha256


def test_a_plain_file_named_gz_is_read_by_its_content_and_noted(tmp_path, nifti_bytes, values):
    (tmp_path / "x.nii.gz").write_bytes(nifti_bytes())
    scan = read(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(scan.voxels, values)
    assert "unlike its name" in scan.source.notes[0]


def test_gzip_members_are_one_stream_and_what_follows_the_image_is_noted(tmp_path, nifti_bytes, values):
    content = nifti_bytes()
    pieces = [gzip.compress(content[at : at + 200]) for at in range(0, len(content), 200)]
    (tmp_path / "x.nii.gz").write_bytes(b"".join(pieces))
    scan = read(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(scan.voxels, values)
    assert scan.source.notes == ()
    (tmp_path / "y.nii.gz").write_bytes(gzip.compress(content) + bytes(512))
    assert read(tmp_path / "y.nii.gz").source.notes == ("bytes after the end of the image were ignored",)


def test_thousands_of_empty_gzip_members_are_refused(nifti_bytes, code_of):
    content = nifti_bytes()
    members = gzip.compress(content[:400]) + gzip.compress(b"") * 2000 + gzip.compress(content[400:])
    assert code_of(members, "x.nii.gz") == "compression_bomb"


def test_one_volume_in_four_dimensions_is_a_volume(tmp_path, nifti_bytes, values):
    (tmp_path / "x.nii").write_bytes(nifti_bytes(values[..., None, None]))
    assert read(tmp_path / "x.nii").voxels.shape == (8, 9, 10)


def test_a_slope_of_zero_or_nan_scales_nothing(tmp_path, nifti_bytes, values):
    for slope in (0, np.nan):
        (tmp_path / "x.nii").write_bytes(nifti_bytes(scl_slope=slope, scl_inter=7))
        np.testing.assert_array_equal(read(tmp_path / "x.nii").voxels, values)


@pytest.mark.parametrize(("sform_code", "qform_code"), [(0, 1), (1, 0), (2, 3)])
def test_the_affine_comes_from_whichever_code_is_set(tmp_path, nifti_bytes, sform_code, qform_code):
    fields = {"sform_code": sform_code, "qform_code": qform_code}
    if sform_code == 0:
        fields |= {"srow_x": 0, "srow_y": np.nan, "quatern_b": 0.1, "quatern_c": 0.9, "quatern_d": 0.2}
    if qform_code == 0:
        fields |= {"quatern_b": np.nan, "pixdim": {1: -1}}
    (tmp_path / "x.nii").write_bytes(nifti_bytes(**fields))
    scan = read(tmp_path / "x.nii")
    with np.errstate(invalid="ignore"):
        header = nib.Nifti1Header((tmp_path / "x.nii").read_bytes()[:348], check=False)
    expected = header.get_sform() if sform_code else header.get_qform()
    np.testing.assert_array_equal(scan.geometry.affine, expected)
    assert scan.source.notes == ()


def test_a_qfac_of_zero_counts_as_one(tmp_path, nifti_bytes):
    affines = []
    for qfac in (0, 1):
        (tmp_path / "x.nii").write_bytes(nifti_bytes(sform_code=0, pixdim={0: qfac}))
        affines.append(read(tmp_path / "x.nii").geometry.affine)
    np.testing.assert_array_equal(*affines)


def test_without_orientation_the_voxel_sizes_are_used_and_it_is_noted(tmp_path, nifti_bytes):
    (tmp_path / "x.nii").write_bytes(nifti_bytes(sform_code=0, qform_code=0))
    scan = read(tmp_path / "x.nii")
    np.testing.assert_array_equal(scan.geometry.affine, nib.load(tmp_path / "x.nii").affine)
    assert "left and right are unknown" in scan.source.notes[0]


@pytest.mark.parametrize("sform_code", [-32768, -1, 0, 1, 5, 6, 32767])
@pytest.mark.parametrize("qform_code", [-1, 0, 2, 9])
def test_a_code_that_the_standard_does_not_know_is_noted_and_what_it_says_never_silently_believed(
    tmp_path, nifti_bytes, sform_code, qform_code
):
    (tmp_path / "x.nii").write_bytes(nifti_bytes(sform_code=sform_code, qform_code=qform_code))
    scan = read(tmp_path / "x.nii")
    unknown = [code for code in (sform_code, qform_code) if not 0 <= code <= 5]
    assert all(f"is {code}, " in note for code, note in zip(unknown, scan.source.notes[: len(unknown)], strict=True))
    # As nifti1.h has it, a code above 0 says that its grid is to be used.
    given = np.array([[-1.0, 0, 0, 90], [0, 1.5, 0, -70], [0, 0, 2, -50], [0, 0, 0, 1]])
    used = sform_code > 0 or qform_code > 0
    assert np.allclose(scan.geometry.affine, given) is used
    lost = ["the header gives no orientation; left and right are unknown"]
    assert list(scan.source.notes[len(unknown) :]) == ([] if used else lost)


def test_two_grids_under_unknown_codes_must_agree_too(nifti_bytes, code_of):
    assert code_of(nifti_bytes(sform_code=7, qform_code=8, srow_x=[-1, 0, 0, 80])) == "geometry_conflict"


def test_a_few_values_that_are_not_finite_become_zero_and_are_noted(tmp_path, nifti_bytes):
    data = np.random.default_rng(2).normal(size=(8, 9, 10)).astype(np.float32)
    data[0, 0, :2] = np.nan, np.inf
    (tmp_path / "x.nii").write_bytes(nifti_bytes(data))
    scan = read(tmp_path / "x.nii")
    assert scan.voxels[0, 0, :2].tolist() == [0, 0]
    assert scan.source.notes == ("2 values that were NaN or infinite were set to 0",)


def test_a_clipped_maximum_is_noted(tmp_path, nifti_bytes):
    data = np.random.default_rng(2).integers(0, 2000, (20, 20, 20)).astype(np.int16)
    (tmp_path / "x.nii").write_bytes(nifti_bytes(np.minimum(data, 1900)))
    assert read(tmp_path / "x.nii").source.notes[0].startswith("saturated")
    (tmp_path / "y.nii").write_bytes(nifti_bytes(data))
    assert read(tmp_path / "y.nii").source.notes == ()


def test_an_extension_is_passed_over(tmp_path, nifti_bytes, values):
    content = nifti_bytes(vox_offset=352 + 32)
    extended = content[:348] + b"\1\0\0\0" + (32).to_bytes(4, "little") + bytes(28) + content[352:]
    (tmp_path / "x.nii").write_bytes(extended)
    np.testing.assert_array_equal(read(tmp_path / "x.nii").voxels, values)
    broken = content[:348] + b"\1\0\0\0" + (64).to_bytes(4, "little") + bytes(28) + content[352:]
    (tmp_path / "y.nii").write_bytes(broken)
    with pytest.raises(InputError, match="extension"):
        read(tmp_path / "y.nii")


BAD_FIELDS = {
    "negative size": ({"dim": {1: -8}}, "bad_header"),
    "size of zero": ({"dim": {2: 0}}, "bad_header"),
    "no dimension": ({"dim": {0: 0}}, "bad_header"),
    "nine dimensions": ({"dim": {0: 9}}, "bad_header"),
    "wrong bits": ({"bitpix": 8}, "bad_header"),
    "infinite slope": ({"scl_slope": np.inf}, "bad_header"),
    "infinite intercept": ({"scl_inter": -np.inf}, "bad_header"),
    "offset beyond all files": ({"vox_offset": 1e30}, "bad_header"),
    "offset is no number": ({"vox_offset": np.nan}, "bad_header"),
    "offset in the header": ({"vox_offset": 100}, "bad_header"),
    "offset beyond the file": ({"vox_offset": 100_000}, "truncated"),
    "terabytes": ({"dim": {1: 32767, 2: 32767, 3: 32767}}, "too_large"),
    "two slices": ({"dim": {3: 2}}, "too_thin"),
    "one slice of seven columns": ({"dim": {1: 7, 3: 1}}, "too_thin"),
    "three volumes": ({"dim": {0: 4, 4: 3}}, "not_one_volume"),
    "complex": ({"datatype": 32, "bitpix": 64}, "unsupported_type"),
    "colours": ({"datatype": 128, "bitpix": 24}, "unsupported_type"),
    "bits": ({"datatype": 1, "bitpix": 1}, "unsupported_type"),
    "unknown type": ({"datatype": 77}, "unsupported_type"),
    "NaN in the sform": ({"srow_x": np.nan}, "geometry"),
    "signalling NaN in the sform": ({"srow_x": np.array([0x7F800001] * 4, "u4").view("f4")}, "geometry"),
    "singular sform": ({"srow_z": 0}, "geometry"),
    "broken quaternion alone": ({"sform_code": 0, "quatern_b": 3}, "geometry"),
    "no voxel size at all": ({"sform_code": 0, "qform_code": 0, "pixdim": {1: 0}}, "geometry"),
    "qform moved by a millimetre": ({"qoffset_x": 91}, "geometry_conflict"),
    "qform turned by a fifth of a degree": ({"quatern_b": 0.00175, "quatern_c": 0.99999847}, "geometry_conflict"),
    "voxels of a micrometre": ({"qform_code": 0, "srow_x": [-1e-3, 0, 0, 0]}, "units"),
    "voxels of a metre": ({"qform_code": 0, "srow_x": [-1e3, 0, 0, 0]}, "units"),
    "voxels of half a decilitre": ({"qform_code": 0, "srow_x": [-19, 0, 0, 0], "srow_y": [0, 19, 0, 0],
                                    "srow_z": [0, 0, 19, 0]}, "units"),
    "header in metres": ({"xyzt_units": 1}, "units"),
    "sheared": ({"qform_code": 0, "srow_x": [-1, 0.01, 0, 0]}, "sheared"),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "code"), BAD_FIELDS.values(), ids=BAD_FIELDS)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_broken_header_is_refused(nifti_bytes, code_of, fields, code, packed):
    if packed and fields.get("vox_offset") == 100_000:
        fields = {"vox_offset": 10_000_000}
    content = nifti_bytes(**fields)
    assert code_of(gzip.compress(content) if packed else content, "x.nii.gz" if packed else "x.nii") == code


def test_nifti_2_sizes_beyond_32_bits_are_refused(nifti_bytes, code_of):
    assert code_of(nifti_bytes(version=2, dim={1: 2**40})) == "bad_header"


def test_the_limit_on_voxels_holds_at_the_limit_and_one_beyond(tmp_path, nifti_bytes, code_of):
    (tmp_path / "x.nii").write_bytes(nifti_bytes())
    assert read(tmp_path / "x.nii", max_voxels=720).voxels.size == 720
    assert code_of(nifti_bytes(), max_voxels=719) == "too_large"


def test_a_volume_of_eight_slices_is_thick_enough_and_one_of_seven_is_not(tmp_path, nifti_bytes, code_of, values):
    (tmp_path / "x.nii").write_bytes(nifti_bytes(values[:, :, :8]))
    assert read(tmp_path / "x.nii").voxels.shape == (8, 9, 8)
    assert code_of(nifti_bytes(values[:, :, :7])) == "too_thin"


@pytest.mark.parametrize("dim", [{3: 1}, {0: 2}])
def test_a_single_slice_is_read(tmp_path, nifti_bytes, values, dim):
    (tmp_path / "x.nii").write_bytes(nifti_bytes(values[:, :, :1], dim=dim))
    np.testing.assert_array_equal(read(tmp_path / "x.nii").voxels, values[:, :, :1])


def test_what_is_not_an_image_is_named_so(code_of):
    text = b"these are words, not an image\n" * 40
    assert code_of(b"") == "empty"
    assert code_of(gzip.compress(b""), "x.nii.gz") == "empty"
    assert code_of(text, "notes.nii") == "not_nifti"
    assert code_of(gzip.compress(text), "notes.nii.gz") == "not_nifti"
    assert code_of(text, "notes.txt") == "unknown_format"
    # ANALYZE 7.5: the size of a NIfTI header without its magic number.
    assert code_of((348).to_bytes(4, "little") + bytes(344), "x.hdr") == "unknown_format"


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98, 0.999])
def test_a_file_cut_anywhere_is_truncated(nifti_bytes, code_of, share):
    content = nifti_bytes()
    packed = gzip.compress(content)
    assert code_of(content[: max(20, int(share * len(content)))]) == "truncated"
    assert code_of(packed[: int(share * len(packed))], "x.nii.gz") == "truncated"


def test_a_gzip_stream_cut_in_its_trailer_is_truncated(nifti_bytes, code_of):
    packed = gzip.compress(nifti_bytes())
    for cut in (1, 4, 7, 8):
        assert code_of(packed[:-cut], "x.nii.gz") == "truncated"


def test_a_wrong_checksum_or_length_is_noticed(nifti_bytes, code_of):
    packed = bytearray(gzip.compress(nifti_bytes()))
    for at in (-8, -5, -4, -1):
        damaged = packed.copy()
        damaged[at] ^= 1
        assert code_of(bytes(damaged), "x.nii.gz") == "checksum"


def test_a_damaged_stream_is_noticed(nifti_bytes, code_of):
    packed = bytearray(gzip.compress(nifti_bytes(), 9))
    packed[len(packed) // 2] ^= 0x55
    assert code_of(bytes(packed), "x.nii.gz") in ("checksum", "truncated")


def peak_bytes(action):
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("declared", [True, False], ids=["after a sound image", "instead of an image"])
def test_a_gzip_bomb_is_refused_in_flat_memory(nifti_bytes, code_of, declared):
    packer = zlib.compressobj(1, wbits=31)
    pieces = [packer.compress(nifti_bytes() if declared else b"")]
    pieces += [packer.compress(bytes(10_000_000)) for _ in range(30)] + [packer.flush()]
    bomb = b"".join(pieces)
    del pieces
    codes = []
    peak = peak_bytes(lambda: codes.append(code_of(bomb, "x.nii.gz")))
    assert codes == ["compression_bomb" if declared else "not_nifti"]
    assert peak < 8e6


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_small_file_that_declares_gigabytes_takes_no_memory(nifti_bytes, code_of, packed):
    # 800³ float64 are 4.1 GB and just within the default limit on voxels.
    content = nifti_bytes(dim={1: 800, 2: 800, 3: 800}, datatype=64, bitpix=64)
    codes = []
    content = gzip.compress(content) if packed else content
    peak = peak_bytes(lambda: codes.append(code_of(content, "x.nii")))
    assert codes == ["truncated"]
    assert peak < 4e6


def test_a_plain_file_far_longer_than_its_image_is_refused(nifti_bytes, code_of):
    assert code_of(nifti_bytes() + bytes(2_000_000)) == "too_large"


@pytest.mark.parametrize("data", [np.zeros((8, 8, 8), np.int16), np.full((8, 8, 8), 5.5, np.float32)])
def test_a_constant_image_has_no_signal(nifti_bytes, code_of, data):
    assert code_of(nifti_bytes(data)) == "no_signal"


def test_sixteen_distinct_values_are_a_signal_and_fifteen_are_not(tmp_path, nifti_bytes, code_of):
    data = np.random.default_rng(0).integers(0, 16, (8, 9, 10)).astype(np.uint8)
    (tmp_path / "x.nii").write_bytes(nifti_bytes(data))
    assert np.unique(read(tmp_path / "x.nii").voxels).size == 16
    assert code_of(nifti_bytes(np.minimum(data, 14))) == "no_signal"


def test_too_many_values_that_are_not_finite_are_refused(nifti_bytes, code_of):
    data = np.random.default_rng(0).normal(size=(10, 10, 10)).astype(np.float32)
    data[0, :2, :] = np.nan
    assert code_of(nifti_bytes(data)) == "nonfinite"


def test_a_value_beyond_float32_is_refused(nifti_bytes, code_of):
    data = np.random.default_rng(0).normal(size=(8, 9, 10))
    data[3, 3, 3] = 1e300
    assert code_of(nifti_bytes(data)) == "nonfinite"
    assert code_of(nifti_bytes(scl_slope=3e38)) == "nonfinite"


def test_missing_files_folders_and_forbidden_names_are_refused(tmp_path):
    for path, code in (
        (tmp_path / "none.nii", "no_file"),
        (tmp_path, "no_scans"),
        (tmp_path / "a\0b", "read_failed"),
    ):
        with pytest.raises(InputError) as caught:
            read(path)
        assert caught.value.code == code


def test_a_fifo_is_refused_without_waiting(tmp_path):
    fifo = tmp_path / "x.nii"
    os.mkfifo(fifo)
    codes = []

    def attempt():
        with pytest.raises(InputError) as caught:
            read(fifo)
        codes.append(caught.value.code)

    worker = threading.Thread(target=attempt, daemon=True)
    worker.start()
    worker.join(10)
    assert codes == ["not_a_file"]


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path, nifti_bytes, monkeypatch):
    path = tmp_path / "x.nii"
    path.write_bytes(nifti_bytes())
    decode = stream_module.ByteStream.skip

    def grow_first(self, count):
        with path.open("ab") as file:
            file.write(b"more")
        decode(self, count)

    monkeypatch.setattr(stream_module.ByteStream, "skip", grow_first)
    with pytest.raises(InputError) as caught:
        read(path)
    assert caught.value.code == "changed"


def test_running_out_of_memory_is_a_problem_of_the_environment(tmp_path, nifti_bytes, monkeypatch):
    (tmp_path / "x.nii").write_bytes(nifti_bytes())

    def refuse(_stream, _layout):
        raise MemoryError

    monkeypatch.setattr("anomri.io.nifti._voxels", refuse)
    with pytest.raises(EnvironmentProblem) as caught:
        read(tmp_path / "x.nii")
    assert caught.value.code == "memory"


def test_an_error_names_its_file_in_a_note_and_never_in_its_cause(tmp_path):
    with pytest.raises(InputError) as caught:
        read(tmp_path / "none.nii", scan_id="a")
    assert str(tmp_path) not in str(caught.value)
    assert caught.value.__notes__ == [f"file: {tmp_path / 'none.nii'}"]


def test_a_name_cannot_steer_the_terminal_through_a_message(tmp_path):
    path = tmp_path / "a\nb\x1b[31m\u202e.nii"
    path.write_bytes(b"words " * 100)
    with pytest.raises(InputError) as caught:
        read(path)
    assert not set(str(caught.value) + caught.value.__notes__[0]) & {"\n", "\x1b", "\u202e"}
    assert caught.value.scan == "a-b-31m"
