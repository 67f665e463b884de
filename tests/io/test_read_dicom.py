"""A phantom written as DICOM is the scan its NIfTI is; what breaks a series is refused with its reason or noted."""

from __future__ import annotations

import shutil
import sys
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)
from scipy.spatial.transform import Rotation

from anomri.core.geometry import Geometry
from anomri.errors import InputError, MissingDependency
from anomri.io import find_images, read
from anomri.io.dicom import decoder
from dicom_slices import LPS, ROOT, enhanced, series, write

# JPEG 2000 halves an image five times.
SHAPE = (36, 33, 10)
AFFINE = np.eye(4)
AFFINE[:3, :3] = Rotation.from_euler("xyz", [12, -21, 33], degrees=True).as_matrix() @ np.diag([-0.9, -1.3, 3.0])
AFFINE[:3, 3] = 31.2, -74.9, 12.4
EXACT = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
COMPRESSED = [RLELossless, JPEG2000Lossless, JPEGLSLossless]


def phantom(kind: type = np.int16, seed: int = 4) -> np.ndarray:
    low = 0 if np.dtype(kind).kind == "u" else -100
    return np.random.default_rng(seed).integers(low, 127, SHAPE).astype(kind)


def swapped(images: list[Dataset], syntax: str) -> list[Dataset]:
    """pydicom writes the pixels as they are: a big-endian file needs them swapped."""
    for image in images if syntax == ExplicitVRBigEndian else []:
        image.PixelData = np.frombuffer(image.PixelData, f"<i{image.BitsAllocated // 8}").byteswap().tobytes()
    return images


def refusal(path: Path, **options) -> InputError:
    with pytest.raises(InputError) as caught:
        read(path, **options)
    assert caught.value.scan is not None
    assert caught.value.remedy.endswith(".")
    return caught.value


def changed(**changes) -> list[Dataset]:
    return series(phantom(), AFFINE, **changes)


# What a series is


@pytest.mark.parametrize("syntax", EXACT + COMPRESSED)
@pytest.mark.parametrize("one_file", [False, True])
def test_the_dicom_of_a_phantom_is_the_scan_its_nifti_is(tmp_path, syntax, one_file):
    voxels = phantom()
    images = [enhanced(voxels, AFFINE, order=[3, 1, 0, 2, *range(4, 10)])] if one_file else series(voxels, AFFINE)
    write(tmp_path / "dicom", swapped(images, syntax), syntax=syntax)
    nib.save(nib.Nifti1Image(voxels, AFFINE), tmp_path / "x.nii")
    scan, nifti = read(tmp_path / "dicom"), read(tmp_path / "x.nii")
    np.testing.assert_array_equal(scan.voxels, nifti.voxels)
    assert scan.geometry.same_grid(nifti.geometry, 1e-4)
    assert scan.source.image_sha256 == nifti.source.image_sha256
    assert scan.voxels.strides == nifti.voxels.strides
    assert scan.source.format == "dicom"


@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    steps=st.tuples(*[st.floats(0.4, 6).flatmap(lambda s: st.sampled_from([s, -s]))] * 3),
    origin=st.tuples(*[st.floats(-250, 250)] * 3),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_any_grid_and_any_order_of_files_come_back(tmp_path_factory, angles, steps, origin, seed):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(steps)
    affine[:3, 3] = origin
    folder, voxels = tmp_path_factory.getbasetemp() / "grid", phantom()
    shutil.rmtree(folder, ignore_errors=True)
    images = series(voxels, affine)
    write(folder, [images[n] for n in np.random.default_rng(seed).permutation(SHAPE[2])])
    scan = read(folder)
    # Slices are sorted along the normal of their rows and columns, so a left-handed grid comes back mirrored in Z.
    mirrored = np.linalg.det(affine[:3, :3]) < 0
    if mirrored:
        turn = np.diag([1.0, 1.0, -1.0, 1.0])
        turn[2, 3] = SHAPE[2] - 1
        affine, voxels = affine @ turn, voxels[:, :, ::-1]
    assert scan.geometry.same_grid(Geometry(SHAPE, affine), 1e-4)
    np.testing.assert_array_equal(scan.voxels, voxels)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32])
