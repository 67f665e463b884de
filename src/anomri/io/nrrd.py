"""NRRD: a header of text (`.nrrd`) with the voxels behind it, or (`.nhdr`) with the voxels in a file beside it.

Read here and not by SimpleITK, which opens whatever file a header names, wherever it lies, and allocates what a header
declares.

References
----------
The format: https://teem.sourceforge.net/nrrd/format.html, NRRD0001 to NRRD0005.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomri.errors import InputError
from anomri.io.axes import NO_ORIENTATION, affine_of_axes, floats
from anomri.io.guard import Image, check_affine, check_shape, image_of
from anomri.io.payload import Payload
from anomri.io.stream import ByteStream

__all__ = ["is_nrrd", "read_nrrd"]

READER = "anomri.nrrd 1"
MAGIC = re.compile(rb"NRRD000[1-5]\r?\n")
TYPES = {
    "i1": "signed char, int8, int8_t",
    "u1": "uchar, unsigned char, uint8, uint8_t",
    "i2": "short, short int, signed short, signed short int, int16, int16_t",
    "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "i4": "int, signed int, int32, int32_t",
    "u4": "uint, unsigned int, uint32, uint32_t",
    "i8": "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t",
    "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "f4": "float",
    "f8": "double",
}
TYPE_OF = {name: kind for kind, names in TYPES.items() for name in names.split(", ")}
# What the file's world says of left and right; of LAS only x has to be turned.
TO_RAS = {
    "left-posterior-superior": (-1.0, -1.0), "lps": (-1.0, -1.0), "right-anterior-superior": (1.0, 1.0),
    "ras": (1.0, 1.0), "left-anterior-superior": (-1.0, 1.0), "las": (-1.0, 1.0),
}  # fmt: skip
REMEDY = "Repair the header or convert the scan again from its source."


def is_nrrd(head: bytes) -> bool:
    """Whether a file's first bytes are those of an NRRD header."""
    return MAGIC.match(head) is not None


def read_nrrd(stream: ByteStream, *, max_voxels: int) -> Image:
    """Read one 3D image or single slice, raw or gzip.

    Raises
    ------
    InputError : see the codes in this package's `read`.
    """
    fields, end = _fields(stream.head)
    payload, affine, notes = _parse(fields, end, max_voxels=max_voxels)
    voxels, noticed, digest = payload.read(stream)
    noticed += notes
    return image_of(voxels, affine, format="nrrd", reader=READER, sha256=digest, notes=noticed)


def _fields(head: bytes) -> tuple[dict[str, str], int | None]:
    """Fields by their names in lower case, and the byte after the empty line; None in a header without one."""
    fields: dict[str, str] = {}
    at = head.index(b"\n") + 1
    while (end := head.find(b"\n", at)) >= 0:
        line = head[at:end].decode("latin-1").strip("\r")
        at = end + 1
        if not line:
            return fields, at
        _add(fields, line)
        if _in_several_files(fields):
            return fields, None  # their names follow, one a line
    if at < len(head):
        _add(fields, head[at:].decode("latin-1"))
    return fields, None


def _in_several_files(fields: dict[str, str]) -> bool:
    data_file = fields.get("data file", fields.get("datafile"))
    return data_file is not None and (not data_file or "%" in data_file or data_file.split()[0].upper() == "LIST")


def _add(fields: dict[str, str], line: str) -> None:
    # Comments, and key:=value pairs, which say nothing of the grid and may name a person.
    if line.startswith("#") or re.match(r"[^:]*:=", line):
        return
    name, colon, value = line.partition(":")
    if not colon:
        raise _bad("a line of the header has no value")
    fields[name.strip().lower()] = value.strip()


def _parse(
    fields: dict[str, str], end: int | None, *, max_voxels: int
) -> tuple[Payload, NDArray[np.float64], tuple[str, ...]]:
    data_file = fields.get("data file", fields.get("datafile"))
    if data_file is None and end is None:
        raise InputError(
            "the file ends inside its header, or the header is too long", remedy="Copy it again.", code="truncated"
        )
    if _in_several_files(fields):
        raise InputError(
            "the voxels lie in several files", remedy="Write the image into one file.", code="unsupported_layout"
        )
    sizes = _sizes(fields)
    stored = _stored_type(fields)
    directions = _directions(fields, len(sizes))
    shape, used = _shape(sizes, directions)
    check_shape(shape, max_voxels=max_voxels)
    affine, notes = _affine(fields, directions, used)
    encoding = fields.get("encoding", "").lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise InputError(
            f"the voxels are encoded as {encoding[:40]!r}", remedy="Write them raw or gzip.", code="unsupported_layout"
        )
    skip = _offset(fields, deflated=encoding != "raw")
    offset = skip if data_file is not None or skip < 0 else (end or 0) + skip
    return Payload(shape, stored, data_file, offset, encoding != "raw"), affine, notes


