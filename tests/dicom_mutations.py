"""DICOM files that are sound but for one to three things: an element, its length, its order, or any byte."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
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

from dicom_slices import enhanced, series

__all__ = ["mutated", "mutated_pixels", "mutated_series"]

SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
ENCODED = (JPEG2000Lossless, JPEGLSLossless, RLELossless)
AFFINE = np.diag([-1.0, -1.2, 2.0, 1.0])
SHAPE = (9, 8, 8)
PREAMBLE = 132
LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT")
SHORT = (b"AE", b"AT", b"CS", b"DA", b"DS", b"FD", b"FL", b"IS", b"LO", b"SH", b"SS", b"UI", b"UL", b"US")
VRS = (*LONG, *SHORT, b"\0\0", b"??")
UNDEFINED = 0xFFFFFFFF
LENGTHS = (0, 1, 2, 3, 7, 8, 255, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFE, UNDEFINED)
WORDS = (
    b"0", b"-1", b"1", b"1e999", b"nan", b"inf", b"", b"1\\2", b"1\\2\\3", b"1\\0\\0\\0\\1\\0", b"\0", b"-0.0",
    b"\xff\xfe", b"1_0", b"1e-30", b"ORIGINAL\\PRIMARY\\M", b"LOCALIZER", b"MR", b"CT", b"MONOCHROME1", b"RGB",
    b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.5.1.4.1.1.4", b"../../x",
    b"ISO_IR 192", b"ISO 2022 IR 87", b"\x1b$B\x1b(B", b"9" * 70, b"99999999",
)  # fmt: skip
NUMBERS = (0, 1, 2, 7, 8, 9, 15, 16, 31, 32, 255, 256, 32767, 32768, 65535)
# Where an image is most easily led astray: its grid, its pixels, its scaling, its kind.
TELLING = (
    (0x0008, 0x0008), (0x0008, 0x0016), (0x0008, 0x0060), (0x0018, 0x0050), (0x0020, 0x0032), (0x0020, 0x0037),
    (0x0028, 0x0002), (0x0028, 0x0004), (0x0028, 0x0008), (0x0028, 0x0010), (0x0028, 0x0011), (0x0028, 0x0030),
    (0x0028, 0x0100), (0x0028, 0x0101), (0x0028, 0x0102), (0x0028, 0x0103), (0x0028, 0x1052), (0x0028, 0x1053),
    (0x7FE0, 0x0010), (0x0002, 0x0010), (0x0002, 0x0000),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Element:
    """Where an element lies in a file: its tag's first byte, its value's, and the end of it."""

    tag: tuple[int, int]
    at: int
    length_at: int
    wide: bool
    value: int
    end: int


@dataclass(frozen=True, slots=True)
class _Base:
    """A sound file and the elements in it, those in sequences among them."""

    content: bytes
    order: str
    elements: tuple[_Element, ...]


def mutated(rng: np.random.Generator) -> dict[str, bytes]:
    """One file: an enhanced image or a slice of a series, broken in up to three places."""
    base = _bases()[rng.integers(len(_bases()))]
    return {"x.dcm": _broken(base, rng)}


def mutated_series(rng: np.random.Generator) -> dict[str, bytes]:
    """The files of a series, one or two of them broken."""
    slices = _slices()
    files = {f"IM{number}": base.content for number, base in enumerate(slices)}
    for number in rng.choice(len(slices), size=rng.integers(1, 3), replace=False):
        files[f"IM{number}"] = _broken(slices[number], rng)
    return files


def mutated_pixels(rng: np.random.Generator) -> dict[str, bytes]:
    """A slice whose pixels are compressed, these alone broken."""
    base = _encoded()[rng.integers(len(ENCODED))]
    content = bytearray(base.content)
    start = next(element.value for element in base.elements if element.tag == (0x7FE0, 0x0010))
    for _ in range(rng.integers(1, 8)):
        content[rng.integers(start, len(content))] = int(rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.integers(256))))
    return {"x.dcm": bytes(content[: rng.integers(start, len(content))] if rng.random() < 0.2 else content)}


def _stored(image: Dataset, syntax: str) -> bytes:
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if syntax in ENCODED:
        image.compress(syntax, generate_instance_uid=False)
    image.file_meta.TransferSyntaxUID = syntax
    buffer = BytesIO()
    image.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _images() -> list[Dataset]:
    voxels = np.random.default_rng(0).integers(0, 99, SHAPE).astype(np.int16)
    extras = {"EchoTime": "3", "RescaleSlope": "2", "RescaleIntercept": "-1", "PatientName": "A^B"}
    return series(voxels, AFFINE, **extras)


@cache
def _slices() -> tuple[_Base, ...]:
    return tuple(_base(image, ExplicitVRLittleEndian) for image in _images())


@cache
def _bases() -> tuple[_Base, ...]:
    voxels = np.random.default_rng(1).integers(0, 99, SHAPE).astype(np.uint16)
    return tuple(_base(image, syntax) for syntax in SYNTAXES for image in (enhanced(voxels, AFFINE), _images()[3]))


@cache
def _encoded() -> tuple[_Base, ...]:
    # JPEG 2000 halves an image five times.
    voxels = np.random.default_rng(2).integers(0, 99, (40, 36, 1)).astype(np.uint16)
    return tuple(_base(series(voxels, AFFINE)[0], syntax) for syntax in ENCODED)


def _base(image: Dataset, syntax: str) -> _Base:
    content = _stored(image, syntax)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    meta = tuple(_walk(content, PREAMBLE, len(content), "<", explicit=True, until=2))
    start = meta[-1].end
    rest: Iterator[_Element] = iter(())
    if syntax != DeflatedExplicitVRLittleEndian:
        rest = _walk(content, start, len(content), order, explicit=syntax != ImplicitVRLittleEndian)
    return _Base(content, order, (*meta, *rest))


def _walk(content: bytes, at: int, end: int, order: str, *, explicit: bool, until: int = 0xFFFF) -> Iterator[_Element]:
    """The elements of a sound file, by DICOM PS3.5 section 7."""
    while at + 8 <= end:
        group, number = struct.unpack_from(f"{order}HH", content, at)
        if group > until:
            return
        vr = content[at + 4 : at + 6] if explicit and group != 0xFFFE else b""
        wide = vr in LONG or not vr
        length_at = at + (8 if vr in LONG else 4 if not vr else 6)
        length = struct.unpack_from(f"{order}{'I' if wide else 'H'}", content, length_at)[0]
        value = length_at + (4 if wide else 2)
        within = group == 0xFFFE or vr == b"SQ" or length == UNDEFINED or (not explicit and _is_sequence(group, number))
        past = value if length == UNDEFINED else value + length
        yield _Element((group, number), at, length_at, wide, value, past)
        at = value if within else past


def _is_sequence(group: int, number: int) -> bool:
    return (group, number) in ((0x5200, 0x9229), (0x5200, 0x9230), (0x0020, 0x9113), (0x0020, 0x9116), (0x0028, 0x9110))


def _broken(base: _Base, rng: np.random.Generator) -> bytes:
    count = int(rng.choice(4, p=(0.1, 0.5, 0.25, 0.15)))
    content = base.content
    # From the back to the front, so that what was found in the sound file still stands where it stood.
    chosen = sorted((_element(base, rng) for _ in range(count)), key=lambda element: -element.at)
    for element in chosen:
        content = _pick(rng, MUTATIONS)(content, element, base.order, rng)
    return content


def _element(base: _Base, rng: np.random.Generator) -> _Element:
    telling = [element for element in base.elements if element.tag in TELLING]
    choices = telling if rng.random() < 0.6 and telling else base.elements
    return choices[rng.integers(len(choices))]


def _pick(rng: np.random.Generator, choices: Sequence[Any]) -> Any:
    return choices[rng.integers(len(choices))]


def _replaced(content: bytes, at: int, end: int, new: bytes) -> bytes:
    return content[:at] + new + content[end:]


def _length_of(element: _Element, length: int, order: str) -> bytes:
    return struct.pack(f"{order}{'I' if element.wide else 'H'}", length & (UNDEFINED if element.wide else 0xFFFF))


def _other_word(content: bytes, element: _Element, order: str, rng: np.random.Generator) -> bytes:
    """Another value, with the length that belongs to it."""
    word = _pick(rng, WORDS)
    word += b" " * (len(word) % 2)
    return _replaced(content, element.length_at, element.end, _length_of(element, len(word), order) + word)


def _other_number(content: bytes, element: _Element, order: str, rng: np.random.Generator) -> bytes:
    number = struct.pack(f"{order}H", _pick(rng, NUMBERS))
    return _replaced(content, element.value, element.value + 2, number)


def _other_length(content: bytes, element: _Element, order: str, rng: np.random.Generator) -> bytes:
    length = _pick(rng, LENGTHS) if rng.random() < 0.6 else element.end - element.value + int(rng.integers(-4, 5))
    new = _length_of(element, length, order)
    return _replaced(content, element.length_at, element.length_at + len(new), new)


def _other_vr(content: bytes, element: _Element, _order: str, rng: np.random.Generator) -> bytes:
    return _replaced(content, element.at + 4, element.at + 6, _pick(rng, VRS))


def _other_tag(content: bytes, element: _Element, order: str, rng: np.random.Generator) -> bytes:
    group, number = _pick(rng, (*TELLING, (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD), (0x0009, 0x0010)))
    return _replaced(content, element.at, element.at + 4, struct.pack(f"{order}HH", group, number))


def _gone(content: bytes, element: _Element, _order: str, _rng: np.random.Generator) -> bytes:
    return _replaced(content, element.at, element.end, b"")


def _twice(content: bytes, element: _Element, _order: str, rng: np.random.Generator) -> bytes:
    return _replaced(content, element.at, element.at, content[element.at : element.end] * int(rng.integers(1, 4)))


def _nested(content: bytes, element: _Element, order: str, rng: np.random.Generator) -> bytes:
    """Sequences within sequences in front of an element, shallow or far too deep."""
    start = struct.pack(f"{order}HH2sHI", 0x0040, 0xA730, b"SQ", 0, UNDEFINED)
    item = struct.pack(f"{order}HHI", 0xFFFE, 0xE000, UNDEFINED)
    return _replaced(content, element.at, element.at, (start + item) * int(_pick(rng, (1, 3, 31, 33, 300, 5000))))


def _many(content: bytes, element: _Element, order: str, rng: np.random.Generator) -> bytes:
    one = struct.pack(f"{order}HH2sH", 0x0009, 0x0010, b"LO", 0)
    return _replaced(content, element.at, element.at, one * int(_pick(rng, (1, 100, 25_000))))


def _cut(content: bytes, element: _Element, _order: str, rng: np.random.Generator) -> bytes:
    return content[: max(0, int(_pick(rng, (element.at, element.value, element.end))) + int(rng.integers(-3, 4)))]


def _flip(content: bytes, element: _Element, _order: str, rng: np.random.Generator) -> bytes:
    out = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        at = int(rng.integers(element.at, element.end)) if rng.random() < 0.7 else int(rng.integers(len(out)))
        if at < len(out):
            out[at] ^= 1 << rng.integers(8)
    return bytes(out)


def _splice(content: bytes, _element: _Element, _order: str, rng: np.random.Generator) -> bytes:
    a, b = sorted(rng.integers(len(content) + 1, size=2))
    return content[:a] + content[b:] if rng.random() < 0.5 else content[:b] + content[a:]


Mutation = Callable[[bytes, _Element, str, np.random.Generator], bytes]
MUTATIONS: tuple[Mutation, ...] = (
    _other_word, _other_word, _other_number, _other_number, _other_length, _other_length, _other_vr, _other_tag, _gone,
    _twice, _nested, _many, _cut, _flip, _splice,
)  # fmt: skip
