"""Writing files whole or not at all.

Everything goes to a temporary file beside its target, is flushed to the disk, and takes the target's name last; whoever
reads sees the old file or the new one, never a half. Same content, same bytes: no clock, no locale, sorted keys.
"""

from __future__ import annotations

import errno
import gzip
import json
import os
import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from anomri.core.geometry import Geometry
from anomri.errors import EnvironmentProblem, InputError
from anomri.io.names import shown

__all__ = ["TEMPORARY_PREFIX", "write_bytes", "write_csv", "write_folder", "write_json", "write_nifti", "write_text"]

# A temporary file is named `.anomri-<process id>-<random>`, so that a leftover can be told from one in use.
TEMPORARY_PREFIX = ".anomri-"
GZIP_LEVEL = 1
SLAB_BYTES = 1 << 22
# NIfTI code of a grid that lies in the world of another file: the scan that was judged.
ALIGNED = 2
QFORM_TOLERANCE_MM = 1e-3
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")

Json = Mapping[str, Any] | Sequence[Any]


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically; its folder must exist.

    Raises
    ------
    EnvironmentProblem : `disk_full`, `permission`, `no_folder`, or `write_failed`; the target is as it was.
    """
    with _replacing(Path(path)) as file:
        file.write(content)


def write_folder(folder: Path, files: Mapping[str, bytes], *, replaces: Collection[str]) -> None:
    """Write a folder of files whole: it is made beside its place, flushed, and renamed into it.

    Whoever reads sees all of the old files or all of the new ones; between two renames, for an instant, there is no
    folder. A kill leaves at worst a hidden folder beside it.

    Parameters
    ----------
    files : content by name.
    replaces : names of the old folder's files that go with it; everything else in it is carried over.

    Raises
    ------
    EnvironmentProblem : as `write_bytes`; the old folder stands as it was.
    """
    # A link to a folder stays one.
    folder = Path(os.path.realpath(folder))
    made, old = _beside(folder), _beside(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made.mkdir()
        try:
            for name, content in files.items():
                write_bytes(made / name, content)
            _take_place(made, folder, old)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
        _sync_folder(folder.parent)
    except OSError as error:
        raise _write_failed(folder, error) from error
    # What cannot be cleared away harms nobody.
    with suppress(OSError):
        _clear_away(old, folder, {*replaces, *files})


def write_text(path: Path, content: str) -> None:
    """Write text as UTF-8 (bytes of a file name that are not UTF-8 appear as escapes); raises as `write_bytes`."""
    write_bytes(path, content.encode("utf-8", errors="backslashreplace"))


def write_json(path: Path, content: Json) -> None:
    """Write JSON with sorted keys and the shortest digits that give each float back; raises as `write_bytes`.

    Raises
    ------
    ValueError : NaN or infinity in the content, which JSON does not know; that is a fault of the caller.
    """
    text = json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    write_text(path, text + "\n")


def write_csv(path: Path, rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> None:
    """Write a table: comma separated, tab separated where the name ends in ``.tsv``; raises as `write_bytes`.

    A text cell that a spreadsheet could run as a formula is prefixed with ``'`` unless it is a number. Absent values,
    None and NaN are empty cells. In a ``.tsv`` tabs and line breaks inside a cell become spaces.

    Parameters
    ----------
    rows : by column name; names outside `columns` are left out.
    """
    tabs = Path(path).suffix.lower() == ".tsv"
    lines = [[_cell(name) for name in columns]]
    lines += [[_cell(row.get(name)) for name in columns] for row in rows]
    text = "".join(("\t" if tabs else ",").join(_quoted(cell, tabs=tabs) for cell in line) + "\n" for line in lines)
    write_text(path, text)


def write_nifti(path: Path, values: NDArray[Any], geometry: Geometry) -> None:
    """Write a map on a grid as NIfTI-1; raises as `write_bytes`.

    Every text field and extension is empty, and the gzip header carries no name and no time. The sform holds the affine
    rounded to float32, so an affine that float32 can hold (every sform that was read) comes back bit-equal; others
    come back within float32 rounding, about 1e-5 mm. The qform is set beside it where a quaternion says the same.

    Parameters
    ----------
    path : ends in ``.nii`` or ``.nii.gz``.
    values : (X, Y, Z); bool and uint8 are stored as uint8, all else as float32. `nan` is kept.

    Raises
    ------
    InputError : another ending (`output_name`), or values not on the grid (`geometry`).
    """
    path = Path(path)
    name = path.name.lower()
    if not name.endswith((".nii", ".nii.gz")):
        raise InputError(
            f"{shown(path)} is not a name of a NIfTI file", remedy="End it in .nii.gz.", code="output_name"
        )
    if values.shape != geometry.shape:
        raise InputError(
            f"values of shape {values.shape} on a grid of shape {geometry.shape}",
            remedy="Give both the same shape.",
            code="geometry",
        )
    stored = np.dtype("u1") if values.dtype in (np.bool_, np.uint8) else np.dtype("<f4")
    header = _header(geometry, stored)
    with _replacing(path) as file:
        if name.endswith(".nii"):
            _write_image(file, header, values, stored)
        else:
            with gzip.GzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=file, mtime=0) as packed:
                _write_image(packed, header, values, stored)


def _header(geometry: Geometry, stored: np.dtype[Any]) -> Any:
    from nibabel.nifti1 import Nifti1Header

    # nibabel's headers carry no types.
    kind: Any = Nifti1Header
    header = kind(endianness="<")
    header.set_data_shape(geometry.shape)
    header.set_data_dtype(stored)
    header["vox_offset"] = 352
    header["scl_slope"], header["scl_inter"] = 1.0, 0.0
    header.set_xyzt_units("mm")
    header.set_qform(geometry.affine, code=ALIGNED)
    header.set_sform(geometry.affine, code=ALIGNED)
    if not Geometry(geometry.shape, header.get_qform()).same_grid(geometry, QFORM_TOLERANCE_MM):
        header["qform_code"] = 0
    return header


def _write_image(file: Any, header: Any, values: NDArray[Any], stored: np.dtype[Any]) -> None:
    file.write(header.binaryblock)
    # No extensions follow.
    file.write(bytes(4))
    nx, ny, nz = values.shape
    step = max(1, SLAB_BYTES // (nx * ny * stored.itemsize))
    for z in range(0, nz, step):
        file.write(values[:, :, z : z + step].astype(stored).tobytes(order="F"))


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which becomes `path` when the block ends and vanishes when it fails."""
    temporary = _beside(path)
    try:
        # The kernel applies the umask; the mode it gives is kept for the end, as nobody else may read a half.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                mode = os.fstat(file.fileno()).st_mode & 0o777
                temporary.chmod(0o600)
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(mode)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise _write_failed(path, error) from error


