"""MetaImage: a header of text (`.mha`) with the voxels behind it, or (`.mhd`) with the voxels in a file beside it.

Read here and not by SimpleITK, which opens whatever file a header names, wherever it lies, and allocates what a header
declares. World coordinates of the file are LPS.

References
----------
The format: https://itk.org/Wiki/ITK/MetaIO/Documentation. Where it is silent, what ITK does, except that the line from
elements to intensities, which ITK leaves out, is applied.
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

__all__ = ["is_metaimage", "read_metaimage"]

READER = "anomri.metaimage 1"
TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
FIRST_KEYS = re.compile(rb"\s*(ObjectType|NDims|Comment)\s*=")
REMEDY = "Repair the header or convert the scan again from its source."


def is_metaimage(head: bytes) -> bool:
    """Whether a file's first bytes are those of a MetaImage header."""
    return FIRST_KEYS.match(head) is not None


def read_metaimage(stream: ByteStream, *, max_voxels: int) -> Image:
    """Read one 3D image or single slice, raw or compressed.

    Raises
    ------
    InputError : see the codes in this package's `read`.
    """
    fields, end = _fields(stream.head)
    payload, affine, notes = _parse(fields, end, max_voxels=max_voxels)
    voxels, noticed, digest = payload.read(stream)
    noticed += notes
    return image_of(voxels, affine, format="metaimage", reader=READER, sha256=digest, notes=noticed)


def _fields(head: bytes) -> tuple[dict[str, str], int]:
    """The header's fields, and the byte after them: `ElementDataFile` is always the last."""
    fields: dict[str, str] = {}
    at = 0
    while (end := head.find(b"\n", at)) >= 0:
        line = head[at:end].decode("latin-1").strip("\r")
        at = end + 1
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            if key:
                raise _bad("a line of the header has no value")
            continue
        fields[key] = value
        if key == "ElementDataFile":
            return fields, at
    if len(head) > at and head[at:].strip().startswith(b"ElementDataFile"):
        # The last line of a detached header may lack its end.
        key, _, value = head[at:].decode("latin-1").partition("=")
        return {**fields, key.strip(): value.strip()}, len(head)
    raise InputError(
        "the file ends inside its header, or the header is too long", remedy="Copy it again.", code="truncated"
    )


def _parse(
    fields: dict[str, str], end: int, *, max_voxels: int
) -> tuple[Payload, NDArray[np.float64], tuple[str, ...]]:
    if fields.get("ObjectType", "Image") != "Image":
        raise InputError("the file holds no image but another object", remedy="Give a scan.", code="unsupported_type")
    if not _flag(fields, "BinaryData", default=False):
        raise InputError(
            "the voxels are written as text", remedy="Write them in binary form.", code="unsupported_layout"
        )
    shape, used = _shape(fields)
    stored = _stored_type(fields)
    check_shape(shape, max_voxels=max_voxels)
    affine, notes = _affine(fields, used)
    slope, inter = (
        _number(fields, f"ElementToIntensityFunction{name}", d) for name, d in (("Slope", 1), ("Offset", 0))
    )
    if not (math.isfinite(slope) and math.isfinite(inter)) or slope == 0:
        raise _bad(f"the header scales values by {slope:g} and adds {inter:g}")
    data_file, offset = _place(fields, end)
    deflated = _flag(fields, "CompressedData", default=False)
    return Payload(shape, stored, data_file, offset, deflated, slope, inter), affine, notes


def _shape(fields: dict[str, str]) -> tuple[tuple[int, int, int], int]:
    """(X, Y, Z), and how many axes lie in space."""
    axes = _number(fields, "NDims", math.nan)
    sizes = floats(fields.get("DimSize", ""))
    if not 2 <= axes <= 7 or len(sizes) != axes or not all(n.is_integer() and n >= 1 for n in sizes):
        raise _bad(f"the header declares {axes:g} dimensions of the sizes {fields.get('DimSize', '')[:40]!r}")
    if (volumes := math.prod(sizes[3:])) > 1:
        raise InputError(f"the file holds {volumes:g} volumes", remedy="Split it and give one.", code="not_one_volume")
    x, y, z = [*(int(n) for n in sizes[:3]), 1][:3]
    return (x, y, z), int(axes)


def _stored_type(fields: dict[str, str]) -> np.dtype[Any]:
    kind, channels = fields.get("ElementType", ""), _number(fields, "ElementNumberOfChannels", 1)
    if channels != 1 or kind not in TYPES:
        what = f"{channels:g} channels" if channels != 1 else f"values of the type {kind[:40]!r}"
        raise InputError(
            f"the image holds {what}", remedy="Give a scan of real numbers (magnitude).", code="unsupported_type"
        )
    big = _flag(fields, "BinaryDataByteOrderMSB", default=_flag(fields, "ElementByteOrderMSB", default=False))
    return np.dtype((">" if big else "<") + TYPES[kind])


def _affine(fields: dict[str, str], axes: int) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    spacing = floats(_first(fields, "ElementSpacing", "ElementSize"))
    if len(spacing) != axes:
        raise InputError("the header gives no voxel size", remedy=REMEDY, code="geometry")
    rows = _first(fields, "TransformMatrix", "Orientation", "Rotation")
    turn = np.eye(axes) if rows is None else np.array(floats(rows))
    offset = floats(_first(fields, "Offset", "Position", "Origin") or "0 " * axes)
    if turn.size != axes * axes or len(offset) != axes:
        raise InputError("the header's orientation or origin has too few numbers", remedy=REMEDY, code="geometry")
    used = min(axes, 3)
    # The file lists the direction of one axis after the other.
    with np.errstate(all="ignore"):
        directions = turn.reshape(axes, axes)[:used, :used] * np.array(spacing)[:used, None]
    affine = affine_of_axes(directions, np.array(offset)[:used], x_y_to_ras=(-1.0, -1.0))
    check_affine(affine)
    return affine, () if rows is not None else (NO_ORIENTATION,)


def _place(fields: dict[str, str], end: int) -> tuple[str | None, int]:
    """The data file, and where in it the voxels begin; None for this one."""
    named = fields["ElementDataFile"]
    if named.upper() == "LOCAL":
        return None, end
    if not named or named.split()[0].upper() == "LIST" or "%" in named:
        raise InputError(
            "the voxels lie in several files", remedy="Write the image into one file.", code="unsupported_layout"
        )
    skipped = _number(fields, "HeaderSize", 0)
    if not skipped.is_integer() or not -1 <= skipped < 2**62:
        raise _bad(f"the header puts the voxels at byte {skipped:g}")
    return named, int(skipped)


def _first(fields: dict[str, str], *names: str) -> str | None:
    return next((fields[name] for name in names if name in fields), None)


def _flag(fields: dict[str, str], name: str, *, default: bool) -> bool:
    if name not in fields:
        return default
    return fields[name][:1].upper() in ("T", "1", "Y")


def _number(fields: dict[str, str], name: str, default: float) -> float:
    if name not in fields:
        return float(default)
    found = floats(fields[name])
    if len(found) != 1:
        raise _bad(f"{name} of the header is no number")
    return found[0]


def _bad(cause: str) -> InputError:
    return InputError(cause, remedy=REMEDY, code="bad_header")
