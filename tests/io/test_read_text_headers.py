"""MetaImage and NRRD: what their headers may say, what is refused, and where their voxels may lie."""

from __future__ import annotations

import gzip
import hashlib
import tracemalloc
import zlib

import numpy as np
import pytest

from anomri.core.scan import Scan
from anomri.errors import AnomriError, InputError
from anomri.io import read

SHAPE = (8, 9, 10)
VOXELS = np.random.default_rng(5).integers(0, 1000, SHAPE).astype("<i2")
BODY = VOXELS.tobytes(order="F")
META = {
    "ObjectType": "Image", "NDims": "3", "BinaryData": "True", "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False", "TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": "1 2 3", "ElementSpacing": "1 1.5 2",
    "DimSize": "8 9 10", "ElementType": "MET_SHORT", "ElementDataFile": "LOCAL",
}  # fmt: skip
NRRD = {
    "type": "int16", "dimension": "3", "space": "left-posterior-superior", "sizes": "8 9 10",
    "space directions": "(1,0,0) (0,1.5,0) (0,0,2)", "kinds": "domain domain domain", "endian": "little",
    "encoding": "raw", "space origin": "(1,2,3)",
}  # fmt: skip
AFFINE = np.array([[-1.0, 0, 0, -1], [0, -1.5, 0, -2], [0, 0, 2, 3], [0, 0, 0, 1]])


def meta(body: bytes = BODY, end: str = "\n", **changes: str | None) -> bytes:
    """A file whose header has these fields changed; None leaves one out."""
    last = {"ElementDataFile": changes.pop("ElementDataFile", META["ElementDataFile"])}
    fields = {**META, **changes}
    del fields["ElementDataFile"]
    lines = [f"{key} = {value}" for key, value in {**fields, **last}.items() if value is not None]
    return (end.join(lines) + end).encode() + body


def nrrd(body: bytes = BODY, end: str = "\n", **changes: str | None) -> bytes:
    fields = {**NRRD, **{key.replace("_", " "): value for key, value in changes.items()}}
    lines = ["NRRD0005", "# a comment", *(f"{key}: {value}" for key, value in fields.items() if value is not None)]
    return (end.join([*lines, "patient:=Somebody"]) + 2 * end).encode() + body


@pytest.mark.parametrize("content", [meta(), nrrd(), meta(end="\r\n"), nrrd(end="\r\n")])
def test_values_affine_and_digest_are_those_of_the_file(tmp_path, content):
    (tmp_path / "sub-01_T2w.dat").write_bytes(content)
    scan = read(tmp_path / "sub-01_T2w.dat")
    np.testing.assert_array_equal(scan.voxels, VOXELS)
    np.testing.assert_array_equal(scan.geometry.affine, AFFINE)
    assert scan.source.sha256 == hashlib.sha256(content).hexdigest()
    assert scan.source.notes == ()
    assert "Somebody" not in repr(scan)


META_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
NRRD_TYPES = {
    "signed char": "i1", "uchar": "u1", "short int": "i2", "uint16_t": "u2", "int": "i4", "unsigned int": "u4",
    "long long": "i8", "uint64": "u8", "float": "f4", "double": "f8",
}  # fmt: skip


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "name"), [(k, n) for t in (META_TYPES, NRRD_TYPES) for n, k in t.items()])
def test_every_type_and_byte_order_is_read(tmp_path, order, kind, name):
    values = (VOXELS % 100).astype(order + kind)
    body = values.tobytes(order="F")
    if name.startswith("MET"):
        content = meta(body, ElementType=name, BinaryDataByteOrderMSB=str(order == ">"))
    else:
        content = nrrd(body, type=name, endian={"<": "little", ">": "big"}[order])
    (tmp_path / "x").write_bytes(content)
    np.testing.assert_array_equal(read(tmp_path / "x").voxels, values.astype("f4"))