def test_every_width_of_integers_is_read(tmp_path, kind):
    write(tmp_path / "x", series(phantom(kind), AFFINE))
    np.testing.assert_array_equal(read(tmp_path / "x").voxels, phantom(kind))


def test_stored_bits_are_cut_out_and_their_sign_kept_as_pydicom_does(tmp_path):
    images = series(phantom(np.int16), AFFINE, BitsStored=12, HighBit=11)
    stored = (phantom(np.int16) & 0x0FFF).astype(np.uint16)
    for z, image in enumerate(images):
        image.PixelData = (stored[:, :, z].T | 0x5000).astype("<u2").tobytes()
    write(tmp_path / "x", images)
    scan = read(tmp_path / "x")
    np.testing.assert_array_equal(scan.voxels, phantom())
    np.testing.assert_array_equal(scan.voxels[:, :, 0].T, dcmread(tmp_path / "x/IM0000").pixel_array)
    assert "bits above the stored ones were set in 10 files and were ignored" in scan.source.notes


def test_a_high_bit_above_the_stored_ones_is_followed(tmp_path):
    images = series(phantom(np.uint16) << 4, AFFINE, BitsStored=12, HighBit=15)
    np.testing.assert_array_equal(read(write(tmp_path / "x", images)).voxels, phantom(np.uint16))


def test_each_slice_is_scaled_by_its_own_slope(tmp_path):
    images = changed(RescaleIntercept="-7.5")
    for z, image in enumerate(images):
        image.RescaleSlope = f"{1 + z / 8:g}"
    write(tmp_path / "x", images)
    expected = phantom() * (1 + np.arange(10) / 8) - 7.5
    np.testing.assert_allclose(read(tmp_path / "x").voxels, expected, rtol=1e-6)


def test_frames_of_an_enhanced_image_are_scaled_by_their_own_slope(tmp_path):
    image = enhanced(phantom(), AFFINE)
    for z, frame in enumerate(image.PerFrameFunctionalGroupsSequence):
        scaling = Dataset()
        scaling.RescaleSlope, scaling.RescaleIntercept = f"{1 + z / 8:g}", "3"
        frame.PixelValueTransformationSequence = [scaling]
    write(tmp_path / "x", [image])
    np.testing.assert_allclose(read(tmp_path / "x").voxels, phantom() * (1 + np.arange(10) / 8) + 3, rtol=1e-6)


def test_monochrome1_is_turned_over_within_the_stored_bits_and_said(tmp_path):
    images = series(phantom(np.uint16), AFFINE, PhotometricInterpretation="MONOCHROME1", BitsStored=10, HighBit=9)
    scan = read(write(tmp_path / "x", images))
    np.testing.assert_array_equal(scan.voxels, 1023 - phantom(np.uint16).astype(int))
    assert any("MONOCHROME1" in note for note in scan.source.notes)


def test_one_file_of_a_series_is_a_single_slice_and_says_so(tmp_path):
    write(tmp_path / "x", changed())
    scan = read(tmp_path / "x/IM0003")
    np.testing.assert_array_equal(scan.voxels[:, :, 0], phantom()[:, :, 3])
    here = AFFINE.copy()
    here[:3, 3] = (AFFINE @ [0, 0, 3, 1])[:3]
    assert scan.geometry.same_grid(Geometry((*SHAPE[:2], 1), here), 1e-4)
    assert any("single slice" in note for note in scan.source.notes)


def test_a_zip_is_the_scan_its_folder_is(tmp_path):
    write(tmp_path / "x/deep/er", changed())
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((tmp_path / "x").rglob("IM*")):
            archive.write(file, file.relative_to(tmp_path))
        archive.writestr("readme.txt", "nothing")
    folder, packed = read(tmp_path / "x"), read(tmp_path / "x.zip")
    assert packed.scan_id == folder.scan_id
    assert packed.source == folder.source
    np.testing.assert_array_equal(packed.voxels, folder.voxels)
    assert [found.path for found in find_images([tmp_path / "x.zip"])] == [tmp_path / "x.zip"]


