"""Would the atlas and the score be better conditioned on age and sex? `python benchmarks/age_and_sex.py SCANS WORK`.

SCANS holds site A; the 45 subjects that are not locked count. WORK keeps the prepared scans. Ridge regression on age,
age² and sex with a free intercept: of each smoothed voxel, cross-validated in five folds by subject, against the median
alone; and of the bundled model's out-of-fold scores, leaving one out. A ratio above 1 says that conditioning predicts
worse.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from anomri.core.score import smooth_inside
from anomri.datasets.site_a import SUBJECTS, is_locked
from anomri.datasets.splits import folds_by_subject
from anomri.io.participants import read_participants
from anomri.models import Model
from anomri.pipeline.gather import FitInput, gather
from anomri.preparation import recipe_named

Floats = NDArray[np.float64]
SIGMA_MM, FOLDS = 4.0, 5
PENALTIES = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("scans", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    people = read_participants(given.scans / "participants.tsv")
    names = [f"{subject}_T1w" for subject in SUBJECTS]
    covariates = {name: people.covariates(name) for name in names}
    design = {name: np.array([c["age"], c["age"] ** 2, c["sex"]]) for name, c in covariates.items()}
    voxels(given.scans, given.work, design, given.jobs)
    scores(covariates, design)


def voxels(scans: Path, work: Path, design: dict[str, Floats], jobs: int) -> None:
    """Mean squared error of every voxel, with and without age and sex."""
    inputs = [FitInput(scans / f"{n}.nii.gz", n, n.split("_")[0]) for n in design if not is_locked(n)]
    prepared, _ = gather(inputs, recipe_named("brain-t1"), work, jobs=jobs, report=lambda _line: None)
    inside = np.mean([p.inside.mask for p in prepared], axis=0) >= 0.95
    sigma = tuple(SIGMA_MM / s for s in prepared[0].scan.geometry.spacing_mm)
    values = np.stack([smooth_inside(p.scan.voxels, p.inside.mask, sigma)[inside] for p in prepared]).astype(float)
    x = standardised(np.stack([design[p.scan.scan_id] for p in prepared]))
    folds = np.array(folds_by_subject([p.subject for p in prepared], FOLDS, seed=0))
    for penalty in PENALTIES:
        with_them, without = 0.0, 0.0
        for fold in range(FOLDS):
            train, test = folds != fold, folds == fold
            error = values[test] - np.median(values[train], axis=0)
            shift = (x[test] - x[train].mean(axis=0)) @ slopes(x[train], values[train], penalty)
            without += float((error**2).sum())
            with_them += float(((error - shift) ** 2).sum())
        print(f"voxels, penalty {penalty:g}: squared error {with_them / without:.3f} of that of the median alone")


def scores(covariates: dict[str, dict[str, float]], design: dict[str, Floats]) -> None:
    """The bundled model's out-of-fold scores against age and sex."""
    normals = [n for n in Model.load("brain-t1").calibrated().normals if not is_locked(n.scan_id)]
    score = np.array([n.score for n in normals])
    age = [covariates[n.scan_id]["age"] for n in normals]
    sex = np.array([covariates[n.scan_id]["sex"] for n in normals])
    rank = stats.spearmanr(score, age)
    groups = stats.mannwhitneyu(score[sex == 0], score[sex == 1])
    print(f"scores: rank correlation with age {rank.statistic:.2f} (p {rank.pvalue:.2f}), sexes p {groups.pvalue:.2f}")
    x = standardised(np.stack([design[n.scan_id] for n in normals]))
    for penalty in PENALTIES:
        with_them, without = [], []
        for i in range(len(score)):
            train = np.arange(len(score)) != i
            error = score[i] - score[train].mean()
            shift = (x[i] - x[train].mean(axis=0)) @ slopes(x[train], score[train, None], penalty)
            with_them.append(error - float(shift[0]))
            without.append(error)
        print(f"scores, penalty {penalty:g}: variance {np.var(with_them) / np.var(without):.3f}")


def standardised(x: Floats) -> Floats:
    z: Floats = (x - x.mean(axis=0)) / x.std(axis=0)
    return z


def slopes(x: Floats, y: Floats, penalty: float) -> Floats:
    """(d, n) ridge slopes of y (m, n) on x (m, d); the intercept is free."""
    x = x - x.mean(axis=0)
    found: Floats = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ (y - y.mean(axis=0)))
    return found


if __name__ == "__main__":
    main()
