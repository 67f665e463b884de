"""Splits by subject: whoever a scan belongs to stands on one side only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

from anomri.datasets.record import Record
from anomri.errors import CalibrationError

__all__ = ["folds_by_subject", "sides_of"]


def folds_by_subject(subjects: Sequence[str], count: int, *, seed: int) -> tuple[int, ...]:
    """Fold of each scan.

    Parameters
    ----------
    subjects : whom each scan belongs to; all scans of a subject get the same fold.
    count : number of folds.

    Returns
    -------
    One fold number (0 … count − 1) a scan. It depends on the set of subjects and the seed alone, not on their order;
    fold sizes differ by at most one subject.

    Raises
    ------
    CalibrationError : fewer subjects than folds.
    """
    ranked = _ranked(subjects, seed)
    if len(ranked) < count:
        raise CalibrationError(
            f"{len(ranked)} subjects cannot be split into {count} folds",
            remedy=f"Give scans of at least {count} subjects.",
            code="too_few_normals",
        )
    fold = {subject: rank % count for rank, subject in enumerate(ranked)}
    return tuple(fold[subject] for subject in subjects)


def sides_of(
    records: Sequence[Record],
    shares: Mapping[str, float],
    *,
    seed: int,
    keep: Literal["group", "site"] = "group",
    stratify_by_site: bool = False,
) -> tuple[str, ...]:
    """Side of each record, e.g. ``train``, ``calibrate``, ``test``.

    Parameters
    ----------
    shares : of the units that each side gets, by name; any positive numbers.
    keep : what is never torn apart: groups (all scans of a person, of a family), or whole sites, and with them every
        group that was scanned at several.
    stratify_by_site : each side gets its share of every site.

    Returns
    -------
    One name a record. It depends on the set of units and the seed alone, not on the order of the records; a side's
    number of units differs from its share by less than one for each further side.

    Raises
    ------
    CalibrationError : fewer units than sides, a share that is not positive, or sites where one is not known.
    """
    if not shares or min(shares.values()) <= 0:
        raise CalibrationError(
            "every side of a split needs a positive share", remedy="Give shares such as 0.6, 0.2, 0.2.", code="shares"
        )
    if (keep == "site" or stratify_by_site) and any(record.site is None for record in records):
        raise CalibrationError(
            "a split by site needs the site of every scan",
            remedy="Split by group, or give the sheet that names the sites.",
            code="no_site",
        )
    units = _units(records, by_site=keep == "site")
    strata: dict[str, set[str]] = {}
    for record, unit in zip(records, units, strict=True):
        strata.setdefault(unit, set()).add(record.site if stratify_by_site and record.site is not None else "")
    if len(strata) < len(shares):
        raise CalibrationError(
            f"{len(strata)} {keep}s cannot be split over {len(shares)} sides",
            remedy="Give scans of more people, or ask for fewer sides.",
            code="too_few_normals",
        )
    # Within a stratum the seed decides; the next unit goes to the side that lacks most of its share.
    ranked = sorted(_ranked(units, seed), key=lambda unit: sorted(strata[unit]))
    total = sum(shares.values())
    counts = dict.fromkeys(shares, 0)
    side = {}
    for number, unit in enumerate(ranked, start=1):
        lacking = max(shares, key=lambda name: shares[name] / total * number - counts[name])
        counts[lacking] += 1
        side[unit] = lacking
    return tuple(side[unit] for unit in units)


def _units(records: Sequence[Record], *, by_site: bool) -> list[str]:
    """What travels with each record: its group, or the sites that its group ties together."""
    if not by_site:
        return [record.group for record in records]
    root: dict[str, str] = {}

    def find(name: str) -> str:
        while root.setdefault(name, name) != name:
            name = root[name]
        return name

    for record in records:
        one, other = sorted((find(f"site {record.site}"), find(f"group {record.group}")))
        root[one] = other
    return [find(f"site {record.site}") for record in records]


def _ranked(subjects: Sequence[str], seed: int) -> list[str]:
    return sorted(set(subjects), key=lambda s: hashlib.sha256(f"{seed}:{s}".encode()).hexdigest())
