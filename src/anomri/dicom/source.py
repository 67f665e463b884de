"""The DICOM series a result was made from: whose it is, and where its frames lie.

Files are told apart, guarded and put in order by `anomri.io.dicom`, as when they are scored; here their headers are
read once more, whole, because the results carry the identity of the patient and the study.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from anomri.core.geometry import Geometry
from anomri.errors import InputError
from anomri.io.dicom import Series, find_series
from anomri.io.dicom.feed import Feed
from anomri.io.dicom.grid import stacked, volume_affine
from anomri.io.dicom.header import Plane, read_header
from anomri.io.members import Members, is_zip, members_of
from anomri.io.stream import READ_BYTES

__all__ = ["SourceSeries", "matched", "read_source", "to_lps"]

# How far a corner of the result's grid may lie from that of the series.
TOLERANCE_MM = 0.1
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
# The standard wants them in every object, and lets them be empty; what was made anonymous often lacks them.
_MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)


@dataclass(frozen=True, eq=False, slots=True)
class SourceSeries:
    """The headers of one series.

    Parameters
    ----------
    instances : pydicom data sets without pixels, single-frame ones by position; one where it has many frames.
    geometry : axes along a row, down a column, and from slice to slice; None where its slices make no grid.
    slice_of : (frames,) which slice each frame is, in the order of `instances`, or of the frames in the only one.
    """

    instances: tuple[Any, ...]
    geometry: Geometry | None
    slice_of: NDArray[np.intp]

    def frames_of(self, values: NDArray[Any], grid: Geometry) -> NDArray[Any]:
        """An image on `grid`, which `matched` found to be this series', as (frames, rows, columns) of the series."""
        assert self.geometry is not None
        axes, flips = _turn(grid, self.geometry)
        turned = np.flip(np.transpose(values, axes), flips)
        return np.ascontiguousarray(np.transpose(turned, (2, 1, 0))[self.slice_of])


@dataclass(frozen=True, eq=False, slots=True)
class _Candidate:
    """One series: its names in order of `slice_of`, its grid, or why it has none."""

    series: Series
    names: tuple[str, ...]
    geometry: Geometry | None
    slice_of: NDArray[np.intp]
    problem: InputError | None


def read_source(path: str | Path, grid: Geometry | None, scan_id: str) -> SourceSeries:
    """The series of a folder, a file or a zip archive; of several, the one that lies on `grid`.

    Parameters
    ----------
    grid : of the result; None where it has no image.
    scan_id : of the result; a scan that was read from DICOM has the id of its series, which tells those apart that lie
        on one grid.

    Raises
    ------
    InputError : no DICOM image (`no_series`), none on this grid (`other_grid`), or several (`several_series`); an
        attribute is missing (`series_header`); what `anomri.io` refuses.
    MissingDependency : pydicom is not installed.
    """
    path = Path(path)
    root, names = _members(path)
    with members_of(root, names) as files:
        candidates = [_candidate(files, series) for series in find_series(files).series]
        chosen = _chosen(candidates, grid, scan_id)
        heads = [_head(files, name) for name in chosen.names]
    for head in heads:
        _check(head, in_space=grid is not None)
    return SourceSeries(tuple(heads), chosen.geometry, chosen.slice_of)


def matched(grid: Geometry, series: Geometry) -> bool:
    """Whether two grids are one but for the order and direction of their axes: no corner is off by more than 0.1 mm."""
    axes, flips = _turn(grid, series)
    if sorted(axes) != [0, 1, 2]:
        return False
    turn = np.zeros((4, 4))
    turn[3, 3] = 1.0
    for new, old in enumerate(axes):
        turn[old, new] = -1.0 if new in flips else 1.0
        turn[old, 3] = grid.shape[old] - 1 if new in flips else 0.0
    shape = (grid.shape[axes[0]], grid.shape[axes[1]], grid.shape[axes[2]])
    return Geometry(shape, grid.affine @ turn).same_grid(series, TOLERANCE_MM)


