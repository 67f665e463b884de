"""The locked subjects, opened once: what a model that has not seen them says of them, as they are and with defects.

    python benchmarks/locked.py MODEL SCANS WORK [--again REASON] [--jobs 2]

MODEL is a model folder that was fitted without the locked subjects (`scripts/train-bundled brain-t1-45 WORK SCANS`),
SCANS holds site A. Every locked subject stands in each cell: the seven artefacts at severities 3 and 5, and bright and
dark lesions of 5 ml with the full grey–white contrast.

Figures that are looked at twice select something. So each opening is a line of ``benchmarks/locked_openings.csv``, and
with another model than that of the last line the script stops unless ``--again`` says why. A run that was ended goes
on where it was: the same model gives the same figures and opens nothing. Writes WORK/locked.csv, a line a case, and
prints the table.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from anomri.benchmark.cases import NORMAL, Case, simulated_cases
from anomri.benchmark.evaluate import rate_interval
from anomri.benchmark.preparing import Ready, load_ready, load_truth, prepare_cases
from anomri.benchmark.protocol import read_protocol
from anomri.datasets.site_a import LOCKED, is_locked
from anomri.io.write import write_json
from anomri.metrics.bootstrap import bootstrap_interval
from anomri.metrics.detection import auroc_of
from anomri.models import Model
from anomri.models.fusion import fused_reading
from anomri.pipeline.score import read_branches
from anomri.scope import second_look

OPENINGS = Path(__file__).with_name("locked_openings.csv")
COLUMNS = ("case", "cell", "score", "p_value", "verdict", "refused", "top_in_lesion")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("scans", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--again", default="")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    model = Model.load(given.model)
    seen = [scan.scan_id for scan in model.card.training if is_locked(scan.scan_id)]
    if seen:
        sys.exit(f"the model was fitted on locked subjects: {', '.join(seen)}")
    cases = locked_cases(given.scans)
    open_once(model, given.again)
    ready = prepare_cases(cases, model.recipe, given.work / "prepared", jobs=given.jobs, report=say)
    lines = [judged(one, model, given.work / "judged") for one in ready]
    with (given.work / "locked.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(lines)
    say(summary(lines))


def say(line: str) -> None:
    print(line, flush=True)


def locked_cases(scans: Path) -> list[Case]:
    """Every locked scan as it is, and in every cell."""
    normals = [
        Case(f"{subject}_T1w", subject, "t1w-site-a", "site A", NORMAL, scans / f"{subject}_T1w.nii.gz", trains=True)
        for subject in LOCKED
    ]
    grid = read_protocol("t1-full").model_dump()
    grid["artefacts"]["severities"] = (3, 5)
    grid["lesions"] |= {"volumes_ml": (5.0,), "contrasts": (1.0,), "shapes": ("drawn",)}
    grid["subjects_per_cell"] = len(LOCKED)
    return [*normals, *simulated_cases(type(read_protocol("t1-full")).model_validate(grid), normals)]


def open_once(model: Model, again: str) -> None:
    """Record that the locked subjects are opened for a model; stop where they were for another one."""
    known = list(csv.DictReader(OPENINGS.open(encoding="utf-8"))) if OPENINGS.is_file() else []
    digest = model.content_sha256
    if known and known[-1]["model_sha256"] == digest:
        return
    if known and not again:
        sys.exit(f"the locked subjects were opened on {known[-1]['date']}; a second time needs --again REASON")
    git = ["git", "-C", str(OPENINGS.parent), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    line = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": commit, "model_sha256": digest, "why": again or "first"}
    with OPENINGS.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(line))
        table.writeheader()
        table.writerows([*known, line])


def judged(ready: Ready, model: Model, folder: Path) -> dict[str, str]:
    """One case, kept by its content and the model's."""
    kept = folder / f"{ready.key}-{model.content_sha256[:16]}.json"
    if not kept.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(kept, judge(ready, model))
        say(f"judged {ready.case.case_id}")
    found: dict[str, str] = json.loads(kept.read_text())
    return found


def judge(ready: Ready, model: Model) -> dict[str, str]:
    """One case; a refused scan scores +inf and is an alarm."""
    line = dict.fromkeys(COLUMNS, "") | {"case": ready.case.case_id, "cell": ready.case.cell}
    prepared = None if ready.file is None else load_ready(ready)
    reasons = [ready.refused] if prepared is None else list(second_look(prepared, model.scope))
    if prepared is None or reasons:
        return line | {"score": "inf", "p_value": "0", "verdict": "out_of_scope", "refused": "; ".join(reasons)}
    reading = fused_reading(read_branches(model, prepared), model.scalings)
    found = model.calibrated().judge(reading.score)
    line |= {"score": repr(float(reading.score)), "p_value": repr(found.p_value), "verdict": found.verdict}
    truth = load_truth(ready) if ready.case.defect is not None and ready.case.defect.kind == "lesion" else None
    if truth is not None and reading.map is not None:
        peak = np.unravel_index(np.nanargmax(reading.map), reading.map.shape)
        line["top_in_lesion"] = str(int(truth[peak]))
    return line


def summary(lines: list[dict[str, str]]) -> str:
    """A Markdown table: AUROC against the locked normals, alarms at the model's rate, top point in the lesion."""
    normal = [line for line in lines if line["cell"] == NORMAL]
    cells = [c for c in dict.fromkeys(line["cell"] for line in lines) if c != NORMAL]
    groups = {"normal": normal} | {c: [line for line in lines if line["cell"] == c] for c in cells}
    groups["all artefacts"] = [line for line in lines if line["cell"] in cells and "lesion" not in line["cell"]]
    groups["all lesions"] = [line for line in lines if line["cell"].startswith("lesion")]
    out = ["| cell | refused | AUROC | fail | highest point in the lesion |", "|---|---|---|---|---|"]
    for name, found in groups.items():
        refused = sum(line["verdict"] == "out_of_scope" for line in found)
        alarms = np.array([[float(line["verdict"] in ("fail", "out_of_scope")) for line in found]])
        low, high = rate_interval(alarms, subjects_of(found))
        hits = [int(line["top_in_lesion"]) for line in found if line["top_in_lesion"]]
        hit = f"{sum(hits)} of {len(hits)}" if hits else ""
        both = [*normal, *found]
        area = "" if name == "normal" else shown_auroc(both, len(normal))
        rate = f"{alarms.mean():.2f} ({low:.2f}–{high:.2f})"
        out.append(f"| {name} | {refused} of {len(found)} | {area} | {rate} | {hit} |")
    return "\n".join(out)


def subjects_of(lines: list[dict[str, str]]) -> list[str]:
    return [line["case"].split("_", 1)[0] for line in lines]


def shown_auroc(lines: list[dict[str, str]], normals: int) -> str:
    scores = np.array([float(line["score"]) for line in lines])
    abnormal = np.arange(len(lines)) >= normals
    found = bootstrap_interval(scores[None], abnormal, subjects_of(lines), auroc_of, rng=np.random.default_rng(0))
    return f"{found.estimate:.2f} ({found.low:.2f}–{found.high:.2f})"


if __name__ == "__main__":
    main()