def _beside(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(6)}")


def _take_place(made: Path, folder: Path, old: Path) -> None:
    if not folder.exists():
        made.rename(folder)
        return
    shutil.copymode(folder, made)
    folder.rename(old)
    try:
        made.rename(folder)
    except BaseException:
        old.rename(folder)
        raise


def _clear_away(old: Path, folder: Path, names: set[str]) -> None:
    for entry in old.iterdir():
        if entry.name in names:
            entry.unlink()
        else:
            entry.rename(folder / entry.name)
    old.rmdir()


def _sync_folder(folder: Path) -> None:
    # Windows cannot open a folder.
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network shares do not offer it.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def _write_failed(path: Path, error: OSError) -> EnvironmentProblem:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        code, remedy = "disk_full", "Free space and run again; finished results are kept."
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        code, remedy = "permission", "Choose a folder you may write to."
    elif error.errno in (errno.ENOENT, errno.ENOTDIR):
        code, remedy = "no_folder", "Create the folder first."
    else:
        code, remedy = "write_failed", "Check the disk and the path."
    reason = os.strerror(error.errno) if error.errno is not None else "unknown reason"
    return EnvironmentProblem(f"{shown(path)} cannot be written: {reason}", remedy=remedy, code=code)


def _plain(value: object) -> object:
    """What JSON stores for a NumPy number or array, or a path."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, float, np.integer, np.floating)):
        number = value.item() if isinstance(value, np.generic) else value
        return "" if number != number else repr(number)
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return not text.startswith(("\t", "\r", "\n"))


def _quoted(cell: str, *, tabs: bool) -> str:
    if tabs:
        return cell.translate({9: " ", 10: " ", 13: " "})
    return '"' + cell.replace('"', '""') + '"' if any(c in cell for c in ',"\r\n') else cell