def test_positions_that_jitter_by_a_hundredth_of_a_millimetre_are_one_grid(tmp_path):
    images, rng = changed(), np.random.default_rng(1)
    for image in images:
        image.ImagePositionPatient = [f"{v + rng.uniform(-0.01, 0.01):.5f}" for v in image.ImagePositionPatient]
    assert read(write(tmp_path / "x", images)).geometry.same_grid(Geometry(SHAPE, AFFINE), 0.05)


def test_a_preamble_may_be_missing_where_valid_meta_information_follows(tmp_path):
    write(tmp_path / "x", changed())
    for file in (tmp_path / "x").iterdir():
        file.write_bytes(file.read_bytes()[132:])
    np.testing.assert_array_equal(read(tmp_path / "x").voxels, phantom())


# What is wrong with a series


BROKEN = {
    "no_pixels": {"PixelData": None},
    "geometry": {"ImagePositionPatient": None},
    "burned_in": {"BurnedInAnnotation": "YES"},
    "not_mri": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "Modality": "CT"},
    "unsupported_type": {"PhotometricInterpretation": "PALETTE COLOR"},
    "bad_header": {"BitsStored": 17},
    "units": {"PixelSpacing": [100, 100]},
    "sheared": {"ImageOrientationPatient": [1, 0, 0, 0.005, 0.9999875, 0]},
}


@pytest.mark.parametrize(("code", "changes"), BROKEN.items(), ids=BROKEN)
def test_a_broken_series_is_refused_by_its_code(tmp_path, code, changes):
    assert refusal(write(tmp_path / "x", changed(**changes))).code == code


