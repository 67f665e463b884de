"""What stands beside the scans of an output folder: ``summary.csv``, ``index.html``, and finding finished results."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from anomri.core.result import Result
from anomri.runs.save import RESULT, writing_to

__all__ = ["COLUMNS", "INDEX", "TABLE", "finished", "read_result", "row", "write_summary"]

TABLE = "summary.csv"
INDEX = "index.html"
COLUMNS = (
    "scan_id",
    "verdict",
    "reason",
    "score",
    "p_value",
    "robust_z",
    "driver",
    "findings",
    "largest_finding_mm3",
    "in_training",
    "approximate",
    "brain_from",
    "n_normals",
    "notes",
    "model",
    "model_version",
    "model_sha256",
    "input_sha256",
)


def read_result(folder: Path) -> Result | None:
    """The result in a folder; None where there is none that holds to the schema."""
    try:
        return Result.model_validate_json((folder / RESULT).read_bytes())
    except (OSError, ValidationError):
        return None


def finished(out: Path) -> dict[str, Result]:
    """Every result in an output folder that a run wrote, by the name of its folder, sorted."""
    found = {}
    for file in sorted(out.glob(f"*/{RESULT}")):
        result = read_result(file.parent)
        if result is not None and "settings" in result.versions:
            found[file.parent.name] = result
    return found


def write_summary(out: Path, results: Iterable[Result]) -> None:
    """Write the table and the page of all scans, by scan id, so that the order of work leaves no trace.

    Raises
    ------
    EnvironmentProblem : the folder cannot be written.
    """
    from anomri.io.write import write_csv, write_text
    from anomri.report.cohort import CohortScan, cohort_page

    results = sorted(results, key=lambda result: result.scan_id)
    with writing_to(out):
        write_csv(out / TABLE, [row(result) for result in results], COLUMNS)
        write_text(out / INDEX, cohort_page([CohortScan.of(result, result.scan_id) for result in results]))


def row(result: Result) -> dict[str, object]:
    """One line of the table; empty where a scan has no such value."""
    main = max(result.drivers, key=lambda driver: driver.share, default=None)
    return {
        "scan_id": result.scan_id,
        "verdict": result.verdict,
        "reason": result.reason,
        "score": result.score,
        "p_value": result.p_value,
        "robust_z": result.robust_z,
        "driver": None if main is None else main.branch,
        "findings": len(result.findings),
        "largest_finding_mm3": max((finding.volume_mm3 for finding in result.findings), default=None),
        "in_training": result.in_training,
        "approximate": result.approximate,
        "brain_from": result.brain_from,
        "n_normals": result.n_normals,
        "notes": " | ".join(result.notes),
        "model": result.model.name,
        "model_version": result.model.version,
        "model_sha256": result.model.sha256,
        "input_sha256": result.input.sha256,
    }
