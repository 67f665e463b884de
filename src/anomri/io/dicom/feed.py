"""The bytes of one file of a series as they come in: hashed as stored, inflated where the data set is deflated."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from anomri.io.dicom.problems import truncated
from anomri.io.stream import READ_BYTES, SLACK_BYTES, damaged, goes_on

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["Feed"]


class Feed:
    """What has been read of a file so far.

    Parameters
    ----------
    read : gives up to so many further bytes of the file, none at its end.
    hasher : is fed the bytes as stored; None where nobody asks for their digest.

    Attributes
    ----------
    content : what has been read and not been taken.
    ended : whether the file has no more.
    """

    def __init__(self, read: Callable[[int], bytes], hasher: _Hash | None = None) -> None:
        self._stored = read
        self._read = self._hashed
        self._hasher = hasher
        self.content = bytearray()
        self.ended = False

    def more(self, count: int) -> None:
        """Read on until `count` more bytes are there, or the file ends."""
        wanted = len(self.content) + count
        while len(self.content) < wanted and not self.ended:
            self.content += self._next(wanted - len(self.content))

    def take(self, count: int) -> bytes | bytearray:
        """The next `count` bytes; they leave `content`.

        Raises
        ------
        InputError : the file ends before (`truncated`).
        """
        if not self.content and not self.ended:
            # Mostly all of them come at once, and need not be copied.
            piece = self._next(count)
            if len(piece) == count:
                return piece
            self.content += piece
        self.more(count - len(self.content))
        if len(self.content) < count:
            raise truncated("a file ends before its pixels do")
        taken = self.content[:count]
        # Nothing moves when a bytearray loses its front.
        del self.content[:count]
        return taken

    def skip(self, count: int) -> None:
        """Pass over the next `count` bytes, piece by piece; raises as `take` does."""
        while count > 0:
            count -= len(self.take(min(count, READ_BYTES)))

    def rest(self, most: int) -> bytearray:
        """All that is left.

        Raises
        ------
        InputError : it is more than `most` bytes (`too_large`).
        """
        self.more(most + 1 - len(self.content))
        if len(self.content) > most:
            raise goes_on("too_large")
        return self.content

    def finish(self) -> None:
        """Read to the end, so that the digest is complete; only little may follow the image.

        Raises
        ------
        InputError : too much follows (`too_large`).
        """
        self.rest(SLACK_BYTES)

    def inflate(self, start: int) -> None:
        """Take the bytes from `start` on for deflated ones (PS3.5 A.5); `content` then begins with what they hold."""
        inflater = zlib.decompressobj(wbits=-15)
        waiting = bytes(self.content[start:])

        def read(count: int) -> bytes:
            nonlocal waiting
            while not inflater.eof:
                # Whole blocks of the file, of which the inflater keeps what it did not need yet.
                waiting = waiting or inflater.unconsumed_tail or self._hashed(READ_BYTES)
                if not waiting:
                    raise truncated("the deflated data set is cut off")
                try:
                    piece = inflater.decompress(waiting, count)
                except zlib.error as error:
                    raise damaged(error) from error
                waiting = inflater.unconsumed_tail
                if piece:
                    return piece
            while self._hashed(READ_BYTES):
                pass
            return b""

        self.content, self.ended, self._read = bytearray(), False, read

    def _next(self, count: int) -> bytes:
        piece = self._read(count)
        self.ended = not piece
        return piece

    def _hashed(self, count: int) -> bytes:
        piece = self._stored(count)
        if self._hasher is not None:
            self._hasher.update(piece)
        return piece
