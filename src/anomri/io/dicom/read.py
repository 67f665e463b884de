"""From the files of a series to an image: each file is opened once, its header judged before its pixels are read."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomri.errors import InputError
from anomri.io.dicom.elements import DEFLATED, NATIVE
from anomri.io.dicom.feed import Feed
from anomri.io.dicom.grid import named_planes, spacing_note, stacked, volume_affine
from anomri.io.dicom.header import ENHANCED, MR_CLASSES, Instance, Plane, read_header
from anomri.io.dicom.pixels import check_stored, decoded, native, require_decoder, values_of
from anomri.io.dicom.problems import bad_header, not_a_volume, truncated
from anomri.io.dicom.protocol import contrast_of, notes_on
from anomri.io.guard import MIN_VOXELS_PER_AXIS, Image, check_shape, image_of
from anomri.io.members import members_of
from anomri.io.stream import SLACK_BYTES, ByteStream

__all__ = ["Described", "describe_series", "read_dicom", "read_series"]

READER = "anomri.dicom 1"
# Compressed pixels are rarely larger than plain ones, and never by much.
ENCODED_SLACK = 1 << 20
SLAB_BYTES = 1 << 25
# Image types that show something else than slices as they were acquired or cut.
PROJECTIONS = ("LOCALIZER", "SCOUT", "MIP", "MINIP", "MPR THICK", "PROJECTION IMAGE", "MOSAIC")
COMPUTED = ("ADC", "FA", "TRACEW", "ASL", "PERFUSION", "TTP", "MTT", "RCBV", "RCBF", "DIFFUSION_ANISO")
OTHER_MODALITIES = ("CR", "CT", "DX", "MG", "NM", "OT", "PT", "RF", "SC", "SEG", "US", "XA")
PHASES = ("P", "PHASE", "R", "REAL", "I", "IMAGINARY", "PHASE MAP", "VELOCITY")


@dataclass(frozen=True, slots=True)
class Described:
    """What the headers of a series say before any pixel is read.

    Parameters
    ----------
    shape, spacing_mm, affine : of its grid; None where it has none.
    problem : why it cannot be read; None where nothing stands against it.
    """

    slices: int
    shape: tuple[int, int, int] | None
    spacing_mm: tuple[float, ...] | None
    affine: NDArray[np.float64] | None
    sequence: str | None
    notes: tuple[str, ...]
    problem: InputError | None


def read_series(path: Path, members: Sequence[str], *, max_voxels: int, headers: Sequence[Instance] = ()) -> Image:
    """Read the files of one scan in a folder or a zip archive.

    Parameters
    ----------
    members : their names, sorted; see `find_series`.
    headers : those that `find_series` read; a file that was written to since then, or lacks here, is read anew.

    Raises
    ------
    InputError : see the codes in the package's `read`.
    MissingDependency : no pydicom.
    """
    hasher = hashlib.sha256()
    instances: list[Instance] = []
    contents: list[bytes | bytearray] = []
    known = {header.name: header for header in headers}
    with members_of(path, members) as files:
        for name in members:
            with files.open(name) as file:
                feed = Feed(file.read, hasher)
                instance = known.get(name)
                # Where the pixels stand is known in the content alone, which inflating a file makes.
                if instance is None or instance.stamp != file.stamp or instance.syntax == DEFLATED:
                    instance = read_header(feed, name)
                _check(instance, instances)
                _check_size(instance, len(members), max_voxels)
                instances.append(instance)
                contents.append(_pixel_bytes(feed, instance))
                feed.finish()
    return _image(instances, contents, hasher.hexdigest(), [])


def read_dicom(stream: ByteStream, *, max_voxels: int) -> Image:
    """Read one file alone: an enhanced image, or a single slice.

    Raises
    ------
    InputError : see the codes in the package's `read`.
    MissingDependency : no pydicom.
    """
    feed = Feed(stream.piece)
    instance = read_header(feed, stream.path.name)
    _check(instance, [])
    _check_size(instance, 1, max_voxels)
    content = _pixel_bytes(feed, instance)
    feed.finish()
    stream.finish()
    return _image([instance], [content], stream.sha256, stream.notes)


def describe_series(path: Path, members: Sequence[str]) -> Described:
    """What the headers of a scan's files say.

    Raises
    ------
    MissingDependency : no pydicom.
    """
    instances: list[Instance] = []
    problem: InputError | None = None
    affine, shape, contradicted = None, None, None
    try:
        with members_of(path, members) as files:
            for name in members:
                with files.open(name) as file:
                    instances.append(read_header(Feed(file.read), name))
        for number, instance in enumerate(instances):
            _check(instance, instances[:number])
        planes = [plane for instance in instances for plane in instance.planes]
        runs = stacked(planes)
        first = instances[0]
        shape = (first.columns, first.rows, len(runs))
        affine = volume_affine([planes[run[0]] for run in runs])
        contradicted = spacing_note([planes[run[0]] for run in runs])
        check_shape(shape, max_voxels=math.prod(shape))
        _one_volume(runs)
    except InputError as error:
        problem = error
    return Described(
        slices=sum(len(instance.planes) for instance in instances),
        shape=shape,
        spacing_mm=None if affine is None else tuple(np.linalg.norm(affine[:3, :3], axis=0).tolist()),
        affine=affine,
        sequence=contrast_of(instances[0].protocol) if instances else None,
        notes=(*_notes(instances), *_given(contradicted)) if instances else (),
        problem=problem,
    )


def _check(instance: Instance, before: Sequence[Instance]) -> None:
    """Refuse what is no slice of an MR volume, by its header alone."""
    kinds = {word for plane in instance.planes for word in plane.kind}
    if instance.sop_class.startswith("1.2.840.10008.5.1.4.1.1.7"):
        raise not_a_volume("the images are secondary captures, such as screenshots")
    if instance.sop_class not in MR_CLASSES:
        known = instance.modality if instance.modality in OTHER_MODALITIES else "another modality"
        raise InputError(f"the images are of {known}, not MR images", remedy="Give MR images.", code="not_mri")
    if instance.pixels is None:
        raise InputError("an image has no pixels", remedy="Export the series with its pixels.", code="no_pixels")
    if instance.burned_in:
        raise InputError(
            "the header says that text is burned into the images, which may name a person",
            remedy="Give the series as acquired.",
            code="burned_in",
        )
    check_stored(instance)
    if not all(math.isfinite(plane.slope + plane.intercept) for plane in instance.planes):
        raise bad_header("the scaling of the values is not a number")
    require_decoder(instance.syntax)
    if not (kinds.isdisjoint(PROJECTIONS) and kinds.isdisjoint(COMPUTED)):
        shown = sorted(kinds & set(PROJECTIONS)) + sorted(kinds & set(COMPUTED))
        raise not_a_volume(f"the image type says {shown[0]}, which is no volume as acquired")
    if before and (instance.rows, instance.columns) != (before[0].rows, before[0].columns):
        raise not_a_volume("the images are of different sizes")


def _check_size(instance: Instance, files: int, max_voxels: int) -> None:
    slices = files * len(instance.planes)
    # How many slices there are in the end is known when all positions are; how large it can become, now.
    check_shape((instance.columns, instance.rows, max(slices, MIN_VOXELS_PER_AXIS)), max_voxels=max_voxels)


def _pixel_bytes(feed: Feed, instance: Instance) -> bytes | bytearray:
    """The pixels as stored. Nothing is believed: what is declared, promised and there is compared."""
    pixels = instance.pixels
    assert pixels is not None
    if (pixels.length is None) is (instance.syntax in NATIVE):
        raise bad_header("the pixels are not stored as the transfer syntax says")
    feed.skip(pixels.start)
    if pixels.length is None:
        return feed.rest(2 * instance.n_bytes + ENCODED_SLACK)
    if pixels.length < instance.n_bytes:
        raise truncated(f"the pixels take {instance.n_bytes} bytes and {pixels.length} are there")
    if pixels.length > instance.n_bytes + SLACK_BYTES:
        raise bad_header("the pixel element is far larger than the image")
    return feed.take(instance.n_bytes)


def _image(
    instances: Sequence[Instance], contents: Sequence[bytes | bytearray], sha256: str, before: Sequence[str]
) -> Image:
    planes = [plane for instance in instances for plane in instance.planes]
    runs = stacked(planes)
    frames, notes = _stored_frames(instances, contents)
    how = [instance.stored for instance in instances for _ in instance.planes]

    def values(number: int) -> NDArray[Any]:
        return values_of(frames[number], how[number], planes[number])

    dropped = _without_copies(runs, values, planes)
    if dropped:
        copies = "1 slice that stood there twice was" if dropped == 1 else f"{dropped} further copies of slices were"
        notes.append(f"{copies} left out: their values are identical")
    order = [run[0] for run in runs]
    first = instances[0]
    shape = (first.columns, first.rows, len(order))
    affine = volume_affine([planes[number] for number in order])
    notes += _given(spacing_note([planes[number] for number in order]))
    check_shape(shape, max_voxels=math.prod(shape))
    voxels = np.empty(shape, dtype=np.float32)
    step = max(1, SLAB_BYTES // (2 * first.columns * first.rows))
    for start in range(0, len(order), step):
        slab = np.stack([values(number) for number in order[start : start + step]])
        for row in range(shape[1]):
            # Row by row what is turned fits into the cache; as a whole it takes three times as long.
            voxels[:, row, start : start + step] = slab[:, row].T
    image = image_of(
        voxels,
        affine,
        format="dicom",
        reader=READER,
        sha256=sha256,
        notes=[*before, *_notes(instances), *notes],
    )
    return replace(image, sequence=contrast_of(first.protocol), protocol=first.protocol)


def _stored_frames(
    instances: Sequence[Instance], contents: Sequence[bytes | bytearray]
) -> tuple[list[NDArray[Any]], list[str]]:
    """(rows, columns) of stored integers for each plane, and what was noticed."""
    syntaxes = {instance.syntax for instance in instances}
    if len(syntaxes) > 1:
        raise not_a_volume("the images are stored in different transfer syntaxes")
    frames: list[NDArray[Any]] = []
    beyond = 0
    if syntaxes <= set(NATIVE):
        for content, instance in zip(contents, instances, strict=True):
            stored, set_beyond = native(content, instance)
            beyond += set_beyond
            frames.extend(stored)
    else:
        for stored in decoded(contents, instances):
            frames.extend(stored)
    notes = [f"bits above the stored ones were set in {beyond} files and were ignored"] if beyond else []
    return frames, notes


def _given(note: str | None) -> list[str]:
    return [] if note is None else [note]


def _without_copies(runs: list[list[int]], values: Any, planes: Sequence[Plane]) -> int:
    """Drop planes that lie at the place of another and have its values, in place; how many.

    Raises
    ------
    InputError : they have other values (`not_one_volume` where each place holds as many, else `duplicate_slices`).
    """
    dropped = 0
    for run in runs:
        kept: list[int] = []
        for number in run:
            if not any(np.array_equal(values(number), values(other)) for other in kept):
                kept.append(number)
            # One other image is enough to refuse the series.
            if len(kept) > 1:
                _one_volume(runs)
                raise _duplicates([planes[at] for at in run])
        dropped += len(run) - 1
        run[:] = kept
    return dropped


def _one_volume(runs: Sequence[Sequence[int]]) -> None:
    times = {len(run) for run in runs}
    if len(times) == 1 and times != {1}:
        raise InputError(
            f"the series holds {times.pop()} images at each of {len(runs)} places",
            remedy="Split it and give one volume (for diffusion or functional series, the one without weighting).",
            code="not_one_volume",
        )


def _duplicates(planes: Sequence[Plane]) -> InputError:
    return InputError(
        f"different images lie at the same place: {named_planes(planes[:5])}{', …' if len(planes) > 5 else ''}",
        remedy="Leave out the images that do not belong to the series.",
        code="duplicate_slices",
    )


def _notes(instances: Sequence[Instance]) -> list[str]:
    first = instances[0]
    kinds = set(first.planes[0].kind)
    notes = notes_on(first.protocol)
    if kinds & set(PHASES):
        notes.append("the image type says phase, real or imaginary part, not magnitude")
    if "DERIVED" in kinds:
        notes.append("the image type says that the images were derived from others")
    if first.stored.photometric == "MONOCHROME1":
        notes.append("stored values are bright where they are low (MONOCHROME1) and were turned over")
    if len(instances) == 1 and first.sop_class not in ENHANCED and first.planes[0].position is not None:
        notes.append("a single slice; its neighbours, if it has any, were not given")
    return notes
