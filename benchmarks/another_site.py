"""A model on the full heads of another site: false alarms before and after calibration, and what is still found.

    python benchmarks/another_site.py MODEL HEADS WORK [--per-cell 11] [--normals 4 6] [--jobs 2]

HEADS holds normal T1w heads, ``sub-XX_T1w.nii.gz``, of one scanner that MODEL has not seen. Each is scored three ways:
by MODEL as it is; by MODEL calibrated on the subjects of the other folds; by MODEL adapted to them and calibrated. So
that silence is not mistaken for success, the same heads are scored at the same thresholds with artefacts of severity 4
and 5 and lesions of 5 ml with the full grey–white contrast. The extraction of the brain is part of each case. Verdicts
are those of the thresholds: that a head is held at warn where no head calibrated the model is left out of the account.

With --normals the model is calibrated and adapted on so many subjects of the other folds as well, drawn in three ways:
how many scans buy what.

Prints tables and writes WORK/another_site.csv, a line a case and way. A run that was ended goes on with the prepared
cases.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from anomri.benchmark.cases import NORMAL, Case, simulated_cases
from anomri.benchmark.evaluate import rate_interval
from anomri.benchmark.preparing import Ready, load_ready, prepare_cases
from anomri.benchmark.protocol import Protocol, read_protocol
from anomri.calibration import Calibration, align_to_site
from anomri.core.prepared import Prepared
from anomri.datasets.splits import folds_by_subject
from anomri.models import Model
from anomri.models.fusion import fused_reading
from anomri.pipeline.adapt import adapted
from anomri.pipeline.calibrate import scored, scored_by_the_others
from anomri.pipeline.score import read_branches
from anomri.scope import second_look

SITE = "another site"
WAYS = ("as it is", "calibrated", "adapted")
COLUMNS = ("case", "cell", "subject", "normals", "draw", "way", "score", "p_value", "verdict")
FOLDS, DRAWS = 5, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("heads", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--per-cell", type=int, default=11)
    parser.add_argument("--normals", type=int, nargs="*", default=[])
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    model = Model.load(given.model)
    cases = cases_of(given.heads, given.per_cell)
    ready = prepare_cases(cases, model.recipe, given.work / "prepared", jobs=given.jobs, report=say)
    folds = folds_by_subject([one.case.subject for one in ready], FOLDS, seed=0)
    lines = []
    for fold in range(FOLDS):
        inside = [one for one, number in zip(ready, folds, strict=True) if number == fold]
        others = [one for one in ready if one not in inside and one.case.cell == NORMAL and one.file is not None]
        as_is = {one.case.case_id: score_of(one, model) for one in inside}
        lines += [line | {"normals": "all"} for line in judged_fold(model, others, inside, as_is)]
        for count in given.normals:
            if count > len(others):
                raise SystemExit(f"a fold has {len(others)} other normals, fewer than {count}")
            for draw in range(DRAWS):
                order = np.random.default_rng([fold, draw]).permutation(len(others))[:count]
                known = {"normals": str(count), "draw": str(draw)}
                fewer = [others[i] for i in sorted(order)]
                lines += [line | known for line in judged_fold(model, fewer, inside, as_is)]
        say(f"fold {fold + 1} of {FOLDS} judged")
    with (given.work / "another_site.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(lines)
    say(summary([line for line in lines if line["normals"] == "all"]))
    if given.normals:
        say(curve(lines))


def say(line: str) -> None:
    print(line, flush=True)


def cases_of(heads: Path, per_cell: int) -> list[Case]:
    """Every head as it is, and some in every cell."""
    normals = [
        Case(path.name.removesuffix(".nii.gz"), path.name.split("_")[0], "heads", SITE, NORMAL, path, trains=True)
        for path in sorted(heads.glob("sub-*_T1w.nii.gz"))
    ]
    grid = read_protocol("t1-full").model_dump()
    grid["artefacts"]["severities"] = (4, 5)
    grid["lesions"] |= {"volumes_ml": (5.0,), "contrasts": (1.0,), "shapes": ("drawn",)}
    grid["subjects_per_cell"] = per_cell
    return [*normals, *simulated_cases(Protocol.model_validate(grid), normals)]


def judged_fold(
    model: Model, others: Sequence[Ready], inside: Sequence[Ready], as_is: Mapping[str, float]
) -> list[dict[str, str]]:
    """The cases of one fold, by models that know normals of the others; `as_is` has the scores of MODEL."""
    prepared = [load_ready(one) for one in others]
    normals = [scan for scan in prepared if not second_look(scan, model.scope)]
    own = model.calibrated()
    plain = align_to_site(own, [scored(model, scan, 0, ignored) for scan in normals], site=SITE)
    moved = adapted(model, normals, site=SITE)
    of_moved = align_to_site(own, scored_by_the_others(model, normals, ignored), site=SITE)
    lines = []
    for one in inside:
        first = as_is[one.case.case_id]
        ways = zip(WAYS, (first, first, score_of(one, moved)), (own, plain, of_moved), strict=True)
        lines += [judged(one, way, score, by) for way, score, by in ways]
    return lines


def ignored(line: str) -> None:
    del line


def score_of(ready: Ready, model: Model) -> float:
    """The score of one case; +inf where the scan is refused."""
    prepared: Prepared | None = None if ready.file is None else load_ready(ready)
    if prepared is None or second_look(prepared, model.scope):
        return float("inf")
    return float(fused_reading(read_branches(model, prepared), model.scalings).score)


def judged(ready: Ready, way: str, score: float, calibration: Calibration) -> dict[str, str]:
    """One case one way; a refused scan is an alarm."""
    case = ready.case
    line = dict.fromkeys(COLUMNS, "") | {"case": case.case_id, "cell": case.cell, "subject": case.subject, "way": way}
    if score == float("inf"):
        return line | {"score": "inf", "p_value": "0", "verdict": "out_of_scope"}
    found = calibration.judge(score)
    return line | {"score": repr(score), "p_value": repr(found.p_value), "verdict": found.verdict}


def summary(lines: Sequence[dict[str, str]]) -> str:
    """A Markdown table: share of alarms at the model's rate, by cell and way, with intervals over subjects."""
    cells = list(dict.fromkeys(line["cell"] for line in lines))
    groups = {cell: [line for line in lines if line["cell"] == cell] for cell in cells}
    groups["all artefacts"] = [line for line in lines if line["cell"] != NORMAL and "lesion" not in line["cell"]]
    groups["all lesions"] = [line for line in lines if "lesion" in line["cell"]]
    out = [f"| cell | cases | refused | {' | '.join(WAYS)} |", "|---" * (3 + len(WAYS)) + "|"]
    for name, found in groups.items():
        own = [line for line in found if line["way"] == WAYS[0]]
        refused = sum(line["verdict"] == "out_of_scope" for line in own)
        rates = [shown_rate([line for line in found if line["way"] == way]) for way in WAYS]
        out.append(f"| {name} | {len(own)} | {refused} | {' | '.join(rates)} |")
    return "\n".join(out)


def curve(lines: Sequence[dict[str, str]]) -> str:
    """A Markdown table: by number of normals, share of alarms among normals, artefacts and lesions."""
    kinds = {
        "normal": lambda cell: cell == NORMAL,
        "artefacts": lambda cell: cell != NORMAL and "lesion" not in cell,
        "lesions": lambda cell: "lesion" in cell,
    }
    out = [f"| normals | way | {' | '.join(kinds)} |", "|---" * (2 + len(kinds)) + "|"]
    for count in dict.fromkeys(line["normals"] for line in lines):
        for way in WAYS[1:]:
            found = [line for line in lines if (line["normals"], line["way"]) == (count, way)]
            rates = [shown_rate([line for line in found if of(line["cell"])]) for of in kinds.values()]
            out.append(f"| {count} | {way} | {' | '.join(rates)} |")
    return "\n".join(out)


def shown_rate(lines: Sequence[dict[str, str]]) -> str:
    alarms = np.array([[float(line["verdict"] in ("fail", "out_of_scope")) for line in lines]])
    low, high = rate_interval(alarms, [line["subject"] for line in lines])
    return f"{alarms.mean():.2f} ({low:.2f}–{high:.2f})"


if __name__ == "__main__":
    main()
