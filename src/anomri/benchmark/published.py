"""What papers report, with its source and its caveat; a figure stands beside ours only where the protocol is the same.

The table is ``published.csv``, one figure a row. What was only recalled, and never read, is not in it. `protocol` names
the benchmark protocol that repeats the paper's own (data, split, unit, thresholds); whoever changes that protocol
clears the name here.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from importlib import resources
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from anomri.errors import InputError

__all__ = ["TAGS", "Published", "comparable", "published", "read_rows"]

# Where a figure was read.
TAGS: Mapping[str, str] = {
    "R": "text of a review",
    "L": "Luo 2023",
    "K": "Kadhim 2026: abstract, supplement, split manifests",
    "I": "IterMask3D: abstract, code",
    "C": "published reference code",
    "A": "abstract of the primary paper",
    "P": "project page of the authors",
    "X": "independent reproduction",
}

# Everything else is a share: 0 to 1.
RANGES: Mapping[str, tuple[float, float]] = {
    "relative_change": (-1.0, 10.0),
    "relative_dice": (-1.0, 10.0),
    "new_findings": (0.0, 1e6),
}


class Published(BaseModel):
    """A published figure.

    Parameters
    ----------
    method, train, test, sequence : as the paper calls them; empty where it does not say.
    unit : what is counted.
    metric : ``auprc`` is whatever area under a precision–recall curve the paper computes.
    value : None where only a range is given.
    low, high : an interval, or the range over methods; see `caveat`.
    oracle_threshold : whether the threshold was chosen on the tested labels; None where there is none, or it is not
        said.
    tag : one of `TAGS`.
    source, caveat : what to cite, and what to know before comparing.
    protocol : the benchmark protocol it may stand beside; empty for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)

    method: str = Field(min_length=1)
    train: str
    test: str = Field(min_length=1)
    sequence: str
    unit: Literal["subject", "slice", "voxel", "lesion"]
    metric: Literal[
        "auroc",
        "auprc",
        "sensitivity",
        "false_alarm_rate",
        "dice",
        "froc",
        "accuracy",
        "r_squared",
        "volume_classified",
        "relative_change",
        "relative_dice",
        "new_findings",
    ]
    value: float | None
    low: float | None
    high: float | None
    oracle_threshold: bool | None
    tag: Literal["R", "L", "K", "I", "C", "A", "P", "X"]
    source: str = Field(min_length=1)
    caveat: str
    protocol: str = Field(pattern=r"^([a-z0-9][a-z0-9-]*)?$")

    @field_validator("value", "low", "high", "oracle_threshold", mode="before")
    @classmethod
    def _empty_is_none(cls, given: object) -> object:
        return None if given == "" else given

    @model_validator(mode="after")
    def _in_range(self) -> Published:
        least, most = RANGES.get(self.metric, (0.0, 1.0))
        given = [x for x in (self.low, self.value, self.high) if x is not None]
        if (self.low is None) != (self.high is None) or not given:
            raise ValueError("give a value, or both ends of an interval")
        if given != sorted(given) or not least <= given[0] <= given[-1] <= most:
            raise ValueError(f"{self.metric} lies between {least:g} and {most:g}, low ≤ value ≤ high")
        return self


def read_rows(text: str) -> tuple[Published, ...]:
    """Rows of a CSV text with the header of ``published.csv``.

    Raises
    ------
    InputError : a row does not validate, or stands twice.
    """
    rows: dict[tuple[str, ...], Published] = {}
    for number, fields in enumerate(csv.DictReader(text.splitlines()), start=2):
        try:
            row = Published.model_validate(fields)
        except ValidationError as error:
            raise InputError(
                f"line {number} of the published figures: {error.errors()[0]['msg']}",
                remedy="Correct this line.",
                code="published",
            ) from error
        # Two figures of one thing differ in something a reader can see.
        key = (row.method, row.train, row.test, row.sequence, row.unit, row.metric, row.source, row.caveat)
        if key in rows:
            raise InputError(
                f"line {number} of the published figures stands twice", remedy="Drop one.", code="published"
            )
        rows[key] = row
    return tuple(rows.values())


def published() -> tuple[Published, ...]:
    """Every published figure that comes with anomri."""
    return read_rows((resources.files("anomri.benchmark") / "published.csv").read_text(encoding="utf-8"))


def comparable(protocol: str) -> tuple[Published, ...]:
    """The published figures that may stand beside those of a protocol."""
    return tuple(row for row in published() if row.protocol == protocol)
