"""The voxels that a header of text describes: behind it, or in a file beside it, never anywhere else."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomri.errors import InputError
from anomri.io.decode import decode
from anomri.io.inflate import Inflated
from anomri.io.stream import ByteStream, opened

__all__ = ["Payload", "beside"]


@dataclass(frozen=True, eq=False, slots=True)
class Payload:
    """Where the voxels lie and how they are stored.

    Parameters
    ----------
    data_file : as the header names it; None where the voxels stand behind the header.
    offset : bytes in front of the voxels in their file; −1 where they are its end.
    deflated : zlib or gzip data.
    """

    shape: tuple[int, int, int]
    stored: np.dtype[Any]
    data_file: str | None
    offset: int
    deflated: bool
    slope: float = 1.0
    inter: float = 0.0

    def read(self, stream: ByteStream) -> tuple[NDArray[np.float32], list[str], str]:
        """Voxels, what was noticed, and the digest of all bytes, from the stream that began with the header.

        Raises
        ------
        InputError : see `beside` and the codes of `ByteStream`; bytes to be counted from the end of a compressed file
            (`unsupported_layout`).
        """
        if self.data_file is None:
            return (*self._decoded(stream), stream.sha256)
        stream.finish()
        with opened(beside(stream.path, self.data_file), hasher=stream.hasher) as data:
            return (*self._decoded(data), data.sha256)

    def _decoded(self, stream: ByteStream) -> tuple[NDArray[np.float32], list[str]]:
        n_bytes = math.prod(self.shape) * self.stored.itemsize
        # A data file that is gzip from its first byte is inflated by its stream.
        deflated = self.deflated and not (self.data_file is not None and stream.is_gzip)
        if self.offset < 0 and (deflated or stream.is_gzip):
            raise InputError(
                "the header leaves open where the compressed voxels begin",
                remedy="Unpack the file, or write the image again.",
                code="unsupported_layout",
            )
        offset = self.offset if self.offset >= 0 else max(0, stream.size - n_bytes)
        stream.expect(offset + n_bytes, deflated=deflated)
        stream.skip(offset)
        packed = Inflated(stream) if deflated else None
        take = stream.take if packed is None else packed.take
        voxels = decode(take, self.shape, self.stored, slope=self.slope, inter=self.inter)
        if packed is not None:
            packed.finish()
        stream.finish()
        return voxels, [*stream.notes, *([] if packed is None else packed.notes)]


def beside(header: Path, named: str) -> Path:
    """The data file of a detached header.

    Parameters
    ----------
    named : as the header has it; relative to the header's folder.

    Returns
    -------
    The path without links.

    Raises
    ------
    InputError : where it really lies is not inside the header's folder, or it is the header itself
        (`outside_folder`); there is no such file (`truncated`).
    """
    folder = os.path.realpath(header.parent)
    try:
        # What counts is where the name leads, not how it is spelt.
        real = Path(os.path.realpath(Path(folder) / named))
    except (OSError, ValueError) as error:
        raise _outside() from error
    if not real.is_relative_to(folder) or real == Path(os.path.realpath(header)):
        raise _outside()
    if not real.is_file():
        raise InputError(
            "the file is a header without its data file",
            remedy="Put the data file beside it, under the name that the header gives.",
            code="truncated",
        )
    return real


def _outside() -> InputError:
    return InputError(
        "the header names a data file outside its own folder, or itself",
        remedy="Put header and data into one folder, and let the header name the data file alone.",
        code="outside_folder",
    )
