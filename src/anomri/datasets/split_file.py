"""A split on disk: who stands on which side, with the digest of every image, checked when it is made and when read.

References
----------
A split is honest when no person, and no image, stands on both sides: `DataLeak` says who does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from anomri.datasets.adapter import Adapter
from anomri.datasets.catalogue import DATASETS
from anomri.datasets.duplicates import file_sha256, voxel_sha256
from anomri.datasets.record import Label, Listing, Record
from anomri.datasets.splits import sides_of
from anomri.errors import DataLeak, InputError
from anomri.io.names import shown
from anomri.io.write import write_json

__all__ = ["Split", "SplitEntry", "make_split", "read_split", "sides_in", "verify_split", "write_split"]

_SHA256 = r"^[0-9a-f]{64}$"


class SplitEntry(BaseModel):
    """One image of a split.

    Parameters
    ----------
    path : below the set's folder.
    group : who must stand on one side.
    sha256 : of the file's bytes.
    voxels : digest of its values; None for a format that anomri does not read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    group: str
    site: str | None
    label: Label
    side: str
    sha256: str = Field(pattern=_SHA256)
    voxels: str | None = Field(pattern=_SHA256)


class Split(BaseModel):
    """A split of a data set.

    Parameters
    ----------
    keep : what was not torn apart: ``group``, ``site``, or ``image`` where the set names no patients.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["anomri-split-1"] = "anomri-split-1"
    dataset: str
    seed: int
    keep: Literal["group", "site", "image"]
    shares: dict[str, float]
    entries: tuple[SplitEntry, ...] = Field(min_length=1)


def make_split(
    listing: Listing,
    shares: Mapping[str, float],
    *,
    seed: int,
    keep: Literal["group", "site"] = "group",
    stratify_by_site: bool = False,
) -> Split:
    """Split what a folder holds; reads every image once for its digests.

    Raises
    ------
    CalibrationError : as `sides_of`.
    DataLeak : an image is there twice and its copies fell on different sides (`leak_image`).
    InputError : an image cannot be read.
    """
    sides = sides_of(listing.records, shares, seed=seed, keep=keep, stratify_by_site=stratify_by_site)
    adapter: Adapter | None = DATASETS.get(listing.dataset)
    nameless = adapter is not None and not adapter.patients_known and keep == "group"
    split = Split(
        dataset=listing.dataset,
        seed=seed,
        keep="image" if nameless else keep,
        shares=dict(shares),
        entries=tuple(
            SplitEntry(
                path=listing.key(record),
                group=record.group,
                site=record.site,
                label=record.label,
                side=side,
                sha256=file_sha256(record.path),
                voxels=voxel_sha256(record.path),
            )
            for record, side in zip(listing.records, sides, strict=True)
        ),
    )
    _refuse_leaks(split)
    return split


def write_split(path: Path, split: Split) -> None:
    """Write a split as JSON.

    Raises
    ------
    DataLeak : a person or an image stands on both sides (`leak_person`, `leak_image`).
    EnvironmentProblem : it cannot be written.
    """
    _refuse_leaks(split)
    write_json(path, split.model_dump(mode="json"))


def read_split(path: Path) -> Split:
    """Read a split.

    Raises
    ------
    InputError : there is no such file, or it is not a split (`split`).
    DataLeak : as `write_split`.
    """
    try:
        split = Split.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, ValidationError) as error:
        raise InputError(
            f"{shown(path)} is not a split of a data set", remedy="Make it again with make_split.", code="split"
        ) from error
    _refuse_leaks(split)
    return split


def verify_split(split: Split, folder: Path) -> None:
    """Compare every image of a folder with the digests of a split.

    Raises
    ------
    DataLeak : an image is not the one that was split (`leak_changed`).
    InputError : one is missing (`read_failed`).
    """
    for entry in split.entries:
        if file_sha256(folder / entry.path) != entry.sha256:
            raise DataLeak(
                f"{shown(entry.path)} is not the image that was split",
                remedy="Get the same version of the data set, or make a new split.",
                code="leak_changed",
            )


def sides_in(split: Split, listing: Listing) -> dict[str, tuple[Record, ...]]:
    """Records of a listing by side; those that the split does not name are left out.

    Raises
    ------
    InputError : the listing lacks an image of the split (`split`).
    """
    records: Mapping[str, Record] = {listing.key(record): record for record in listing.records}
    missing = [entry.path for entry in split.entries if entry.path not in records]
    if missing:
        raise InputError(
            f"{len(missing)} images of the split are not in the folder, {shown(missing[0])} first",
            remedy="Give the folder that was split.",
            code="split",
        )
    names: Sequence[str] = list(dict.fromkeys((*split.shares, *(entry.side for entry in split.entries))))
    return {name: tuple(records[e.path] for e in split.entries if e.side == name) for name in names}


def _refuse_leaks(split: Split) -> None:
    person: dict[str, SplitEntry] = {}
    image: dict[str, SplitEntry] = {}
    for entry in split.entries:
        first = person.setdefault(entry.group, entry)
        if first.side != entry.side:
            raise DataLeak(
                f"{shown(entry.group)} stands on both sides, {first.side} and {entry.side}",
                remedy="Split by person: all scans of one on one side.",
                code="leak_person",
            )
        for digest in {entry.sha256, entry.voxels or entry.sha256}:
            same = image.setdefault(digest, entry)
            if same.side != entry.side:
                raise DataLeak(
                    f"{shown(same.path)} ({same.side}) and {shown(entry.path)} ({entry.side}) are the same image",
                    remedy="Drop duplicates before splitting.",
                    code="leak_image",
                )
