"""Sheets that come with a data set: age, sex, label, site, ratings by subject, visit or image."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

__all__ = ["Table", "find_files", "read_rows", "read_table"]

MISSING = ("", "n/a", "na", "nan", "none", "unknown", "?")
SEX = {"m": "M", "male": "M", "f": "F", "female": "F"}
MAX_AGE_YEARS = 130.0
FIELDS = ("age", "sex", "label", "site", "group", "slices")


def _as_it_is(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True)
class Table:
    """A sheet and what its columns mean.

    Parameters
    ----------
    files : names it may have, with ``*``.
    key : column, or columns joined by ``_``, that name what a row is about.
    of : what the key is compared with: a format over the groups of the layout's pattern and ``stem``, ``name``,
        ``parent`` of the file.
    columns : `FIELDS` → names the column may have.
    ratings : columns that hold ratings.
    codes : field → what a cell stands for; a cell outside is unknown. Sex is M or F without them.
    key_as : puts a key into the form of `of`.
    spreadsheet : name of the sheet as published, where anomri cannot read that format.
    """

    files: tuple[str, ...]
    key: tuple[str, ...]
    of: str = "{subject}"
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ratings: tuple[str, ...] = ()
    codes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    key_as: Callable[[str], str] = _as_it_is
    spreadsheet: str | None = None


def find_files(names: tuple[str, ...], files: Iterable[Path], folder: Path) -> list[Path]:
    """Files with one of the names in the folder, or else directly beside it."""
    found = [path for path in files if any(fnmatchcase(path.name, name) for name in names)]
    if not found:
        beside = folder.absolute().parent
        found = [path for name in names for path in sorted(beside.glob(name)) if path.is_file()]
    return found


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV or TSV file by column name, blanks stripped; the delimiter is the commonest of the header.

    Raises
    ------
    ValueError : not UTF-8 text, or no header.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        header = file.readline()
        if not header.strip():
            raise ValueError("it has no header")
        delimiter = max("\t,;", key=header.count)
        file.seek(0)
        rows = list(csv.DictReader(file, delimiter=delimiter, restkey="", restval=""))
    return [{name.strip(): (cell or "").strip() for name, cell in row.items() if name} for row in rows]


def read_table(table: Table, paths: Iterable[Path]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Cells by key and field, decoded; and what was wrong with the sheets.

    Two rows of one key must agree; where they do not, the field is dropped, except that any ``abnormal`` makes the
    label abnormal (one row a finding).
    """
    found: dict[str, dict[str, str]] = {}
    problems = []
    for path in paths:
        try:
            rows = read_rows(path)
        except (OSError, ValueError, csv.Error) as error:
            problems.append(f"{path.name} cannot be read as a table ({error})")
            continue
        missing = [name for name in table.key if rows and name not in rows[0]]
        if missing:
            problems.append(f"{path.name} has no column {', '.join(missing)}")
            continue
        for row in rows:
            cells = "_".join(row[name] for name in table.key)
            try:
                key = table.key_as(cells)
            except ValueError:
                problems.append(f"{path.name} names {cells!r}, which is no id of this set")
                continue
            _merge(found.setdefault(key, {}), _decoded(table, row))
    return found, problems


def _decoded(table: Table, row: Mapping[str, str]) -> dict[str, str]:
    known = {}
    for name, columns in table.columns.items():
        cell = next((row[column] for column in columns if column in row), "")
        if cell.lower() in MISSING:
            continue
        codes = table.codes.get(name, SEX if name == "sex" else None)
        value = cell if codes is None else codes.get(cell, codes.get(cell.lower(), ""))
        if value and (name != "age" or _is_age(value)):
            known[name] = value.removesuffix("+") if name == "age" else value
    for column in table.ratings:
        if _is_number(row.get(column, "")):
            known[f"rating:{column}"] = row[column]
    return known


def _merge(old: dict[str, str], new: Mapping[str, str]) -> None:
    for name, value in new.items():
        if old.setdefault(name, value) == value:
            continue
        if name == "label":
            old[name] = "abnormal" if "abnormal" in (old[name], value) else "unknown"
        else:
            old[name] = ""


def _is_age(text: str) -> bool:
    years = text.removesuffix("+")
    return _is_number(years) and 0 <= float(years) <= MAX_AGE_YEARS


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
