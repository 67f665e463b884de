"""Age and sex of the subjects from a BIDS `participants.tsv`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from anomri.errors import InputError
from anomri.io.names import shown
from anomri.io.stream import opened

__all__ = ["Participants", "read_participants", "subject_of"]

MAX_BYTES = 1 << 24
MAX_AGE_YEARS = 130.0
MISSING = ("", "n/a", "na", "nan", "none", "unknown")
SEX = {"m": 1.0, "male": 1.0, "1": 1.0, "f": 0.0, "female": 0.0, "0": 0.0}
OTHER_SEX = ("o", "other")


@dataclass(frozen=True, slots=True)
class Participants:
    """What is known of each subject: `age` in years, `sex` 0 female, 1 male; only what the table states."""

    by_subject: Mapping[str, Mapping[str, float]]

    def covariates(self, scan_id: str) -> dict[str, float]:
        """Age and sex of the subject of a scan; empty for a subject that is not in the table."""
        return dict(self.by_subject.get(subject_of(scan_id), {}))


def subject_of(scan_id: str) -> str:
    """The subject a scan belongs to: the BIDS entity ``sub-…`` of its name, the name itself where there is none."""
    found = re.match(r"(?:.*?[_-])??(sub-[A-Za-z0-9]+)(?![A-Za-z0-9])", scan_id)
    return scan_id if found is None else found.group(1)


def read_participants(path: Path) -> Participants:
    """Read a tab-separated table with the columns `participant_id` and, where known, `age` and `sex` or `gender`.

    `participant_id` may come with or without ``sub-``. Sex is m, male, 1 or f, female, 0; an empty cell, ``n/a`` or
    ``other`` leaves it unknown. An age such as ``89+`` (how BIDS hides the age of the very old) counts as 89.

    Raises
    ------
    InputError : not such a table (`participants`), or the file cannot be read.
    """
    path = Path(path)
    lines = [line.split("\t") for line in re.split(r"\r\n|\r|\n", _text(path)) if line.strip()]
    if not lines:
        raise _bad_table(path, "it has no rows")
    header = [name.strip().lower() for name in lines[0]]
    if "participant_id" not in header:
        raise _bad_table(path, "it has no tab-separated column participant_id")
    sex_column = next((name for name in ("sex", "gender") if name in header), None)
    found: dict[str, Mapping[str, float]] = {}
    for number, cells in enumerate(lines[1:], start=2):
        if len(cells) > len(header):
            raise _bad_table(path, f"line {number} has more cells than the header")
        row = {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
        subject = row.get("participant_id", "")
        if not subject:
            raise _bad_table(path, f"line {number} names no participant")
        subject = subject if subject.startswith("sub-") else f"sub-{subject}"
        values = {"age": _age(row.get("age", ""), path, number)}
        values["sex"] = None if sex_column is None else _sex(row.get(sex_column, ""), path, number)
        known = {name: value for name, value in values.items() if value is not None}
        if found.setdefault(subject, known) != known:
            raise _bad_table(path, f"line {number} contradicts an earlier line of the same participant")
    return Participants(MappingProxyType(found))


def _text(path: Path) -> str:
    with opened(path) as stream:
        if stream.size > MAX_BYTES:
            raise _bad_table(path, "it is larger than 16 MB")
        if stream.is_gzip:
            raise _bad_table(path, "it is compressed")
        content = bytes(stream.take(stream.size))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad_table(path, "it is not UTF-8 text") from error


def _age(cell: str, path: Path, line: int) -> float | None:
    if cell.lower() in MISSING:
        return None
    try:
        age = float(cell.removesuffix("+"))
    except ValueError:
        age = math.nan
    if not 0 <= age <= MAX_AGE_YEARS:
        raise _bad_table(path, f"line {line} has the age {shown(cell)!r}")
    return age


def _sex(cell: str, path: Path, line: int) -> float | None:
    word = cell.lower()
    if word in MISSING or word in OTHER_SEX:
        return None
    if word not in SEX:
        raise _bad_table(path, f"line {line} has the sex {shown(cell)!r}")
    return SEX[word]


def _bad_table(path: Path, why: str) -> InputError:
    return InputError(
        f"{shown(path)} is not a table of participants: {why}",
        remedy="See participants.tsv in the BIDS specification.",
        code="participants",
    )
