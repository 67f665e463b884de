"""The page of many scans: what happened to each of them, at a glance, from result files alone.

It is the ``index.html`` of a run and the page of `anomri cohort`, which takes several runs together. The pictures are
not inside: they are the ``preview.png`` of the result folders, by relative link, because 5,000 of them would make a
page of hundreds of megabytes, while without them it stays below 5 MB. Who sends the page sends the folders with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import quote

from anomri.core.result import JUDGED, Result, Thresholds, Verdict
from anomri.io.names import visible
from anomri.metrics.binomial import expected_counts
from anomri.report import words
from anomri.report.drift import Drift, Step, drift
from anomri.report.quality_map import QualityMap, quality_map
from anomri.report.render import render
from anomri.report.spread import Spread, spread

__all__ = ["Alarms", "CohortScan", "cohort_page"]


@dataclass(frozen=True, slots=True)
class CohortScan:
    """One scan of the page.

    Parameters
    ----------
    folder : of its result, relative to the page, with forward slashes.
    report, preview : what its page and its picture are called there.
    run : what its run is called; empty where the page is of one run.
    judged_on : the day it was judged, ``YYYY-MM-DD``; empty where that is not told. It is no date of the scan.
    model, model_sha256 : what judged it; scores of different models do not compare.
    normals : scores of the normals it was judged against, sorted.
    limits : thresholds; None where it was not judged.
    quality : metrics by name; None where there is no such value.
    """

    scan_id: str
    folder: str
    verdict: Verdict
    reason: str
    run: str = ""
    judged_on: str = ""
    score: float | None = None
    p_value: float | None = None
    robust_z: float | None = None
    notes: tuple[str, ...] = ()
    input_sha256: str = ""
    model: str = ""
    model_sha256: str = ""
    normals: tuple[float, ...] = ()
    limits: Thresholds | None = None
    quality: Mapping[str, float | None] = field(default_factory=dict)
    report: str = "report.html"
    preview: str = "preview.png"

    @classmethod
    def of(
        cls,
        result: Result,
        folder: str,
        *,
        run: str = "",
        judged_on: str = "",
        report: str = "report.html",
        preview: str = "preview.png",
    ) -> Self:
        """The scan of a result that lies in `folder`."""
        return cls(
            scan_id=result.scan_id,
            folder=folder,
            verdict=result.verdict,
            reason=result.reason,
            run=run,
            judged_on=judged_on,
            score=result.score,
            p_value=result.p_value,
            robust_z=result.robust_z,
            notes=result.notes,
            input_sha256=result.input.sha256,
            model=f"{result.model.name} {result.model.version}",
            model_sha256=result.model.sha256,
            normals=result.reference_scores,
            limits=result.thresholds if result.verdict in JUDGED else None,
            quality=result.quality,
            report=report,
            preview=preview,
        )

    def link(self, name: str) -> str:
        """Address of a file of the result; begins with ``./``, so that no name of a folder is taken for a scheme."""
        return "./" + quote(f"{self.folder}/{name}".encode("utf-8", "surrogateescape"), safe="/")


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


def cohort_page(scans: Sequence[CohortScan]) -> str:
    """The page of many scans: counts beside what to expect, three charts, pictures and table, ratings.

    Parameters
    ----------
    scans : any order; shown the most urgent first.

    Returns
    -------
    HTML, UTF-8, the same bytes for the same scans in any order; links the report and shows the preview
    of each.
    """
    ordered = sorted(scans, key=_urgency)
    judged = [scan for scan in ordered if scan.verdict in JUDGED]
    common = _common_notes(judged)
    spreads = _spreads(judged)
    over_time, similar = _drift(judged), quality_map([scan.quality for scan in ordered])
    return render(
        "cohort.html.jinja",
        style="page.css",
        script="cohort.js",
        # The previews lie beside the page: 'self' where it is served, file: where it is opened from disk.
        images="'self' file: data:",
        data=_data(ordered, common, over_time, similar),
        total=len(ordered),
        judged=len(judged),
        runs=len({scan.run for scan in ordered}),
        counts={verdict: sum(scan.verdict == verdict for scan in ordered) for verdict in words.VERDICTS},
        verdicts=words.VERDICTS,
        disclaimer=words.DISCLAIMER,
        common=common,
        fails=_alarms(judged, ("fail",), [None if s.limits is None else s.limits.fail_rate for s in judged]),
        alarms=_alarms(judged, ("warn", "fail"), [None if s.limits is None else s.limits.warn_rate for s in judged]),
        spreads=spreads,
        drift=over_time,
        dated=any(scan.judged_on for scan in judged),
        similar=similar,
        metric_title=words.metric_title,
    )


def _data(
    scans: Sequence[CohortScan], common: Sequence[str], over_time: Drift | None, similar: QualityMap | None
) -> dict[str, object]:
    """What the script shows: columns, one entry a scan; positions in charts as (scan, x, y), 0–1 from bottom left."""
    notes = sorted({note for scan in scans for note in scan.notes if note not in common})
    judged = [index for index, scan in enumerate(scans) if scan.verdict in JUDGED]
    numbers = {note: number for number, note in enumerate(notes)}
    return {
        "verdicts": {name: {"word": verdict.word, "rank": verdict.rank} for name, verdict in words.VERDICTS.items()},
        "notes": [visible(note) for note in notes],
        "scans": {
            "scan_id": [visible(scan.scan_id) for scan in scans],
            "run": [visible(scan.run) for scan in scans],
            "verdict": [scan.verdict for scan in scans],
            "reason": [visible(scan.reason) for scan in scans],
            "score": [scan.score for scan in scans],
            "p_value": [scan.p_value for scan in scans],
            "robust_z": [scan.robust_z for scan in scans],
            "judged_on": [scan.judged_on for scan in scans],
            "notes": [[numbers[note] for note in scan.notes if note in numbers] for scan in scans],
            "input_sha256": [scan.input_sha256 for scan in scans],
            "report": [scan.link(scan.report) for scan in scans],
            "preview": [scan.link(scan.preview) for scan in scans],
        },
        "marks": {
            "drift": [] if over_time is None else [(judged[p.index], p.x, p.y) for p in over_time.points],
            "quality": [] if similar is None else [(p.index, p.x, p.y) for p in similar.points],
        },
    }


def _spreads(judged: Sequence[CohortScan]) -> list[tuple[str, Spread]]:
    """One chart of scores a model, the most used first."""
    models: dict[str, list[CohortScan]] = {}
    for scan in judged:
        models.setdefault(scan.model_sha256, []).append(scan)
    found = []
    for scans in sorted(models.values(), key=lambda scans: (-len(scans), scans[0].model, scans[0].model_sha256)):
        # A scan that trained the model is judged by all normals but itself: the longest list is the model's.
        normals = max((scan.normals for scan in scans), key=len)
        scores = [(scan.score, scan.verdict) for scan in scans if scan.score is not None]
        drawn = spread(normals, scans[0].limits, scores)
        if drawn is not None:
            found.append((scans[0].model, drawn))
    return found


def _drift(judged: Sequence[CohortScan]) -> Drift | None:
    ordered = sorted(range(len(judged)), key=lambda index: _when(judged[index]))
    steps = [
        Step(index, scan.robust_z, scan.judged_on, scan.normals, scan.limits)
        for index, scan in ((index, judged[index]) for index in ordered)
        if scan.robust_z is not None
    ]
    return drift(steps)


def _when(scan: CohortScan) -> tuple[str, list[tuple[int, str]], str]:
    """Order of time as far as it is known: the day of judging, then the name with its numbers read as numbers."""
    parts = [part for part in re.split(r"(\d+)", scan.scan_id) if part]
    return scan.judged_on, [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], scan.run


def _common_notes(judged: Sequence[CohortScan]) -> tuple[str, ...]:
    """The notes that all judged scans have, to be told once; none of a single scan, which tells them itself."""
    if len(judged) < 2:
        return ()
    return tuple(note for note in judged[0].notes if all(note in scan.notes for scan in judged))


def _urgency(scan: CohortScan) -> tuple[int, float, str, str, str]:
    score = scan.score if scan.score is not None else 0.0
    return words.VERDICTS[scan.verdict].rank, -score, scan.scan_id, scan.run, scan.folder


def _alarms(
    judged: Sequence[CohortScan], verdicts: tuple[Verdict, ...], rates: Sequence[float | None]
) -> Alarms | None:
    """None where nothing was judged. Scans count as independent; where rates differ, their mean stands for all."""
    known = [rate for rate in rates if rate is not None]
    if not known:
        return None
    low, high = expected_counts(len(known), sum(known) / len(known))
    found = sum(scan.verdict in verdicts for scan in judged)
    return Alarms(found=found, expected=sum(known), low=low, high=high)
