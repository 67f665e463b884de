"""The group level: a table of all verdicts with its data dictionary, and the page of all scans.

It reads the derivatives alone: the scans need not be there any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomri.bids.derivatives import results_of
from anomri.bids.names import BidsName
from anomri.core.result import Result, Verdict
from anomri.errors import InputError
from anomri.runs.save import writing_to
from anomri.runs.summary import row

__all__ = ["DICTIONARY", "GroupSummary", "write_group"]

_VERDICTS: dict[Verdict, str] = {
    "pass": "It lies where normal scans lie.",
    "warn": "Further out than all but twice the alarm rate of normal scans.",
    "fail": "Further out than all but the alarm rate of normal scans.",
    "out_of_scope": "Not what the model was made for.",
    "unreadable": "It could not be read.",
}
_YES_NO = {"true": "It is.", "false": "It is not."}
# The columns of the table, in their order.
DICTIONARY: dict[str, dict[str, Any]] = {
    "bids_name": {"Description": "Name of the scan in its data set, without its ending."},
    "participant_id": {"Description": "The participant."},
    "session_id": {"Description": "The session; n/a where the data set has none."},
    "verdict": {"Description": "What anomri says of the scan.", "Levels": _VERDICTS},
    "reason": {"Description": "Why, in a sentence."},
    "score": {"Description": "How abnormal: higher is more abnormal, on a scale of the model's own."},
    "p_value": {"Description": "Share of normal scans at least as abnormal, the scan itself counted in."},
    "robust_z": {
        "Description": "How far the score lies above the median of the normals.",
        "Units": "robust standard deviations of the normals",
    },
    "driver": {"Description": "The branch of the model that the score rests on most."},
    "findings": {"Description": "Number of connected abnormal parts."},
    "largest_finding_mm3": {"Description": "Volume of the largest of them.", "Units": "mm^3"},
    "in_training": {"Description": "Whether the scan trained the model.", "Levels": _YES_NO},
    "approximate": {"Description": "Whether the alarm rate is an approximation.", "Levels": _YES_NO},
    "brain_from": {
        "Description": "Where the brain came from; n/a where none was looked for or found.",
        "Levels": {
            "stripped": "The scan held the brain alone.",
            "given": "A mask was given.",
            "extracted": "It was cut out of a full head.",
        },
    },
    "n_normals": {"Description": "Number of normal scans it was judged against."},
    "notes": {"Description": "What limits the verdict, separated by |."},
    "model": {"Description": "Name of the model."},
    "model_version": {"Description": "Its version."},
    "model_sha256": {"Description": "Digest of its model.json."},
    "input_sha256": {"Description": "Digest of the scan's file."},
}


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """What the group level wrote.

    Parameters
    ----------
    table : ``group_<suffix>.tsv``; its data dictionary lies beside it as ``.json``.
    page : ``group_<suffix>.html``.
    results : of all scans, by name.
    """

    table: Path
    page: Path
    results: tuple[Result, ...]


def write_group(out: Path) -> GroupSummary:
    """Write the table, its data dictionary and the page of all scans of a folder of derivatives.

    Raises
    ------
    InputError : there are no results (`no_results`), or one cannot be read (`result_format`).
    EnvironmentProblem : the folder cannot be written.
    """
    from anomri.io.write import write_csv, write_json, write_text

    found = sorted(results_of(out), key=lambda pair: pair[1].scan_id)
    if not found:
        raise InputError(f"there are no results in {out}", remedy="Run the participant level first.", code="no_results")
    stem = out / f"group_{found[0][0].suffix}"
    summary = GroupSummary(stem.with_suffix(".tsv"), stem.with_suffix(".html"), tuple(result for _, result in found))
    with writing_to(out):
        write_csv(summary.table, [_row(name, result) for name, result in found], tuple(DICTIONARY))
        write_json(stem.with_suffix(".json"), DICTIONARY)
        write_text(summary.page, _page(found))
    return summary


def _row(name: BidsName, result: Result) -> dict[str, object]:
    named = {"bids_name": result.scan_id, "participant_id": name.participant_id, "session_id": name.session_id}
    values = {**named, **row(result)}
    # BIDS has a word for what is not known.
    return {column: "n/a" if values[column] in (None, "") else values[column] for column in DICTIONARY}


def _page(found: Sequence[tuple[BidsName, Result]]) -> str:
    from anomri.report.cohort import CohortScan, cohort_page

    return cohort_page(
        [
            CohortScan.of(result, str(name.folder), report=name.result(".html").name, preview=name.result(".png").name)
            for name, result in found
        ]
    )
