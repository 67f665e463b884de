"""A single slice from a NumPy array of rows and columns, `.npy` or alone in an `.npz`; nothing is unpickled.

What a picture does not say, an array does not say either: see `picture`.
"""

from __future__ import annotations

import warnings
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomri.errors import InputError
from anomri.io.guard import Image, check_shape
from anomri.io.picture import MAX_FILE_BYTES, slice_of
from anomri.io.stream import HEAD_BYTES, ByteStream, truncated

__all__ = ["is_npy", "is_npz", "read_npy", "read_npz"]

NPY_MAGIC = b"\x93NUMPY"
ZIP_MAGIC = b"PK\x03\x04"
# Of a local file header, in front of the member's name (APPNOTE.TXT 6.3.10, 4.3.7).
ZIP_NAME_AT = 30


def is_npy(head: bytes) -> bool:
    """Whether a file's first bytes are those of a NumPy array."""
    return head.startswith(NPY_MAGIC)


def is_npz(head: bytes) -> bool:
    """Whether a file's first bytes are those of a zip whose first member is a NumPy array."""
    length = int.from_bytes(head[26:28], "little")
    return head.startswith(ZIP_MAGIC) and head[ZIP_NAME_AT : ZIP_NAME_AT + length].endswith(b".npy")


def read_npy(stream: ByteStream, *, max_voxels: int) -> Image:
    """Read one array of real numbers, (rows, columns); axes of length 1 are dropped.

    Raises
    ------
    InputError : see the codes in this package's `read`.
    """
    layout = _Layout(stream.head, max_voxels)
    stream.expect(layout.offset + layout.n_bytes)
    rows = layout.rows(stream.take)
    stream.finish()
    return slice_of(rows, "npy", stream, [])


def read_npz(stream: ByteStream, *, max_voxels: int) -> Image:
    """Read the one array of an archive, as `read_npy` does. What the archive says of sizes is not believed.

    Raises
    ------
    InputError : see the codes in this package's `read`.
    """
    content = BytesIO(stream.rest(MAX_FILE_BYTES))
    stream.finish()
    try:
        with zipfile.ZipFile(content) as archive:
            names = archive.namelist()
            if len(names) != 1:
                raise InputError(
                    f"the archive holds {len(names)} arrays",
                    remedy="Save the one slice alone with numpy.savez.",
                    code="not_one_volume",
                )
            with archive.open(names[0]) as member:
                rows = _member(member.read, max_voxels)
    except InputError:
        raise
    # RuntimeError: a password; NotImplementedError: a compression that Python lacks.
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, NotImplementedError) as error:
        raise InputError(
            "the archive is damaged, cut off or of an unknown kind", remedy="Save it again.", code="damaged"
        ) from error
    return slice_of(rows, "npz", stream, [])


def _member(read: Callable[[int], bytes], max_voxels: int) -> NDArray[Any]:
    head = read(HEAD_BYTES)
    if not is_npy(head):
        raise InputError(
            "the archive's member is no NumPy array", remedy="Save it again with numpy.savez.", code="bad_header"
        )
    layout = _Layout(head, max_voxels)
    whole = head + read(max(0, layout.offset + layout.n_bytes - len(head)))
    if len(whole) < layout.offset + layout.n_bytes:
        raise truncated()
    ahead = BytesIO(whole)
    rows = layout.rows(ahead.read)
    # The last byte read is where Python compares the checksum.
    if ahead.read(1) or read(1):
        raise InputError(
            "the archive's member goes on after its array", remedy="Save it again with numpy.savez.", code="too_large"
        )
    return rows


class _Layout:
    """What the header of an array says, checked."""

    def __init__(self, start: bytes, max_voxels: int) -> None:
        head = BytesIO(start)
        try:
            version = np.lib.format.read_magic(head)
            read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            with warnings.catch_warnings():
                # Of headers that Python 2 wrote.
                warnings.simplefilter("ignore")
                shape, by_columns, kind = read_header[version](head)
        # The header is a Python literal: a damaged one raises whatever Python's tokenizer and parser stumble over.
        except Exception as error:
            raise InputError(
                "the header of the NumPy array cannot be read",
                remedy="Save it again with numpy.save.",
                code="bad_header",
            ) from error
        if kind.hasobject or kind.kind not in "buif":
            raise InputError(
                "the NumPy array does not hold real numbers",
                remedy="Give an array of numbers.",
                code="unsupported_type",
            )
        self._sides = [n for n in shape if n != 1]
        if len(self._sides) != 2:
            raise InputError(
                f"the NumPy array has the shape {' × '.join(map(str, shape)) or '()'}",
                remedy="Give one slice, rows × columns; volumes need a format with a geometry, such as NIfTI.",
                code="not_one_volume",
            )
        check_shape((self._sides[1], self._sides[0], 1), max_voxels=max_voxels)
        self.offset = head.tell()
        self.n_bytes = self._sides[0] * self._sides[1] * kind.itemsize
        self._kind, self._by_columns = kind, by_columns

    def rows(self, take: Callable[[int], bytes | bytearray]) -> NDArray[Any]:
        """(rows, columns) as stored."""
        take(self.offset)
        stored = np.frombuffer(take(self.n_bytes), dtype=self._kind)
        return stored.reshape(self._sides, order="F" if self._by_columns else "C")
