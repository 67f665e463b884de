"""Which series a result came from, and where its frames lie, against pydicom and SimpleITK."""

from __future__ import annotations

import hashlib
import itertools
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from anomri.core.geometry import Geometry
from anomri.core.outcome import Outcome
from anomri.dicom import read_source
from anomri.dicom.source import matched
from anomri.errors import InputError
from anomri.io import read
from anomri.report.folder import outcome_of
from anomri.runs.save import save
from dicom.conftest import PATIENT, Case, oblique, outcome_on
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


def digest_of(folder: Path) -> str:
    """What scoring records of the files of a series: the digest of their bytes in the order of their names."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(folder.iterdir()))).hexdigest()


def known_by(sha256: str, outcome: Outcome, format: str = "dicom") -> Outcome:
    """The outcome without images, as `--keep summary` leaves it, with the digest of what was scored."""
    scored = outcome.result.input.model_copy(update={"sha256": sha256, "format": format})
    return Outcome(outcome.result.model_copy(update={"input": scored}))


def uids(folder: Path, outcome: Outcome) -> set[str]:
    return {str(one.SeriesInstanceUID) for one in read_source(folder, outcome).instances}


def another(case: Case) -> np.ndarray:
    """Other voxels of the same size: the same head with a little noise."""
    noise = np.random.default_rng(2).normal(0.0, 5.0, case.voxels.shape)
    return np.clip(case.voxels + noise, 0, 4000).astype(np.uint16)


def test_the_grid_is_that_of_simpleitk(case: Case):
    source = read_source(case.folder, case.outcome)
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
    scan = replace(case.outcome.scan, voxels=values.astype(np.float32), geometry=grid)
    source = read_source(case.folder, Outcome(case.outcome.result, scan))
    frames = source.frames_of(values, grid)
    for frame, head in zip(frames, source.instances, strict=True):
        stored = next(p for p in case.folder.iterdir() if pydicom.dcmread(p).SOPInstanceUID == head.SOPInstanceUID)
        np.testing.assert_array_equal(frame, pydicom.dcmread(stored).pixel_array)


def test_frames_of_an_enhanced_image_keep_their_own_order(tmp_path: Path, case: Case):
    order = np.random.default_rng(0).permutation(case.geometry.shape[2]).tolist()
    one = enhanced(case.voxels, case.geometry.affine, order=order, **PATIENT)
    write(tmp_path, [one])
    source = read_source(tmp_path / "IM0000", case.outcome)
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
        source = read_source(path, outcome_on(scan.geometry, scan.voxels))
        stored = np.stack([pydicom.dcmread(p).pixel_array for p in sorted(case.folder.iterdir())])
        numbers = [int(head.InstanceNumber) - 1 for head in source.instances]
        np.testing.assert_array_equal(source.frames_of(scan.voxels, scan.geometry), stored[numbers])


def test_two_halves_of_an_enhanced_series_are_refused(tmp_path: Path, case: Case):
    halves = [enhanced(case.voxels, case.geometry.affine, order=part, **PATIENT) for part in (range(7), range(7, 14))]
    halves[1].SOPInstanceUID = f"{ROOT}5"
    write(tmp_path, halves)
    with pytest.raises(InputError, match="several_series"):
        read_source(tmp_path, case.outcome)


def test_of_a_study_the_series_on_the_grid_is_taken(tmp_path: Path, case: Case):
    other = oblique(turn_deg=0.0)
    write(tmp_path / "a", series(case.voxels, case.geometry.affine, **PATIENT))
    write(tmp_path / "b", series(case.voxels, other.affine, **{**PATIENT, "SeriesInstanceUID": f"{ROOT}3"}))
    (tmp_path / "readme.txt").write_text("no DICOM")
    for grid, uid in ((case.geometry, f"{ROOT}2"), (other, f"{ROOT}3")):
        assert uids(tmp_path, outcome_on(grid, case.voxels)) == {uid}


def test_another_patient_on_the_same_grid_is_refused(tmp_path: Path, case: Case):
    write(tmp_path / "b", series(another(case), case.geometry.affine, **{**PATIENT, "PatientID": "OTHER"}))
    save(case.outcome, tmp_path / "result")
    for outcome in (case.outcome, outcome_of(tmp_path / "result"), known_by(digest_of(case.folder), case.outcome)):
        with pytest.raises(InputError, match="other_series"):
            read_source(tmp_path / "b", outcome)
    assert uids(case.folder, outcome_of(tmp_path / "result")) == {f"{ROOT}2"}


@pytest.mark.parametrize(("sha256", "format"), [("", "unknown"), ("a" * 64, "unknown"), ("a" * 64, "nifti")])
def test_without_images_and_without_the_digest_no_series_is_taken(case: Case, sha256: str, format: str):
    with pytest.raises(InputError, match="other_series"):
        read_source(case.folder, known_by(sha256, case.outcome, format))


def test_two_series_on_one_grid_are_told_apart_by_bytes_or_voxels(tmp_path: Path, case: Case):
    voxels = {"2": case.voxels, "3": another(case)}
    for name, values in voxels.items():
        images = series(values, case.geometry.affine, **{**PATIENT, "SeriesInstanceUID": f"{ROOT}{name}"})
        write(tmp_path / name, images)
    for name, values in voxels.items():
        assert uids(tmp_path, known_by(digest_of(tmp_path / name), case.outcome)) == {f"{ROOT}{name}"}
        assert uids(tmp_path, outcome_on(case.geometry, values)) == {f"{ROOT}{name}"}


def test_the_same_voxels_twice_are_refused(tmp_path: Path, case: Case):
    for name in "23":
        images = series(case.voxels, case.geometry.affine, **{**PATIENT, "SeriesInstanceUID": f"{ROOT}{name}"})
        write(tmp_path / name, images)
    with pytest.raises(InputError, match="several_series"):
        read_source(tmp_path, case.outcome)


def test_a_converter_may_scale_and_round_the_voxels_and_what_lies_outside_the_brain_does_not_count(case: Case):
    scan, brain = case.outcome.scan, case.outcome.brain
    mask = brain.mask.copy()
    mask[:5] = False
    scaled = np.where(mask, scan.voxels * np.float32(0.37) + np.float32(12.0), np.float32(0))
    outcome = replace(case.outcome, scan=replace(scan, voxels=scaled), brain=replace(brain, mask=mask))
    assert uids(case.folder, outcome) == {f"{ROOT}2"}
    upside_down = replace(outcome, scan=replace(scan, voxels=-scan.voxels))
    with pytest.raises(InputError, match="other_series"):
        read_source(case.folder, upside_down)


def test_a_few_voxels_or_equal_ones_show_nothing(case: Case):
    few = np.zeros(case.geometry.shape, dtype=bool)
    few[:9, :9, :9] = True
    with pytest.raises(InputError, match="other_series"):
        read_source(case.folder, replace(case.outcome, brain=replace(case.outcome.brain, mask=few)))
    flat = np.full(case.geometry.shape, 7, dtype=np.uint16)
    with pytest.raises(InputError, match="other_series"):
        read_source(case.folder, outcome_on(case.geometry, flat))


def test_files_are_found_as_they_are_for_scoring(tmp_path: Path, case: Case):
    outcome = known_by(digest_of(case.folder), case.outcome)
    archive = tmp_path / "study" / "series.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as packed:
        for file in case.folder.iterdir():
            packed.write(file, file.name)
    assert uids(tmp_path / "study", outcome) == {f"{ROOT}2"}
    # A converted volume beside the series is what scoring takes; the results go to the series all the same.
    beside = write(tmp_path / "beside", series(case.voxels, case.geometry.affine, **PATIENT))
    (beside / "scan.nii").write_bytes(b"a volume")
    assert uids(beside, outcome) == {f"{ROOT}2"}
    hidden, linked = tmp_path / "hidden", tmp_path / "linked"
    write(hidden, series(case.voxels, case.geometry.affine, **PATIENT), name=".IM")
    linked.mkdir()
    for file in case.folder.iterdir():
        (linked / file.name).symlink_to(file)
    for folder in (hidden, linked):
        with pytest.raises(InputError, match="no_series"):
            read_source(folder, outcome)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.1"])
def test_heads_hold_the_whole_header_and_no_pixels(tmp_path: Path, case: Case, syntax: str):
    write(tmp_path, series(case.voxels, case.geometry.affine, **PATIENT), syntax=syntax)
    head = read_source(tmp_path, case.outcome).instances[0]
    assert str(head.PatientName) == PATIENT["PatientName"]
    assert head.file_meta.TransferSyntaxUID == syntax
    assert "PixelData" not in head


def test_a_header_that_inflates_without_end_is_refused(tmp_path: Path, case: Case):
    image = series(case.voxels, case.geometry.affine, **PATIENT)[0]
    image.add_new(0x00091010, "UN", bytes(140 << 20))
    write(tmp_path, [image], syntax="1.2.840.10008.1.2.1.99")
    assert next(tmp_path.iterdir()).stat().st_size < 1 << 20
    outcome = known_by(digest_of(tmp_path), case.outcome, "unknown")
    with pytest.raises(InputError, match="too_large"):
        read_source(tmp_path, outcome)


def test_another_grid_is_refused(case: Case):
    for grid in (oblique(turn_deg=1.0), oblique((19, 24, 14))):
        with pytest.raises(InputError, match="other_grid"):
            read_source(case.folder, outcome_on(grid, np.ones(grid.shape)))


def test_a_series_that_is_no_volume_says_so(tmp_path: Path, case: Case):
    images = series(case.voxels, case.geometry.affine, **PATIENT)
    write(tmp_path, images[:5] + images[6:])
    with pytest.raises(InputError, match="missing_slices"):
        read_source(tmp_path, case.outcome)
    # A refused scan has no grid, and its result goes to the series all the same.
    assert len(read_source(tmp_path, known_by(digest_of(tmp_path), case.outcome, "unknown")).instances) == 13


def test_what_is_no_series_is_refused(tmp_path: Path, case: Case):
    with pytest.raises(InputError, match="no_file"):
        read_source(tmp_path / "absent", case.outcome)
    with pytest.raises(InputError, match="no_series"):
        read_source(tmp_path, case.outcome)
    write(tmp_path, series(case.voxels, case.geometry.affine, **{**PATIENT, "FrameOfReferenceUID": ""}))
    with pytest.raises(InputError, match="series_header"):
        read_source(tmp_path, case.outcome)
