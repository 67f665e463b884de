"""A header is read once, as pydicom would read it, and its values go where they belong."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

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
)

from anomri.errors import InputError
from anomri.io import find_images, read
from anomri.io.dicom import read_series
from anomri.io.dicom.feed import Feed
from anomri.io.dicom.header import Instance, read_header
from dicom_slices import enhanced, series, write

AFFINE = np.diag([-0.9, -1.3, 3.0, 1.0])
SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]


def phantom(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 99, (16, 12, 10)).astype(np.int16)


def header_of(file: Path) -> Instance:
    with file.open("rb") as opened:
        return read_header(Feed(opened.read), file.name)


def with_clutter(image: Dataset, *, undefined: bool) -> Dataset:
    """The image among elements that nobody asks for, some of which look like those that are."""
    inner = Dataset()
    inner.ImagePositionPatient, inner.Rows, inner.ReferencedSOPInstanceUID = ["7", "7", "7"], 7, "1.2.3"
    inner.is_undefined_length_sequence_item = undefined
    image.ReferencedImageSequence = [inner, inner]
    image["ReferencedImageSequence"].is_undefined_length = undefined
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        if keyword in image:
            image[keyword].is_undefined_length = undefined
            for item in image[keyword].value:
                item.is_undefined_length_sequence_item = undefined
    block = image.private_block(0x0019, "SOMEBODY", create=True)
    block.add_new(0x10, "OB", bytes(70_000))
    block.add_new(0x11, "SQ", [inner])
    image.private_block(0x0029, "SOMEBODY", create=True).add_new(0x01, "UN", b"\xfe\xff\x00\xe0\x00\x00\x00\x00")
    return image


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("one_file", [False, True])
def test_values_are_those_that_pydicom_finds(tmp_path, syntax, undefined, one_file):
    timing = {"RepetitionTime": "2300", "EchoTime": "2.98", "FlipAngle": "9", "SeriesDescription": "t1 mprage"}
    images = [enhanced(phantom(), AFFINE, **timing)] if one_file else series(phantom(), AFFINE, **timing)
    write(tmp_path / "x", [with_clutter(image, undefined=undefined) for image in images], syntax=syntax)
    for file in sorted((tmp_path / "x").iterdir()):
        ours, theirs = header_of(file), dcmread(file)
        assert ours.series_uid == theirs.SeriesInstanceUID
        assert (ours.rows, ours.columns, ours.series_number) == (theirs.Rows, theirs.Columns, theirs.SeriesNumber)
        assert (ours.stored.allocated, ours.stored.high_bit) == (theirs.BitsAllocated, theirs.HighBit)
        assert ours.protocol.tr_ms == float(theirs.RepetitionTime)
        assert ours.protocol.named == "T1w"
        frames = list(theirs.PerFrameFunctionalGroupsSequence) if one_file else [theirs]
        assert len(ours.planes) == len(frames)
        for plane, frame in zip(ours.planes, frames, strict=True):
            place = frame.PlanePositionSequence[0] if one_file else frame
            shared = theirs.SharedFunctionalGroupsSequence[0] if one_file else theirs
            turn = shared.PlaneOrientationSequence[0] if one_file else shared
            size = shared.PixelMeasuresSequence[0] if one_file else shared
            assert plane.position == tuple(map(float, place.ImagePositionPatient))
            assert plane.orientation == tuple(map(float, turn.ImageOrientationPatient))
            assert plane.spacing_mm == tuple(map(float, size.PixelSpacing))


def test_functional_groups_without_a_type_are_known_by_their_tag(tmp_path):
    write(tmp_path / "x", [enhanced(phantom(), AFFINE)])
    file = tmp_path / "x/IM0000"
    before = header_of(file)
    content = file.read_bytes()
    # Both sequences become of unknown type, whose content is implicit by definition (PS3.5 6.2.2, note 4).
    image = dcmread(file)
    for tag in (0x52009229, 0x52009230):
        whole = _element_bytes(image[tag], implicit=False)
        assert content.count(whole) == 1
        inner = _element_bytes(image[tag], implicit=True)[8:]
        replaced = whole[:4] + b"UN\0\0" + len(inner).to_bytes(4, "little") + inner
        content = content.replace(whole, replaced)
    file.write_bytes(content)
    assert header_of(file).planes == before.planes
    np.testing.assert_array_equal(read(file).voxels, phantom())


def _element_bytes(element: Any, *, implicit: bool) -> bytes:
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_data_element

    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, implicit
    write_data_element(out, element)
    return out.getvalue()


def test_an_enhanced_image_without_frames_is_refused(tmp_path):
    image = enhanced(phantom(), AFFINE, NumberOfFrames=0)
    image.PerFrameFunctionalGroupsSequence = []
    with pytest.raises(InputError) as caught:
        read(write(tmp_path / "x", [image]))
    assert caught.value.code == "bad_header"


@given(cuts=st.lists(st.integers(1, 3000), min_size=1, max_size=40), undefined=st.booleans())
@settings(max_examples=30)
def test_a_header_is_the_same_however_its_bytes_come_in(tmp_path_factory, cuts, undefined):
    folder = tmp_path_factory.getbasetemp() / f"pieces-{undefined}"
    if not folder.exists():
        write(folder, [with_clutter(enhanced(phantom(), AFFINE), undefined=undefined)])
    with (folder / "IM0000").open("rb") as opened:
        sizes = iter(cuts)
        pieces = read_header(Feed(lambda count: opened.read(min(count, next(sizes, count)))), "IM0000")
    assert pieces == header_of(folder / "IM0000")


# One look at each header


@pytest.fixture
def looks(monkeypatch) -> dict[str, int]:
    """How often headers were parsed, by who asked."""
    times = {"find": 0, "read": 0}

    def counted(who: str) -> Any:
        def count(*arguments: Any) -> Instance:
            times[who] += 1
            return read_header(*arguments)

        return count

    monkeypatch.setattr("anomri.io.dicom.series.read_header", counted("find"))
    monkeypatch.setattr("anomri.io.dicom.read.read_header", counted("read"))
    return times


@pytest.mark.parametrize("packed", [False, True])
def test_headers_of_a_folder_or_archive_are_parsed_once(tmp_path, looks, packed):
    path = write(tmp_path / "x", series(phantom(), AFFINE))
    if packed:
        path = tmp_path / "x.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted((tmp_path / "x").iterdir()):
                archive.write(file, file.name)
    np.testing.assert_array_equal(read(path).voxels, phantom())
    assert looks == {"find": 10, "read": 0}


def test_of_a_deflated_file_nothing_is_kept(tmp_path, looks):
    path = write(tmp_path / "x", series(phantom(), AFFINE), syntax=DeflatedExplicitVRLittleEndian)
    np.testing.assert_array_equal(read(path).voxels, phantom())
    assert looks == {"find": 10, "read": 10}


def test_a_file_that_was_written_to_since_is_parsed_anew(tmp_path, looks):
    path = write(tmp_path / "x", series(phantom(), AFFINE))
    (found,) = find_images([path])
    swapped = series(phantom(1), AFFINE)[3]
    swapped.RescaleSlope, swapped.RescaleIntercept = "2", "0"
    write(tmp_path / "new", [swapped])
    (tmp_path / "new/IM0000").rename(path / "IM0003")
    image = read_series(path, found.members, max_voxels=10**6, headers=found.headers)
    expected = phantom()
    expected[:, :, 3] = 2 * phantom(1)[:, :, 3]
    np.testing.assert_array_equal(image.voxels, expected)
    assert looks == {"find": 10, "read": 1}


def test_what_is_kept_of_a_series_is_little_and_shows_nothing(tmp_path):
    write(tmp_path / "x", series(phantom(), AFFINE, PatientName="ZQX^MARK", ImageType=["ORIGINAL", "PRIMARY", "ZQX"]))
    (found,) = find_images([tmp_path / "x"])
    assert len(found.headers) == 10
    assert "ZQX" not in repr(found)
    first, second = found.headers[:2]
    assert first.protocol is second.protocol
    assert first.stored is second.stored
