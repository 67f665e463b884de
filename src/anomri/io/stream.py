"""The bytes of one file, read once from front to back, hashed and inflated on the way.

A gzip file is inflated here, in pieces, counted, and always to its trailer, so that a cut or damaged file is noticed
(RFC 1952). Nothing is allocated because a file says so: only what has arrived takes memory. Opening, passing over and
what can go wrong on the way are told in one place, which makes it a little longer than other files.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anomri.errors import EnvironmentProblem, InputError

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = [
    "HEAD_BYTES",
    "INFLATE_BYTES",
    "READ_BYTES",
    "SLACK_BYTES",
    "ByteStream",
    "damaged",
    "goes_on",
    "opened",
    "truncated",
]

HEAD_BYTES = 1 << 16
# How much may follow the image before the file is refused.
SLACK_BYTES = 1 << 20
READ_BYTES = 1 << 16
INFLATE_BYTES = 1 << 20
# Deflate stores at most 258 bytes in 2 bits.
DEFLATE_RATIO = 1032
GZIP_MAGIC = b"\x1f\x8b"


@contextmanager
def opened(path: Path, *, hasher: _Hash | None = None) -> Iterator[ByteStream]:
    """Open a regular file for one pass.

    Parameters
    ----------
    path : a link is followed; a folder, FIFO or device is refused without waiting for it.
    hasher : continues this digest (for an image that lies in two files); a new SHA-256 where None.

    Raises
    ------
    InputError : there is no such file, it is not a regular file, it may not be read, or reading fails.
    EnvironmentProblem : out of memory.
    """
    # Without O_NONBLOCK, opening a FIFO waits for a writer that may never come.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError as error:
        raise InputError("there is no such file", remedy="Check the path.", code="no_file") from error
    except (OSError, ValueError) as error:
        # ValueError: a NUL byte or a character that no file name can hold.
        raise _read_failed(error) from error
    try:
        yield ByteStream(descriptor, path=path, hasher=hashlib.sha256() if hasher is None else hasher)
    except OSError as error:
        raise _read_failed(error) from error
    except MemoryError as error:
        raise EnvironmentProblem(
            "not enough memory to read the file", remedy="Free memory or run fewer jobs.", code="memory"
        ) from error
    finally:
        os.close(descriptor)


class ByteStream:
    """One pass over a file's bytes, inflated if they are gzip (told by the magic number, not the name).

    Attributes
    ----------
    path : as given.
    size : of the file as stored, bytes.
    is_gzip : whether the content is inflated.
    head : up to `HEAD_BYTES` of the (inflated) content, to sniff from; `take` still gives them.
    broken : what ended the head early, where the file is damaged; raised again by `take`.
    notes : what was noticed on the way.
    """

    def __init__(self, descriptor: int, *, path: Path, hasher: _Hash) -> None:
        self._descriptor = descriptor
        self._hasher = hasher
        self._status = os.fstat(descriptor)
        if not stat.S_ISREG(self._status.st_mode):
            raise _not_a_file()
        self.path = path
        self.size = self._status.st_size
        self.notes: list[str] = []
        self.broken: InputError | None = None
        self._produced = 0
        self._members = 0
        self._stored = self._read()
        if not self._stored:
            raise _empty()
        self.is_gzip = self._stored.startswith(GZIP_MAGIC)
        # The type is private to zlib.
        self._inflater: Any = zlib.decompressobj(wbits=31)
        self._ahead = self._peek(HEAD_BYTES)
        self.head = self._ahead
        if not self.head and self.broken is None:
            raise _empty()

    @property
    def sha256(self) -> str:
        """Digest of all stored bytes; complete after `finish`."""
        return self._hasher.hexdigest()

    @property
    def hasher(self) -> _Hash:
        """The running digest, for a second file of the same image."""
        return self._hasher

    def expect(self, total: int, *, deflated: bool = False) -> None:
        """Compare the number of content bytes that the header promises with the file's size, before any is taken.

        Parameters
        ----------
        deflated : most of them come out of compressed data inside the file, see `inflate`.

        Raises
        ------
        InputError : the file cannot hold that many (`truncated`), or is far larger than that
            (`too_large`, `compression_bomb`).
        """
        most = self.size * DEFLATE_RATIO ** (self.is_gzip + deflated)
        packed = self.is_gzip or deflated
        if total > most:
            raise InputError(
                f"the header declares {total} bytes and the file holds {'at most ' if packed else ''}{most}",
                remedy="Copy or convert the file again.",
                code="truncated",
            )
        if self.size > (2 * total if packed else total) + SLACK_BYTES:
            raise InputError(
                f"the image ends after {total} bytes and the file has {self.size}",
                remedy="Get the file again from a source you trust.",
                code="compression_bomb" if packed else "too_large",
            )

    def skip(self, count: int) -> None:
        """Pass over `count` content bytes."""
        while count > 0:
            count -= len(self.take(min(count, INFLATE_BYTES)))

    def take(self, count: int) -> bytearray:
        """The next `count` content bytes.

        Raises
        ------
        InputError : they end early (`truncated`) or are damaged (`checksum`).
        """
        out = bytearray()
        while len(out) < count:
            piece = self.piece(min(count - len(out), INFLATE_BYTES))
            if not piece:
                raise truncated()
            out += piece
        return out

    def piece(self, most: int) -> bytes:
        """Up to `most` of the next content bytes, at least one; none at the end.

        Raises
        ------
        InputError : they are damaged (`checksum`) or cut off (`truncated`).
        """
        if self._ahead:
            out, self._ahead = self._ahead[:most], self._ahead[most:]
            return out
        return self._content(most)

    def rest(self, most: int) -> bytes:
        """All content bytes that are left.

        Raises
        ------
        InputError : more than `most` (`too_large`), or they are damaged (`checksum`).
        """
        out = bytearray()
        while piece := self.piece(INFLATE_BYTES):
            out += piece
            if len(out) > most:
                raise InputError(
                    f"the file has more than {most >> 20} MB", remedy="Give a single image.", code="too_large"
                )
        return bytes(out)

    @contextmanager
    def file(self) -> Iterator[io.FileIO]:
        """The stored bytes, for a library that reads here and there. Same open file; the pass goes on where it was."""
        at = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        with io.FileIO(os.dup(self._descriptor)) as file:
            try:
                yield file
            finally:
                os.lseek(self._descriptor, at, os.SEEK_SET)

    def finish(self, *, appendix: bool = False) -> None:
        """Read to the very end: trailer, checksum, length, and whatever follows; then the digest is complete.

        Parameters
        ----------
        appendix : the format puts something behind its image, which is no reason for a note.

        Raises
        ------
        InputError : cut off, damaged, more than `SLACK_BYTES` of content left (`compression_bomb`), or the file was
            written to while it was read (`changed`).
        """
        extra = len(self._ahead)
        self._ahead = b""
        while piece := self._content(INFLATE_BYTES, next_member=False):
            extra += len(piece)
            if extra > SLACK_BYTES:
                raise goes_on("compression_bomb" if self.is_gzip else "too_large")
        trailing = len(self._stored)
        while chunk := self._read():
            trailing += len(chunk)
        if extra + trailing and not appendix:
            self.notes.append("bytes after the end of the image were ignored")
        now = os.fstat(self._descriptor)
        if (now.st_size, now.st_mtime_ns) != (self._status.st_size, self._status.st_mtime_ns):
            raise InputError("the file changed while it was read", remedy="Wait until it is complete.", code="changed")

    def _read(self) -> bytes:
        chunk = os.read(self._descriptor, READ_BYTES)
        self._hasher.update(chunk)
        return chunk

    def _peek(self, count: int) -> bytes:
        out = bytearray()
        try:
            while len(out) < count and (piece := self._content(count - len(out))):
                out += piece
        except InputError as error:
            self.broken = error
        return bytes(out)

    def _content(self, most: int, *, next_member: bool = True) -> bytes:
        """Up to `most` more content bytes; none at the end."""
        if self.broken is not None:
            raise self.broken
        if not self.is_gzip:
            if not self._stored:
                self._stored = self._read()
            piece, self._stored = self._stored[:most], self._stored[most:]
            return piece
        while True:
            if self._inflater.eof and not (next_member and self._start_next_member()):
                return b""
            if not self._stored:
                self._stored = self._read()
            fed = len(self._stored)
            try:
                piece = self._inflater.decompress(self._stored, most)
            except zlib.error as error:
                raise damaged(error) from error
            self._stored = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
            self._produced += len(piece)
            if piece:
                return bytes(piece)
            if not fed and not self._inflater.eof:
                raise truncated()

    def _start_next_member(self) -> bool:
        """Go on with a further gzip member (bgzip and `cat` make them), if there is one."""
        while len(self._stored) < len(GZIP_MAGIC) and (chunk := self._read()):
            self._stored += chunk
        if not self._stored.startswith(GZIP_MAGIC):
            return False
        self._members += 1
        if self._members > 16 + self._produced // 256:
            raise InputError(
                "the file consists of thousands of almost empty gzip members",
                remedy="Get the file again from a source you trust.",
                code="compression_bomb",
            )
        self._inflater = zlib.decompressobj(wbits=31)
        return True


def _not_a_file() -> InputError:
    return InputError(
        "the input is not a file but a folder, a pipe or a device", remedy="Give an image file.", code="not_a_file"
    )


def _read_failed(error: OSError | ValueError) -> InputError:
    number = error.errno if isinstance(error, OSError) else None
    reason = "not a valid path" if number is None else os.strerror(number)
    return InputError(
        f"the file cannot be read: {reason}", remedy="Check the file and its permissions.", code="read_failed"
    )


def _empty() -> InputError:
    return InputError("the file is empty", remedy="Copy or convert the file again.", code="empty")


def damaged(error: zlib.error) -> InputError:
    """The error of compressed data that do not inflate or have another checksum."""
    return InputError(
        f"the compressed data are damaged ({error})", remedy="Copy or download it again.", code="checksum"
    )


def goes_on(code: str) -> InputError:
    """The error of content that is far longer than its image."""
    return InputError(
        "the content goes on long after the image that its header describes",
        remedy="Get the file again from a source you trust.",
        code=code,
    )


def truncated() -> InputError:
    """The error of content that ends early."""
    return InputError("the file ends before its image does", remedy="Copy or download it again.", code="truncated")
