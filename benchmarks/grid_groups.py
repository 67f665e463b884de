"""Groups of cells of the full grid: AUROC, sensitivity, and what the shipped combination gains over each other method.

    python benchmarks/grid_groups.py SCORES.csv [--rows NAME …] [--against NAME]

SCORES.csv is what `anomri benchmark t1-full` wrote. The groups are artefacts by severity and lesions by volume and
contrast, of drawn and real shapes and both signs together. Intervals are bootstrapped over subjects; the sensitivity is
at a threshold that 2 of the 45 normals exceed (one for all folds; a figure of the benchmark itself takes the normals of
the other folds instead). Differences are paired.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anomri.metrics.bootstrap import bootstrap_difference, bootstrap_interval
from anomri.metrics.detection import auroc_of

ALARMS = 2


def severity(cell: str) -> int:
    """Of an artefact's cell; 0 of any other."""
    return 0 if cell == "normal" or "lesion" in cell else int(cell.rsplit("-", 1)[1])


GROUPS: dict[str, Callable[[str], bool]] = {
    "all cells": lambda cell: cell != "normal",
    "artefacts, severity 3–5": lambda cell: severity(cell) >= 3,
    **{f"artefacts, severity {n}": lambda cell, n=n: severity(cell) == n for n in (1, 2, 3, 4, 5)},
    **{
        f"lesions, {ml} ml, contrast {c}": lambda cell, ml=ml, c=c: cell.endswith(f"-{ml}ml-c{c}")
        for c in ("1", "0.5")
        for ml in ("5", "2", "0.5")
    },
    "drawn lesions, 5 ml, contrast 1": lambda cell: cell.startswith("lesion") and cell.endswith("-5ml-c1"),
    "real shapes, 5 ml, contrast 1": lambda cell: cell.startswith("real") and cell.endswith("-5ml-c1"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("scores", type=Path)
    parser.add_argument("--rows", nargs="*")
    parser.add_argument("--against", default="iqm1c + dae-small")
    given = parser.parse_args()
    with given.scores.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    methods = given.rows or list(dict.fromkeys(line["method"] for line in lines))
    values = {m: {line["case_id"]: float(line["score"]) for line in lines if line["method"] == m} for m in methods}
    cells = {line["case_id"]: line["cell"] for line in lines}
    print(f"| | {' | '.join(methods)} |\n|{'---|' * (len(methods) + 1)}")
    for name, belongs in GROUPS.items():
        ids = [case for case, cell in cells.items() if cell == "normal" or belongs(cell)]
        abnormal = np.array([cells[case] != "normal" for case in ids])
        if not abnormal.any():
            continue
        subjects = [case.split("_", 1)[0] for case in ids]
        scores = {m: np.array([values[m][case] for case in ids]) for m in methods}
        print(f"| {name} | {' | '.join(shown(scores[m], abnormal, subjects) for m in methods)} |")
        if given.against in scores:
            gains = [gain(scores[given.against], scores[m], abnormal, subjects) for m in methods]
            print(f"| – ahead by | {' | '.join(gains)} |")


def shown(scores: NDArray[np.float64], abnormal: NDArray[np.bool_], subjects: list[str]) -> str:
    """AUROC with its interval, and the share above the threshold."""
    found = bootstrap_interval(scores[None], abnormal, subjects, auroc_of, rng=np.random.default_rng(0))
    threshold = np.sort(scores[~abnormal])[-ALARMS - 1]
    return f"{found.estimate:.3f} ({found.low:.2f}–{found.high:.2f}), {np.mean(scores[abnormal] > threshold):.2f}"


def gain(one: NDArray[np.float64], other: NDArray[np.float64], abnormal: NDArray[np.bool_], subjects: list[str]) -> str:
    """AUROC of one method less that of another, with its interval."""
    found = bootstrap_difference(one[None], other[None], abnormal, subjects, auroc_of, rng=np.random.default_rng(0))
    return f"{found.estimate:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


if __name__ == "__main__":
    main()
