"""Compressed data inside a file, as MetaImage and NRRD have them behind their header."""

from __future__ import annotations

import zlib
from typing import Any

from anomri.io.stream import INFLATE_BYTES, READ_BYTES, SLACK_BYTES, ByteStream, damaged, goes_on, truncated

__all__ = ["Inflated"]


class Inflated:
    """What zlib or gzip data inside a file hold, from where the stream stands (told by their own first bytes).

    Attributes
    ----------
    notes : what was noticed on the way; complete after `finish`.
    """

    def __init__(self, stream: ByteStream) -> None:
        self.notes: list[str] = []
        self._stream = stream
        # 32 added to the window's size lets zlib tell the two formats apart.
        self._inflater: Any = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)
        self._packed = b""

    def take(self, count: int) -> bytearray:
        """The next `count` bytes.

        Raises
        ------
        InputError : they end early (`truncated`) or are damaged (`checksum`).
        """
        out = bytearray()
        while len(out) < count:
            piece = self._piece(count - len(out))
            if not piece and self._inflater.eof:
                raise truncated()
            out += piece
        return out

    def finish(self) -> None:
        """Inflate to the end, which holds the checksum; the stream then stands behind the compressed data.

        Raises
        ------
        InputError : cut off, damaged, or more than `SLACK_BYTES` left (`compression_bomb`).
        """
        extra = 0
        while not self._inflater.eof:
            extra += len(self._piece(INFLATE_BYTES))
            if extra > SLACK_BYTES:
                raise goes_on("compression_bomb")
        if extra + len(self._inflater.unused_data):
            self.notes.append("bytes after the end of the image were ignored")

    def _piece(self, most: int) -> bytes:
        """Up to `most` more bytes; none where more has to be read first, or at the end."""
        if not self._packed and not self._inflater.eof:
            self._packed = self._stream.piece(READ_BYTES)
            if not self._packed:
                # What zlib still holds back comes out without further input.
                piece = bytes(self._inflater.decompress(b"", most))
                if not piece and not self._inflater.eof:
                    raise truncated()
                return piece
        try:
            piece = bytes(self._inflater.decompress(self._packed, most))
        except zlib.error as error:
            raise damaged(error) from error
        self._packed = b"" if self._inflater.eof else self._inflater.unconsumed_tail
        return piece