def _sizes(fields: dict[str, str]) -> list[int]:
    axes, sizes = floats(fields.get("dimension")), floats(fields.get("sizes"))
    if len(axes) != 1 or not 1 <= axes[0] <= 16 or len(sizes) != axes[0] or not all(_is_size(n) for n in sizes):
        raise _bad(f"the header declares the sizes {fields.get('sizes', '')[:40]!r}")
    return [int(n) for n in sizes]


def _is_size(number: float) -> bool:
    return 1 <= number < 2**31 and number.is_integer()


def _directions(fields: dict[str, str], axes: int) -> list[list[float] | None]:
    """What one voxel further along each axis is in the world; None for an axis that does not lie in space."""
    if "space directions" in fields:
        words = re.findall(r"none|\([^()]*\)", fields["space directions"])
        found = [None if word == "none" else floats(word[1:-1].replace(",", " ")) for word in words]
    else:
        spacings = floats(fields.get("spacings"))
        spatial = [math.isfinite(length) for length in spacings]
        found, position = [], 0
        for length, lies in zip(spacings, spatial, strict=True):
            found.append([length if n == position else 0.0 for n in range(sum(spatial))] if lies else None)
            position += lies
    if len(found) != axes:
        raise InputError("the header gives no voxel size", remedy=REMEDY, code="geometry")
    return found


def _shape(sizes: list[int], directions: list[list[float] | None]) -> tuple[tuple[int, int, int], list[int]]:
    """(X, Y, Z), and which axes of the file these are."""
    used = [axis for axis, direction in enumerate(directions) if direction is not None]
    several = math.prod(n for axis, n in enumerate(sizes) if axis not in used)
    if several > 1 or not 2 <= len(used) <= 3:
        raise InputError(
            f"the file holds {several} values a voxel along {len(used)} axes",
            remedy="Split it and give one volume.",
            code="not_one_volume",
        )
    x, y, z = [*(sizes[axis] for axis in used), 1][:3]
    return (x, y, z), used


def _stored_type(fields: dict[str, str]) -> np.dtype[Any]:
    name = re.sub(r"\s+", " ", fields.get("type", ""))
    if name not in TYPE_OF:
        raise InputError(
            f"the image holds values of the type {name[:40]!r}",
            remedy="Give a scan of real numbers (magnitude).",
            code="unsupported_type",
        )
    order = fields.get("endian", "").lower()
    if order not in ("little", "big") and TYPE_OF[name][1] != "1":
        raise _bad("the header does not give the order of the bytes")
    return np.dtype((">" if order == "big" else "<") + TYPE_OF[name])


def _affine(
    fields: dict[str, str], directions: list[list[float] | None], used: list[int]
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    units = re.findall(r'"([^"]*)"', fields.get("space units", fields.get("units", "")))
    if any(unit.strip().lower() not in ("", "mm", "millimeter", "millimeters", "millimetre") for unit in units):
        raise InputError(
            f"the header gives lengths in {', '.join(units)[:40]}", remedy="Write them in millimetres.", code="units"
        )
    steps = [direction for direction in directions if direction is not None]
    space = len(steps[0])
    origin = floats(fields.get("space origin", "").strip("() ").replace(",", " "))
    origin = origin if "space origin" in fields else [0.0] * space
    if not len(used) <= space <= 3 or any(len(step) != space for step in steps) or len(origin) != space:
        raise InputError("directions and origin of the header do not fit", remedy=REMEDY, code="geometry")
    known = fields.get("space", "").lower() in TO_RAS
    # Without a known space the world is taken for LPS, as ITK does.
    signs = TO_RAS[fields["space"].lower()] if known else (-1.0, -1.0)
    affine = affine_of_axes(np.array(steps), np.array(origin), x_y_to_ras=signs)
    check_affine(affine)
    return affine, () if known else (NO_ORIENTATION,)


def _offset(fields: dict[str, str], *, deflated: bool) -> int:
    lines, skipped = (floats(_either(fields, name, "0")) for name in ("line skip", "byte skip"))
    if lines != [0.0]:
        raise InputError(
            "lines of text stand before the voxels", remedy="Write the image without them.", code="unsupported_layout"
        )
    if len(skipped) != 1 or not skipped[0].is_integer() or not -1 <= skipped[0] < 2**62:
        raise _bad("the header puts the voxels at an impossible byte")
    if deflated and skipped[0] > 0:
        raise InputError(
            "bytes stand before the voxels inside the compressed data",
            remedy="Write the image without them.",
            code="unsupported_layout",
        )
    return int(skipped[0])


def _either(fields: dict[str, str], name: str, default: str) -> str:
    return fields.get(name, fields.get(name.replace(" ", ""), default))


def _bad(cause: str) -> InputError:
    return InputError(cause, remedy=REMEDY, code="bad_header")
