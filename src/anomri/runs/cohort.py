"""One page of many scans, from the results of one or several runs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anomri.errors import InputError
from anomri.runs.gather import Gathered, gather
from anomri.runs.save import writing_to

if TYPE_CHECKING:
    from anomri.report.cohort import CohortScan

__all__ = ["CohortSummary", "write_cohort"]


@dataclass(frozen=True, slots=True)
class CohortSummary:
    """What a page holds: scans, runs, and the ids of the scans whose result is damaged."""

    scans: int
    runs: int
    damaged: tuple[str, ...]


def write_cohort(folders: Iterable[str | Path], page: str | Path) -> CohortSummary:
    """Write the page of all scans below the folders; its pictures and reports stay where they are, and are linked.

    Parameters
    ----------
    folders : output folders of runs, result folders, or data sets of derivatives.
    page : the HTML file, in a folder that exists.

    Raises
    ------
    InputError : there is no result in one of the folders.
    EnvironmentProblem : the page cannot be written.
    """
    from anomri.io.write import write_text
    from anomri.report.cohort import cohort_page

    page = Path(page)
    found, scans = [], []
    for one in gather(folders):
        found.append((one.run, one.scan_id, isinstance(one.result, InputError)))
        scans.append(_scan(one, page))
    with writing_to(page.parent):
        write_text(page, cohort_page(scans))
    return CohortSummary(
        scans=len(scans),
        runs=len({run for run, _, _ in found}),
        damaged=tuple(scan_id for _, scan_id, damaged in found if damaged),
    )


def _scan(found: Gathered, page: Path) -> CohortScan:
    from anomri.report.cohort import CohortScan

    # Browsers take `..` out of an address without asking where links lead, as os.path does.
    folder = Path(os.path.relpath(found.folder, page.parent)).as_posix()
    if isinstance(found.result, InputError):
        reason = f"{found.result.cause}. {found.result.remedy}"
        return CohortScan(found.scan_id, folder, "unreadable", reason, run=found.run, judged_on=found.judged_on)
    return CohortScan.of(
        found.result,
        folder,
        run=found.run,
        judged_on=found.judged_on,
        report=found.report,
        preview=found.preview,
    )
