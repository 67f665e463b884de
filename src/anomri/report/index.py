"""The page of a run: what happened to every scan, at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

from scipy import stats

from anomri.core.result import JUDGED, Result, Verdict
from anomri.report import words
from anomri.report.render import render

__all__ = ["Alarms", "IndexRow", "index_page"]


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One scan of a run.

    Parameters
    ----------
    folder : of its result, relative to the index page, with forward slashes.
    warn_rate, fail_rate : share of normal scans that reach each verdict or a worse one; None where it was not judged.
    notes : of the result.
    """

    scan_id: str
    folder: str
    verdict: Verdict
    reason: str
    score: float | None = None
    p_value: float | None = None
    robust_z: float | None = None
    warn_rate: float | None = None
    fail_rate: float | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, result: Result, folder: str) -> Self:
        """The row of a result that lies in `folder`."""
        limits = result.thresholds if result.verdict in JUDGED else None
        return cls(
            scan_id=result.scan_id,
            folder=folder,
            verdict=result.verdict,
            reason=result.reason,
            score=result.score,
            p_value=result.p_value,
            robust_z=result.robust_z,
            warn_rate=None if limits is None else limits.warn_rate,
            fail_rate=None if limits is None else limits.fail_rate,
            notes=result.notes,
        )

    @property
    def link(self) -> str:
        """Address of the result folder; begins with ``./``, so that no name of a folder is taken for a scheme."""
        return "./" + quote(self.folder.encode("utf-8", "surrogateescape"), safe="/")


@dataclass(frozen=True, slots=True)
class Alarms:
    """Verdicts of one kind beside what normal scans alone would lead one to expect.

    Parameters
    ----------
    found : how many there were.
    expected : how many there would be if all judged scans were normal.
    low, high : where that number would lie in 95 % of such runs.
    """

    found: int
    expected: float
    low: int
    high: int


def index_page(rows: Sequence[IndexRow]) -> str:
    """The index of a run: counts beside what to expect, and a table to sort and filter.

    Parameters
    ----------
    rows : one a scan, any order; shown the most urgent first.

    Returns
    -------
    HTML, UTF-8; links `FOLDER/report.html` and shows `FOLDER/preview.png`.
    """
    judged = [row for row in rows if row.verdict in JUDGED]
    ordered = sorted(rows, key=_urgency)
    return render(
        "index.html.jinja",
        style="page.css",
        script="index.js",
        # The previews lie beside the page: 'self' where it is served, file: where it is opened from disk.
        images="'self' file: data:",
        rows=ordered,
        total=len(rows),
        judged=len(judged),
        counts={verdict: sum(row.verdict == verdict for row in rows) for verdict in words.VERDICTS},
        verdicts=words.VERDICTS,
        disclaimer=words.DISCLAIMER,
        common=_common_notes(judged),
        fails=_alarms(judged, ("fail",), [row.fail_rate for row in judged]),
        alarms=_alarms(judged, ("warn", "fail"), [row.warn_rate for row in judged]),
    )


def _common_notes(judged: Sequence[IndexRow]) -> tuple[str, ...]:
    """The notes that all judged scans have, to be told once; none of a single scan, whose row tells them."""
    if len(judged) < 2:
        return ()
    return tuple(note for note in judged[0].notes if all(note in row.notes for row in judged))


def _urgency(row: IndexRow) -> tuple[int, float, str]:
    return words.VERDICTS[row.verdict].rank, -(row.score if row.score is not None else 0.0), row.scan_id


def _alarms(judged: Sequence[IndexRow], verdicts: tuple[Verdict, ...], rates: Sequence[float | None]) -> Alarms | None:
    """None where nothing was judged. Scans count as independent; where rates differ, their mean stands for all."""
    known = [rate for rate in rates if rate is not None]
    if not known:
        return None
    low, high = stats.binom.interval(0.95, len(known), sum(known) / len(known))
    found = sum(row.verdict in verdicts for row in judged)
    return Alarms(found=found, expected=sum(known), low=int(low), high=int(high))