@pytest.mark.parametrize(
    "changes",
    [
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        {"ImageType": ["DERIVED", "SECONDARY", "MIP"]},
        {"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "Modality": "OT"},
    ],
)
def test_localizers_projections_maps_and_screenshots_are_no_volume(tmp_path, changes):
    assert refusal(write(tmp_path / "x", changed(**changes))).code == "not_a_volume"


@pytest.mark.parametrize(
    "changes",
    [
        {"RescaleSlope": "1e400"},
        {"PixelSpacing": ["a", "b"]},
        {"Rows": 0},
        {"HighBit": 3},
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_numbers_that_cannot_be_are_a_bad_header_or_no_geometry(tmp_path, changes):
    images = changed()
    for image in images:
        for name, value in changes.items():
            image.add_new(name, {"Rows": "US", "HighBit": "US"}.get(name, "LO"), value)
    assert refusal(write(tmp_path / "x", images)).code in ("bad_header", "geometry")


def test_a_colour_image_is_refused(tmp_path):
    images = changed(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    for image in images:
        image.PixelData = image.PixelData * 3
    assert refusal(write(tmp_path / "x", images)).code == "unsupported_type"


def test_a_missing_slice_is_named(tmp_path):
    images = changed()
    error = refusal(write(tmp_path / "x", images[:4] + images[5:]))
    assert error.code == "missing_slices"
    assert "1 slice is missing, between InstanceNumber 4 and 6:" in error.cause
    error = refusal(write(tmp_path / "y", images[:2] + images[4:6] + images[7:]))
    assert "3 slices are missing, between InstanceNumber 2 and 5, between InstanceNumber 6 and 8:" in error.cause
    unnumbered = changed(InstanceNumber=None)
    error = refusal(write(tmp_path / "z", unnumbered[:4] + unnumbered[5:]))
    normal = AFFINE[:3, 2] / 3.0
    depths = [(AFFINE @ [0, 0, z, 1])[:3] @ normal for z in (3, 5)]
    # Of the two directions of a normal the right-handed one in LPS counts.
    assert any(f"at {s * depths[0]:.4g} and {s * depths[1]:.4g} mm" in error.cause for s in (-1, 1)) or any(
        f"at {s * depths[1]:.4g} and {s * depths[0]:.4g} mm" in error.cause for s in (-1, 1)
    )


def test_every_second_slice_is_missing_where_distance_and_numbers_say_so_and_a_note_where_one_does(tmp_path):
    images = series(np.repeat(phantom(), 2, axis=2), AFFINE, SpacingBetweenSlices=3.0)[::2]
    error = refusal(write(tmp_path / "x", images))
    assert error.code == "missing_slices"
    assert "one slice in 2 is there: they are 6 mm apart where the header says 3 mm" in error.cause
    for number, image in enumerate(images, start=1):
        image.InstanceNumber = number
    scan = read(write(tmp_path / "y", images))
    assert scan.geometry.spacing_mm[2] == pytest.approx(6.0)
    assert any("6 mm apart by their positions, which count, and 3 mm" in note for note in scan.source.notes)


@pytest.mark.parametrize("stated", [3.0, -3.0, 3.1, 0.0, None])
def test_distances_that_agree_or_are_not_stated_give_no_note(tmp_path, stated):
    scan = read(write(tmp_path / "x", changed(**({} if stated is None else {"SpacingBetweenSlices": stated}))))
    assert not any("apart by their positions" in note for note in scan.source.notes)


def test_slices_that_are_not_evenly_spaced_are_named(tmp_path):
    images = changed()
    step = LPS[:3, :3] @ AFFINE[:3, 2]
    images[6].ImagePositionPatient = [f"{v:.8g}" for v in np.array(images[6].ImagePositionPatient) + 0.4 * step]
    error = refusal(write(tmp_path / "x", images))
    assert error.code == "uneven_slices"
    assert "InstanceNumber 6 and 7 are 4.2 mm apart and most others 3 mm" in error.cause


def test_a_slice_beside_the_line_of_the_others_is_refused(tmp_path):
    images = changed()
    images[4].ImagePositionPatient = [
        f"{v:.8g}" for v in np.array(images[4].ImagePositionPatient) + 2 * (LPS[:3, :3] @ AFFINE[:3, 0])
    ]
    assert refusal(write(tmp_path / "x", images)).code == "uneven_slices"


def test_identical_copies_are_left_out_and_said_others_are_refused(tmp_path):
    write(tmp_path / "x", changed())
    shutil.copy(tmp_path / "x/IM0003", tmp_path / "x/IM0003-copy")
    (tmp_path / "x/IM0003-copy").rename(tmp_path / "x/IM1003")
    scan = read(tmp_path / "x")
    np.testing.assert_array_equal(scan.voxels, phantom())
    assert any("stood there twice" in note for note in scan.source.notes)
    image = dcmread(tmp_path / "x/IM1003")
    image.PixelData = bytes(len(image.PixelData))
    image.save_as(tmp_path / "x/IM1003")
    error = refusal(tmp_path / "x")
    assert error.code == "duplicate_slices"
    assert "InstanceNumber 4 and 4" in error.cause


def test_several_volumes_at_the_same_places_are_not_one(tmp_path):
    write(tmp_path / "x", changed(TemporalPositionIdentifier=1))
    write(tmp_path / "x", series(phantom(seed=5), AFFINE, TemporalPositionIdentifier=2), name="B")
    error = refusal(tmp_path / "x")
    assert error.code == "not_one_volume"
    assert "2 images at each of 10 places" in error.cause


def test_an_enhanced_image_of_two_volumes_is_not_one(tmp_path):
    image = enhanced(np.concatenate([phantom(), phantom(seed=5)], axis=2), AFFINE, order=range(20))
    frames = image.PerFrameFunctionalGroupsSequence
    for z in range(10):
        frames[10 + z].PlanePositionSequence = frames[z].PlanePositionSequence
    assert refusal(write(tmp_path / "x", [image])).code == "not_one_volume"


def test_an_enhanced_image_that_does_not_describe_all_its_frames_is_refused(tmp_path):
    image = enhanced(phantom(), AFFINE, NumberOfFrames=11)
    assert refusal(write(tmp_path / "x", [image])).code == "bad_header"


def test_pixels_that_are_cut_off_or_too_few_are_refused(tmp_path):
    write(tmp_path / "x", changed())
    whole = (tmp_path / "x/IM0002").read_bytes()
    (tmp_path / "x/IM0002").write_bytes(whole[:-50])
    assert refusal(tmp_path / "x").code == "truncated"
    # Declared long enough, and there are fewer bytes; declared too short for rows × columns.
    assert refusal(write(tmp_path / "y", changed(Rows=400))).code == "truncated"


def test_a_file_cut_off_in_its_header_is_a_scan_of_its_own_and_leaves_a_gap(tmp_path):
    write(tmp_path / "x", changed())
    (tmp_path / "x/IM0005").write_bytes((tmp_path / "x/IM0005").read_bytes()[:400])
    found = find_images([tmp_path / "x"])
    codes = {one.scan_id[:4]: refusal(one.path, members=one.members).code for one in found}
    assert codes == {"file": "truncated", "seri": "missing_slices"}


def test_a_size_beyond_the_limit_is_refused_before_the_pixels_are_read(tmp_path):
    write(tmp_path / "x", changed())
    assert refusal(tmp_path / "x", max_voxels=1000).code == "too_large"
    write(tmp_path / "y", changed(Rows=60000, Columns=60000))
    assert refusal(tmp_path / "y").code == "too_large"


def test_too_few_slices_are_too_thin(tmp_path):
    assert refusal(write(tmp_path / "x", changed()[:5])).code == "too_thin"


def test_a_transfer_syntax_nobody_reads_is_named_with_what_to_do(tmp_path):
    write(tmp_path / "x", changed(), syntax=JPEGLSLossless)
    for file in (tmp_path / "x").iterdir():
        file.write_bytes(file.read_bytes().replace(b"1.2.840.10008.1.2.4.80", b"1.2.840.10008.1.2.4.70"))
    error = refusal(tmp_path / "x")
    assert error.code == "transfer_syntax"
    assert "JPEG Lossless" in error.cause
    assert "pylibjpeg-libjpeg" in error.remedy
    for file in (tmp_path / "x").iterdir():
        file.write_bytes(file.read_bytes().replace(b"1.2.840.10008.1.2.4.70", b"1.2.840.10008.1.9.9.99"))
    assert refusal(tmp_path / "x").code == "transfer_syntax"


def test_damaged_compressed_pixels_are_refused(tmp_path):
    write(tmp_path / "x", changed(), syntax=JPEG2000Lossless)
    file = tmp_path / "x/IM0004"
    content = bytearray(file.read_bytes())
    start = content.index(b"\xff\x4f\xff\x51")
    content[start + 40 : start + 70] = bytes(30)
    file.write_bytes(content)
    assert refusal(tmp_path / "x").code == "damaged"


def test_a_decoder_that_dies_or_hangs_costs_its_scan_alone(tmp_path, monkeypatch):
    write(tmp_path / "x", changed(), syntax=RLELossless)
    script = tmp_path / "decoder.py"
    monkeypatch.setattr("anomri.io.dicom.pixels.DECODER", script)
    script.write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    error = refusal(tmp_path / "x")
    assert (error.code, "SIGSEGV" in error.cause) == ("crashed", True)
    monkeypatch.setattr("anomri.io.dicom.pixels.SECONDS", 1.0)
    script.write_text("import time; time.sleep(60)")
    assert refusal(tmp_path / "x").code == "timed_out"


def test_the_decoder_has_a_limit_on_memory(tmp_path, monkeypatch):
    write(tmp_path / "x", changed(), syntax=RLELossless)
    monkeypatch.setattr("anomri.io.dicom.pixels.DECODER", tmp_path / "decoder.py")
    takes_too_much = (
        "limit(1 << 30, 60)\ntry:\n    bytearray(2 << 30)\nexcept MemoryError:\n    sys.exit(3)\nsys.exit(9)"
    )
    script = Path(decoder.__file__).read_text().replace("sys.exit(main())", takes_too_much.replace("\n", "\n    "))
    (tmp_path / "decoder.py").write_text(script)
    assert refusal(tmp_path / "x").code == "damaged"


@pytest.mark.parametrize("defined", [False, True])
def test_sequences_nested_three_hundred_deep_are_refused(tmp_path, defined):
    write(tmp_path / "x", changed())
    nested = b""
    for _ in range(300):
        if defined:
            item = b"\xfe\xff\x00\xe0" + len(nested).to_bytes(4, "little") + nested
            nested = b"\x40\x00\x75\x02SQ\0\0" + len(item).to_bytes(4, "little") + item
        else:
            nested = (
                b"\x40\x00\x75\x02SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
                + nested
                + b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
            )
    for file in (tmp_path / "x").iterdir():
        content = file.read_bytes()
        at = content.index(b"\xe0\x7f\x10\x00OW")
        file.write_bytes(content[:at] + nested + content[at:])
    error = refusal(tmp_path / "x", members=("IM0000",))
    assert error.code == "too_deep"


def test_a_header_of_too_many_elements_is_refused(tmp_path):
    write(tmp_path / "x", changed()[:1])
    file = tmp_path / "x/IM0000"
    content = file.read_bytes()
    at = content.index(b"\xe0\x7f\x10\x00OW")
    file.write_bytes(content[:at] + b"\x09\x00\x10\x10LO\0\0" * 20_001 + content[at:])
    assert refusal(file).code == "too_many_elements"


def test_a_deflated_bomb_is_refused_in_flat_memory(tmp_path):
    write(tmp_path / "x", changed()[:1], syntax=DeflatedExplicitVRLittleEndian)
    file = tmp_path / "x/IM0000"
    content = file.read_bytes()
    # The meta information begins with its own length.
    head = content[: 144 + int.from_bytes(content[140:144], "little")]
    packer = zlib.compressobj(1, wbits=-15)
    element = b"\x09\x00\x10\x10OB\0\0" + (1 << 30).to_bytes(4, "little") + bytes(150 << 20)
    bomb = packer.compress(element) + packer.flush()
    del element
    file.write_bytes(head + bomb)
    tracemalloc.start()
    code = refusal(file).code
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert code == "too_large"
    assert peak < 220 << 20


def test_bytes_long_after_the_image_are_refused(tmp_path):
    write(tmp_path / "x", changed()[:1])
    with (tmp_path / "x/IM0000").open("ab") as file:
        file.write(bytes(3 << 20))
    assert refusal(tmp_path / "x/IM0000").code == "too_large"


def test_without_pydicom_the_package_to_install_is_named(tmp_path, monkeypatch):
    write(tmp_path / "x", changed())
    monkeypatch.setitem(sys.modules, "pydicom.filereader", None)
    for path in (tmp_path / "x", tmp_path / "x/IM0000"):
        with pytest.raises(MissingDependency, match=r"anomri\[dicom\]"):
            read(path)


# Which series there are


def test_a_mixed_folder_gives_each_series_under_an_id_that_stays(tmp_path):
    write(tmp_path / "a", changed())
    write(tmp_path / "a", series(phantom(seed=5), AFFINE, SeriesInstanceUID=f"{ROOT}3", SeriesNumber=9), name="B")
    (tmp_path / "a/notes.txt").write_text("nothing")
    (tmp_path / "a/README").write_text("nothing")
    found = find_images([tmp_path / "a"])
    assert [one.scan_id[:10] for one in found] == ["series-007", "series-009"]
    assert len({one.study for one in found}) == 1
    shutil.move(tmp_path / "a", tmp_path / "elsewhere")
    assert [one.scan_id for one in find_images([tmp_path / "elsewhere"])] == [one.scan_id for one in found]
    second = read(tmp_path / "elsewhere", series=found[1].scan_id)
    np.testing.assert_array_equal(second.voxels, phantom(seed=5))
    assert refusal(tmp_path / "elsewhere").code == "several_scans"
    assert refusal(tmp_path / "elsewhere", series="series-1").code == "no_scans"


def test_echoes_and_image_types_of_one_series_are_scans_of_their_own(tmp_path):
    write(tmp_path / "x", changed(EchoTime="2.4", EchoNumbers=1), name="A")
    write(tmp_path / "x", series(phantom(seed=5), AFFINE, EchoTime="4.9", EchoNumbers=2), name="B")
    phase = series(phantom(seed=6), AFFINE, EchoTime="2.4", EchoNumbers=1, ImageType=["ORIGINAL", "PRIMARY", "P"])
    write(tmp_path / "x", phase, name="C")
    found = find_images([tmp_path / "x"])
    scans = {one.members[0][0]: read(one.path, members=one.members) for one in found}
    assert sorted(scans) == ["A", "B", "C"]
    assert len({one.scan_id for one in found}) == 3
    for letter, seed in zip("ABC", (4, 5, 6), strict=True):
        np.testing.assert_array_equal(scans[letter].voxels, phantom(seed=seed))
    assert any("phase" in note for note in scans["C"].source.notes)


def test_a_localizer_without_the_word_is_one_scan_and_refused(tmp_path):
    for number, angles in enumerate(([0, 0, 0], [90, 0, 0], [0, 90, 0])):
        affine = np.eye(4)
        affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag([-1, -1, 8.0])
        write(tmp_path / "x", series(phantom(), affine)[:3], name=f"{number}")
    (found,) = find_images([tmp_path / "x"])
    assert len(found.members) == 9
    assert refusal(tmp_path / "x").code == "not_a_volume"


def test_images_of_another_size_or_direction_in_a_series_are_scans_of_their_own(tmp_path):
    write(tmp_path / "x", changed())
    write(tmp_path / "x", series(phantom()[:, :8], AFFINE), name="small")
    turned = AFFINE.copy()
    turned[:3, :3] = Rotation.from_euler("x", 5, degrees=True).as_matrix() @ AFFINE[:3, :3]
    write(tmp_path / "x", series(phantom(), turned), name="turned")
    found = find_images([tmp_path / "x"])
    assert sorted(one.members[0] for one in found) == ["IM0000", "small0000", "turned0000"]
    assert len({one.scan_id for one in found}) == 3
    for one in found:
        read(one.path, members=one.members)


def test_reports_and_directories_are_passed_over_and_said(tmp_path):
    write(tmp_path / "x", changed())
    write(
        tmp_path / "x",
        [changed(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", PixelData=None, Modality="SR")[0]],
        name="SR",
    )
    told = []
    assert len(find_images([tmp_path / "x"], report=told.append)) == 1
    assert any("1 DICOM files that are no images" in line for line in told)


def test_volumes_of_other_formats_take_precedence_and_pictures_do_not(tmp_path):
    write(tmp_path / "x", changed())
    for file in list((tmp_path / "x").iterdir()):
        file.rename(file.with_suffix(".dcm"))
    (tmp_path / "x/preview.png").write_bytes(b"x")
    assert [one.path for one in find_images([tmp_path / "x"])] == [tmp_path / "x"]
    nib.save(nib.Nifti1Image(phantom(), AFFINE), tmp_path / "x/volume.nii")
    told = []
    assert [one.path.name for one in find_images([tmp_path / "x"], report=told.append)] == ["volume.nii"]
    assert any("10 DICOM files" in line for line in told)
    assert [one.members for one in find_images([tmp_path / "x"], include="*0003.dcm")] == [("IM0003.dcm",)]


@pytest.mark.parametrize("name", ["IM{:04}.mr", "slice{:04}.bin", "J.DOE.{:04}.MR", "{:04}.1.2.840.x", "{:04}"])
def test_a_series_is_found_whatever_its_files_are_called(tmp_path, name):
    write(tmp_path / "x", changed())
    for number, file in enumerate(sorted((tmp_path / "x").iterdir())):
        file.rename(file.with_name(name.format(number)))
    (tmp_path / "x/notes.doc").write_bytes(b"x")
    told = []
    (found,) = find_images([tmp_path / "x"], report=told.append)
    np.testing.assert_array_equal(read(found.path, members=found.members).voxels, phantom())
    assert told == [f"{tmp_path / 'x'}: 1 files of unknown kind were passed over (notes.doc)"]
    (again,) = find_images([tmp_path / "x"], include=name.replace("{:04}", "00*"), report=told.append)
    assert again.members == found.members


@pytest.mark.parametrize("ending", ["", ".mr", ".7"])
def test_dicom_beside_a_volume_is_said_whatever_its_files_are_called(tmp_path, ending):
    write(tmp_path / "x", changed())
    for file in list((tmp_path / "x").iterdir()):
        file.rename(file.with_name(file.name + ending))
    nib.save(nib.Nifti1Image(phantom(), AFFINE), tmp_path / "x/volume.nii")
    told = []
    assert [one.path.name for one in find_images([tmp_path / "x"], report=told.append)] == ["volume.nii"]
    assert len(told) == 1
    assert "10 DICOM files were passed over" in told[0]


def test_data_sets_that_do_not_begin_as_dicom_are_said(tmp_path):
    write(tmp_path / "x", changed())
    for file in (tmp_path / "x").iterdir():
        content = file.read_bytes()
        file.write_bytes(content[content.index(b"\x08\x00") :])
    with pytest.raises(InputError, match="10 files of unknown kind were passed over"):
        find_images([tmp_path / "x"])


def test_images_that_anomri_made_are_passed_over_and_said(tmp_path):
    write(tmp_path / "x", changed())
    write(tmp_path / "x", changed(Manufacturer="anomri", SeriesInstanceUID=f"{ROOT}9", Modality="OT"), name="OURS")
    told = []
    (found,) = find_images([tmp_path / "x"], report=told.append)
    assert len(found.members) == 10
    assert any("10 DICOM results that anomri made" in line for line in told)


def test_a_file_that_claims_to_be_dicom_and_is_not_gets_its_reason(tmp_path):
    (tmp_path / "x.dcm").write_text("nothing")
    (found,) = find_images([tmp_path])
    assert refusal(found.path, members=found.members).code == "not_dicom"


def test_subject_and_session_of_a_bids_folder_stand_before_the_id(tmp_path):
    write(tmp_path / "sourcedata/sub-01/ses-2/t1", changed())
    (found,) = find_images([tmp_path / "sourcedata"])
    assert found.scan_id.startswith("sub-01_ses-2_series-007-")


# What the header says of the acquisition


@pytest.mark.parametrize(
    ("sequence", "changes"),
    [
        ("T1w", {"ScanningSequence": ["GR", "IR"], "RepetitionTime": 2300, "EchoTime": 2.98, "InversionTime": 900}),
        ("T1w", {"ScanningSequence": "GR", "RepetitionTime": 25, "EchoTime": 4.6, "FlipAngle": 30}),
        ("T1w", {"ScanningSequence": "SE", "RepetitionTime": 600, "EchoTime": 12}),
        ("T2w", {"ScanningSequence": "SE", "RepetitionTime": 3000, "EchoTime": 106}),
        ("PDw", {"ScanningSequence": "SE", "RepetitionTime": 3000, "EchoTime": 20}),
        ("FLAIR", {"ScanningSequence": ["SE", "IR"], "RepetitionTime": 9000, "EchoTime": 90, "InversionTime": 2500}),
        ("T2starw", {"ScanningSequence": "GR", "RepetitionTime": 700, "EchoTime": 25, "FlipAngle": 20}),
        ("FLAIR", {"SeriesDescription": "t2_spc_da-fl_FLAIR_sag"}),
        ("T1w", {"ProtocolName": "3D MPRAGE"}),
        (None, {"ScanningSequence": "SE", "RepetitionTime": 3000, "EchoTime": 106, "SeriesDescription": "T1 ax"}),
        (None, {"ScanningSequence": "EP", "RepetitionTime": 3000, "EchoTime": 80}),
        (None, {}),
    ],
)
def test_the_contrast_is_what_timing_and_name_agree_on(tmp_path, sequence, changes):
    assert read(write(tmp_path / "x", changed(**changes))).sequence == sequence


def test_what_matters_of_the_header_becomes_notes(tmp_path):
    scan = read(
        write(
            tmp_path / "x",
            changed(
                MagneticFieldStrength="1.5",
                Manufacturer="SIEMENS",
                ManufacturerModelName="Avanto",
                MRAcquisitionType="3D",
                ScanningSequence="GR",
                RepetitionTime="25",
                EchoTime="4.6",
                FlipAngle="30",
                BodyPartExamined="KNEE",
                ContrastBolusAgent="something",
                SeriesDescription="T2 of a knee",
                ImageType=["DERIVED", "SECONDARY"],
            ),
        )
    )
    assert scan.source.notes[:5] == (
        "acquired with: 1.5 T Siemens Avanto, 3D GR, TR 25 ms, TE 4.6 ms, flip angle 30°",
        "the header names the body part KNEE",
        "the header names a contrast agent",
        "the description names T2w and the timing is that of T1w: neither is taken",
        "the image type says that the images were derived from others",
    )
