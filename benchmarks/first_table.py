"""The first table: simulated artefacts and lesions on 45 subjects of site A, cross-validated by subject.

    python benchmarks/first_table.py SCANS WORK [--jobs 2] [--methods zatlas iqm1c zatlas+iqm1c autoencoder]

SCANS holds site A (``sub-XX_T1w.nii.gz``); the locked subjects are never read. Every corrupted scan has its brain
mask re-applied and goes through the whole preparation; each is scored by the fold models that saw nothing of its
subject. A refused scan scores +inf, normal or not. Pieces are kept in WORK, so that a killed run goes on; the table
goes to WORK/first_table.csv and WORK/first_table.md.
"""

from __future__ import annotations

import argparse
import csv
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from anomri import io
from anomri.calibration import p_value
from anomri.core.prepared import Prepared
from anomri.core.scan import Scan
from anomri.datasets.site_a import SUBJECTS, is_locked
from anomri.datasets.splits import folds_by_subject
from anomri.errors import InputError
from anomri.io.participants import subject_of
from anomri.metrics.binomial import clopper_pearson
from anomri.metrics.bootstrap import bootstrap_interval
from anomri.metrics.detection import auroc, auroc_of
from anomri.pipeline import FitInput
from anomri.pipeline.ensemble import Fitted, fit_branches
from anomri.pipeline.fit import FOLDS
from anomri.pipeline.gather import gather
from anomri.pipeline.specs import branch_specs
from anomri.pipeline.store import load_prepared, save_prepared
from anomri.preparation import Recipe, prepare, recipe_named
from anomri.scope import first_look, fit_scope, second_look
from anomri.simulate import corrupt, lesion

ARTEFACTS = ("motion", "ghosting", "spike", "noise", "blur", "bias", "missing")
SEVERITIES = (3, 5)
LESION_ML = 5.0
SUBJECTS_PER_CELL = 12
SEED = 0


@dataclass(frozen=True)
class Cell:
    """One column of the table: a defect at one strength, on its rotating subjects."""

    name: str
    kind: str
    severity: int
    subjects: tuple[str, ...]


def cells(subjects: tuple[str, ...]) -> tuple[Cell, ...]:
    """All sixteen cells; the subjects rotate so that all are used alike."""
    names = [(f"{kind}-{s}", kind, s) for kind in ARTEFACTS for s in SEVERITIES]
    names += [("lesion-bright-5ml", "bright", 0), ("lesion-dark-5ml", "dark", 0)]
    return tuple(
        Cell(
            name,
            kind,
            s,
            tuple(subjects[(i * SUBJECTS_PER_CELL + j) % len(subjects)] for j in range(SUBJECTS_PER_CELL)),
        )
        for i, (name, kind, s) in enumerate(names)
    )


def defective(scan: Scan, clean: Prepared, cell: Cell, seed: int) -> Scan:
    """The scan with the cell's defect; its brain mask stays as it was."""
    brain = clean.brain.mask
    if cell.severity:
        return corrupt(scan, cell.kind, severity=cell.severity, seed=seed, brain=brain).scan
    white = clean.history.measured("quality", "white")
    grey = white * clean.history.measured("quality", "grey_to_white")
    csf = white * clean.history.measured("quality", "csf_to_white")
    made = lesion(
        scan,
        volume_ml=LESION_ML,
        contrast=1.0,
        sign="bright" if cell.kind == "bright" else "dark",
        seed=seed,
        brain=brain,
        grey_white_difference=white - grey,
        candidates=scan.voxels > (csf + grey) / 2,
    )
    return made.scan


def make_one(task: tuple[Path, Path, Path, Cell, int, Recipe]) -> str:
    """Make, prepare and keep one defective scan; the reason instead where it is refused."""
    path, clean_path, kept, cell, seed, recipe = task
    clean = load_prepared(clean_path)
    if clean is None:
        raise SystemExit(f"{clean_path} is missing: run the same command again")
    refused = kept.with_suffix(".refused")
    if load_prepared(kept) is not None or refused.is_file():
        return kept.name
    scan = defective(io.read(path), clean, cell, seed)
    try:
        reasons = first_look(scan).reasons
        if reasons:
            raise InputError("; ".join(reasons), remedy="")
        save_prepared(replace(prepare(scan, recipe), subject=clean.subject), kept)
    except InputError as error:
        refused.write_text(error.cause)
    return kept.name


