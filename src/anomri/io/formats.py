"""The table of readers, and the one way from a path to an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from anomri.core.scan import Scan
from anomri.errors import AnomriError, InputError, about_scan
from anomri.io.fastmri import is_hdf5, read_fastmri
from anomri.io.guard import DEFAULT_MAX_VOXELS, Image, check_signal
from anomri.io.metaimage import is_metaimage, read_metaimage
from anomri.io.mgh import is_mgh, read_mgh
from anomri.io.names import bids_sequence, is_nifti_name, safe_id, shown
from anomri.io.nifti import is_nifti, read_nifti
from anomri.io.npy import is_npy, is_npz, read_npy, read_npz
from anomri.io.nrrd import is_nrrd, read_nrrd
from anomri.io.picture import PICTURES, read_picture
from anomri.io.stream import ByteStream, opened

__all__ = ["READERS", "Reader", "read", "read_image"]


class _Read(Protocol):
    def __call__(self, stream: ByteStream, *, max_voxels: int) -> Image: ...


@dataclass(frozen=True, slots=True)
class Reader:
    """A row of `READERS`: the name of the format, whether a head is of it, and how to read it."""

    name: str
    knows: Callable[[bytes], bool]
    read: _Read


# The first one that knows the head reads the file; there is no second try.
READERS: tuple[Reader, ...] = (
    Reader("nifti", is_nifti, read_nifti),
    Reader("mgh", is_mgh, read_mgh),
    Reader("metaimage", is_metaimage, read_metaimage),
    Reader("nrrd", is_nrrd, read_nrrd),
    Reader("hdf5", is_hdf5, read_fastmri),
    *(Reader(name, knows, read_picture) for name, knows in PICTURES.items()),
    Reader("npy", is_npy, read_npy),
    Reader("npz", is_npz, read_npz),
)


def read(path: Path, *, scan_id: str | None = None, max_voxels: int = DEFAULT_MAX_VOXELS) -> Scan:
    """Read one scan, whatever its format, told by its content.

    Parameters
    ----------
    path : a file, plain or gzip.
    scan_id : name used in every output; made from the file's name where None.
    max_voxels : a header that declares more is refused before anything is allocated.

    Returns
    -------
    The scan in its own orientation, values scaled; a picture is one slice, see `anomri.io.picture`. `sequence` is what
    a BIDS name states (``_T1w``), else None.

    Raises
    ------
    InputError : by code: `no_file`, `not_a_file`, `read_failed`, `changed`; `empty`, `unknown_format`, `not_nifti`,
        `truncated`, `checksum`, `damaged`, `compression_bomb`, `too_large`; `bad_header`, `unsupported_type`,
        `unsupported_layout`, `outside_folder`, `not_one_volume`, `too_thin`; `geometry`, `geometry_conflict`,
        `sheared`, `units`; `nonfinite`, `no_signal`.
    EnvironmentProblem : `memory`.
    """
    path = Path(path)
    name = safe_id(path) if scan_id is None else scan_id
    with about_scan(name):
        image = read_image(path, max_voxels=max_voxels)
        note = check_signal(image.voxels)
        notes = image.source.notes if note is None else (*image.source.notes, note)
        source = replace(image.source, notes=notes)
        return Scan(image.voxels, image.geometry, name, source, sequence=bids_sequence(path))


def read_image(path: Path, *, max_voxels: int = DEFAULT_MAX_VOXELS) -> Image:
    """Read an image that need not be a scan (a mask has no signal to speak of); raises as `read` does."""
    with _naming(path), opened(path) as stream:
        for reader in READERS:
            if reader.knows(stream.head):
                if stream.is_gzip != path.name.lower().endswith("gz"):
                    stream.notes.append("the file is " + ("" if stream.is_gzip else "not ") + "gzip, unlike its name")
                return reader.read(stream, max_voxels=max_voxels)
        if stream.broken is not None:
            raise stream.broken
        claimed = is_nifti_name(path.name)
        raise InputError(
            f"the file is {'not a NIfTI file' if claimed else 'of no format that anomri reads'}",
            remedy=f"Convert it to one of: {', '.join(r.name for r in READERS)}.",
            code="not_nifti" if claimed else "unknown_format",
        )


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in a note of the error, never in its cause: causes go to results, where no path may stand."""
    try:
        yield
    except AnomriError as error:
        error.add_note(f"file: {shown(path)}")
        raise
