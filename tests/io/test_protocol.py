"""What of a scan departs from a reference protocol becomes notes, and what cannot be told is said."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomri.errors import InputError
from anomri.io import ProtocolReference, read, read_protocol
from anomri.io.dicom.protocol import Protocol
from dicom_slices import series, write

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])
T1 = {
    "MagneticFieldStrength": "3",
    "ScanningSequence": ["GR", "IR"],
    "RepetitionTime": "2300",
    "EchoTime": "2.98",
    "InversionTime": "900",
    "FlipAngle": "9",
    "BodyPartExamined": "BRAIN",
}
REFERENCE = {
    "sequence": "T1w",
    "body_part": "brain",
    "field_t": [2.8, 3.2],
    "tr_ms": [2300, 2300],
    "te_ms": [2.98, 3.5],
    "ti_ms": [850, 950],
    "flip_deg": [8, 10],
}


def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 99, (16, 16, 10)).astype(np.int16)


def reference_of(folder: Path, content: object) -> ProtocolReference:
    (folder / "protocol.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return read_protocol(folder / "protocol.json")


def departures(folder: Path, **changes: object) -> list[str]:
    """Notes that are there with the reference and not without."""
    path = write(folder / "x", series(volume(), AFFINE, **(T1 | changes)))
    plain = read(path).source.notes
    return [note for note in read(path, protocol=reference_of(folder, REFERENCE)).source.notes if note not in plain]


def test_a_scan_as_it_should_be_has_no_further_note(tmp_path):
    assert departures(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "notes"),
    [
        ({"RepetitionTime": "2300.1"}, ["TR 2300.1 ms is outside the protocol reference (2300 ms)"]),
        ({"EchoTime": "2.9"}, ["TE 2.9 ms is outside the protocol reference (2.98–3.5 ms)"]),
        ({"FlipAngle": "12"}, ["flip angle 12° is outside the protocol reference (8–10°)"]),
        ({"MagneticFieldStrength": "1.5"}, ["field strength 1.5 T is outside the protocol reference (2.8–3.2 T)"]),
        ({"MagneticFieldStrength": None}, []),
        ({"FlipAngle": ""}, ["the header gives no flip angle; the protocol reference says 8–10°"]),
        ({"BodyPartExamined": "KNEE"}, ["the header names the body part KNEE; the protocol reference says BRAIN"]),
        ({"BodyPartExamined": "OF JOHN"}, ["the header names no body part; the protocol reference says BRAIN"]),
        (
            {"ScanningSequence": "SE", "InversionTime": "", "RepetitionTime": "3000", "EchoTime": "106"},
            [
                "the contrast is T2w; the protocol reference says T1w",
                "TR 3000 ms is outside the protocol reference (2300 ms)",
                "TE 106 ms is outside the protocol reference (2.98–3.5 ms)",
                "the header gives no TI; the protocol reference says 850–950 ms",
            ],
        ),
    ],
)
def test_each_departure_is_a_note(tmp_path, changes, notes):
    changes = {name: value for name, value in changes.items() if value is not None}
    found = departures(tmp_path, **changes)
    assert [note for note in found if not note.startswith("acquired with")] == notes


def test_a_file_without_a_header_of_its_protocol_says_so(tmp_path):
    nib.save(nib.Nifti1Image(volume(), AFFINE), tmp_path / "sub-1_T2w.nii")
    scan = read(tmp_path / "sub-1_T2w.nii", protocol=reference_of(tmp_path, REFERENCE))
    assert scan.source.notes == (
        "the contrast is T2w; the protocol reference says T1w",
        "the file does not say how it was acquired, so the protocol reference says nothing of it",
    )


def test_what_is_not_given_is_not_asked_for(tmp_path):
    assert reference_of(tmp_path, {}).departures(Protocol(tr_ms=1.0), None) == ()


@given(st.floats(0, 1e5), st.floats(0, 1e5), st.floats(0, 1e5))
def test_a_value_departs_exactly_where_it_lies_outside(low, high, value):
    low, high = sorted([low, high])
    notes = ProtocolReference(te_ms=(low, high)).departures(Protocol(te_ms=value), None)
    inside = low <= value <= high
    near = any(abs(value - end) <= 2e-6 * end for end in (low, high))
    assert near or (notes == ()) is inside


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("nothing", "Invalid JSON"),
        ("[]", "object"),
        ({"TE": [1, 2]}, "TE"),
        ({"te_ms": [3, 2]}, "begins above its end"),
        ({"te_ms": 3}, "te_ms"),
        ({"te_ms": [-1, 2]}, "te_ms"),
        ('{"te_ms": [0, NaN]}', "te_ms"),
    ],
)
def test_what_is_no_reference_is_refused_with_the_place(tmp_path, content, named):
    with pytest.raises(InputError, match=named) as caught:
        reference_of(tmp_path, content)
    assert caught.value.code == "protocol_reference"
