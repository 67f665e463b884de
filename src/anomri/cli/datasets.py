"""`anomri datasets`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomri.cli.options import AsJson
from anomri.cli.terminal import say, say_json, say_table
from anomri.errors import InputError

if TYPE_CHECKING:
    from anomri.datasets import Adapter, Listing

__all__ = ["datasets"]


def datasets(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One data set; all where not given.")] = None,
    folder: Annotated[
        Path | None, typer.Option("--input", "-i", metavar="FOLDER", help="Say what this folder holds of it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the public data sets whose folders anomri knows, how to get them, and what a folder holds of one.

    Nothing is downloaded, and no image is read.

    \b
    anomri datasets
    anomri datasets ixi
    anomri datasets ixi -i data/IXI
    anomri datasets ixi -i data/IXI --json
    """
    from anomri.datasets import find_adapter, list_dataset

    if name is None:
        if folder is not None:
            raise typer.BadParameter("say which data set the folder holds", param_hint="NAME")
        _say_all(as_json)
        return
    try:
        adapter = find_adapter(name)
        listing = None if folder is None else list_dataset(name, folder)
    except InputError as error:
        # What the user typed is at fault here, no scan is.
        hint = "NAME" if error.code == "unknown_dataset" else "--input"
        raise typer.BadParameter(f"{error.cause}. {error.remedy}", param_hint=hint) from error
    facts = _facts(adapter) if listing is None else _holdings(listing)
    problems = [] if listing is None else list(listing.problems)
    if as_json:
        say_json(facts if listing is None else {**facts, "problems": problems, "records": _records(listing)})
        return
    say_table(("", ""), [(key, _words(value)) for key, value in facts.items()])
    for problem in problems:
        say(f"note: {problem}", error=True)


def _say_all(as_json: bool) -> None:
    from anomri.datasets import DATASETS, LEFT_OUT

    if as_json:
        say_json({"datasets": [_facts(adapter) for adapter in DATASETS.values()], "left_out": dict(LEFT_OUT)})
        return
    rows = [_row(adapter) for adapter in DATASETS.values()]
    rows += [(name, "", "", "", "left out", why) for name, why in LEFT_OUT.items()]
    say_table(("name", "sequences", "subjects", "licence", "access", "how to get it"), rows)


def _row(adapter: Adapter) -> tuple[str, ...]:
    number = "" if adapter.subjects is None else str(adapter.subjects)
    return (adapter.name, " ".join(adapter.sequences), number, adapter.licence, adapter.access, adapter.how)


def _facts(adapter: Adapter) -> dict[str, object]:
    return {
        "name": adapter.name,
        "title": adapter.title,
        "sequences": list(adapter.sequences),
        "subjects": adapter.subjects,
        "licence": adapter.licence,
        "access": adapter.access,
        "how": adapter.how,
        "citation": adapter.citation,
        "layout": [layout.example for layout in adapter.layouts],
        "tables": [name for table in adapter.tables for name in table.files],
        "layout_sources": list(adapter.sources),
        "notes": adapter.notes,
    }


def _holdings(listing: Listing) -> dict[str, object]:
    records = listing.records
    return {
        "name": listing.dataset,
        "folder": str(listing.folder),
        "images": len(records),
        "subjects": len({record.subject for record in records}),
        "labels": listing.counts("label"),
        "sites": listing.counts("site"),
        "sequences": listing.counts("sequence"),
        "stripped": listing.counts("stripped"),
        "with_mask": sum(record.mask is not None for record in records),
        "with_boxes": sum(bool(record.boxes) for record in records),
        "with_rating": sum(bool(record.ratings) for record in records),
        "with_age": sum(record.age is not None for record in records),
        "with_sex": sum(record.sex is not None for record in records),
    }


def _records(listing: Listing) -> list[dict[str, object]]:
    fields = ("subject", "group", "session", "site", "sequence", "label", "stripped", "age", "sex", "position")
    return [
        {
            "path": str(record.path),
            "mask": None if record.mask is None else str(record.mask),
            "ratings": dict(record.ratings),
            **{field: getattr(record, field) for field in fields},
        }
        for record in listing.records
    ]


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items())
    if isinstance(value, list):
        return "; ".join(str(part) for part in value)
    return "not stated" if value is None else str(value)
