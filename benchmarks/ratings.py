"""How well quality metrics of a scan predict that a rater would exclude it.

    python benchmarks/ratings.py RATINGS OUT.csv

RATINGS holds the tables MRIQC was trained with (``x_abide.csv``, ``y_abide.csv``, ``x_ds030.csv``, ``y_ds030.csv``).
Per rater, models learn on ABIDE leaving one site out, and from all of ABIDE for ds030, which another person rated. A
scan is abnormal where the rater said "exclude"; "doubtful" counts with "accept". `one-class` learns from the accepted
scans alone, as `iqm1c` does; the classifiers see the excluded ones too. Intervals are a bootstrap over scans (one a
subject) within sites. `within site` compares scans of one site alone, so that no model gains from knowing which site
excludes more; `accuracy` is at the classifier's own threshold, beside that of calling every scan fit. OUT.csv holds
figures alone.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from anomri.core.score import MAD_TO_SD
from anomri.datasets.ratings import RatedScan, read_ratings
from anomri.io.write import write_csv
from anomri.metrics.bootstrap import bootstrap_interval
from anomri.metrics.detection import auroc_of
from anomri.metrics.strata import auroc_within

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
# Matrix and spacing name the scanner, the number of voxels of a tissue the size of the head.
LEFT_OUT = ("size_", "spacing_", "summary_bg_n", "summary_csf_n", "summary_gm_n", "summary_wm_n")
ONE_CLASS, LOGISTIC, FOREST = "one-class", "logistic regression", "random forest"
SEED = 0


def main() -> None:
    scans = read_ratings(Path(sys.argv[1]))
    names = sorted(n for n in set.intersection(*(set(s.metrics) for s in scans)) if not n.startswith(LEFT_OUT))
    there = [s for s in scans if s.cohort == "ds030"]
    rows = []
    for rater in ("rater_1", "rater_2", "rater_3"):
        here = [s for s in scans if s.cohort == "abide" and rater in s.ratings]
        verdicts = np.array([s.ratings[rater] for s in here])
        theirs = np.array([s.ratings["rater_1"] for s in there])
        for model in (ONE_CLASS, LOGISTIC, FOREST):
            left_out = leave_site_out(model, here, verdicts, names)
            rows.append(figures("abide, leave site out", rater, model, here, verdicts < 0, left_out))
            elsewhere = score(model, table(here, names), verdicts, table(there, names))
            rows.append(figures("ds030, from abide", rater, model, there, theirs < 0, elsewhere))
    write_csv(Path(sys.argv[2]), rows, tuple(rows[0]))


def table(scans: Sequence[RatedScan], names: Sequence[str]) -> Floats:
    """(n, metrics)."""
    return np.array([[s.metrics[name] for name in names] for s in scans])


def leave_site_out(model: str, scans: Sequence[RatedScan], verdicts: NDArray[np.int_], names: Sequence[str]) -> Floats:
    """(n,) each scan scored by a model that saw no scan of its site."""
    sites, values = np.array([s.site for s in scans]), table(scans, names)
    out = np.empty(len(scans))
    for site in np.unique(sites):
        held = sites == site
        out[held] = score(model, values[~held], verdicts[~held], values[held])
    return out


def score(model: str, train: Floats, verdicts: NDArray[np.int_], test: Floats) -> Floats:
    """(n,) higher is worse: a distance for `one-class`, else the probability of "exclude"."""
    if model == ONE_CLASS:
        return one_class(train[verdicts > 0], test)
    # Many metrics have long tails, which would rule a linear model.
    scaled = StandardScaler().fit(np.arcsinh(train))
    if model == LOGISTIC:
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=5000))
    else:
        classifier = RandomForestClassifier(400, min_samples_leaf=5, random_state=SEED)
    classifier.fit(scaled.transform(np.arcsinh(train)), verdicts < 0)
    found: Floats = classifier.predict_proba(scaled.transform(np.arcsinh(test)))[:, 1]
    return found


def one_class(normals: Floats, test: Floats) -> Floats:
    """The distance of `anomri.methods.iqm1c`, on the metrics of this table."""
    centre = np.median(normals, axis=0)
    spread = MAD_TO_SD * np.median(np.abs(normals - centre), axis=0)
    kept = spread > 0
    shaped = np.arcsinh((normals[:, kept] - centre[kept]) / spread[kept])
    model = LedoitWolf().fit(shaped)
    away = np.arcsinh((test[:, kept] - centre[kept]) / spread[kept]) - model.location_
    distance: Floats = np.sqrt(np.einsum("ij,jk,ik->i", away, model.precision_, away) / kept.sum())
    return distance


def figures(
    setting: str, rater: str, model: str, scans: Sequence[RatedScan], excluded: Flags, scores: Floats
) -> dict[str, object]:
    """A row of the table."""
    sites, subjects = [s.site for s in scans], [s.subject for s in scans]
    found = bootstrap_interval(
        scores, excluded, subjects, auroc_of, sites=sites, rng=np.random.default_rng(SEED), draws=2000
    )
    return {
        "setting": setting,
        "learnt from": rater,
        "model": model,
        "scans": len(scans),
        "sites": len(set(sites)),
        "excluded": int(excluded.sum()),
        "auroc": f"{found.estimate:.3f}",
        "low": f"{found.low:.3f}",
        "high": f"{found.high:.3f}",
        "auroc within site": f"{auroc_within(scores, excluded, sites).pooled:.3f}",
        "accuracy": "" if model == ONE_CLASS else f"{np.mean((scores > 0.5) == excluded):.3f}",
        "accuracy of calling all fit": f"{1 - excluded.mean():.3f}",
    }


if __name__ == "__main__":
    main()
