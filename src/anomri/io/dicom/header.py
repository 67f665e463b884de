"""What the header of one DICOM file says, as far as anomri uses it. Everything else stays in the file.

Names, identifiers, dates, institutions, comments and private elements are never asked for. Free text (descriptions,
protocol names) is only searched for the name of a contrast, and UIDs leave this package hashed alone.

References
----------
PS3.3 C.7.6.2 (image plane), C.7.6.3 (image pixel), C.7.6.16 (functional groups), C.8.3 and C.8.13 (MR).
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from anomri.errors import InputError, MissingDependency
from anomri.io.dicom.elements import (
    BIG_ENDIAN,
    DEFLATED,
    Elements,
    PixelElement,
    Spans,
    file_meta,
    is_dicom,
)
from anomri.io.dicom.problems import bad_header
from anomri.io.dicom.protocol import Protocol, named_contrast

if TYPE_CHECKING:
    from anomri.io.dicom.feed import Feed

__all__ = [
    "ENHANCED",
    "MR",
    "MR_CLASSES",
    "Instance",
    "Plane",
    "Stored",
    "read_header",
    "require_pydicom",
]

FIRST_BYTES = 1 << 16
MAX_HEADER_BYTES = 1 << 26
MR = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED = (f"{MR}.1", f"{MR}.4")
MR_CLASSES = (MR, *ENHANCED)
WORDS = re.compile(r"[^A-Z0-9_ ]")
# A number beyond it is none of a scan, and what is computed from it would overflow.
LARGEST = 1e30
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

SOP_CLASS, STUDY_UID, SERIES_UID = 0x00080016, 0x0020000D, 0x0020000E
SERIES_NUMBER, MODALITY, IMAGE_TYPE, IMAGE_NUMBER = 0x00200011, 0x00080060, 0x00080008, 0x00200013
ROWS, COLUMNS, FRAMES, SAMPLES, PHOTOMETRIC = 0x00280010, 0x00280011, 0x00280008, 0x00280002, 0x00280004
ALLOCATED, STORED, HIGH_BIT, SIGNED = 0x00280100, 0x00280101, 0x00280102, 0x00280103
POSITION, ORIENTATION, SPACING = 0x00200032, 0x00200037, 0x00280030
THICKNESS, BETWEEN, SLOPE, INTERCEPT = 0x00180050, 0x00180088, 0x00281053, 0x00281052
BURNED_IN = 0x00280301
SCANNING, VARIANT, ACQUISITION, ECHO_PULSE, INVERSION = 0x00180020, 0x00180021, 0x00180023, 0x00189008, 0x00189009
TR, TE, TI, FLIP, FIELD, ECHO_NUMBER = 0x00180080, 0x00180081, 0x00180082, 0x00181314, 0x00180087, 0x00180086
B_VALUE, MOMENT, CONTRAST = 0x00189087, 0x00200100, 0x00180010
BODY_PART, MAKER, MODEL = 0x00180015, 0x00080070, 0x00081090
SERIES_TEXT, PROTOCOL_TEXT, SEQUENCE_TEXT, PULSE_TEXT = 0x0008103E, 0x00181030, 0x00180024, 0x00189005
SHARED, PER_FRAME = 0x52009229, 0x52009230
POSITION_GROUP, ORIENTATION_GROUP, MEASURES_GROUP, VALUE_GROUP = 0x00209113, 0x00209116, 0x00289110, 0x00289145
ECHO_GROUP, DIFFUSION_GROUP, CONTENT_GROUP, TYPE_GROUP = 0x00189114, 0x00189117, 0x00209111, 0x00189226
TIMING_GROUP, MODIFIER_GROUP, CONTENT_MOMENT, FRAME_TYPE = 0x00189112, 0x00189115, 0x00209128, 0x00089007
EFFECTIVE_TE, INVERSION_TIMES = 0x00189082, 0x00189079
GROUPS = (
    POSITION_GROUP, ORIENTATION_GROUP, MEASURES_GROUP, VALUE_GROUP, ECHO_GROUP, DIFFUSION_GROUP, CONTENT_GROUP,
    TYPE_GROUP, TIMING_GROUP, MODIFIER_GROUP,
)  # fmt: skip
STORED_TAGS = (ALLOCATED, STORED, HIGH_BIT, SIGNED, SAMPLES, PHOTOMETRIC)
PROTOCOL_TAGS = (
    SCANNING, VARIANT, ACQUISITION, ECHO_PULSE, TR, TE, TI, FLIP, FIELD, CONTRAST, BODY_PART, MAKER, MODEL,
    SERIES_TEXT, PROTOCOL_TEXT, SEQUENCE_TEXT, PULSE_TEXT,
)  # fmt: skip
VALUES = frozenset((
    *STORED_TAGS, *PROTOCOL_TAGS, SOP_CLASS, STUDY_UID, SERIES_UID, SERIES_NUMBER, MODALITY, IMAGE_TYPE,
    IMAGE_NUMBER, ROWS, COLUMNS, FRAMES, POSITION, ORIENTATION, SPACING, THICKNESS, BETWEEN, SLOPE, INTERCEPT,
    BURNED_IN, ECHO_NUMBER, B_VALUE, MOMENT, INVERSION, CONTENT_MOMENT, FRAME_TYPE, EFFECTIVE_TE, INVERSION_TIMES,
))  # fmt: skip
SEQUENCES = frozenset((SHARED, PER_FRAME, *GROUPS))


@dataclass(frozen=True, slots=True)
class Plane:
    """One slice of an image.

    Parameters
    ----------
    position : of the first pixel's centre, LPS mm; None where the header has none, as with the next two.
    orientation : directions along a row and down a column, LPS.
    spacing_mm : between rows and between columns.
    thickness_mm : of the slice; None where not given.
    between_mm : from its middle to that of the next one, SpacingBetweenSlices; None where not given.
    number : InstanceNumber of a classic image; None for a frame, or where not given.
    slope, intercept : stored value → value; NaN where the header has no number there.
    kind : image type, in capitals.
    echo : number and time in 0.1 ms, (0, -1) where not given.
    weighting : b-value and moment of the acquisition, where given.
    """

    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing_mm: tuple[float, ...] | None
    thickness_mm: float | None
    between_mm: float | None
    number: int | None
    slope: float
    intercept: float
    kind: tuple[str, ...]
    echo: tuple[int, int]
    weighting: tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class Stored:
    """How a pixel is stored (PS3.3 C.7.6.3)."""

    allocated: int
    stored: int
    high_bit: int
    signed: bool
    samples: int
    photometric: str


@dataclass(frozen=True, slots=True)
class Instance:
    """One file.

    Parameters
    ----------
    name : of the file within its folder or archive.
    pixels : where they stand in the content that was fed; None where the file has none.
    planes : one a frame.
    stamp : of the file as it was when its header was read, see `Readable`.
    """

    name: str
    stamp: tuple[int, ...]
    syntax: str
    sop_class: str
    series_uid: str
    study_uid: str
    series_number: int | None
    modality: str
    rows: int
    columns: int
    stored: Stored
    pixels: PixelElement | None
    planes: tuple[Plane, ...]
    burned_in: bool
    protocol: Protocol

    @property
    def n_bytes(self) -> int:
        """Of the decoded pixels, as the header promises."""
        return self.rows * self.columns * len(self.planes) * self.stored.samples * (self.stored.allocated // 8)


def require_pydicom() -> None:
    """Say so where pydicom is not installed.

    Raises
    ------
    MissingDependency
    """
    try:
        import pydicom.filereader  # noqa: F401
    except ImportError as error:
        raise MissingDependency(
            "reading DICOM needs pydicom", remedy="Install it: pip install 'anomri[dicom]'.", code="pydicom"
        ) from error


def read_header(feed: Feed, name: str, stamp: tuple[int, ...] = ()) -> Instance:
    """Read a file as far as its pixels.

    Parameters
    ----------
    stamp : of the file, where the header is to be known again.

    Raises
    ------
    InputError : `not_dicom`, `bad_header`, `truncated`, `too_deep`, `too_many_elements`, `too_large`, `checksum`.
    MissingDependency : no pydicom.
    """
    require_pydicom()
    feed.more(FIRST_BYTES - len(feed.content))
    if not is_dicom(bytes(feed.content[:256])):
        raise InputError("the file is not a DICOM file", remedy="Give the files as exported.", code="not_dicom")
    start, syntax = file_meta(feed.content)
    if syntax == DEFLATED:
        feed.inflate(start)
        start = 0
        feed.more(FIRST_BYTES)
    elements = Elements(start, syntax, values=VALUES, sequences=SEQUENCES)
    while not elements.walk(feed.content, whole=feed.ended):
        if len(feed.content) > MAX_HEADER_BYTES:
            raise InputError(
                f"the header is larger than {MAX_HEADER_BYTES >> 20} MB", remedy="Check the file.", code="too_large"
            )
        feed.more(len(feed.content))
    values = _values(feed.content, elements.found, ">" if syntax == BIG_ENDIAN else "<")
    return _instance(values, name, stamp, syntax, elements.pixels)


def _values(content: bytearray, spans: Spans, order: str) -> _Values:
    found = {
        tag: [_values(content, item, order) for item in span]
        if isinstance(span, list)
        else bytes(content[span[0] : span[1]])
        for tag, span in spans.items()
    }
    return _Values(found, order)


class _Values:
    """The values of one data set by tag, as stored."""

    __slots__ = ("_found", "order")

    def __init__(self, found: Mapping[int, bytes | list[_Values]], order: str) -> None:
        self._found = found
        self.order = order

    def raw(self, tag: int) -> bytes:
        value = self._found.get(tag, b"")
        return value if isinstance(value, bytes) else b""

    def only(self, tags: Iterable[int]) -> tuple[tuple[int, bytes], ...]:
        """Some of them, to be looked up among those of other files."""
        return tuple((tag, self.raw(tag)) for tag in tags)

    def text(self, tag: int) -> str:
        return _text(self.raw(tag))

    def words(self, tag: int) -> tuple[str, ...]:
        return _words(self.raw(tag))

    def decimals(self, tag: int) -> tuple[float, ...]:
        """Decimal or integer strings; none where one of them is no number."""
        return _decimals(self.raw(tag))

    def decimal(self, tag: int) -> float | None:
        found = self.decimals(tag)
        return found[0] if found else None

    def integer(self, tag: int) -> int | None:
        found = self.decimal(tag)
        return int(found) if found is not None and abs(found) < 2**31 else None

    def binary(self, tag: int, code: str) -> float | None:
        """The first of binary numbers: `code` is that of `struct`."""
        value, size = self.raw(tag), struct.calcsize(code)
        found = float(struct.unpack(self.order + code, value[:size])[0]) if len(value) >= size else None
        return found if found is not None and abs(found) < LARGEST else None

    def short(self, tag: int, otherwise: int) -> int:
        found = self.binary(tag, "H")
        return otherwise if found is None else int(found)

    def items(self, tag: int) -> list[_Values]:
        value = self._found.get(tag, b"")
        return value if isinstance(value, list) else []


def _text(raw: bytes) -> str:
    return raw.decode("ascii", "replace").strip(" \0")


# Most values are the same in every file of a series.
@lru_cache(maxsize=256)
def _words(raw: bytes) -> tuple[str, ...]:
    return tuple(WORDS.sub("", word.strip().upper()) for word in _text(raw).split("\\") if word.strip())


@lru_cache(maxsize=256)
def _decimals(raw: bytes) -> tuple[float, ...]:
    cells = [cell.strip() for cell in _text(raw).split("\\")]
    if not all(len(cell) <= 32 and NUMBER.fullmatch(cell) for cell in cells):
        return ()
    found = tuple(float(cell) for cell in cells)
    return found if all(abs(value) < LARGEST for value in found) else ()


def _instance(values: _Values, name: str, stamp: tuple[int, ...], syntax: str, pixels: PixelElement | None) -> Instance:
    sop_class = values.text(SOP_CLASS)
    enhanced = sop_class in ENHANCED
    groups = _frames(values) if enhanced else []
    planes = tuple(_frame_plane(group, values) for group in groups) if enhanced else (_plane(values),)
    frames = values.integer(FRAMES)
    if not planes:
        raise bad_header("the header describes no frame")
    if (1 if frames is None else frames) != len(planes):
        if enhanced:
            raise bad_header(f"the header declares {frames} frames and describes {len(planes)}")
        # A film loop of some other kind; what it is told as follows from its class.
        planes = planes[:1] * min(max(frames or 1, 1), 1 << 16)
    return Instance(
        name=name,
        stamp=stamp,
        syntax=syntax,
        sop_class=sop_class,
        series_uid=values.text(SERIES_UID),
        study_uid=values.text(STUDY_UID),
        series_number=values.integer(SERIES_NUMBER),
        modality=values.text(MODALITY),
        rows=values.short(ROWS, 0),
        columns=values.short(COLUMNS, 0),
        stored=_stored(values.only(STORED_TAGS), values.order),
        pixels=pixels,
        planes=planes,
        burned_in=values.text(BURNED_IN).upper() == "YES",
        protocol=_protocol(values, groups[0] if groups else {}),
    )


# The files of a series share it, and the memory it takes.
@lru_cache(maxsize=64)
def _stored(found: tuple[tuple[int, bytes], ...], order: str) -> Stored:
    values = _Values(dict(found), order)
    allocated = values.short(ALLOCATED, 0)
    return Stored(
        allocated=allocated,
        stored=values.short(STORED, allocated),
        high_bit=values.short(HIGH_BIT, values.short(STORED, allocated) - 1),
        signed=values.short(SIGNED, 0) == 1,
        samples=values.short(SAMPLES, 1),
        photometric=values.text(PHOTOMETRIC),
    )


def _plane(values: _Values) -> Plane:
    """The slice of a classic image."""
    echo_ms = values.decimal(TE)
    return Plane(
        position=_exactly(3, values.decimals(POSITION)),
        orientation=_exactly(6, values.decimals(ORIENTATION)),
        spacing_mm=_exactly(2, values.decimals(SPACING)),
        thickness_mm=values.decimal(THICKNESS),
        between_mm=_length(values.decimal(BETWEEN)),
        number=values.integer(IMAGE_NUMBER),
        slope=_scaling(values, SLOPE, 1.0),
        intercept=_scaling(values, INTERCEPT, 0.0),
        kind=values.words(IMAGE_TYPE),
        echo=(values.integer(ECHO_NUMBER) or 0, -1 if echo_ms is None else round(10 * echo_ms)),
        weighting=(values.binary(B_VALUE, "d"), values.decimal(MOMENT)),
    )


def _frames(values: _Values) -> list[dict[int, _Values]]:
    """The functional groups of each frame, those that all frames share among them."""
    shared = _groups(values.items(SHARED))
    return [shared | _groups([item]) for item in values.items(PER_FRAME)]


def _groups(items: list[_Values]) -> dict[int, _Values]:
    return {tag: found[0] for item in items[:1] for tag in GROUPS if (found := item.items(tag))}


def _frame_plane(groups: dict[int, _Values], values: _Values) -> Plane:
    """The slice of one frame of an enhanced image."""
    nothing = _Values({}, "<")

    def of(tag: int) -> _Values:
        return groups.get(tag, nothing)

    measures, echo_ms = of(MEASURES_GROUP), of(ECHO_GROUP).binary(EFFECTIVE_TE, "d")
    kind = of(TYPE_GROUP).words(FRAME_TYPE)
    return Plane(
        position=_exactly(3, of(POSITION_GROUP).decimals(POSITION)),
        orientation=_exactly(6, of(ORIENTATION_GROUP).decimals(ORIENTATION)),
        spacing_mm=_exactly(2, measures.decimals(SPACING)),
        thickness_mm=measures.decimal(THICKNESS),
        between_mm=_length(measures.decimal(BETWEEN)),
        number=None,
        slope=_scaling(of(VALUE_GROUP), SLOPE, 1.0),
        intercept=_scaling(of(VALUE_GROUP), INTERCEPT, 0.0),
        kind=kind if kind else values.words(IMAGE_TYPE),
        echo=(0, -1 if echo_ms is None else round(10 * echo_ms)),
        weighting=(of(DIFFUSION_GROUP).binary(B_VALUE, "d"), of(CONTENT_GROUP).binary(CONTENT_MOMENT, "I")),
    )


def _protocol(values: _Values, groups: dict[int, _Values]) -> Protocol:
    nothing = _Values({}, "<")
    timing, modifier, echo = (groups.get(tag, nothing) for tag in (TIMING_GROUP, MODIFIER_GROUP, ECHO_GROUP))
    return _protocol_of(
        values.only(PROTOCOL_TAGS),
        timing.only((TR, FLIP)) + modifier.only((INVERSION, INVERSION_TIMES)) + echo.only((EFFECTIVE_TE,)),
        values.order,
    )


# The files of a series share it, too.
@lru_cache(maxsize=64)
def _protocol_of(found: tuple[tuple[int, bytes], ...], grouped: tuple[tuple[int, bytes], ...], order: str) -> Protocol:
    values, group = _Values(dict(found), order), _Values(dict(grouped), order)
    scanning = set(values.words(SCANNING))
    pulse = values.text(ECHO_PULSE).upper()
    scanning |= {"SE"} if pulse == "SPIN" else {"GR"} if pulse == "GRADIENT" else set()
    scanning |= {"IR"} if group.text(INVERSION).upper() == "YES" else set()
    text = " ".join(values.text(tag) for tag in (SERIES_TEXT, PROTOCOL_TEXT, SEQUENCE_TEXT, PULSE_TEXT))
    return Protocol(
        scanning=frozenset(scanning),
        steady="SS" in values.words(VARIANT),
        three_d=values.text(ACQUISITION).upper() == "3D",
        tr_ms=_first(values.decimal(TR), group.decimal(TR)),
        te_ms=_first(values.decimal(TE), group.binary(EFFECTIVE_TE, "d")),
        ti_ms=_first(values.decimal(TI), group.binary(INVERSION_TIMES, "d")),
        flip_deg=_first(values.decimal(FLIP), group.decimal(FLIP)),
        field_t=values.decimal(FIELD),
        contrast_agent=values.text(CONTRAST).upper() not in ("", "NO", "NONE", "N"),
        named=named_contrast(text),
        body_part=values.text(BODY_PART),
        maker=values.text(MAKER),
        model=values.text(MODEL),
    )


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _length(value: float | None) -> float | None:
    """Without its sign, by which some programs mean the order of slices."""
    return None if value is None else abs(value)


def _exactly(count: int, values: tuple[float, ...]) -> tuple[float, ...] | None:
    return values if len(values) == count else None


def _scaling(values: _Values, tag: int, otherwise: float) -> float:
    """NaN where it is there and no number, which the reader refuses."""
    if not values.raw(tag).strip(b" \0"):
        return otherwise
    found = values.decimals(tag)
    return found[0] if len(found) == 1 else math.nan