def main() -> None:
    """Make the scans, fit the folds, score, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--methods", nargs="+", default=["zatlas", "iqm1c", "zatlas+iqm1c", "autoencoder"])
    given = parser.parse_args()
    subjects = tuple(s for s in SUBJECTS if not is_locked(s))
    recipe = recipe_named("brain-t1")
    inputs = [FitInput(given.scans / f"{s}_T1w.nii.gz", f"{s}_T1w", subject_of(f"{s}_T1w")) for s in subjects]
    normals, _ = gather(inputs, recipe, given.work / "normals", jobs=given.jobs, report=say)
    made = make_defects(given.work / "defects", given.scans, given.work / "normals", subjects, recipe, given.jobs)
    rows = []
    for method in given.methods:
        rows += measure(method, normals, made, recipe, given.work)
    write(rows, given.work)


def make_defects(
    folder: Path, scans: Path, clean: Path, subjects: tuple[str, ...], recipe: Recipe, jobs: int
) -> dict[str, list[tuple[str, Path]]]:
    """All defective scans, prepared: by cell, subject and file."""
    folder.mkdir(parents=True, exist_ok=True)
    tasks, found = [], {}
    for index, cell in enumerate(cells(subjects)):
        for subject in cell.subjects:
            kept = folder / f"{cell.name}_{subject}-{recipe.sha256[:16]}.safetensors"
            (prepared,) = clean.glob(f"{subject}_T1w-*-{recipe.sha256[:16]}.safetensors")
            seed = 1000 * index + SUBJECTS.index(subject)
            tasks.append((scans / f"{subject}_T1w.nii.gz", prepared, kept, cell, seed, recipe))
            found.setdefault(cell.name, []).append((subject, kept))
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for number, name in enumerate(pool.map(make_one, tasks), start=1):
            say(f"[{number}/{len(tasks)}] {name}")
    return found


def measure(
    method: str, normals: tuple[Prepared, ...], made: dict[str, list[tuple[str, Path]]], recipe: Recipe, work: Path
) -> list[dict[str, object]]:
    """Rows of one method: false alarms on the normals, then a row a cell, then all artefacts pooled."""
    names = method.split("+")
    specs, _ = branch_specs(names, [None] * len(names), {})
    folds = folds_by_subject([p.subject for p in normals], FOLDS, seed=SEED)
    fold_of = {p.subject: fold for p, fold in zip(normals, folds, strict=True)}
    fabric = None
    if method == "autoencoder":
        from anomri.training.fabric import make_fabric

        fabric = make_fabric("cpu")
    fitted, scopes = [], []
    for fold in range(FOLDS):
        train = [p for p, f in zip(normals, folds, strict=True) if f != fold]
        folder = work / f"{method}.fit" / f"fold-{fold}"
        fitted.append(fit_branches(specs, train, seed=SEED, fabric=fabric, folder=folder, recipe_sha256=recipe.sha256))
        scopes.append(fit_scope(train))
        say(f"{method}: fold {fold + 1} of {FOLDS}")

    def value(prepared: Prepared | None, subject: str) -> float:
        fold = fold_of[subject]
        if prepared is None or second_look(prepared, scopes[fold]):
            return float("inf")
        return score(fitted[fold], prepared)

    clean = np.array([value(p, p.subject) for p in normals])
    rows = [false_alarms(method, clean)]
    pooled: list[float] = []
    owners: list[str] = []
    for cell, files in made.items():
        scores = np.array([value(load_prepared(path), subject) for subject, path in files])
        who = [subject for subject, _ in files]
        rows.append(row(method, cell, clean, [p.subject for p in normals], scores, who))
        if not cell.startswith("lesion"):
            pooled += scores.tolist()
            owners += who
        say(f"{method} {cell}: AUROC {rows[-1]['auroc']:.3f}")
    rows.append(row(method, "artefacts pooled", clean, [p.subject for p in normals], np.array(pooled), owners))
    say(f"{method} pooled: AUROC {rows[-1]['auroc']:.3f}")
    return rows


def score(fitted: Fitted, prepared: Prepared) -> float:
    """The fused score of a scan."""
    return fitted.read(prepared, seed=SEED).score


def false_alarms(method: str, clean: np.ndarray) -> dict[str, object]:
    """Share of normals at p ≤ 0.05, each judged by the out-of-fold scores of all others."""
    judged = [p_value(s, np.delete(clean, i)) if np.isfinite(s) else 0.0 for i, s in enumerate(clean)]
    alarms = int(np.sum(np.array(judged) <= 0.05))
    low, high = clopper_pearson(alarms, clean.size)
    return {
        "method": method,
        "cell": "normals: fail at p ≤ 0.05",
        "n": clean.size,
        "refused": int(np.isinf(clean).sum()),
        "rate": alarms / clean.size,
        "low": low,
        "high": high,
    }


def row(
    method: str, cell: str, clean: np.ndarray, normals: list[str], scores: np.ndarray, who: list[str]
) -> dict[str, object]:
    """AUROC of one cell with its subject-bootstrap interval."""
    both = np.concatenate([clean, scores])
    abnormal = np.concatenate([np.zeros(clean.size, dtype=bool), np.ones(scores.size, dtype=bool)])
    interval = bootstrap_interval(both, abnormal, [*normals, *who], auroc_of, rng=np.random.default_rng(SEED))
    return {
        "method": method,
        "cell": cell,
        "n": scores.size,
        "refused": int(np.isinf(scores).sum()),
        "auroc": auroc(clean, scores),
        "low": interval.low,
        "high": interval.high,
    }


def write(rows: list[dict[str, object]], work: Path) -> None:
    """The table as CSV and Markdown."""
    columns = ("method", "cell", "n", "refused", "auroc", "rate", "low", "high")
    with (work / "first_table.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows(rows)
    methods = list(dict.fromkeys(r["method"] for r in rows))
    lines = ["| cell | " + " | ".join(map(str, methods)) + " |", "|---|" + "---|" * len(methods)]
    for cell in dict.fromkeys(r["cell"] for r in rows):
        texts = []
        for method in methods:
            found = next(r for r in rows if r["method"] == method and r["cell"] == cell)
            value = found.get("auroc", found.get("rate"))
            refused = f", {found['refused']} of {found['n']} refused" if found["refused"] else ""
            texts.append(f"{value:.2f} ({found['low']:.2f}–{found['high']:.2f}{refused})")
        lines.append(f"| {cell} | " + " | ".join(texts) + " |")
    (work / "first_table.md").write_text("\n".join(lines) + "\n")


def say(line: str) -> None:
    """A line of progress."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
