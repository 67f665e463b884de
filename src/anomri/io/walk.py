"""From what the user names to a list of scans, in an order that does not depend on the file system."""

from __future__ import annotations

import fnmatch
import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from anomri.errors import InputError
from anomri.io.names import is_image_name, safe_id, shown

__all__ = ["Found", "find_images"]

MAX_DEPTH = 32
# A folder below the root that holds one of these was made by anomri.
OUTPUT_MARKS = ("result.json", "run.json")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """One file to read, and the name it has in every output."""

    path: Path
    scan_id: str


def find_images(inputs: Sequence[Path], *, include: str | None = None) -> tuple[Found, ...]:
    """The scans among files and folders.

    A file is taken as it is. A folder is walked, sorted by name and at most 32 levels deep: only regular files whose
    name ends in ``.nii`` or ``.nii.gz``; nothing hidden; no folder below it that anomri wrote; links only where
    they stay inside the folder. No file is taken twice.

    Parameters
    ----------
    include : a pattern such as ``*_T1w.nii.gz`` that takes the place of the endings; ``*`` also stands for folders.

    Returns
    -------
    In the order of `inputs`. `scan_id` is the file's own name in a safe alphabet; where two agree (upper and lower
    case alike) each gets a hash of its path as given.

    Raises
    ------
    InputError : an input does not exist or a folder may not be listed (`no_file`, `read_failed`), or nothing was
        found (`no_scans`).
    """
    wanted = _matcher(include)
    paths: dict[str, Path] = {}
    for given in map(Path, inputs):
        try:
            is_folder = given.is_dir()
            exists = is_folder or os.path.lexists(given)
        except (OSError, ValueError):
            is_folder, exists = False, False
        if not exists:
            raise InputError(f"there is no {shown(given)}", remedy="Check the path.", code="no_file")
        for path in _walk(given, wanted) if is_folder else [given]:
            paths.setdefault(os.path.realpath(path), path)
    if not paths:
        pattern = ".nii or .nii.gz files" if include is None else f"files that match {shown(include)!r}"
        where = ", ".join(shown(given) for given in inputs[:3]) + (", ..." if len(inputs) > 3 else "")
        raise InputError(
            f"no scans found: no {pattern} in {where}", remedy="Check the path and --include.", code="no_scans"
        )
    return tuple(Found(path, name) for path, name in zip(paths.values(), _names(list(paths.values())), strict=True))


def _matcher(include: str | None) -> Callable[[str], bool]:
    if include is None:
        return is_image_name
    pattern = re.compile(fnmatch.translate(include))
    # The leading slash lets `**/name` match at the root, too.
    return lambda relative: pattern.match(relative) is not None or pattern.match(f"/{relative}") is not None


def _walk(root: Path, wanted: Callable[[str], bool]) -> Iterator[Path]:
    """Matching files below a folder."""
    inside = os.path.realpath(root)
    skipped: Counter[str] = Counter()
    entered: set[tuple[int, int]] = set()

    def visit(folder: Path, relative: str, depth: int) -> Iterator[Path]:
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in entered:
                return
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if depth > 0:
                skipped["folders that cannot be listed"] += 1
                return
            raise InputError(
                f"the folder {shown(folder)} cannot be listed", remedy="Check its permissions.", code="read_failed"
            ) from error
        if depth > 0 and any(entry.name in OUTPUT_MARKS for entry in entries):
            return
        for entry in entries:
            name = relative + entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_symlink() and not _is_within(os.path.realpath(entry.path), inside):
                skipped["links that lead out of the folder"] += 1
            elif _is_folder(entry):
                if depth < MAX_DEPTH:
                    yield from visit(folder / entry.name, f"{name}/", depth + 1)
                else:
                    skipped[f"folders deeper than {MAX_DEPTH} levels"] += 1
            elif wanted(name) and _is_file(entry):
                yield folder / entry.name

    yield from visit(root, "", 0)
    for what, count in sorted(skipped.items()):
        _log.warning("%s: skipped %d %s", shown(root), count, what)


def _is_within(real: str, root: str) -> bool:
    return Path(real).is_relative_to(root)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link that leads back to itself.
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _names(paths: Sequence[Path]) -> list[str]:
    """A scan name for each path, no two the same."""
    names = [safe_id(path) for path in paths]
    for digits in (8, 16, 64):
        times = Counter(name.casefold() for name in names)
        clashing = [times[name.casefold()] > 1 for name in names]
        if not any(clashing):
            break
        names = [
            f"{safe_id(path)}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:digits]}" if clash else name
            for path, name, clash in zip(paths, names, clashing, strict=True)
        ]
    return names