PACKED = {
    "meta zlib": meta(zlib.compress(BODY), CompressedData="True"),
    "meta gzip": meta(gzip.compress(BODY), CompressedData="True"),
    "meta and gzip around it": gzip.compress(meta(zlib.compress(BODY), CompressedData="True")),
    "nrrd gzip": nrrd(gzip.compress(BODY), encoding="gzip"),
    "nrrd gz": nrrd(gzip.compress(BODY), encoding="gz"),
}


@pytest.mark.parametrize("content", PACKED.values(), ids=PACKED)
def test_compressed_voxels_are_inflated_and_checked_to_their_end(tmp_path, code_of, content):
    path = tmp_path / "x.mha.gz" if content[:2] == b"\x1f\x8b" else tmp_path / "x.mha"
    path.write_bytes(content)
    scan = read(path)
    np.testing.assert_array_equal(scan.voxels, VOXELS)
    assert scan.source.notes == ()
    assert code_of(content[: len(content) // 2], path.name) == "truncated"
    assert code_of(content[:-1], path.name) == "truncated"
    assert code_of(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:], path.name) == "checksum"


@pytest.mark.parametrize("make", [meta, nrrd])
def test_what_follows_the_image_is_noted_and_much_of_it_refused(tmp_path, code_of, make):
    (tmp_path / "x").write_bytes(make() + b"more")
    assert read(tmp_path / "x").source.notes == ("bytes after the end of the image were ignored",)
    assert code_of(make() + bytes(1 << 21)) == "too_large"


@pytest.mark.parametrize("pack", [True, False])
def test_a_bomb_is_refused_in_flat_memory(code_of, pack):
    zeros = bytes(300 << 20)
    bomb = zlib.compress(zeros, 9)
    contents = (
        (meta(bomb, CompressedData="True"), nrrd(bomb, encoding="gzip"))
        if pack
        else (gzip.compress(meta() + zeros, 9),)
    )
    del zeros
    for content in contents:
        tracemalloc.start()
        assert code_of(content, "x.gz" if not pack else "x") == "compression_bomb"
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 16 << 20


def test_the_corner_of_the_grid_and_its_names_follow_the_space(tmp_path):
    for space, signs in (("RAS", (1, 1)), ("left-anterior-superior", (-1, 1)), ("LPS", (-1, -1))):
        (tmp_path / "x").write_bytes(nrrd(space=space))
        affine = read(tmp_path / "x").geometry.affine
        np.testing.assert_array_equal(affine, np.diag([*signs, 1, 1]) @ np.diag([-1, -1, 1, 1]) @ AFFINE)


NO_ORIENTATION = [
    meta(TransformMatrix=None),
    nrrd(space=None, space_dimension="3"),
    nrrd(space="scanner-xyz"),
    nrrd(space=None, space_directions=None, space_origin=None, spacings="1 1.5 2"),
]


@pytest.mark.parametrize("content", NO_ORIENTATION)
def test_without_orientation_the_spacings_are_used_and_it_is_noted(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    scan = read(tmp_path / "x")
    assert scan.geometry.spacing_mm == (1, 1.5, 2)
    assert "left and right are unknown" in scan.source.notes[0]


def test_a_line_from_elements_to_intensities_is_applied(tmp_path):
    content = meta(ElementToIntensityFunctionSlope="2.5", ElementToIntensityFunctionOffset="-4")
    (tmp_path / "x").write_bytes(content)
    np.testing.assert_allclose(read(tmp_path / "x").voxels, VOXELS * 2.5 - 4)


ONE_OF_FOUR = [
    meta(NDims="4", DimSize="8 9 10 1", ElementSpacing="1 1.5 2 1", Offset="1 2 3 0", TransformMatrix="1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1"),  # noqa: E501
    nrrd(dimension="4", sizes="1 8 9 10", space_directions="none (1,0,0) (0,1.5,0) (0,0,2)", kinds=None),
    nrrd(dimension="4", sizes="8 9 10 1", space_directions=None, space=None, space_origin=None, spacings="1 1.5 2 nan"),
]  # fmt: skip


@pytest.mark.parametrize("content", ONE_OF_FOUR)
def test_one_volume_in_four_dimensions_is_a_volume(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    scan = read(tmp_path / "x")
    np.testing.assert_array_equal(scan.voxels, VOXELS)
    assert scan.geometry.spacing_mm == (1, 1.5, 2)


ONE_SLICE = [
    meta(NDims="2", DimSize="24 30", ElementSpacing="0.5 0.7", Offset="1 2", TransformMatrix="1 0 0 1"),
    meta(DimSize="24 30 1", ElementSpacing="0.5 0.7 1"),
    nrrd(dimension="2", sizes="24 30", space_directions="(0.5,0,0) (0,0.7,0)", kinds=None),
    nrrd(dimension="2", sizes="24 30", space=None, space_directions=None, space_origin=None, spacings="0.5 0.7"),
]


@pytest.mark.parametrize("content", ONE_SLICE)
def test_a_single_slice_is_one_voxel_thick(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    scan = read(tmp_path / "x")
    np.testing.assert_array_equal(scan.voxels[:, :, 0].ravel(order="F"), VOXELS.ravel(order="F"))
    np.testing.assert_allclose(scan.geometry.spacing_mm, (0.5, 0.7, 1))


BAD = {
    "declares 1 GB": (meta(DimSize="800 800 800"), nrrd(sizes="800 800 800"), "truncated"),
    "declares terabytes": (meta(DimSize="30000 30000 30000"), nrrd(sizes="30000 30000 30000"), "too_large"),
    "negative size": (meta(DimSize="8 -9 10"), nrrd(sizes="8 -9 10"), "bad_header"),
    "size of zero": (meta(DimSize="8 0 10"), nrrd(sizes="8 0 10"), "bad_header"),
    "half a voxel": (meta(DimSize="8 9.5 10"), nrrd(sizes="8 9.5 10"), "bad_header"),
    "size is no number": (meta(DimSize="8 nan 10"), nrrd(sizes="8 x 10"), "bad_header"),
    "no dimension": (meta(NDims="0"), nrrd(dimension="0"), "bad_header"),
    "nine dimensions": (meta(NDims="9"), nrrd(dimension="9"), "bad_header"),
    "a dimension too few": (meta(DimSize="8 90"), nrrd(sizes="8 90"), "bad_header"),
    "two slices": (meta(DimSize="8 9 2"), nrrd(sizes="8 9 2"), "too_thin"),
    "three volumes": (
        meta(NDims="4", DimSize="8 9 10 3"),
        nrrd(dimension="4", sizes="3 8 9 10", space_directions="none (1,0,0) (0,1,0) (0,0,1)"),
        "not_one_volume",
    ),
    "cut voxels": (meta(BODY[:-1]), nrrd(BODY[:-1]), "truncated"),
    "cut header": (meta(b"")[:60], nrrd(b"")[:60], "truncated"),
    "an endless header": (meta(Comment="x" * 70_000), nrrd(content="x" * 70_000), "truncated"),
    "NaN in the grid": (
        meta(TransformMatrix="nan 0 0 0 1 0 0 0 1"), nrrd(space_directions="(nan,0,0) (0,1,0) (0,0,1)"), "geometry"
    ),
    "singular": (
        meta(TransformMatrix="1 0 0 1 0 0 0 0 1"), nrrd(space_directions="(1,0,0) (1,0,0) (0,0,1)"), "geometry"
    ),
    "origin at infinity": (meta(Offset="inf 0 0"), nrrd(space_origin="(inf,0,0)"), "geometry"),
    "sheared": (
        meta(TransformMatrix="1 0.2 0 0 1 0 0 0 1"), nrrd(space_directions="(1,0.2,0) (0,1,0) (0,0,1)"), "sheared"
    ),
    "micrometres": (meta(ElementSpacing="1000 1000 1000"), nrrd(space_units='"um" "um" "um"'), "units"),
    "no spacing": (meta(ElementSpacing=None), nrrd(space_directions=None), "geometry"),
    "too few directions": (
        meta(TransformMatrix="1 0 0 0 1 0"), nrrd(space_directions="(1,0) (0,1) (1,1)"), "geometry"
    ),
    "complex or unknown": (meta(ElementType="MET_OTHER"), nrrd(type="block"), "unsupported_type"),
    "as text": (meta(BinaryData="False"), nrrd(encoding="ascii"), "unsupported_layout"),
    "several files": (
        meta(ElementDataFile="x%03d.raw 1 9 1"), nrrd(data_file="x%03d.raw 1 9 1"), "unsupported_layout"
    ),
    "a list of files": (meta(ElementDataFile="LIST"), nrrd(data_file="LIST"), "unsupported_layout"),
    "a line without a value": (meta(end="\nwords\n"), nrrd(end="\nwords\n"), "bad_header"),
    "constant": (meta(bytes(len(BODY))), nrrd(bytes(len(BODY))), "no_signal"),
    "2 % NaN": (
        meta(np.where(VOXELS < 20, np.nan, VOXELS).astype("<f4").tobytes(), ElementType="MET_FLOAT"),
        nrrd(np.where(VOXELS < 20, np.nan, VOXELS).astype("<f4").tobytes(), type="float"),
        "nonfinite",
    ),
}  # fmt: skip
ONLY_ONE = {
    "colours": (meta(ElementNumberOfChannels="3"), "unsupported_type"),
    "another object": (meta(ObjectType="Mesh"), "unsupported_type"),
    "infinite slope": (meta(ElementToIntensityFunctionSlope="inf"), "bad_header"),
    "slope of zero": (meta(ElementToIntensityFunctionSlope="0"), "bad_header"),
    "no order of bytes": (nrrd(endian=None), "bad_header"),
    "bzip2": (nrrd(encoding="bzip2"), "unsupported_layout"),
    "lines to skip": (nrrd(line_skip="2"), "unsupported_layout"),
    "bytes to skip before all": (nrrd(byte_skip="-2"), "bad_header"),
    "bytes to skip while packed": (nrrd(gzip.compress(BODY), encoding="gzip", byte_skip="3"), "unsupported_layout"),
    "from the end while packed": (nrrd(gzip.compress(BODY), encoding="gzip", byte_skip="-1"), "unsupported_layout"),
    "not compressed though it says so": (meta(CompressedData="True"), "checksum"),
    "nor gzip": (nrrd(encoding="gzip"), "checksum"),
    "names of files": (nrrd(b"").rstrip() + b"\ndata file: LIST\none.raw\ntwo.raw\n", "unsupported_layout"),
}


@pytest.mark.parametrize(("as_meta", "as_nrrd", "code"), BAD.values(), ids=BAD)
def test_what_cannot_be_is_refused_by_its_code(code_of, as_meta, as_nrrd, code):
    assert code_of(as_meta, "x.mha") == code
    assert code_of(as_nrrd, "x.nrrd") == code


@pytest.mark.parametrize(("content", "code"), ONLY_ONE.values(), ids=ONLY_ONE)
def test_what_only_one_of_the_formats_can_say_wrongly(code_of, content, code):
    assert code_of(content) == code


def test_ten_nan_are_set_to_0_and_told(tmp_path):
    values = np.random.default_rng(0).normal(size=(12, 12, 12)).astype("<f4")
    values[3, :10, 3] = np.nan
    body = values.tobytes(order="F")
    for content in (
        meta(body, DimSize="12 12 12", ElementType="MET_FLOAT"),
        nrrd(body, sizes="12 12 12", type="float"),
    ):
        (tmp_path / "x").write_bytes(content)
        assert any("10 values" in note for note in read(tmp_path / "x").source.notes)


def detached(kind: str, data_file: str, **changes: str | None) -> bytes:
    return (
        meta(b"", ElementDataFile=data_file, **changes) if kind == "mhd" else nrrd(b"", data_file=data_file, **changes)
    )


@pytest.mark.parametrize("kind", ["mhd", "nhdr"])
def test_the_data_file_beside_the_header_is_read_and_hashed_with_it(tmp_path, kind):
    for name in ("x.raw", "./x.raw", "data/x.raw"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(BODY)
        header = detached(kind, name)
        (tmp_path / f"x.{kind}").write_bytes(header)
        scan = read(tmp_path / f"x.{kind}")
        np.testing.assert_array_equal(scan.voxels, VOXELS)
        assert scan.source.sha256 == hashlib.sha256(header + BODY).hexdigest()
        (tmp_path / name).unlink()
        with pytest.raises(InputError, match="without its data file"):
            read(tmp_path / f"x.{kind}")


@pytest.mark.parametrize("skip", ["7", "-1"])
def test_bytes_before_the_voxels_are_passed_over(tmp_path, skip):
    (tmp_path / "x.raw").write_bytes(b"1234567" + BODY)
    (tmp_path / "x.mhd").write_bytes(detached("mhd", "x.raw", HeaderSize=skip))
    (tmp_path / "x.nhdr").write_bytes(detached("nhdr", "x.raw", byte_skip=skip))
    for name in ("x.mhd", "x.nhdr"):
        np.testing.assert_array_equal(read(tmp_path / name).voxels, VOXELS)


def test_a_data_file_packed_by_gzip_is_inflated(tmp_path):
    (tmp_path / "x.raw.gz").write_bytes(gzip.compress(BODY))
    (tmp_path / "x.mhd").write_bytes(detached("mhd", "x.raw.gz", CompressedData="True"))
    (tmp_path / "x.nhdr").write_bytes(detached("nhdr", "x.raw.gz", encoding="gzip"))
    for name in ("x.mhd", "x.nhdr"):
        np.testing.assert_array_equal(read(tmp_path / name).voxels, VOXELS)


@pytest.mark.parametrize("kind", ["mhd", "nhdr"])
def test_a_header_cannot_name_a_file_outside_its_folder_nor_itself(tmp_path, kind):
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (outside / "x.raw").write_bytes(BODY)
    (inside / "link.raw").symlink_to(outside / "x.raw")
    (inside / "folder").symlink_to(outside)
    (tmp_path / "in-a-sibling").mkdir()
    (tmp_path / "in-a-sibling" / "x.raw").write_bytes(BODY)
    names = ["../out/x.raw", str(outside / "x.raw"), "link.raw", "folder/x.raw", f"x.{kind}", "../in-a-sibling/x.raw"]
    names += ["/dev/zero", "a\0b"]
    for name in names:
        (inside / f"x.{kind}").write_bytes(detached(kind, name))
        with pytest.raises(InputError) as caught:
            read(inside / f"x.{kind}")
        assert caught.value.code == "outside_folder", name
        assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("kind", ["mhd", "nhdr"])
def test_a_data_file_that_is_a_pipe_or_a_folder_does_not_hang(tmp_path, kind, code_of):
    import os

    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder", "."):
        assert code_of(detached(kind, name), f"x.{kind}") == "truncated"


@pytest.mark.parametrize("base", [meta(), nrrd(), *PACKED.values()], ids=["meta", "nrrd", *PACKED])
def test_a_mutated_file_is_read_soundly_or_refused(tmp_path, base):
    path = tmp_path / "x"
    words = [b"nan", b"-1", b"1e30", b"0", b"", b"none", b"(1,0,0)", b"LOCAL", b"../x", b"\n", b"\xff", b"=", b":"]
    codes = set()
    for seed in range(120):
        rng = np.random.default_rng(seed)
        content = bytearray(base)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(min(len(content), 400)))
            if rng.random() < 0.5:
                content[at] = rng.integers(256)
            else:
                content[at : at + int(rng.integers(6))] = words[rng.integers(len(words))]
        if rng.random() < 0.2:
            del content[int(rng.integers(len(content))) :]
        path.write_bytes(content)
        try:
            scan = read(path, max_voxels=100_000)
        except AnomriError as error:
            codes.add(error.code)
            continue
        assert isinstance(scan, Scan)
        assert np.isfinite(scan.voxels).all()
    assert len(codes) >= 3
