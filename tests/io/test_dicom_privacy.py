"""No word of a header that names a person, a place, a time or a device leaves the reader."""

from __future__ import annotations

import logging
import zipfile

import numpy as np
import pytest
from pydicom.datadict import DicomDictionary, tag_for_keyword

from anomri.errors import AnomriError
from anomri.io import find_images, read
from anomri.io.dicom import describe_series
from dicom_slices import series, write

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])
MARK = "ZQXMARKER"
TEXT = ("PN", "LO", "SH", "LT", "ST", "UT", "AE", "UC")
# Vendor, model and contrast may be said (rule 37): the first two in words of ours or after cleaning.
SAID = {"Manufacturer", "ManufacturerModelName"}
MARKED_UID = "1.2.826.0.1.3680043.8.498.777."


def marked() -> list:
    """Every text element of the dictionary that stands at the top of a header holds the marker."""
    voxels = np.random.default_rng(0).integers(0, 99, (16, 16, 10)).astype(np.int16)
    images = series(voxels, AFFINE, SeriesNumber=7)
    keywords = [entry[4] for entry in DicomDictionary.values() if entry[0] in TEXT and entry[1] == "1" and entry[4]]
    for number, image in enumerate(images):
        for keyword in keywords:
            if tag_for_keyword(keyword) >> 16 not in (0x0000, 0x0002, 0x0004) and keyword not in SAID:
                setattr(image, keyword, MARK if keyword != "PatientName" else f"{MARK}^<script>")
        for name in ("PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
            setattr(image, name, "19370611")
        image.StudyInstanceUID, image.SeriesInstanceUID = f"{MARKED_UID}1", f"{MARKED_UID}2"
        image.SOPInstanceUID, image.FrameOfReferenceUID = f"{MARKED_UID}3.{number}", f"{MARKED_UID}4"
        image.AccessionNumber, image.DeviceUID = MARK, f"{MARKED_UID}5"
        block = image.private_block(0x0051, MARK, create=True)
        block.add_new(0x01, "LO", MARK)
        image.Manufacturer = f"SIEMENS {MARK}"
        image.ManufacturerModelName = f"<{MARK}>"
        image.BodyPartExamined = f"BRAIN{MARK}"
        image.ScanningSequence = ["SE", MARK]
        image.ImageType = ["ORIGINAL", "PRIMARY", "M", MARK]
        image.Modality = "MR"
        image.SpecificCharacterSet = "ISO_IR 100"
    return images


def told(thing: object) -> str:
    return f"{thing!r} {thing}"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_planted_markers_appear_nowhere(tmp_path, caplog):
    write(tmp_path / "x", marked())
    for file in (tmp_path / "x").iterdir():
        # pydicom warns of a character set it does not know, and repeats its name.
        file.write_bytes(file.read_bytes().replace(b"ISO_IR 100", MARK.encode() + b" "))
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        for file in (tmp_path / "x").iterdir():
            packed.write(file, file.name)
    said = []
    with caplog.at_level(logging.DEBUG):
        for path in (tmp_path / "x", tmp_path / "x.zip", tmp_path / "x/IM0003"):
            found = find_images([path], report=said.append)
            for one in found:
                said += [told(one.scan_id), told(one.study)]
                scan = read(one.path, members=one.members, scan_id=one.scan_id)
                said += [told(scan.source), told(scan.sequence), told(scan.scan_id)]
                if one.members:
                    said.append(told(describe_series(one.path, one.members)))
    text = " ".join(said) + caplog.text
    assert len(said) > 10
    for mark in (MARK, "script", "1937", MARKED_UID):
        assert mark.lower() not in text.lower()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "changes",
    [
        {"Modality": MARK, "SOPClassUID": f"{MARKED_UID}9"},
        {"PixelData": None},
        {"ImagePositionPatient": None},
        {"BurnedInAnnotation": "YES"},
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER", MARK]},
        {"PhotometricInterpretation": MARK},
        {"RescaleSlope": MARK},
    ],
)
def test_errors_repeat_no_word_of_the_file(tmp_path, changes):
    images = marked()
    for image in images:
        for name, value in changes.items():
            if value is None:
                delattr(image, name)
            else:
                image.add_new(name, "UI" if "UID" in name else "LO", value)
    write(tmp_path / "x", images)
    found = find_images([tmp_path / "x"])
    assert len(found) == 1
    with pytest.raises(AnomriError) as caught:
        read(found[0].path, members=found[0].members, scan_id=found[0].scan_id)
    text = told(caught.value) + caught.value.cause + caught.value.remedy + str(caught.value.scan)
    for mark in (MARK, "1937", MARKED_UID):
        assert mark.lower() not in text.lower()
