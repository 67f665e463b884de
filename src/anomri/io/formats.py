"""The table of readers, and the one way from a path to an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from anomri.core.scan import Scan
from anomri.errors import AnomriError, InputError, about_scan
from anomri.io.dicom import find_series, is_dicom, read_dicom, read_series
from anomri.io.fastmri import is_hdf5, read_fastmri
from anomri.io.guard import DEFAULT_MAX_VOXELS, Image, check_signal
from anomri.io.members import is_zip, members_of
from anomri.io.metaimage import is_metaimage, read_metaimage
from anomri.io.mgh import is_mgh, read_mgh
from anomri.io.names import bids_sequence, is_nifti_name, is_volume_name, safe_id, shown
from anomri.io.nifti import is_nifti, read_nifti
from anomri.io.npy import is_npy, is_npz, read_npy, read_npz
from anomri.io.nrrd import is_nrrd, read_nrrd
from anomri.io.picture import PICTURES, read_picture
from anomri.io.protocol import ProtocolReference
from anomri.io.stream import ByteStream, opened
from anomri.io.walk import Found, find_images

if TYPE_CHECKING:
    from anomri.io.dicom.header import Instance

__all__ = ["READERS", "Reader", "is_picture", "read", "read_image"]


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
    Reader("dicom", is_dicom, read_dicom),
    Reader("mgh", is_mgh, read_mgh),
    Reader("metaimage", is_metaimage, read_metaimage),
    Reader("nrrd", is_nrrd, read_nrrd),
    Reader("hdf5", is_hdf5, read_fastmri),
    *(Reader(name, knows, read_picture) for name, knows in PICTURES.items()),
    Reader("npy", is_npy, read_npy),
    Reader("npz", is_npz, read_npz),
)


def read(
    path: Path,
    *,
    series: str | None = None,
    members: Sequence[str] = (),
    scan_id: str | None = None,
    protocol: ProtocolReference | None = None,
    max_voxels: int = DEFAULT_MAX_VOXELS,
) -> Scan:
    """Read one scan, whatever its format, told by its content.

    Parameters
    ----------
    path : a file, plain or gzip; or a folder or zip archive that holds one scan, or several of which one is named.
    series : the one to read of several, by its id, as ``anomri info`` shows it.
    members : the files of a DICOM series in the folder or archive, as `find_images` gives them; they are then not
        looked for.
    scan_id : name used in every output; made as by `find_images` where None.
    protocol : how the scan should have been acquired; what departs from it becomes notes.
    max_voxels : a header that declares more is refused before anything is allocated.

    Returns
    -------
    The scan in its own orientation, values scaled; a picture is one slice, see `anomri.io.picture`. `sequence` is what
    a DICOM header or a BIDS name states (``_T1w``), else None.

    Raises
    ------
    InputError : by code: `no_file`, `not_a_file`, `read_failed`, `changed`; `empty`, `unknown_format`, `not_nifti`,
        `truncated`, `checksum`, `damaged`, `compression_bomb`, `too_large`; `bad_header`, `unsupported_type`,
        `unsupported_layout`, `outside_folder`, `not_one_volume`, `too_thin`; `geometry`, `geometry_conflict`,
        `sheared`, `units`; `nonfinite`, `no_signal`. For a folder or an archive: `no_scans`, `several_scans`,
        `unsafe_archive`. For DICOM: `not_dicom`, `too_deep`, `too_many_elements`, `no_pixels`, `not_mri`,
        `not_a_volume`, `burned_in`, `transfer_syntax`, `missing_slices`, `uneven_slices`, `duplicate_slices`,
        `crashed`, `timed_out`.
    EnvironmentProblem : `memory`.
    MissingDependency : DICOM without pydicom.
    """
    path = Path(path)
    name = safe_id(path) if scan_id is None else scan_id
    headers: Sequence[Instance] = ()
    with about_scan(name):
        if not members and (_is_folder(path) or is_zip(path)):
            found = _chosen(path, series)
            path, members, headers = found.path, found.members, found.headers
            name = found.scan_id if scan_id is None else scan_id
        if members:
            with _naming(path):
                image = read_series(path, members, max_voxels=max_voxels, headers=headers)
        else:
            image = read_image(path, max_voxels=max_voxels)
        note = check_signal(image.voxels)
        sequence = bids_sequence(path) if image.sequence is None else image.sequence
        departures = () if protocol is None else protocol.departures(image.protocol, sequence)
        notes = (*image.source.notes, *departures, *([] if note is None else [note]))
        source = replace(image.source, notes=notes)
        return Scan(image.voxels, image.geometry, name, source, sequence=sequence)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        # Reading it says what is wrong.
        return False


def _chosen(path: Path, series: str | None) -> Found:
    """The one scan of a folder or archive, or the one that is named."""
    with _naming(path):
        try:
            found = find_images([path], report=lambda _line: None)
        except InputError as error:
            if error.code != "no_scans":
                raise
            found = ()
        if series is not None:
            found = tuple(one for one in found if one.scan_id == series)
        if len(found) != 1:
            raise InputError(
                f"the folder or archive holds {len(found)} scans" + ("" if series is None else " of this id"),
                remedy="Name one with series=…; `anomri info` lists them." if found else "Check the path.",
                code="several_scans" if found else "no_scans",
            )
        if not found[0].members and is_zip(found[0].path):
            # It is said here why nothing was found in it.
            with members_of(found[0].path) as files:
                if not find_series(files).series:
                    packed = any(map(is_volume_name, files.names()))
                    raise InputError(
                        "the zip archive holds no DICOM image" + (", but volumes of other formats" if packed else ""),
                        remedy="Unpack it and give its files." if packed else "Give an archive of DICOM images.",
                        code="unknown_format",
                    )
        return found[0]


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
        if path.name.lower().endswith((".img", ".img.gz")):
            raise InputError(
                "the file is of no format that anomri reads by itself; it may hold the voxels of a pair",
                remedy="Give the .hdr file of the same name.",
                code="unknown_format",
            )
        claimed = is_nifti_name(path.name)
        raise InputError(
            f"the file is {'not a NIfTI file' if claimed else 'of no format that anomri reads'}",
            remedy=f"Convert it to one of: {', '.join(r.name for r in READERS)}.",
            code="not_nifti" if claimed else "unknown_format",
        )


def is_picture(path: Path) -> bool:
    """Whether a file holds a picture, told by its first bytes; a file that cannot be read holds none."""
    try:
        with opened(path) as stream:
            return any(knows(stream.head) for knows in PICTURES.values())
    except InputError:
        return False


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in a note of the error, never in its cause: causes go to results, where no path may stand."""
    try:
        yield
    except AnomriError as error:
        error.add_note(f"file: {shown(path)}")
        raise
