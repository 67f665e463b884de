"""Which series a result came from, and where its frames lie, against pydicom and SimpleITK."""

from __future__ import annotations

import itertools
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from anomri.core.geometry import Geometry
from anomri.dicom import read_source
from anomri.dicom.source import matched
from anomri.errors import InputError
from anomri.io import read
from dicom.conftest import PATIENT, Case, oblique
from dicom_slices import ROOT, enhanced, series, write

AXES = list(itertools.permutations(range(3)))


def turned(values: np.ndarray, geometry: Geometry, axes: tuple[int, ...], flips: tuple[bool, ...]):
    """The same image with its axes in another order and direction."""
    flipped = tuple(axis for axis, flip in enumerate(flips) if flip)
    affine = np.eye(4)
    linear = geometry.affine[:3, :3][:, axes].copy()
    start = geometry.affine[:3, 3].copy()
    shape = tuple(geometry.shape[a] for a in axes)
    for axis in flipped:
        start += linear[:, axis] * (shape[axis] - 1)
        linear[:, axis] *= -1
    affine[:3, :3], affine[:3, 3] = linear, start
    return np.flip(values.transpose(axes), flipped), Geometry(shape, affine)


def test_the_grid_is_that_of_simpleitk(case: Case):
    source = read_source(case.folder, case.geometry, "sub-17_T1w")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(case.folder)))
    image = reader.Execute()
    for corner in itertools.product(*((0, n - 1) for n in case.geometry.shape)):
        x, y, z = image.TransformIndexToPhysicalPoint(corner)
        ours = source.geometry.affine @ [*corner, 1]
        assert np.linalg.norm(ours[:3] - [-x, -y, z]) < 0.01


@given(axes=st.sampled_from(AXES), flips=st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_an_image_is_cut_into_the_frames_of_its_series_whatever_its_axes(case: Case, axes, flips):
    values, grid = turned(case.voxels, case.geometry, axes, flips)
    source = read_source(case.folder, grid, "any")
    frames = source.frames_of(values, grid)
    for frame, head in zip(frames, source.instances, strict=True):
        stored = next(p for p in case.folder.iterdir() if pydicom.dcmread(p).SOPInstanceUID == head.SOPInstanceUID)
        np.testing.assert_array_equal(frame, pydicom.dcmread(stored).pixel_array)


def test_frames_of_an_enhanced_image_keep_their_own_order(tmp_path: Path, case: Case):
    order = np.random.default_rng(0).permutation(case.geometry.shape[2]).tolist()
    one = enhanced(case.voxels, case.geometry.affine, order=order, **PATIENT)
    write(tmp_path, [one])
    source = read_source(tmp_path / "IM0000", case.geometry, "any")
    np.testing.assert_array_equal(source.frames_of(case.voxels, case.geometry), one.pixel_array)


@given(shift=st.floats(0.0, 0.3), axis=st.integers(0, 2))
def test_a_tenth_of_a_millimetre_is_tolerated(shift: float, axis: int):
    geometry = oblique()
    moved = geometry.affine.copy()
    moved[axis, 3] += shift
    if abs(shift - 0.1) > 1e-6:
        assert matched(Geometry(geometry.shape, moved), geometry) == (shift < 0.1)


def test_what_anomri_reads_of_a_folder_or_an_archive_lies_on_its_series(tmp_path: Path, case: Case):
    with zipfile.ZipFile(tmp_path / "series.zip", "w") as archive:
        for file in case.folder.iterdir():
            archive.write(file, file.name)
    for path in (case.folder, tmp_path / "series.zip"):
        scan = read(path)
        source = read_source(path, scan.geometry, scan.scan_id)
        stored = np.stack([pydicom.dcmread(p).pixel_array for p in sorted(case.folder.iterdir())])
        numbers = [int(head.InstanceNumber) - 1 for head in source.instances]
        np.testing.assert_array_equal(source.frames_of(scan.voxels, scan.geometry), stored[numbers])


def test_two_halves_of_an_enhanced_series_are_refused(tmp_path: Path, case: Case):
    halves = [enhanced(case.voxels, case.geometry.affine, order=part, **PATIENT) for part in (range(7), range(7, 14))]
    halves[1].SOPInstanceUID = f"{ROOT}5"
    write(tmp_path, halves)
    with pytest.raises(InputError, match="several_series"):
        read_source(tmp_path, case.geometry, "any")


def test_of_a_study_the_series_on_the_grid_is_taken(tmp_path: Path, case: Case):
    other = oblique(turn_deg=0.0)
    write(tmp_path / "a", series(case.voxels, case.geometry.affine, **PATIENT))
    write(tmp_path / "b", series(case.voxels, other.affine, **{**PATIENT, "SeriesInstanceUID": f"{ROOT}3"}))
    (tmp_path / "readme.txt").write_text("no DICOM")
    for grid, uid in ((case.geometry, f"{ROOT}2"), (other, f"{ROOT}3")):
        assert {i.SeriesInstanceUID for i in read_source(tmp_path, grid, "any").instances} == {uid}


def test_two_series_on_one_grid_are_told_apart_by_the_id_of_the_scan(tmp_path: Path, case: Case):
    from anomri.io.dicom import find_series
    from anomri.io.members import members_of

    write(tmp_path / "a", series(case.voxels, case.geometry.affine, **PATIENT))
    write(tmp_path / "b", series(case.voxels, case.geometry.affine, **{**PATIENT, "SeriesInstanceUID": f"{ROOT}3"}))
    with pytest.raises(InputError, match="several_series"):
        read_source(tmp_path, case.geometry, "sub-17_T1w")
    names = tuple(sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("IM*")))
    with members_of(tmp_path, names) as files:
        ids = [one.scan_id for one in find_series(files).series]
    found = [read_source(tmp_path, case.geometry, scan_id).instances[0].SeriesInstanceUID for scan_id in ids]
    assert sorted(found) == [f"{ROOT}2", f"{ROOT}3"]


def test_another_grid_is_refused(case: Case):
    with pytest.raises(InputError, match="other_grid"):
        read_source(case.folder, oblique(turn_deg=1.0), "any")
    with pytest.raises(InputError, match="other_grid"):
        read_source(case.folder, oblique((19, 24, 14)), "any")


def test_a_series_that_is_no_volume_says_so(tmp_path: Path, case: Case):
    images = series(case.voxels, case.geometry.affine, **PATIENT)
    write(tmp_path, images[:5] + images[6:])
    with pytest.raises(InputError, match="missing_slices"):
        read_source(tmp_path, case.geometry, "any")
    # A refused scan has no grid, and its result goes to the series all the same.
    assert len(read_source(tmp_path, None, "any").instances) == 13


def test_what_is_no_series_is_refused(tmp_path: Path, case: Case):
    with pytest.raises(InputError, match="no_series"):
        read_source(tmp_path / "absent", case.geometry, "any")
    with pytest.raises(InputError, match="no_series"):
        read_source(tmp_path, case.geometry, "any")
    write(tmp_path, series(case.voxels, case.geometry.affine, **{**PATIENT, "FrameOfReferenceUID": ""}))
    with pytest.raises(InputError, match="series_header"):
        read_source(tmp_path, case.geometry, "any")
