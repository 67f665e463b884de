"""Files appear whole or not at all, with the same bytes for the same content, and what is written is read back."""

import csv
import errno
import gzip
import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from anomri.core.geometry import Geometry
from anomri.errors import EnvironmentProblem, InputError
from anomri.io import read, write_bytes, write_csv, write_json, write_nifti, write_text

VALUES = np.random.default_rng(3).normal(size=(8, 9, 10)).astype(np.float32)


@st.composite
def float32_affines(draw):
    """Any position, flip, order and turn of a rectangular grid, as an sform can hold it."""
    angles = [draw(st.floats(-180, 180)) for _ in range(3)]
    spacing = [draw(st.floats(0.3, 6)) for _ in range(3)]
    flips = [draw(st.sampled_from([-1, 1])) for _ in range(3)]
    order = draw(st.permutations(range(3)))
    affine = np.eye(4)
    affine[:3, :3] = (Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(spacing) @ np.diag(flips))[
        :, order
    ]
    affine[:3, 3] = [draw(st.floats(-300, 300)) for _ in range(3)]
    return affine.astype(np.float32).astype(np.float64)


@settings(max_examples=40)
@given(affine=float32_affines())
def test_affine_and_values_come_back_bit_equal(tmp_path_factory, affine):
    path = tmp_path_factory.mktemp("round") / "map.nii.gz"
    write_nifti(path, VALUES, Geometry((8, 9, 10), affine))
    scan = read(path)
    np.testing.assert_array_equal(scan.geometry.affine, affine)
    np.testing.assert_array_equal(scan.voxels, VALUES)
    other = nib.load(path)
    np.testing.assert_array_equal(other.affine, affine)
    np.testing.assert_array_equal(np.asarray(other.dataobj), VALUES)
    # A half turn leaves the quaternion's first component to rounding; then the sform stands alone.
    if other.header["qform_code"] > 0:
        np.testing.assert_allclose(other.header.get_qform(), affine, atol=1e-3)


def test_an_ordinary_oblique_grid_has_both_forms(tmp_path):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [12, -7, 4], degrees=True).as_matrix()
    write_nifti(tmp_path / "x.nii", VALUES, Geometry(VALUES.shape, affine))
    header = nib.load(tmp_path / "x.nii").header
    assert (int(header["qform_code"]), int(header["sform_code"])) == (2, 2)


def test_a_grid_that_a_quaternion_cannot_hold_is_written_by_its_sform_alone(tmp_path):
    affine = np.diag([1.0, 1, 1, 1])
    affine[0, 1] = 0.0009
    write_nifti(tmp_path / "x.nii", VALUES, Geometry(VALUES.shape, affine))
    header = nib.load(tmp_path / "x.nii").header
    assert (int(header["qform_code"]), int(header["sform_code"])) == (0, 2)
    np.testing.assert_allclose(read(tmp_path / "x.nii").geometry.affine, affine, atol=1e-6)


def test_what_is_unknown_stays_nan_and_masks_take_one_byte(tmp_path):
    values = VALUES.astype(np.float64)
    values[0] = np.nan
    geometry = Geometry(VALUES.shape, np.eye(4))
    write_nifti(tmp_path / "x.nii.gz", values, geometry)
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "x.nii.gz").dataobj), values.astype(np.float32))
    write_nifti(tmp_path / "m.nii.gz", values > 0, geometry)
    mask = nib.load(tmp_path / "m.nii.gz")
    assert mask.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(mask.dataobj), values > 0)


def test_a_map_has_the_same_bytes_each_time_and_no_text(tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_nifti(
            tmp_path / name, np.asfortranarray(VALUES) if name[0] == "a" else VALUES, Geometry((8, 9, 10), np.eye(4))
        )
    packed = (tmp_path / "a.nii.gz").read_bytes()
    assert packed == (tmp_path / "b.nii.gz").read_bytes()
    # No file name (flag bits) and no time in the gzip header.
    assert packed[3:8] == bytes(5)
    header = nib.Nifti1Header(gzip.decompress(packed)[:348])
    for field in ("descrip", "aux_file", "intent_name", "db_name", "data_type"):
        assert header[field].item() == b""


@pytest.mark.parametrize(
    ("name", "shape", "code"), [("x.png", (8, 9, 10), "output_name"), ("x.nii", (8, 9, 11), "geometry")]
)
def test_a_map_with_the_wrong_name_or_shape_is_refused(tmp_path, name, shape, code):
    with pytest.raises(InputError) as caught:
        write_nifti(tmp_path / name, VALUES, Geometry(shape, np.eye(4)))
    assert caught.value.code == code
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["os.open", "os.fdopen", "os.fsync", "pathlib.Path.replace", "pathlib.Path.chmod"])
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "disk_full"),
        (errno.EACCES, "permission"),
        (errno.EROFS, "permission"),
        (errno.EIO, "write_failed"),
    ],
)
def test_a_failure_at_any_step_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step, number, code):
    target = tmp_path / "x.json"
    target.write_text("old")

    def fail(*_args, **_options):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(step, fail)
        with pytest.raises(EnvironmentProblem) as caught:
            write_text(target, "new")
    assert caught.value.code == code
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_an_interruption_while_writing_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(_descriptor):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_bytes(tmp_path / "x", b"1")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(EnvironmentProblem) as caught:
        write_text(tmp_path / "none" / "x", "1")
    assert caught.value.code == "no_folder"


