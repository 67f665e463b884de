"""What is known of a scan of a data set before anything of it is read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Box", "Label", "Listing", "Record", "Sex"]

Label = Literal["normal", "abnormal", "unknown"]
Sex = Literal["F", "M"]


@dataclass(frozen=True, slots=True)
class Box:
    """A finding drawn as a rectangle on one slice, in pixels as its table states them."""

    slice: int
    x: float
    y: float
    width: float
    height: float
    finding: str


@dataclass(frozen=True, slots=True)
class Record:
    """One image of a data set.

    Parameters
    ----------
    dataset : name of the adapter that found it.
    path : the image; the first file of a DICOM series' folder; the table where a set holds no images.
    subject : whom it belongs to; the image itself in a set that names no patients.
    group : who must stand on the same side of a split: the subject, its family, or the image it is a copy of.
    sequence : as in a BIDS suffix (``T1w``), ``T1ce`` after contrast agent; None where not stated.
    label : whether it counts as normal; ``unknown`` where nothing in the set says so.
    stripped : whether the skull was removed; None where not stated.
    mask : what is abnormal, on the image's own grid.
    mask_values : values of `mask` that count; all but 0 where empty.
    brain : a brain mask that comes with the set, on the image's own grid.
    boxes, findings : rectangles, and findings of the whole scan.
    ratings : who rated its quality, or on which scale, and what was said.
    age : years.
    position : of a slice in its stack, 0 to 1.
    """

    dataset: str
    path: Path
    subject: str
    group: str
    session: str | None = None
    site: str | None = None
    sequence: str | None = None
    label: Label = "unknown"
    stripped: bool | None = None
    mask: Path | None = None
    mask_values: tuple[int, ...] = ()
    brain: Path | None = None
    boxes: tuple[Box, ...] = ()
    findings: tuple[str, ...] = ()
    ratings: tuple[tuple[str, float], ...] = ()
    age: float | None = None
    sex: Sex | None = None
    position: float | None = None

    @property
    def covariates(self) -> dict[str, float]:
        """Age, and sex as 0 female, 1 male: only what is known."""
        known = {} if self.age is None else {"age": self.age}
        return known if self.sex is None else {**known, "sex": float(self.sex == "M")}


@dataclass(frozen=True, slots=True)
class Listing:
    """What a folder holds of a data set.

    Parameters
    ----------
    records : sorted by path.
    problems : what a user should know before using them, one sentence each.
    """

    dataset: str
    folder: Path
    records: tuple[Record, ...]
    problems: tuple[str, ...] = ()

    def counts(self, name: Literal["label", "site", "sequence", "session", "stripped"]) -> dict[str, int]:
        """How many records have each value of a field; ``unknown`` where it is not stated."""
        values = [getattr(record, name) for record in self.records]
        return dict(sorted(Counter("unknown" if value is None else str(value) for value in values).items()))

    def key(self, record: Record) -> str:
        """The record's path below the folder: its name in a split."""
        return record.path.relative_to(self.folder).as_posix()
