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
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from anomri.errors import InputError
from anomri.io.members import is_zip, members_of
from anomri.io.names import (
    bids_entities,
    claims_dicom,
    is_archive_name,
    is_hdf5_name,
    is_header_name,
    is_picture_name,
    is_sidecar_name,
    is_volume_name,
    may_be_dicom,
    pair_names,
    safe_id,
    shown,
)

if TYPE_CHECKING:
    from anomri.io.dicom import Series
    from anomri.io.dicom.header import Instance

__all__ = ["Found", "find_files", "find_images"]

MAX_DEPTH = 32
# Of what was passed over so many are named.
MAX_NAMED = 10
# Of the files of one folder whose ending says nothing, and is the same, so many are looked into.
MAX_SAMPLED = 3
# The first bytes, which tell DICOM from anything else.
HEAD_BYTES = 132
# A folder below the root that holds one of these was made by anomri.
OUTPUT_MARKS = ("result.json", "run.json")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Image:
    """A file to read: its path as typed, its path without links, and its path within the folder that was walked.

    For a DICOM series `path` is the folder that was walked or the archive, and the others are those of its first file.
    """

    path: Path
    real: str
    within: str
    name: str = ""
    series: Series | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One scan to read, and the name it has in every output.

    Parameters
    ----------
    path : a file; for a DICOM series the folder or zip archive that holds its files.
    members : the names of a series' files within `path`; empty for a file.
    study : a hash that the series of one DICOM study share; empty where nothing tells.
    headers : of a series' files, for `read`.
    """

    path: Path
    scan_id: str
    members: tuple[str, ...] = ()
    study: str = ""
    headers: tuple[Instance, ...] = field(default=(), repr=False, compare=False)


def find_images(
    inputs: Sequence[Path], *, include: str | None = None, report: Callable[[str], None] = _log.warning
) -> tuple[Found, ...]:
    """The scans among files and folders.

    A file is taken as it is. A folder is walked, sorted by name and at most 32 levels deep: only regular files whose
    name ends as a volume's (``.nii``, ``.nii.gz``, ``.mgh``, ``.mgz``, ``.mha``, ``.mhd``, ``.nrrd``, ``.nhdr``, and
    ``.hdr`` with its ``.img``); nothing hidden; no folder below it that anomri wrote; links only where they stay inside
    the folder. A folder that holds none of these gives its DICOM series, those in zip archives among them, told by
    content; one without any its pictures (``.png``, ``.jpg``, ``.tif``, ``.npy``, ``.npz``) and HDF5 files, which
    beside volumes are previews and transforms. A zip archive that is given gives its DICOM series. No file is taken
    twice.

    Where an ending says nothing of a file's content, three files of that ending in a folder are looked into, and all
    of them are read where one is DICOM.

    Parameters
    ----------
    include : a pattern such as ``*_T1w.nii.gz`` that takes the place of the endings; ``*`` also stands for folders.
    report : told in a sentence, for each folder, of what looked like scans and was passed over.

    Returns
    -------
    In the order of `inputs`. `scan_id` is the file's own name, see `safe_id`; that of a DICOM series is made of its
    number and a hash of its UID, after the subject and session where folders name them as in BIDS. Where two agree
    (upper and lower case alike) each gets a hash: of its path within the folder that was given, or of its full path
    where the file itself was given or these agree, too. So it does not matter how the path to a folder was typed, nor
    where the folder stands.

    Raises
    ------
    InputError : an input does not exist (`no_file`), it cannot be reached or listed (`read_failed`), or nothing was
        found (`no_scans`).
    MissingDependency : there are DICOM files and pydicom is not installed.
    """
    images: dict[str, _Image] = {}
    told: list[str] = []
    for given in map(Path, inputs):
        for image in _within(given, include, told.append) if _is_listable(given) else _alone(given, told.append):
            images.setdefault(image.real, image)
    if not images:
        pattern = (
            "DICOM, and no volumes or pictures of a known ending,"
            if include is None
            else f"files that match {shown(include)!r}"
        )
        where = ", ".join(shown(given) for given in inputs[:3]) + (", ..." if len(inputs) > 3 else "")
        remedy = "Check the path." if include is None else "Check the path and the pattern."
        raise InputError(
            f"no scans found: {'; '.join([f'no {pattern} in {where}', *told])}", remedy=remedy, code="no_scans"
        )
    for line in told:
        report(line)
    return tuple(
        Found(image.path, name)
        if image.series is None
        else Found(image.path, name, image.series.members, image.series.study, image.series.headers)
        for image, name in zip(images.values(), _names(list(images.values())), strict=True)
    )


def find_files(folder: Path) -> tuple[Path, ...]:
    """Every regular file below a folder, whatever it is, walked as by `find_images`.

    Raises
    ------
    InputError : there is no such folder (`no_file`), or it cannot be listed (`read_failed`).
    """
    return (
        tuple(image.path for image in _walk(folder, lambda _name: True, _log.warning)) if _is_listable(folder) else ()
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
    wanted = (lambda name: not is_sidecar_name(name)) if include is None else _matcher(include)
    found = list(_walk(folder, wanted, report))
    if include is not None:
        chosen = _may_hold_series(found)
        series, strangers = _series(folder, chosen, report)
        aside = set(chosen) - set(strangers)
        return [*(image for image in found if image not in aside), *series]
    pairs = _pairs({image.within for image in found})
    volumes = [image for image in found if is_volume_name(image.within) or image.within in pairs]
    pictures = [image for image in found if is_picture_name(image.within) or is_hdf5_name(image.within)]
    known = {*volumes, *pictures, *(image for image in found if image.within in pairs.values())}
    others = [image for image in found if image not in known]
    chosen = _may_hold_series(others)
    if volumes:
        archives = [image for image in chosen if is_archive_name(image.within)]
        dicom = [image for image in chosen if claims_dicom(image.within) or _begins_as_dicom(image.path)]
        for passed, what in ((dicom, "DICOM files"), (archives, "zip archives")):
            if passed:
                report(
                    f"{shown(folder)}: {len(passed)} {what} were passed over, as it holds volumes of other formats; "
                    f"name their folder or a pattern to have them ({_named(passed)})"
                )
        _tell_unknown(folder, others, {*archives, *dicom}, report)
        return volumes
    series, strangers = _series(folder, chosen, report)
    _tell_unknown(folder, others, set(chosen) - set(strangers), report)
    if series and pictures:
        report(f"{shown(folder)}: {len(pictures)} pictures and HDF5 files were passed over, as it holds DICOM series")
    return series if series else pictures


def _tell_unknown(folder: Path, others: Sequence[_Image], known: set[_Image], report: Callable[[str], None]) -> None:
    unknown = [image for image in others if image not in known]
    if unknown:
        report(f"{shown(folder)}: {len(unknown)} files of unknown kind were passed over ({_named(unknown)})")


def _named(images: Sequence[_Image]) -> str:
    return _listed([image.within for image in images])


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(shown, names[:MAX_NAMED])) + (", ..." if len(names) > MAX_NAMED else "")


def _pairs(names: set[str]) -> dict[str, str]:
    """The headers among these names whose voxels lie beside them, and where."""
    return {name: data for name in names if is_header_name(name) for data in pair_names(name) if data in names}


def _may_hold_series(images: Sequence[_Image]) -> list[_Image]:
    """The files that may be DICOM or an archive of it: by their names, and where these say nothing by a sample."""
    kinds: dict[tuple[str, str], list[_Image]] = defaultdict(list)
    chosen: set[_Image] = set()
    for image in images:
        folder, _, name = image.within.rpartition("/")
        if may_be_dicom(image.within) or is_archive_name(image.within):
            chosen.add(image)
        elif not (is_volume_name(name) or is_picture_name(name) or is_hdf5_name(name)):
            kinds[folder, name.rpartition(".")[2].lower()].append(image)
    for alike in kinds.values():
        if any(_begins_as_dicom(image.path) for image in alike[:MAX_SAMPLED]):
            chosen.update(alike)
    return [image for image in images if image in chosen]


def _begins_as_dicom(path: Path) -> bool:
    """Whether a file's first bytes are those of DICOM; one that cannot be read is none."""
    from anomri.io.dicom import is_dicom

    try:
        with members_of(path.parent) as files, files.open(path.name) as file:
            return is_dicom(file.read(HEAD_BYTES))
    except InputError:
        return False


