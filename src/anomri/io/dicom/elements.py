"""A walk over the elements of a DICOM file up to its pixels, which notes where the few values stand that are asked for.

pydicom follows nested sequences by recursion and takes lengths at their word. Here the structure is followed in a loop
and piece by piece as the bytes come in: depth, number of elements and lengths are bounded, and the walk ends where the
pixels begin, so that a header can be judged before they are read. Nothing else of a header is looked at, and most of
its elements cost a step each.

References
----------
PS3.5 section 7 (data sets and sequences), PS3.10 section 7 (file meta information).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal, TypeAlias

from anomri.errors import InputError
from anomri.io.dicom.problems import bad_header, truncated

__all__ = ["BIG_ENDIAN", "DEFLATED", "IMPLICIT", "NATIVE", "Elements", "PixelElement", "Spans", "file_meta", "is_dicom"]

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
SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
DELIMITER_TAGS = (0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD)
DELIMITERS, ITEM, ITEM_END, SEQUENCE_END = 0xFFFE, 0xE000, 0xE00D, 0xE0DD
PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
PER_FRAME = 0x52009230

# By tag: first byte and end of a value in the content, or the items of a sequence.
Spans: TypeAlias = "dict[int, tuple[int, int] | list[Spans]]"


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
    """One open sequence, item, or row of fragments; `end` is None where a delimiter ends it.

    `items` are those of a sequence that is kept, `values` what is kept of an item.
    """

    kind: Literal["items", "elements", "fragments"]
    end: int | None
    bound: int | None
    implicit: bool
    frames: bool
    items: list[Spans] | None = None
    values: Spans | None = None


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

    Parameters
    ----------
    start : where the data set begins.
    values, sequences : tags to keep, at the top and within the items of a sequence that is kept.

    Attributes
    ----------
    at : how far the walk has come, bytes.
    pixels : where the pixels stand, once the walk has come to them.
    found : what was kept, the last one where a tag is there twice.
    """

    def __init__(self, start: int, syntax: str, *, values: frozenset[int], sequences: frozenset[int]) -> None:
        order = ">" if syntax == BIG_ENDIAN else "<"
        self.at = start
        self.pixels: PixelElement | None = None
        self.found: Spans = {}
        self._values, self._sequences = values, sequences
        self._asked = values.union(PIXEL_TAGS, DELIMITER_TAGS)
        self._implicit = syntax == IMPLICIT
        self._head, self._long = struct.Struct(f"{order}HH2sH"), struct.Struct(f"{order}I")
        self._levels: list[_Level] = []
        self._left = [MAX_ELEMENTS, MAX_ELEMENTS_OF_FRAMES]

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
            if not levels and not self._implicit:
                self._pass(content, size)
            while levels and levels[-1].end is not None and self.at >= levels[-1].end:
                levels.pop()
            if self.at + 14 > size and not whole:
                return False
            if self.at == size and not levels:
                return True
            if self.at + 8 > size:
                raise InputError("the file ends inside its header", remedy="Copy or export it again.", code="truncated")
            group, number, kind, length = self._head.unpack_from(content, self.at)
            if group == DELIMITERS:
                self._delimiter(content, number)
            elif levels and levels[-1].kind != "elements":
                raise bad_header("an element stands where an item should")
            elif self._element(content, group << 16 | number, kind, length):
                return True

    def _pass(self, content: bytearray, size: int) -> None:
        """Step over what nobody asked for at the top, which most of a header is, as quickly as Python can."""
        at, left, head, asked = self.at, self._left[False], self._head.unpack_from, self._asked
        while at + 14 <= size and left:
            group, number, kind, length = head(content, at)
            if kind not in SHORT or group << 16 | number in asked:
                break
            at += 8 + length
            left -= 1
        self.at, self._left[False] = at, left

    def _element(self, content: bytearray, tag: int, kind: bytes, length: int) -> bool:
        """Step over an element or into it; whether it holds the pixels.

        Parameters
        ----------
        kind, length : as they stand in an explicit header of eight bytes.
        """
        if self._levels:
            level = self._levels[-1]
            implicit, in_frames, found = level.implicit, level.frames, level.values
        else:
            implicit, in_frames, found = self._implicit, False, self.found
        self._count(in_frames)
        start = self.at + 8
        if implicit or not (b"AA" <= kind <= b"ZZ"):
            # Some writers change to implicit types inside a sequence.
            kind, length = b"", self._long.unpack_from(content, self.at + 4)[0]
        elif kind in LONG:
            if start + 4 > len(content):
                raise truncated("the file ends inside its header")
            length = self._long.unpack_from(content, start)[0]
            start += 4
        if tag in PIXEL_TAGS and not self._levels:
            self.pixels = PixelElement(tag & 0xFFFF, self.at, start, None if length == UNDEFINED else length)
            return True
        self.at = start
        # A sequence without a type is known by its tag.
        kept = found is not None and tag in self._sequences and kind in (b"SQ", b"UN", b"")
        if length == UNDEFINED or kind == b"SQ" or kept:
            nested = kind in (b"SQ", b"UN", b"")
            items: list[Spans] | None = [] if kept else None
            if found is not None and items is not None:
                found[tag] = items
            self._enter(
                "items" if nested else "fragments",
                None if length == UNDEFINED else start + length,
                implicit or kind == b"UN",
                in_frames or (kept and tag == PER_FRAME),
                items=items,
            )
        else:
            if found is not None and tag in self._values:
                found[tag] = (start, start + length)
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
            values: Spans | None = None if level.items is None else {}
            if level.items is not None and values is not None:
                level.items.append(values)
            self._enter("elements", end, level.implicit or not explicit, level.frames, values=values)
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
        self,
        kind: Literal["items", "elements", "fragments"],
        end: int | None,
        implicit: bool,
        frames: bool,
        *,
        items: list[Spans] | None = None,
        values: Spans | None = None,
    ) -> None:
        bound = self._levels[-1].bound if self._levels else None
        if end is not None and bound is not None and end > bound:
            raise bad_header("a part of the header is longer than the whole")
        self._levels.append(_Level(kind, end, bound if end is None else end, implicit, frames, items, values))
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
        self._left[in_frames] -= 1
        if self._left[in_frames] < 0:
            raise InputError(
                "the header has more elements than that of a scan",
                remedy="Get the file again from a source you trust.",
                code="too_many_elements",
            )
