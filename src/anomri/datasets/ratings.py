"""Image quality metrics with raters' verdicts on the same scans: the tables that MRIQC was trained with.

References
----------
Esteban O. et al., MRIQC: Advancing the automatic prediction of image quality in MRI from unseen sites, PLoS ONE 2017,
12(9):e0184661; https://github.com/nipreps/mriqc/tree/master/mriqc/data/csv
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from anomri.datasets.record import Record
from anomri.datasets.tables import MISSING, read_rows
from anomri.errors import InputError

__all__ = ["RatedScan", "rated_records", "read_ratings"]

PAIRS = {"abide": ("x_abide.csv", "y_abide.csv"), "ds030": ("x_ds030.csv", "y_ds030.csv")}
NAMES = ("subject_id", "site")


@dataclass(frozen=True, slots=True)
class RatedScan:
    """Metrics of a scan and what raters said of it: 1 accept, 0 doubtful, -1 exclude; a rater who did not is absent."""

    cohort: str
    subject: str
    site: str
    metrics: Mapping[str, float]
    ratings: Mapping[str, int]


def read_ratings(folder: Path) -> tuple[RatedScan, ...]:
    """Scans that have both metrics and at least one rating, ABIDE first.

    Raises
    ------
    InputError : no pair of tables, or one is not such a table (`ratings`).
    """
    found = [
        scan
        for cohort, names in PAIRS.items()
        if all((folder / name).is_file() for name in names)
        for scan in _read(cohort, *(folder / name for name in names))
    ]
    if not found:
        raise _bad(f"{folder.name} holds no rated scans")
    return tuple(found)


def rated_records(records: Sequence[Record], files: Sequence[Path]) -> tuple[Sequence[Record], list[str]]:
    """The same as records, whose path is the table of metrics: the set holds no images."""
    del records
    folders = sorted({path.parent for path in files if path.name in {name for pair in PAIRS.values() for name in pair}})
    return [
        Record(
            dataset="quality-ratings",
            path=folder / PAIRS[scan.cohort][0],
            subject=f"{scan.cohort}-{scan.subject}",
            group=f"{scan.cohort}-{scan.subject}",
            site=scan.site,
            sequence="T1w",
            stripped=False,
            ratings=tuple((name, float(value)) for name, value in scan.ratings.items()),
        )
        for folder in folders
        for scan in read_ratings(folder)
    ], []


def _read(cohort: str, metrics_path: Path, ratings_path: Path) -> list[RatedScan]:
    try:
        ratings = {row["subject_id"]: row for row in read_rows(ratings_path)}
        scans = []
        for row in read_rows(metrics_path):
            verdicts = ratings.get(row["subject_id"], {})
            given = {n: int(float(v)) for n, v in verdicts.items() if n.startswith("rater_") and v not in MISSING}
            values = {n: float(v) for n, v in row.items() if n not in NAMES and v.lower() not in MISSING}
            if given:
                scan = RatedScan(cohort, row["subject_id"], verdicts["site"], values, given)
                scans.append(scan)
    except (KeyError, ValueError) as error:
        raise _bad(f"{metrics_path.name} or {ratings_path.name} is not a table of rated scans ({error})") from error
    return scans


def _bad(cause: str) -> InputError:
    return InputError(
        cause, remedy="Give the folder with x_abide.csv, y_abide.csv, x_ds030.csv, y_ds030.csv.", code="ratings"
    )
