"""Which files belong together: the series of a folder or an archive, each a scan of its own.

A series is split where its images differ in what makes them another scan: image type (magnitude and phase, water and
fat), echo, size, direction, pixel size. Parts too small to be volumes, as the planes of a localizer, stay together as
one scan, which is refused when it is read.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from anomri.errors import InputError
from anomri.io.dicom.elements import is_dicom
from anomri.io.dicom.feed import Feed
from anomri.io.dicom.grid import same_directions
from anomri.io.dicom.header import MR_CLASSES, Instance, read_header
from anomri.io.guard import MIN_VOXELS_PER_AXIS
from anomri.io.members import Members
from anomri.io.names import claims_dicom

__all__ = ["Contents", "Series", "find_series", "grouped"]

HEAD_BYTES = 132
# The manufacturer that `anomri.dicom` writes into its results.
MAKER = "anomri"


@dataclass(frozen=True, slots=True)
class Series:
    """The files of one scan.

    Parameters
    ----------
    scan_id : made of the series' number and a hash; names no person.
    members : names of the files, sorted.
    study : a hash that the scans of one examination share, empty where a file could not be read.
    headers : of the files, none where one could not be read.
    """

    scan_id: str
    members: tuple[str, ...]
    study: str = ""
    # They name what must not be told.
    headers: tuple[Instance, ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Contents:
    """What the files of a folder or an archive are.

    Parameters
    ----------
    series : sorted by their ids; a DICOM file that cannot be read is one alone.
    imageless : names of DICOM files that are no images: reports, presentation states, directories.
    ours : names of images that anomri made of a scan: heatmaps, masks, pictures.
    strangers : names of files that are not DICOM.
    """

    series: tuple[Series, ...]
    imageless: tuple[str, ...]
    ours: tuple[str, ...]
    strangers: tuple[str, ...]


def find_series(members: Members) -> Contents:
    """Tell the files of a folder or an archive apart, by their headers.

    Raises
    ------
    InputError : an archive unpacks to far more than its size (`compression_bomb`).
    MissingDependency : there are DICOM files and pydicom is not installed.
    """
    found: list[Instance] = []
    broken: list[Series] = []
    imageless: list[str] = []
    ours: list[str] = []
    strangers: list[str] = []
    for name in members.names():
        try:
            with members.open(name) as file:
                feed = Feed(file.read)
                feed.more(HEAD_BYTES)
                if not is_dicom(bytes(feed.content)) and not claims_dicom(name):
                    strangers.append(name)
                    continue
                instance = read_header(feed, name, file.stamp)
        except InputError as error:
            if error.code == "compression_bomb":
                raise
            # It gets its row with the reason when it is read.
            broken.append(Series(f"file-{_digest(name)}", (name,)))
            continue
        if instance.pixels is None and instance.sop_class not in MR_CLASSES:
            imageless.append(name)
        elif instance.protocol.maker == MAKER:
            ours.append(name)
        else:
            found.append(instance)
    series = [
        Series(_scan_id(part), tuple(i.name for i in part), _digest("study", part[0].study_uid), part)
        for part in grouped(found)
    ]
    known = sorted([*series, *broken], key=lambda one: (one.scan_id, one.members))
    return Contents(tuple(known), tuple(imageless), tuple(ours), tuple(strangers))


def grouped(instances: Iterable[Instance]) -> list[tuple[Instance, ...]]:
    """The images that belong together, each part in the order given."""
    series: dict[tuple[str, str], list[list[Instance]]] = defaultdict(list)
    for instance in instances:
        parts = series[instance.study_uid, instance.series_uid]
        part = next((part for part in parts if _alike(part[0], instance)), None)
        if part is None:
            parts.append([instance])
        else:
            part.append(instance)
    out: list[tuple[Instance, ...]] = []
    for parts in series.values():
        small = [part for part in parts if sum(len(one.planes) for one in part) < MIN_VOXELS_PER_AXIS]
        whole = [part for part in parts if part not in small] if len(small) > 1 else parts
        out += map(tuple, whole)
        if len(small) > 1:
            out.append(tuple(sorted((one for part in small for one in part), key=lambda one: one.name)))
    return out


def _alike(one: Instance, other: Instance) -> bool:
    a, b = one.planes[0], other.planes[0]
    return (
        (one.sop_class, one.rows, one.columns, a.kind, a.echo)
        == (other.sop_class, other.rows, other.columns, b.kind, b.echo)
    ) and same_directions(a, b)


def _scan_id(part: tuple[Instance, ...]) -> str:
    """From the series' number, and hashes of what tells it apart; the same wherever its files lie."""
    first = min(part, key=lambda i: (i.planes[0].echo, i.planes[0].kind, i.rows, i.columns))
    plane = first.planes[0]
    digest = _digest(first.series_uid, *plane.kind, plane.echo, first.rows, first.columns)
    number = first.series_number
    return f"series-{digest}" if number is None or not 0 <= number < 10**6 else f"series-{number:03d}-{digest}"


def _digest(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode(errors="surrogateescape")).hexdigest()[:8]
