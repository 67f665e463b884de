"""The files of a folder or of a zip archive, by name, one look each.

Nothing of an archive is ever written to disk, and what it says of sizes is not believed: bytes are counted as they
come.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from anomri.errors import EnvironmentProblem, InputError
from anomri.io.names import is_volume_name, shown
from anomri.io.stream import READ_BYTES

__all__ = ["Members", "Readable", "is_zip", "members_of", "members_sha256"]

ZIP_MAGIC = b"PK\x03\x04"
MAX_MEMBERS = 100_000
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
# What one look through an archive may unpack to: so much, and so many times its own size, which images never reach.
FREE_BYTES = 1 << 27
MOST_RATIO = 32
ENCRYPTED = 0x1
PLAIN_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True, slots=True)
class Readable:
    """A file that is read from front to back.

    Parameters
    ----------
    read : gives up to so many further bytes, at least one; none at the end.
    stamp : stays the same as long as nobody writes to the file.
    """

    read: Callable[[int], bytes]
    stamp: tuple[int, ...]


class Members(Protocol):
    """The files of a folder or of an archive."""

    def names(self) -> tuple[str, ...]:
        """Of all files, sorted; a folder gives those it was asked for."""
        ...

    def open(self, name: str) -> AbstractContextManager[Readable]:
        """One file, to be read once from front to back.

        Raises
        ------
        InputError : it cannot be read.
        """
        ...


def is_zip(path: Path) -> bool:
    """Whether a regular file begins as a zip archive does and is not the archive of arrays that NumPy writes."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(30 + 256)
    except (OSError, ValueError):
        return False
    if len(head) < 30 or not head.startswith(ZIP_MAGIC):
        return False
    return not head[30 : 30 + head[26] + 256 * head[27]].endswith(b".npy")


@contextmanager
def members_of(path: Path, names: Sequence[str] = ()) -> Iterator[Members]:
    """The files of a folder (those named) or of a zip archive.

    Raises
    ------
    InputError : the archive is damaged (`damaged`) or holds what no archive of images does (`unsafe_archive`); what is
        read of it in all becomes far more than its size (`compression_bomb`).
    EnvironmentProblem : out of memory.
    """
    try:
        if path.is_dir():
            yield _Folder(path, tuple(names))
        else:
            with path.open("rb") as file, zipfile.ZipFile(file) as archive:
                yield _Zip(archive, FREE_BYTES + MOST_RATIO * os.fstat(file.fileno()).st_size)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
        raise InputError(
            "the zip archive is damaged or cut off", remedy="Copy or download it again.", code="damaged"
        ) from error
    except OSError as error:
        raise _read_failed(error) from error
    except MemoryError as error:
        raise EnvironmentProblem(
            "not enough memory to read the series", remedy="Free memory or run fewer jobs.", code="memory"
        ) from error


def members_sha256(path: Path, names: Sequence[str]) -> str:
    """Digest of the content of these files, one after the other; empty where one cannot be read."""
    hasher = hashlib.sha256()
    try:
        with members_of(path, names) as members:
            for name in names:
                with members.open(name) as file:
                    while piece := file.read(READ_BYTES):
                        hasher.update(piece)
    except InputError:
        return ""
    return hasher.hexdigest()


class _Folder:
    def __init__(self, root: Path, names: tuple[str, ...]) -> None:
        # As text: joining paths would take a good part of the time of a large folder.
        self._root = os.fspath(root)
        self._names = names

    def names(self) -> tuple[str, ...]:
        return self._names

    @contextmanager
    def open(self, name: str) -> Iterator[Readable]:
        # Without O_NONBLOCK, opening a FIFO waits for a writer that may never come.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        try:
            descriptor = os.open(f"{self._root}{os.sep}{name}", flags)
        except (OSError, ValueError) as error:
            raise _read_failed(error) from error
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise InputError(
                    "one of the files is a folder, a pipe or a device", remedy="Remove it.", code="not_a_file"
                )
            yield Readable(file.read, _stamp(before))
            if _stamp(os.fstat(descriptor)) != _stamp(before):
                raise InputError(
                    "a file changed while it was read", remedy="Wait until the series is complete.", code="changed"
                )


class _Zip:
    def __init__(self, archive: zipfile.ZipFile, most: int) -> None:
        self._archive = archive
        # Bytes that may still come out of it.
        self._left = most
        self._entries = {entry.filename: entry for entry in archive.infolist() if not entry.is_dir()}
        if len(archive.infolist()) > MAX_MEMBERS:
            raise _unsafe(f"it has more than {MAX_MEMBERS} entries")
        for name, entry in self._entries.items():
            mode = entry.external_attr >> 16
            if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name) or ".." in re.split(r"[/\\]", name):
                raise _unsafe("an entry leads out of it")
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                raise _unsafe("an entry is a link or a device")
            # A packed volume is no archive; that it has to be unpacked is said where it is looked for.
            if name.lower().endswith(ARCHIVES) and not is_volume_name(name):
                raise _unsafe("it holds another archive")
            if entry.flag_bits & ENCRYPTED or entry.compress_type not in PLAIN_METHODS:
                raise _unsafe("an entry is encrypted or compressed in an unusual way")

    def names(self) -> tuple[str, ...]:
        # What macOS adds for itself looks like the files it stands for; what is hidden is passed over as in folders.
        return tuple(
            sorted(
                name
                for name in self._entries
                if not name.startswith("__MACOSX/") and not any(part.startswith(".") for part in name.split("/"))
            )
        )

    @contextmanager
    def open(self, name: str) -> Iterator[Readable]:
        if name not in self._entries:
            raise InputError("the archive changed", remedy="Run the same command again.", code="changed")
        try:
            entry = self._entries[name]
            with self._archive.open(entry) as file:

                def read(count: int) -> bytes:
                    if self._left <= 0:
                        raise InputError(
                            "the zip archive unpacks to far more than its size",
                            remedy="Unpack it yourself if you trust its source, and give the folder.",
                            code="compression_bomb",
                        )
                    piece = file.read(count)
                    self._left -= len(piece)
                    return piece

                yield Readable(read, (entry.header_offset, entry.CRC, entry.file_size, entry.compress_size))
        except zipfile.BadZipFile as error:
            raise InputError(
                "the content of an entry has another checksum than the zip archive states",
                remedy="Copy or download it again.",
                code="checksum",
            ) from error


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _unsafe(why: str) -> InputError:
    return InputError(f"the zip archive is refused: {why}", remedy="Pack the images again.", code="unsafe_archive")


def _read_failed(error: OSError | ValueError) -> InputError:
    number = error.errno if isinstance(error, OSError) else None
    reason = "not a valid path" if number is None else os.strerror(number)
    return InputError(f"a file cannot be read: {shown(reason)}", remedy="Check its permissions.", code="read_failed")
