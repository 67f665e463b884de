"""Age and sex of the subjects from a BIDS `participants.tsv`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from anomri.errors import InputError
from anomri.io.names import shown
from anomri.io.stream import opened

__all__ = ["Participants", "read_participants", "subject_of"]

MAX_BYTES = 1 << 24
MAX_AGE_YEARS = 120.0
MISSING = ("", "n/a", "na", "nan", "none", "unknown")
SEX = {"m": 1.0, "male": 1.0, "f": 0.0, "female": 0.0}
OTHER_SEX = ("o", "other")


@dataclass(frozen=True, slots=True)
class Participants:
    """What a table states of its subjects.

    Parameters
    ----------
    by_subject : `age` in years, `sex` 0 female, 1 male, where known, by the subject's label without ``sub-``.
    notes : sentences on cells that could not be used.
    """

    by_subject: Mapping[str, Mapping[str, float]]
    notes: tuple[str, ...] = ()

    def covariates(self, scan_id: str) -> dict[str, float]:
        """Age and sex of the subject of a scan; empty for a subject that is not in the table."""
        return dict(self.by_subject.get(_label(subject_of(scan_id)), {}))

    def notes_on(self, scan_ids: Sequence[str]) -> tuple[str, ...]:
        """`notes`, and a sentence where the table does not name the subject of every one of these scans."""
        strangers = [scan_id for scan_id in scan_ids if _label(subject_of(scan_id)) not in self.by_subject]
        if not strangers:
            return self.notes
        if len(strangers) < len(scan_ids):
            missing = f"{len(strangers)} of {len(scan_ids)} scans belong to no participant of the table"
            return (*self.notes, f"{missing}, the first is {strangers[0]}; their age and sex are unknown.")
        named = next((f"sub-{label}" for label in self.by_subject), "nobody")
        return (
            *self.notes,
            f"No scan belongs to a participant of the table, so no age or sex is known: the table names {named}, the "
            f"first scan is {strangers[0]}.",
        )


def subject_of(scan_id: str) -> str:
    """The subject a scan belongs to: the BIDS entity ``sub-…`` of its name, the name itself where there is none."""
    found = re.match(r"(?:.*?[_-])??(sub-[^_.-]+)", scan_id)
    return scan_id if found is None else found.group(1)


def _label(subject: str) -> str:
    # A table may spell an accented letter in two characters, a scan's name has it in one.
    return unicodedata.normalize("NFC", subject).removeprefix("sub-")


def read_participants(path: Path) -> Participants:
    """Read a tab-separated table with the columns `participant_id` and, where known, `age` and `sex` or `gender`.

    `participant_id` may come with or without ``sub-``. Sex is m, male or f, female; an empty cell, ``n/a`` or ``other``
    leaves it unknown. An age is a number of years up to 120; ``89+`` (how BIDS hides the age of the very old) counts
    as 89. Any other cell leaves its value unknown and is told of in `notes`: which sex a number stands for only the
    table's authors know.

    Raises
    ------
    InputError : not such a table (`participants`), or the file cannot be read.
    """
    path = Path(path)
    lines = [line.split("\t") for line in re.split(r"\r\n|\r|\n", _text(path)) if line.strip()]
    if not lines:
        raise _bad_table("it has no rows")
    header = [name.strip().lower() for name in lines[0]]
    if "participant_id" not in header:
        raise _bad_table("it has no tab-separated column participant_id")
    sex_column = next((name for name in ("sex", "gender") if name in header), None)
    found: dict[str, Mapping[str, float]] = {}
    unread: dict[str, list[str]] = {"age": [], "sex": []}
    for number, cells in enumerate(lines[1:], start=2):
        if len(cells) > len(header):
            raise _bad_table(f"line {number} has more cells than the header")
        row = {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
        subject = row.get("participant_id", "")
        if not subject:
            raise _bad_table(f"line {number} names no participant")
        given = {"age": row.get("age", ""), "sex": "" if sex_column is None else row.get(sex_column, "")}
        known: dict[str, float] = {}
        for name, read in (("age", _age), ("sex", _sex)):
            try:
                value = read(given[name])
            except ValueError:
                unread[name].append(given[name])
            else:
                known.update({} if value is None else {name: value})
        if found.setdefault(_label(subject), known) != known:
            raise _bad_table(f"line {number} contradicts an earlier line of the same participant")
    return Participants(MappingProxyType(found), tuple(_note(name, cells) for name, cells in unread.items() if cells))


def _text(path: Path) -> str:
    with opened(path) as stream:
        if stream.size > MAX_BYTES:
            raise _bad_table("it is larger than 16 MB")
        if stream.is_gzip:
            raise _bad_table("it is compressed")
        content = bytes(stream.take(stream.size))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad_table("it is not UTF-8 text") from error


def _age(cell: str) -> float | None:
    if cell.lower() in MISSING:
        return None
    if not re.fullmatch(r"[0-9]+(?:\.[0-9]*)?\+?", cell) or float(cell.removesuffix("+")) > MAX_AGE_YEARS:
        raise ValueError(cell)
    return float(cell.removesuffix("+"))


def _sex(cell: str) -> float | None:
    word = cell.lower()
    if word in MISSING or word in OTHER_SEX:
        return None
    if word not in SEX:
        raise ValueError(cell)
    return SEX[word]


def _note(name: str, cells: Sequence[str]) -> str:
    """That these cells could not be used."""
    wanted = {"age": f"a number of years up to {MAX_AGE_YEARS:g}", "sex": "M, F, male, or female"}[name]
    different = sorted(set(cells))
    listed = ", ".join(repr(shown(cell)) for cell in different[:3]) + (", ..." if len(different) > 3 else "")
    lines = "1 line" if len(cells) == 1 else f"{len(cells)} lines"
    return f"The {name} in {lines} is not {wanted} ({listed}) and is taken as unknown."


def _bad_table(why: str) -> InputError:
    return InputError(
        f"this is no table of participants: {why}",
        remedy="See participants.tsv in the BIDS specification.",
        code="participants",
    )