def to_lps(point_mm: Sequence[float]) -> tuple[float, float, float]:
    """A point in RAS mm in DICOM's patient coordinates, which grow to the left and back."""
    x, y, z = (float(v) for v in point_mm)
    return -x, -y, z


def _turn(grid: Geometry, series: Geometry) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Which axis of `grid` each axis of `series` is, and which of them run the other way."""
    ours, theirs = (g.affine[:3, :3] / np.linalg.norm(g.affine[:3, :3], axis=0) for g in (grid, series))
    along = theirs.T @ ours
    axes = tuple(int(a) for a in np.abs(along).argmax(axis=1))
    return axes, tuple(new for new, old in enumerate(axes) if along[new, old] < 0)


def _members(path: Path) -> tuple[Path, tuple[str, ...]]:
    if path.is_dir():
        walked = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
        return path, tuple(sorted(str(file.relative_to(path)) for file in walked if file.is_file()))
    if not path.is_file():
        raise InputError("there is no such file or folder", remedy="Check the path of the series.", code="no_series")
    return (path, ()) if is_zip(path) else (path.parent, (path.name,))


def _candidate(files: Members, series: Series) -> _Candidate:
    planes: list[Plane] = []
    lengths: list[int] = []
    try:
        for name in series.members:
            with files.open(name) as file:
                instance = read_header(Feed(file.read), name)
            planes += instance.planes
            lengths.append(len(instance.planes))
        runs = stacked(planes)
        affine = volume_affine([planes[run[0]] for run in runs])
    except InputError as problem:
        return _Candidate(series, series.members, None, np.zeros(0, dtype=np.intp), problem)
    geometry = Geometry((instance.columns, instance.rows, len(runs)), affine)
    if len(series.members) == 1:
        slice_of = np.empty(len(planes), dtype=np.intp)
        for at, run in enumerate(runs):
            slice_of[run] = at
        return _Candidate(series, series.members, geometry, slice_of, None)
    if max(lengths) > 1:
        several = InputError(
            "the series has several images of many frames",
            remedy="Give the file that was scored.",
            code="several_series",
        )
        return _Candidate(series, series.members, None, np.zeros(0, dtype=np.intp), several)
    # Of slices that are there twice the first stands for both.
    names = tuple(series.members[run[0]] for run in runs)
    return _Candidate(series, names, geometry, np.arange(len(runs)), None)


def _chosen(candidates: list[_Candidate], grid: Geometry | None, scan_id: str) -> _Candidate:
    if not candidates:
        raise InputError(
            "there is no DICOM image", remedy="Give the folder of the series that was scored.", code="no_series"
        )
    fitting = [c for c in candidates if grid is None or (c.geometry is not None and matched(grid, c.geometry))]
    if len(fitting) > 1:
        fitting = [c for c in fitting if c.series.scan_id == scan_id] or fitting
    if len(fitting) > 1:
        raise InputError(
            f"{len(fitting)} series may be the one that was scored",
            remedy="Give the folder of one series.",
            code="several_series",
        )
    if fitting:
        return fitting[0]
    if len(candidates) == 1 and candidates[0].problem is not None:
        raise candidates[0].problem
    raise InputError(
        "no series lies on the grid of the result",
        remedy="Give the series that was scored, whole and as it was; or score the series itself.",
        code="other_grid",
    )


def _head(files: Members, name: str) -> Any:
    with files.open(name) as file:
        content = io.BytesIO()
        while piece := file.read(READ_BYTES):
            content.write(piece)
    content.seek(0)
    return dcmread(content, stop_before_pixels=True)


def _check(head: Any, *, in_space: bool) -> None:
    missing = [name for name in (*_NEEDED, *(("FrameOfReferenceUID",) if in_space else ())) if not head.get(name)]
    if missing:
        raise InputError(
            f"an image of the series has no {missing[0]}",
            remedy="Export the series again, with its header whole.",
            code="series_header",
        )
    for name in _MAY_BE_EMPTY:
        if name not in head:
            setattr(head, name, None)