def _alone(given: Path, report: Callable[[str], None]) -> list[_Image]:
    image = _Image(given, _real(given), "")
    return _archived(image, report) if is_zip(given) else [image]


def _series(
    folder: Path, candidates: Sequence[_Image], report: Callable[[str], None]
) -> tuple[list[_Image], list[_Image]]:
    """The DICOM series among these files, and the files that are not DICOM."""
    from anomri.io.dicom import find_series

    archives = [image for image in candidates if is_archive_name(image.within) and is_zip(image.path)]
    files = {image.within: image for image in candidates if image not in archives}
    series = [one for archive in archives for one in _archived(archive, report)]
    with members_of(folder, tuple(files)) as members:
        contents = find_series(members)
    if contents.imageless:
        report(f"{shown(folder)}: passed over {len(contents.imageless)} DICOM files that are no images")
    if contents.ours:
        report(f"{shown(folder)}: passed over {len(contents.ours)} DICOM results that anomri made")
    for one in contents.series:
        first = files[one.members[0]]
        entities = bids_entities(Path(first.real).parent)
        name = f"{entities}_{one.scan_id}" if entities else one.scan_id
        series.append(_Image(folder, first.real, first.within, name, one))
    return series, [files[name] for name in contents.strangers]


def _archived(archive: _Image, report: Callable[[str], None]) -> list[_Image]:
    """The DICOM series of a zip archive; one that cannot be used stays a scan of its own, which says why when read."""
    from anomri.io.dicom import find_series

    try:
        with members_of(archive.path) as members:
            contents = find_series(members)
    except InputError:
        return [archive]
    if contents.ours:
        report(f"{shown(archive.path)}: passed over {len(contents.ours)} DICOM results that anomri made")
    volumes = sum(map(is_volume_name, contents.strangers))
    if volumes and (contents.series or archive.within):
        report(f"{shown(archive.path)}: passed over {volumes} volumes in it; unpack it to have them")
    if not contents.series and archive.within:
        report(f"{shown(archive.path)}: passed over, as it holds no DICOM image")
        return []
    entities = bids_entities(Path(archive.real))
    series = [
        _Image(
            path=archive.path,
            real=f"{archive.real}/{one.members[0]}",
            within=f"{archive.within}/{one.members[0]}",
            name=f"{entities}_{one.scan_id}" if entities else one.scan_id,
            series=one,
        )
        for one in contents.series
    ]
    return series if series else [archive]


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
        report(f"{shown(root)}: skipped {len(names)} {what} ({_listed(names)})")


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
    plain = [image.name or safe_id(image.path) for image in images]
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
