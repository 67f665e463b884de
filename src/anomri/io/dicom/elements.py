"""A first walk over the elements of a DICOM file, before pydicom sees them.

pydicom follows nested sequences by recursion and takes lengths at their word. Here the structure alone is followed, in
a loop and piece by piece as the bytes come in: depth, number of elements and lengths are bounded, and the walk ends
where the pixels begin, so that a header can be judged before they are read.

References
----------
PS3.5 section 7 (data sets and sequences), PS3.10 section 7 (file meta information).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from anomri.errors import InputError
from anomri.io.dicom.problems import bad_header, truncated

__all__ = ["BIG_ENDIAN", "DEFLATED", "IMPLICIT", "NATIVE", "Elements", "PixelElement", "file_meta", "is_dicom"]

MAX_DEPTH = 32
MAX_ELEMENTS = 20_000
# An enhanced image describes each of its frames in elements of its own.
MAX_ELEMENTS_OF_FRAMES = 400_000
UNDEFINED = 0xFFFFFFFF
PREAMBLE, PREFIX = 128, b"DICM"
META_START = b"\x02\0\0\0UL"
IMPLICIT, DEFLATED, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
NATIVE = (IMPLICIT, "1.2.840.10008.1.2.1", DEFLATED, BIG_ENDIAN)
# Their length takes four bytes; that of all other types takes two.
LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
DELIMITERS, ITEM, ITEM_END, SEQUENCE_END = 0xFFFE, 0xE000, 0xE00D, 0xE0DD
PIXELS, PIXEL_NUMBERS = 0x7FE0, (0x0008, 0x0009, 0x0010)
FRAMES, SHARED_NUMBER, PER_FRAME_NUMBER = 0x5200, 0x9229, 0x9230


@dataclass(frozen=True, slots=True)
class PixelElement:
    """Where the pixels stand in the content.

    Parameters
    ----------
    number : 0x0010 for integers; 0x0008 and 0x0009 for floats.
    at, start : of the element and of its value, bytes.
    length : of the value, bytes; None where it is in fragments, which end themselves.
    """

    number: int
    at: int
    start: int
    length: int | None


@dataclass(slots=True)
class _Level:
    """One open sequence, item, or row of fragments; `end` is None where a delimiter ends it."""

    kind: Literal["items", "elements", "fragments"]
    end: int | None
    bound: int | None
    implicit: bool
    frames: bool


def is_dicom(head: bytes) -> bool:
    """Whether a file's first bytes are those of a DICOM file; the preamble may be missing."""
    return head[PREAMBLE : PREAMBLE + 4] == PREFIX or head.startswith(META_START)


def file_meta(head: bytes | bytearray) -> tuple[int, str]:
    """Where the data set begins, and its transfer syntax.

    Raises
    ------
    InputError : the head holds no file meta information, or it names no transfer syntax (`bad_header`).
    """
    content = bytes(head)
    at = PREAMBLE + 4 if content[PREAMBLE : PREAMBLE + 4] == PREFIX else 0
    syntax = ""
    while content[at : at + 2] == b"\x02\0" and at + 12 <= len(content):
        number, kind, length = struct.unpack_from("<H2sH", content, at + 2)
        start = at + 8
        if kind in LONG:
            (length,) = struct.unpack_from("<I", content, at + 8)
            start = at + 12
        if number == 0x0010:
            syntax = content[start : start + length].decode("ascii", "replace").strip(" \0")
        at = start + length
    if not syntax or at > len(content):
        raise bad_header("the file names no transfer syntax")
    return at, syntax


