"""The DICOM series a result was made from: whose it is, and where its frames lie.

Files are found, guarded and put in order by `anomri.io`, as when they are scored; here the headers of one series are
read once more, whole, because the results carry the identity of the patient and the study. So that no result ever goes
to another patient, that series must be shown to be the one that was scored: by its bytes, or by its voxels.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from anomri.core.geometry import Geometry
from anomri.core.outcome import Outcome
from anomri.errors import InputError
from anomri.io.dicom import find_series, read_series
from anomri.io.dicom.feed import Feed
from anomri.io.dicom.grid import stacked, volume_affine
from anomri.io.dicom.header import Instance, read_header
from anomri.io.guard import DEFAULT_MAX_VOXELS
from anomri.io.members import Members, is_zip, members_of, members_sha256
from anomri.io.walk import find_images

__all__ = ["SourceSeries", "matched", "read_source", "to_lps"]

# How far a corner of the result's grid may lie from that of the series.
TOLERANCE_MM = 0.1
# Noise alone keeps two images of one head below it; what a converter rounds or scales stays above.
LEAST_CORRELATION = 1.0 - 1e-6
LEAST_VOXELS = 1000
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
    """One series: where its files lie, their names in order of `slice_of`, its grid, or why it has none."""

    path: Path
    members: tuple[str, ...]
    headers: tuple[Instance, ...]
    names: tuple[str, ...]
    geometry: Geometry | None
    slice_of: NDArray[np.intp]
    problem: InputError | None


def read_source(path: str | Path, outcome: Outcome) -> SourceSeries:
    """The series that a result was made from, in a folder, a file or a zip archive.

    It is the one whose bytes have the digest in the result; else, as for a scan that was converted first, the one on
    the grid of the result that has the scan's voxels inside the brain, up to one positive factor and one summand.

    Parameters
    ----------
    outcome : in memory, or read back from a result folder.

    Raises
    ------
    InputError : no DICOM image (`no_series`), none on the result's grid (`other_grid`), none that is shown to be the
        one that was scored (`other_series`), or several that are (`several_series`); an attribute is missing or
        cannot be read (`series_header`); what `anomri.io` refuses.
    MissingDependency : pydicom is not installed.
    """
    candidates = _candidates(Path(path))
    grid = _grid_of(outcome)
    chosen = _chosen(candidates, outcome, grid)
    if grid is not None and chosen.problem is not None:
        raise chosen.problem
    with members_of(chosen.path, chosen.members) as files:
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


def _grid_of(outcome: Outcome) -> Geometry | None:
    images = (outcome.heatmap, outcome.scan, outcome.brain)
    return next((image.geometry for image in images if image is not None), None)


def _candidates(path: Path) -> list[_Candidate]:
    """The series that scoring finds there, also where they lie beside images of other formats."""
    if path.is_file() and not is_zip(path):
        with members_of(path.parent, (path.name,)) as files:
            alone = find_series(files).series
        return [_candidate(path.parent, one.members, one.headers) for one in alone]
    if is_zip(path):
        # Opening an archive that cannot be used says why.
        with members_of(path):
            pass
    try:
        found = find_images([path], include="*", report=lambda _line: None)
    except InputError as error:
        if error.code != "no_scans":
            raise
        return []
    return [_candidate(one.path, one.members, one.headers) for one in found if one.members]


def _candidate(path: Path, members: tuple[str, ...], headers: tuple[Instance, ...]) -> _Candidate:
    def without_grid(problem: InputError) -> _Candidate:
        return _Candidate(path, members, headers, members, None, np.zeros(0, dtype=np.intp), problem)

    try:
        instances = headers or _headers(path, members)
        planes = [plane for instance in instances for plane in instance.planes]
        runs = stacked(planes)
        affine = volume_affine([planes[run[0]] for run in runs])
    except InputError as problem:
        return without_grid(problem)
    geometry = Geometry((instances[0].columns, instances[0].rows, len(runs)), affine)
    if len(members) == 1:
        slice_of = np.empty(len(planes), dtype=np.intp)
        for at, run in enumerate(runs):
            slice_of[run] = at
        return _Candidate(path, members, headers, members, geometry, slice_of, None)
    if max(len(instance.planes) for instance in instances) > 1:
        return without_grid(
            InputError(
                "the series has several images of many frames",
                remedy="Give the file that was scored.",
                code="several_series",
            )
        )
    # Of slices that are there twice the first stands for both.
    names = tuple(members[run[0]] for run in runs)
    return _Candidate(path, members, headers, names, geometry, np.arange(len(runs)), None)


def _headers(path: Path, members: tuple[str, ...]) -> tuple[Instance, ...]:
    out: list[Instance] = []
    with members_of(path, members) as files:
        for name in members:
            with files.open(name) as file:
                out.append(read_header(Feed(file.read), name))
    return tuple(out)


def _chosen(candidates: list[_Candidate], outcome: Outcome, grid: Geometry | None) -> _Candidate:
    if not candidates:
        raise InputError(
            "there is no DICOM image", remedy="Give the folder of the series that was scored.", code="no_series"
        )
    scored = outcome.result.input
    # What could not be read has no format.
    if scored.sha256 and scored.format in ("dicom", "unknown"):
        for one in candidates:
            if members_sha256(one.path, one.members) == scored.sha256:
                return one
    fitting = [one for one in candidates if grid and one.geometry and matched(grid, one.geometry)]
    if grid is not None and not fitting:
        if len(candidates) == 1 and candidates[0].problem is not None:
            raise candidates[0].problem
        raise InputError(
            "no series lies on the grid of the result",
            remedy="Give the series that was scored, whole and as it was; or score the series itself.",
            code="other_grid",
        )
    same = [one for one in fitting if _has_the_voxels(one, outcome)]
    if not same:
        raise InputError(
            "the series is not the one that was scored: its bytes are others, and the result holds no image to compare"
            if outcome.scan is None
            else "the series is not the one that was scored: its voxels are others",
            remedy="Give the series that was scored; or score this series itself and give that result.",
            code="other_series",
        )
    if len(same) > 1:
        raise InputError(
            f"{len(same)} series may be the one that was scored",
            remedy="Give the folder of one series.",
            code="several_series",
        )
    return same[0]


def _has_the_voxels(candidate: _Candidate, outcome: Outcome) -> bool:
    """Whether a series on the scan's grid holds the image that was scored, inside the brain where that is known."""
    scan = outcome.scan
    if scan is None or candidate.geometry is None:
        return False
    try:
        image = read_series(candidate.path, candidate.members, max_voxels=DEFAULT_MAX_VOXELS, headers=candidate.headers)
    except InputError:
        # What cannot be read was not scored.
        return False
    axes, flips = _turn(scan.geometry, candidate.geometry)
    # A result folder has nothing of the scan outside the brain.
    inside = np.ones(scan.geometry.shape, dtype=bool) if outcome.brain is None else outcome.brain.mask
    ours, where = (np.flip(np.transpose(values, axes), flips) for values in (scan.voxels, inside))
    if ours.shape != image.voxels.shape or np.count_nonzero(where) < LEAST_VOXELS:
        return False
    a, b = (values[where].astype(np.float64) for values in (ours, image.voxels))
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return False
    return float(np.corrcoef(a, b)[0, 1]) >= LEAST_CORRELATION


def _head(files: Members, name: str) -> Any:
    """The whole header of one file, read under the limits of `anomri.io`."""
    with files.open(name) as file:
        feed = Feed(file.read)
        instance = read_header(feed, name)
        content = bytes(feed.content if instance.pixels is None else feed.content[: instance.pixels.at])
    try:
        # The preamble may be missing, and an inflated data set comes without its file meta information.
        head: Any = dcmread(io.BytesIO(content), force=True)
    except (ValueError, TypeError, EOFError, OverflowError, NotImplementedError) as error:
        raise InputError(
            "the header of an image cannot be read whole",
            remedy="Export the series again, with its header whole.",
            code="series_header",
        ) from error
    head.file_meta.TransferSyntaxUID = instance.syntax
    return head


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
