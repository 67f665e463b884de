"""Is an image in the set twice: the same voxels, or the same picture saved again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anomri.datasets.record import Record
from anomri.errors import InputError
from anomri.io.formats import read_image
from anomri.io.names import shown

__all__ = ["WithoutDuplicates", "file_sha256", "picture_groups", "voxel_sha256", "without_duplicates"]

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
VOLUMES = (".nii", ".nii.gz")
# Two pictures are taken for one when their thumbnails correlate this much. Measured on the 235 of `tumour-slices`:
# copies saved again reach 0.997 and more, neighbouring slices of one patient 0.984 at most.
SAME_PICTURE = 0.99
THUMBNAIL = 32


@dataclass(frozen=True, slots=True)
class WithoutDuplicates:
    """Records of which no two show the same image.

    Parameters
    ----------
    kept : the first of each, in the order given; its group is that of all its copies.
    exact, similar : how many were dropped for the same voxels, and for the same picture with other voxels.
    contradictory : how many were dropped because copies of one image have different labels.
    """

    kept: tuple[Record, ...]
    exact: int
    similar: int
    contradictory: int


def file_sha256(path: Path) -> str:
    """Digest of the bytes of a file.

    Raises
    ------
    InputError : it cannot be read (`read_failed`).
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise InputError(
            f"{shown(path)} cannot be read", remedy="Check the path and its permissions.", code="read_failed"
        ) from error
    return digest.hexdigest()


def voxel_sha256(path: Path) -> str | None:
    """Digest of the values and the shape of an image, whatever its header and its compression.

    Returns
    -------
    None for a format that anomri does not read: its bytes are all there is to compare.

    Raises
    ------
    InputError : the image is damaged.
    """
    name = path.name.lower()
    if name.endswith(VOLUMES):
        voxels: NDArray[np.generic] = read_image(path).voxels
    elif name.endswith(PICTURES):
        voxels = _picture(path)
    else:
        return None
    digest = hashlib.sha256(f"{voxels.shape} {voxels.dtype.str}".encode())
    digest.update(np.ascontiguousarray(voxels).tobytes())
    return digest.hexdigest()


def picture_groups(paths: Sequence[Path]) -> list[int]:
    """Number of the picture that each path shows: the place of its first copy.

    Two are one picture when 32 × 32 thumbnails of their grey values correlate by at least 0.99; sameness is handed on
    (a like b, b like c).
    """
    flat = np.stack([_thumbnail(path) for path in paths])
    alike = flat @ flat.T >= SAME_PICTURE
    groups = list(range(len(paths)))
    for one in range(len(paths)):
        for other in np.flatnonzero(alike[one, :one]):
            old, new = sorted((groups[one], groups[other]), reverse=True)
            groups = [new if group == old else group for group in groups]
    return groups


def without_duplicates(records: Sequence[Record], *, pictures: bool = False) -> WithoutDuplicates:
    """Keep one of each image.

    Parameters
    ----------
    pictures : also drop the same picture with other voxels (saved again, resized); only for sets of slices.

    Raises
    ------
    InputError : an image cannot be read.
    """
    digests = [voxel_sha256(record.path) or file_sha256(record.path) for record in records]
    exact = [digests.index(digest) for digest in digests]
    similar = picture_groups([record.path for record in records]) if pictures and records else exact
    # Copies of copies: an exact copy is also a copy of whatever its original resembles.
    shows = [similar[first] for first in exact]
    labels: Mapping[int, set[str]] = {number: set() for number in shows}
    for number, record in zip(shows, records, strict=True):
        labels[number].add(record.label)
    kept, counts = [], {"exact": 0, "similar": 0, "contradictory": 0}
    for place, record in enumerate(records):
        if len(labels[shows[place]] - {"unknown"}) > 1:
            counts["contradictory"] += 1
        elif exact[place] != place:
            counts["exact"] += 1
        elif shows[place] != place:
            counts["similar"] += 1
        else:
            kept.append(record)
    return WithoutDuplicates(tuple(kept), **counts)


def _picture(path: Path) -> NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L"))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{shown(path)} is not a picture", remedy="Copy it again, or leave it out.", code="not_a_picture"
        ) from error


def _thumbnail(path: Path) -> NDArray[np.float64]:
    """Grey values of a small copy, centred and of length 1, so that a product is a correlation."""
    from PIL import Image

    small = Image.fromarray(_picture(path)).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    values = np.asarray(small, dtype=np.float64).ravel()
    values -= values.mean()
    length = float(np.linalg.norm(values))
    return values / length if length > 0 else values