class Elements:
    """A walk that can be taken in steps.

    Attributes
    ----------
    at : how far the walk has come, bytes.
    pixels : where the pixels stand, once the walk has come to them.
    """

    def __init__(self, start: int, syntax: str) -> None:
        order = ">" if syntax == BIG_ENDIAN else "<"
        self.at = start
        self.pixels: PixelElement | None = None
        self._implicit = syntax == IMPLICIT
        self._tag, self._short = struct.Struct(f"{order}HH"), struct.Struct(f"{order}H")
        self._long = struct.Struct(f"{order}I")
        self._levels: list[_Level] = []
        self._counted = [0, 0]

    def walk(self, content: bytearray, *, whole: bool) -> bool:
        """Go on as far as the content goes.

        Parameters
        ----------
        whole : nothing comes after this content.

        Returns
        -------
        Whether the walk is over: at the pixels, or at the end of the file.

        Raises
        ------
        InputError : `too_deep`, `too_many_elements`, `truncated`, or no DICOM structure (`bad_header`).
        """
        levels, size = self._levels, len(content)
        while True:
            while levels and levels[-1].end is not None and self.at >= levels[-1].end:
                levels.pop()
            if self.at + 14 > size and not whole:
                return False
            if self.at == size and not levels:
                return True
            if self.at + 8 > size:
                raise InputError("the file ends inside its header", remedy="Copy or export it again.", code="truncated")
            group, number = self._tag.unpack_from(content, self.at)
            if group == DELIMITERS:
                self._delimiter(content, number)
            elif levels and levels[-1].kind != "elements":
                raise bad_header("an element stands where an item should")
            elif self._element(content, group, number):
                return True

    def _element(self, content: bytearray, group: int, number: int) -> bool:
        """Step over an element or into it; whether it holds the pixels."""
        level = self._levels[-1] if self._levels else None
        implicit = self._implicit if level is None else level.implicit
        in_frames = level is not None and level.frames
        self._count(in_frames)
        kind = bytes(content[self.at + 4 : self.at + 6])
        if implicit or not (b"AA" <= kind <= b"ZZ"):
            # Some writers change to implicit types inside a sequence; pydicom follows them, too.
            kind, start, length = b"", self.at + 8, self._long.unpack_from(content, self.at + 4)[0]
        elif kind in LONG:
            if self.at + 12 > len(content):
                raise truncated("the file ends inside its header")
            start, length = self.at + 12, self._long.unpack_from(content, self.at + 8)[0]
        else:
            start, length = self.at + 8, self._short.unpack_from(content, self.at + 6)[0]
        if level is None and group == PIXELS and number in PIXEL_NUMBERS:
            self.pixels = PixelElement(number, self.at, start, None if length == UNDEFINED else length)
            return True
        described = group == FRAMES and number in (SHARED_NUMBER, PER_FRAME_NUMBER)
        frames = in_frames or (described and number == PER_FRAME_NUMBER)
        self.at = start
        if length == UNDEFINED:
            nested = kind in (b"SQ", b"UN", b"")
            self._enter("items" if nested else "fragments", None, implicit or kind == b"UN", frames)
        elif kind == b"SQ" or (described and kind == b""):
            self._enter("items", start + length, implicit, frames)
        else:
            self._skip(length)
        return False

    def _delimiter(self, content: bytearray, number: int) -> None:
        level = self._levels[-1] if self._levels else None
        (length,) = self._long.unpack_from(content, self.at + 4)
        self.at += 8
        if number == ITEM and level is not None and level.kind == "items":
            self._count(level.frames)
            end = None if length == UNDEFINED else self.at + length
            # Where the first element has no type, the item is implicit, whatever the file is.
            kind = content[self.at + 4 : self.at + 6]
            explicit = len(kind) == 2 and all(0x40 < letter < 0x5B for letter in kind)
            self._enter("elements", end, level.implicit or not explicit, level.frames)
        elif number == ITEM and level is not None and level.kind == "fragments" and length != UNDEFINED:
            self._skip(length)
        elif (
            level is not None
            and level.end is None
            and number == (ITEM_END if level.kind == "elements" else SEQUENCE_END)
        ):
            self._levels.pop()
        else:
            raise bad_header("items and sequences do not close as they open")

    def _enter(
        self, kind: Literal["items", "elements", "fragments"], end: int | None, implicit: bool, frames: bool
    ) -> None:
        bound = self._levels[-1].bound if self._levels else None
        if end is not None and bound is not None and end > bound:
            raise bad_header("a part of the header is longer than the whole")
        self._levels.append(_Level(kind, end, bound if end is None else end, implicit, frames))
        if sum(level.kind == "items" for level in self._levels) > MAX_DEPTH:
            raise InputError(
                f"the header nests sequences more than {MAX_DEPTH} deep",
                remedy="Get the file again from a source you trust.",
                code="too_deep",
            )

    def _skip(self, length: int) -> None:
        bound = self._levels[-1].bound if self._levels else None
        self.at += length
        if bound is not None and self.at > bound:
            raise bad_header("a part of the header is longer than the whole")

    def _count(self, in_frames: bool) -> None:
        self._counted[in_frames] += 1
        if self._counted[in_frames] > (MAX_ELEMENTS_OF_FRAMES if in_frames else MAX_ELEMENTS):
            raise InputError(
                "the header has more elements than that of a scan",
                remedy="Get the file again from a source you trust.",
                code="too_many_elements",
            )
