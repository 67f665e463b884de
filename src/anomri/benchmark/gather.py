"""The real cases of a protocol, from the data sets it names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from anomri.benchmark.cases import NORMAL, Case
from anomri.benchmark.protocol import DataUse, Protocol
from anomri.datasets.catalogue import list_dataset
from anomri.datasets.duplicates import without_duplicates
from anomri.datasets.record import Record
from anomri.datasets.site_a import is_locked
from anomri.errors import InputError
from anomri.io.names import safe_id

__all__ = ["real_cases"]

_LOCKED_SET = "t1w-site-a"


def real_cases(protocol: Protocol, folders: Mapping[str, Path]) -> tuple[Case, ...]:
    """Scans of every set, labelled ones alone.

    The locked subjects of site A are left out: they select and tune nothing, and a benchmark does both.

    Raises
    ------
    InputError : a set has no folder, or nothing in it can be used.
    """
    cases: list[Case] = []
    for use in protocol.data:
        if use.set not in folders:
            raise InputError(
                f"the protocol needs the data set {use.set}", remedy=f"Give --data {use.set}=FOLDER.", code="no_data"
            )
        listing = list_dataset(use.set, folders[use.set])
        # Copies would stand on both sides of a split; pictures of the web are also saved anew.
        found = without_duplicates(
            [r for r in listing.records if _wanted(r, use)], pictures=protocol.unit == "image"
        ).kept
        if not found:
            raise InputError(
                f"nothing in the folder of {use.set} can be used for this protocol",
                remedy=f"See what it holds: anomri datasets {use.set} -i FOLDER.",
                code="no_scans",
            )
        names = {r.path: safe_id(Path(listing.key(r).replace("/", "_"))) for r in found}
        cases += [_case(r, names[r.path], use, many=len(protocol.data) > 1) for r in found]
    return tuple(cases)


def _wanted(record: Record, use: DataUse) -> bool:
    labels = {"all": ("normal", "abnormal"), "normals": ("normal",), "abnormal": ("abnormal",)}[use.use]
    if record.label not in labels or (use.sequence is not None and record.sequence != use.sequence):
        return False
    if use.stripped is not None and record.stripped != use.stripped:
        return False
    return record.dataset != _LOCKED_SET or not is_locked(record.subject)


def _case(record: Record, name: str, use: DataUse, *, many: bool) -> Case:
    normal = record.label == "normal"
    return Case(
        case_id=f"{use.set}.{name}" if many else name,
        # Two sets may call different people sub-05.
        subject=f"{record.dataset}:{record.group}",
        source=record.dataset,
        site="unknown" if record.site is None else record.site,
        cell=NORMAL if normal else (use.set if many else "abnormal"),
        path=record.path,
        truth=None if normal else record.mask,
        truth_values=record.mask_values,
        trains=normal and use.trains,
        position=record.position,
        covariates=record.covariates,
    )
