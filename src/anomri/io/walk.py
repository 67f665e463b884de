"""From what the user names to a list of scans, in an order that does not depend on the file system."""

from __future__ import annotations

import fnmatch
import hashlib
import logging
import os
import re
import stat
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from anomri.errors import InputError
from anomri.io.names import is_hdf5_name, is_picture_name, is_volume_name, safe_id, shown

__all__ = ["Found", "find_images"]

MAX_DEPTH = 32
# Of what was passed over so many are named.
MAX_NAMED = 10
# A folder below the root that holds one of these was made by anomri.
OUTPUT_MARKS = ("result.json", "run.json")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Image:
    """A file to read: its path as typed, its path without links, and its path within the folder that was walked."""

    path: Path
    real: str
    within: str


@dataclass(frozen=True, slots=True)
class Found:
    """One file to read, and the name it has in every output."""

    path: Path
    scan_id: str


def find_images(
    inputs: Sequence[Path], *, include: str | None = None, report: Callable[[str], None] = _log.warning
) -> tuple[Found, ...]:
    """The scans among files and folders.

    A file is taken as it is. A folder is walked, sorted by name and at most 32 levels deep: only regular files whose
    name ends as a volume's (``.nii``, ``.nii.gz``, ``.mgh``, ``.mgz``, ``.mha``, ``.mhd``, ``.nrrd``, ``.nhdr``);
    nothing hidden; no folder below it that anomri wrote; links only where they stay inside the folder. A folder that
    holds none of these gives its pictures (``.png``, ``.jpg``, ``.tif``, ``.npy``, ``.npz``) and HDF5 files, which
    beside volumes are previews and transforms. No file is taken twice.

    Parameters
    ----------
    include : a pattern such as ``*_T1w.nii.gz`` that takes the place of the endings; ``*`` also stands for folders.
    report : told in a sentence, for each folder, of what looked like scans and was passed over.

    Returns
    -------
    In the order of `inputs`. `scan_id` is the file's own name, see `safe_id`; where two agree (upper and lower
    case alike) each gets a hash: of its path within the folder that was given, or of its full path where the file
    itself was given or these agree, too. So it does not matter how the path to a folder was typed, nor where the
    folder stands.

    Raises
    ------
    InputError : an input does not exist (`no_file`), it cannot be reached or listed (`read_failed`), or nothing was
        found (`no_scans`).
    """
    images: dict[str, _Image] = {}
    for given in map(Path, inputs):
        for image in _within(given, include, report) if _is_listable(given) else [_Image(given, _real(given), "")]:
            images.setdefault(image.real, image)
    if not images:
        pattern = "volumes or pictures of a known ending" if include is None else f"files that match {shown(include)!r}"
        where = ", ".join(shown(given) for given in inputs[:3]) + (", ..." if len(inputs) > 3 else "")
        remedy = "Check the path." if include is None else "Check the path and the pattern."
        raise InputError(f"no scans found: no {pattern} in {where}", remedy=remedy, code="no_scans")
    return tuple(
        Found(image.path, name) for image, name in zip(images.values(), _names(list(images.values())), strict=True)
    )


def _is_listable(given: Path) -> bool:
    """Whether an input is a folder; refused where it is nothing at all."""
    try:
        return stat.S_ISDIR(given.stat().st_mode)
    except (OSError, ValueError) as error:
        if isinstance(error, PermissionError):
            raise InputError(
                f"{shown(given)} cannot be reached", remedy="Check the permissions of its folders.", code="read_failed"
            ) from error
        # A link that leads nowhere is a scan that cannot be read.
        if not os.path.lexists(given):
            raise InputError(f"there is no {shown(given)}", remedy="Check the path.", code="no_file") from error
        return False


def _within(folder: Path, include: str | None, report: Callable[[str], None]) -> list[_Image]:
    if include is not None:
        return list(_walk(folder, _matcher(include), report))
    found = list(
        _walk(folder, lambda name: is_volume_name(name) or is_hdf5_name(name) or is_picture_name(name), report)
    )
    volumes = [image for image in found if is_volume_name(image.within)]
    return volumes if volumes else found


def _matcher(include: str) -> Callable[[str], bool]:
    pattern = re.compile(fnmatch.translate(include))
    # The leading slash lets `**/name` match at the root, too.
    return lambda relative: pattern.match(relative) is not None or pattern.match(f"/{relative}") is not None


def _walk(root: Path, wanted: Callable[[str], bool], report: Callable[[str], None]) -> Iterator[_Image]:
    """Matching files below a folder."""
    inside = _real(root)
    skipped: dict[str, list[str]] = defaultdict(list)
    entered: set[tuple[int, int]] = set()

    def visit(folder: Path, relative: str, depth: int) -> Iterator[_Image]:
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in entered:
                return
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if depth > 0:
                skipped["folders that cannot be listed"].append(relative)
                return
            raise InputError(
                f"the folder {shown(folder)} cannot be listed", remedy="Check its permissions.", code="read_failed"
            ) from error
        if depth > 0 and any(entry.name in OUTPUT_MARKS for entry in entries):
            return
        for entry in entries:
            name, path = relative + entry.name, folder / entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_symlink() and _leads_out(path, inside):
                skipped["links that lead out of the folder"].append(name)
            elif _is_folder(entry):
                if depth < MAX_DEPTH:
                    yield from visit(path, f"{name}/", depth + 1)
                else:
                    skipped[f"folders deeper than {MAX_DEPTH} levels"].append(name)
            elif wanted(name) and _is_special(entry):
                skipped["pipes, sockets or devices"].append(name)
            elif wanted(name):
                # A link that leads nowhere is a scan that cannot be read: it gets its row with the reason.
                yield _Image(path, _real(path), name)

    yield from visit(root, "", 0)
    for what, names in sorted(skipped.items()):
        named = ", ".join(map(shown, names[:MAX_NAMED])) + (", ..." if len(names) > MAX_NAMED else "")
        report(f"{shown(root)}: skipped {len(names)} {what} ({named})")


def _leads_out(link: Path, root: str) -> bool:
    try:
        return not Path(os.path.realpath(link)).is_relative_to(root)
    except OSError:
        # Where it leads is kept from us, as for the programs under /proc.
        return True


def _real(path: Path) -> str:
    """The path without links; as it stands where the system will not say where a link leads."""
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):
        return str(path.absolute())


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link that leads back to itself.
        return False


def _is_special(entry: os.DirEntry[str]) -> bool:
    mode = entry.stat(follow_symlinks=False).st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISLNK(mode))


def _names(images: Sequence[_Image]) -> list[str]:
    """A scan name for each image, no two the same."""
    plain = [safe_id(image.path) for image in images]
    names = plain
    # The path within the folder that was given stays what it is wherever that folder stands.
    for keys, digits in (
        ([image.within or image.real for image in images], 8),
        ([image.real for image in images], 8),
        ([image.real for image in images], 64),
    ):
        times = Counter(name.casefold() for name in names)
        names = [
            f"{start}-{hashlib.sha256(os.fsencode(key)).hexdigest()[:digits]}" if times[name.casefold()] > 1 else name
            for start, key, name in zip(plain, keys, names, strict=True)
        ]
    return names