def test_the_mode_follows_the_umask_and_a_half_written_file_is_private(tmp_path, monkeypatch):
    seen = []
    sync = os.fsync

    def look(descriptor):
        seen.extend((path.name, path.stat().st_mode & 0o777) for path in tmp_path.glob(".anomri-*"))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "x", b"1")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640
    ((name, mode),) = seen
    assert mode == 0o600
    assert name.startswith(f".anomri-{os.getpid()}-")


def test_a_link_is_replaced_and_what_it_led_to_is_left_alone(tmp_path):
    (tmp_path / "precious").write_text("keep")
    (tmp_path / "x").symlink_to(tmp_path / "precious")
    write_text(tmp_path / "x", "new")
    assert (tmp_path / "precious").read_text() == "keep"
    assert not (tmp_path / "x").is_symlink()


def test_json_is_sorted_exact_and_free_of_nan(tmp_path):
    path = tmp_path / "x.json"
    content = {
        "b": [0.1, np.float32(0.5), np.int64(3)],
        "a": {"ü": True, "n": None},
        "c": np.arange(2),
        "bytes": "\udcff",
    }
    write_json(path, content)
    text = path.read_text(encoding="utf-8")
    assert text.index('"a"') < text.index('"b"') < text.index('"c"')
    assert text.endswith("}\n")
    assert json.loads(text) == {"b": [0.1, 0.5, 3], "a": {"ü": True, "n": None}, "c": [0, 1], "bytes": "\udcff"}
    for bad in (np.nan, np.float32(np.inf), float("-inf")):
        with pytest.raises(ValueError, match="JSON compliant"):
            write_json(path, {"x": bad})
    assert path.read_text(encoding="utf-8") == text


def test_a_table_is_read_back_and_its_formulas_are_disarmed(tmp_path):
    path = tmp_path / "x.csv"
    rows = [
        {"scan_id": "=cmd()|' /C calc'!A1", "score": -1.5, "note": 'a "b", c\nd\re'},
        {"scan_id": "@sum", "score": "-1.5e3", "note": "-x"},
        {"scan_id": "\t=1", "score": np.float32(0.25), "note": None, "elsewhere": 1},
        {"scan_id": "+49", "score": float("nan"), "note": True},
    ]
    write_csv(path, rows, ["scan_id", "score", "note"])
    with path.open(newline="", encoding="utf-8") as file:
        table = list(csv.reader(file))
    assert table == [
        ["scan_id", "score", "note"],
        ["'=cmd()|' /C calc'!A1", "-1.5", 'a "b", c\nd\re'],
        ["'@sum", "-1.5e3", "'-x"],
        ["'\t=1", "0.25", ""],
        ["+49", "", "true"],
    ]


def test_a_tab_separated_table_keeps_one_line_a_row(tmp_path):
    path = tmp_path / "x.tsv"
    write_csv(path, [{"a": "x\ty\nz", "b": 1}], ["a", "b"])
    assert path.read_text() == "a\tb\nx y z\t1\n"


@given(cells=st.lists(st.text(max_size=12), min_size=1, max_size=4))
@settings(max_examples=40)
def test_any_text_survives_a_table(tmp_path_factory, cells):
    path: Path = tmp_path_factory.mktemp("table") / "x.csv"
    columns = [f"c{n}" for n in range(len(cells))]
    write_csv(path, [dict(zip(columns, cells, strict=True))], [*columns, "end"])
    with path.open(newline="", encoding="utf-8") as file:
        row = list(csv.reader(file))[1]
    for cell, found in zip(cells, row, strict=False):
        assert found in (cell, f"'{cell}")
        assert not found.startswith(("=", "@", "\t", "\r"))
