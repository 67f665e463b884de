"""Results as a pandas table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from anomri.errors import InputError
from anomri.runs.gather import gather
from anomri.runs.summary import COLUMNS, row

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["results_table"]

_NUMBERS = ("score", "p_value", "robust_z", "largest_finding_mm3")
_COUNTS = ("findings", "n_normals")
_MARKS = ("in_training", "approximate")


def results_table(*folders: str | Path, ratings: str | Path | None = None) -> pd.DataFrame:
    """The results below some folders as a table, one row a scan, refused and unreadable ones with them.

    Parameters
    ----------
    folders : output folders of runs, or result folders; at least one.
    ratings : a file that the page of the scans saved.

    Returns
    -------
    By run and scan id, with an index from 0. The columns of ``summary.csv``, then ``run`` and ``folder``,
    ``judged_on`` (``YYYY-MM-DD``, UTC, where the run noted it), with `ratings` ``rating``, ``comment`` and ``rater``,
    and a column ``quality_NAME`` a quality metric. Numbers are float64 with `nan` for what is not known, counts
    Int64, marks boolean, all else text with None. A result that cannot be read is a row ``unreadable`` whose reason
    says why.

    Raises
    ------
    InputError : there is no result in one of the folders (`no_result`), or `ratings` holds no ratings (`ratings`).
    """
    import pandas as pd

    from anomri.report.ratings import read_ratings

    said = None if ratings is None else read_ratings(Path(ratings))
    columns = [*COLUMNS, "run", "folder", "judged_on", *(("rating", "comment", "rater") if said is not None else ())]
    rows: list[dict[str, object]] = []
    metrics: set[str] = set()
    for found in gather(folders):
        place: dict[str, object] = {"run": found.run, "folder": str(found.folder), "judged_on": found.judged_on or None}
        if isinstance(found.result, InputError):
            reason = f"{found.result.cause}. {found.result.remedy}"
            rows.append({"scan_id": found.scan_id, "verdict": "unreadable", "reason": reason, **place})
            continue
        quality = {f"quality_{name}": value for name, value in found.result.quality.items()}
        metrics |= quality.keys()
        rows.append({**row(found.result), **place, **quality})
        rated = None if said is None else said.of(found.scan_id, found.result.input.sha256)
        if said is not None and rated is not None:
            rows[-1] |= {"rating": rated.rating, "comment": rated.comment, "rater": said.rater}
    kinds = dict.fromkeys((*_NUMBERS, *sorted(metrics)), "float64")
    kinds |= dict.fromkeys(_COUNTS, "Int64") | dict.fromkeys(_MARKS, "boolean")
    table = pd.DataFrame(
        {
            name: pd.Series([entry.get(name) for entry in rows], dtype=kinds.get(name, "object"))
            for name in (*columns, *sorted(metrics))
        }
    )
    return table.sort_values(["run", "scan_id"], kind="stable", ignore_index=True)
