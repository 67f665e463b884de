"""How the published folder of a data set becomes records: a pattern over paths, and the sheets beside it.

An adapter is data. A pattern is matched against the end of a file's whole path, so that any folder of the set may be
given, not its root alone. Nothing is opened but sheets.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from anomri.datasets.record import Label, Listing, Record, Sex
from anomri.datasets.tables import Table, find_files, read_table
from anomri.errors import InputError
from anomri.io.names import shown
from anomri.io.walk import find_files as files_below

__all__ = ["Adapter", "Layout", "list_records"]

# What data sets call a contrast, in capitals, and its name here.
SEQUENCES = {
    "T1": "T1w", "T1W": "T1w", "T1N": "T1w", "MPRAGE": "T1w", "T1W_MPR1": "T1w", "AXT1": "T1w", "AXT1PRE": "T1w",
    "T1C": "T1ce", "T1CE": "T1ce", "T1WKS": "T1ce", "AXT1POST": "T1ce",
    "T2": "T2w", "T2W": "T2w", "T2W_SPC1": "T2w", "AXT2": "T2w", "T2TSETRA": "T2w",
    "FLAIR": "FLAIR", "FL": "FLAIR", "T2F": "FLAIR", "AXFLAIR": "FLAIR", "PD": "PDw", "MRA": "angio",
}  # fmt: skip
ENDINGS = (".nii.gz", ".nii", ".mhd", ".mha", ".hdr", ".h5", ".dcm", ".png", ".tif", ".jpg", ".jpeg")
Access = Literal["open", "registration", "application", "agreement"]
Finish = Callable[[Sequence[Record], Sequence[Path]], tuple[Sequence[Record], list[str]]]


@dataclass(frozen=True, slots=True)
class Layout:
    """One shape of path.

    Parameters
    ----------
    example : a path of this shape.
    pattern : regular expression of the end of the path. Groups: ``subject`` (needed), ``session``, ``site``,
        ``sequence``, ``label``, ``age``, ``sex``, ``slice``; further ones serve the templates.
    sequence, label, stripped : of all its images, where the path does not say.
    site, masks, brains : templates over the pattern's groups and ``root`` (what comes before the match), ``folder``,
        ``up`` (the folder above it), ``stem``; of several the first file that exists.
    labels : what the group ``label`` stands for.
    mask_values : values of the mask that count; all but 0 where empty.
    series : the files of a folder are one image.
    """

    example: str
    pattern: str
    sequence: str | None = None
    label: Label | None = None
    stripped: bool | None = None
    site: str | None = None
    masks: tuple[str, ...] = ()
    brains: tuple[str, ...] = ()
    labels: Mapping[str, Label] = field(default_factory=dict)
    mask_values: tuple[int, ...] = ()
    series: bool = False


@dataclass(frozen=True, slots=True)
class Adapter:
    """A data set: what it is, how to get it, how its folder is laid out.

    Parameters
    ----------
    subjects : how many the provider states; None where it varies.
    how : how to get it.
    sources : where the layout was read, URLs.
    patients_known : whether paths name patients; where they do not, a patient may stand on both sides of a split.
    excluded : pattern of paths that are never taken.
    finish : reads what a table cannot say.
    """

    name: str
    title: str
    sequences: tuple[str, ...]
    subjects: int | None
    licence: str
    access: Access
    how: str
    citation: str
    sources: tuple[str, ...]
    layouts: tuple[Layout, ...]
    tables: tuple[Table, ...] = ()
    notes: str = ""
    patients_known: bool = True
    excluded: str | None = None
    finish: Finish | None = None


def list_records(adapter: Adapter, folder: Path) -> Listing:
    """What a folder holds of a data set.

    Raises
    ------
    InputError : the folder is not there (`no_file`) or nothing in it has the set's layout (`no_scans`).
    """
    folder = Path(folder).absolute()
    files = files_below(folder)
    sheets, problems = [], []
    for table in adapter.tables:
        paths = find_files(table.files, files, folder)
        rows, wrong = read_table(table, paths)
        problems += wrong
        if not paths and table.spreadsheet is not None and find_files((table.spreadsheet,), files, folder):
            problems.append(f"{table.spreadsheet} is not read: save it as {table.files[0]}")
        elif not paths:
            problems.append(f"no {' or '.join(table.files)}: {', '.join((*table.columns, *table.ratings))} unknown")
        sheets.append((table, rows))
    records: Sequence[Record] = sorted(_matches(adapter, files, sheets), key=lambda record: record.path)
    if adapter.finish is not None:
        records, wrong = adapter.finish(records, files)
        problems += wrong
    if not records:
        examples = " or ".join(layout.example for layout in adapter.layouts[:2]) or "its tables"
        raise InputError(
            f"{shown(folder)} holds no scan of {adapter.name}",
            remedy=f"Give the folder that holds {examples}.",
            code="no_scans",
        )
    if not adapter.patients_known:
        problems.append("the set names no patients: the same person may stand on both sides of a split")
    problems += _missing_masks(adapter, records)
    return Listing(adapter.name, folder, tuple(records), tuple(problems))


def _matches(
    adapter: Adapter, files: Iterable[Path], sheets: Sequence[tuple[Table, Mapping[str, Mapping[str, str]]]]
) -> Iterator[Record]:
    shapes = [(re.compile(rf"(?:^|/){layout.pattern}$"), layout) for layout in adapter.layouts]
    excluded = None if adapter.excluded is None else re.compile(adapter.excluded)
    series: set[Path] = set()
    for path in files:
        text = path.as_posix()
        if excluded is not None and excluded.search(text):
            continue
        for shape, layout in shapes:
            found = shape.search(text)
            if found is None:
                continue
            if layout.series and path.parent in series:
                break
            series.add(path.parent)
            yield _record(adapter, layout, path, found, sheets)
            break


def _record(
    adapter: Adapter,
    layout: Layout,
    path: Path,
    found: re.Match[str],
    sheets: Sequence[tuple[Table, Mapping[str, Mapping[str, str]]]],
) -> Record:
    groups = {name: value for name, value in found.groupdict().items() if value is not None}
    text = path.as_posix()
    start = found.start() + text[found.start()].count("/")
    places = {
        "root": text[:start],
        "folder": path.parent.as_posix(),
        "up": path.parent.parent.as_posix(),
        "parent": path.parent.name,
        "name": path.name,
        "stem": _stem(path.name),
    }
    fields = {**places, **groups}
    cells = dict(groups)
    if layout.site is not None:
        cells["site"] = layout.site.format_map(fields)
    for table, rows in sheets:
        cells |= {name: value for name, value in rows.get(table.of.format_map(fields), {}).items() if value}
    raw = groups.get("sequence")
    sequence = layout.sequence if raw is None else SEQUENCES.get(raw.upper(), raw)
    subject = groups["subject"]
    return Record(
        dataset=adapter.name,
        path=path,
        subject=subject,
        group=cells.get("group", subject),
        session=groups.get("session"),
        site=cells.get("site"),
        sequence=sequence,
        label=_label(layout, groups, cells),
        stripped=layout.stripped,
        mask=_first(layout.masks, fields),
        mask_values=layout.mask_values,
        brain=_first(layout.brains, fields),
        ratings=_ratings(cells),
        age=float(cells["age"]) if "age" in cells else None,
        sex=_sex(cells.get("sex")),
        position=_position(cells.get("slice", ""), cells.get("slices", "")),
    )


def _label(layout: Layout, groups: Mapping[str, str], cells: Mapping[str, str]) -> Label:
    if "label" in groups:
        return layout.labels[groups["label"].lower()]
    stated = cells.get("label")
    if stated == "normal":
        return "normal"
    if stated == "abnormal":
        return "abnormal"
    return "unknown" if stated is not None or layout.label is None else layout.label


def _ratings(cells: Mapping[str, str]) -> tuple[tuple[str, float], ...]:
    named = {name.removeprefix("rating:"): value for name, value in cells.items() if name.startswith("rating:")}
    return tuple((name, float(value)) for name, value in named.items())


def _position(number: str, of: str) -> float | None:
    return int(number) / int(of) if number.isdecimal() and of.isdecimal() and int(of) > 0 else None


def _sex(text: str | None) -> Sex | None:
    if text == "M":
        return "M"
    return "F" if text == "F" else None


def _stem(name: str) -> str:
    ending = next((end for end in ENDINGS if name.lower().endswith(end)), "")
    return name[: len(name) - len(ending)]


def _first(templates: tuple[str, ...], fields: Mapping[str, str]) -> Path | None:
    paths = (Path(os.path.normpath(template.format_map(fields))) for template in templates)
    return next((path for path in paths if path.is_file()), None)


def _missing_masks(adapter: Adapter, records: Sequence[Record]) -> list[str]:
    """One sentence on images that should have a mask and have none; a normal one needs none."""
    shapes = [re.compile(rf"(?:^|/){layout.pattern}$") for layout in adapter.layouts if layout.masks]
    without = [
        record
        for record in records
        if record.mask is None
        and record.label != "normal"
        and any(shape.search(record.path.as_posix()) for shape in shapes)
    ]
    if not without:
        return []
    by_site = Counter(record.site or "" for record in without)
    where = ", ".join(f"{count} of {site}" for site, count in sorted(by_site.items()) if site)
    return [f"{len(without)} images have no mask{f' ({where})' if where else ''}: {shown(without[0].path.name)}, …"]
