"""The source classifier (baseline B9): do numbers unrelated to a lesion tell abnormal scans from normal ones?

Where size, intensity and sharpness of a scan alone say which class it belongs to, a detector may have learnt where the
scans come from, and no figure on that set can tell the two apart. It learns from both classes, so it is no method and
trains no method; it only marks a column.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from anomri.benchmark.evaluate import cells_of
from anomri.benchmark.preparing import Ready, load_ready, load_truth
from anomri.benchmark.results import Entry, Results
from anomri.core.prepared import Prepared
from anomri.metrics.bootstrap import bootstrap_interval
from anomri.metrics.detection import auroc_of

__all__ = ["B9", "CONFOUNDED", "features", "source_classifier"]

Floats = NDArray[np.float64]

B9 = "B9 source classifier"
# An AUROC beyond it marks a column.
CONFOUNDED = 0.7
_BINS = 32
_SEED = 0


def features(prepared: Prepared, lesion: NDArray[np.bool_] | None = None) -> Floats:
    """Volume and shape, quality metrics (`nan` where undefined), and a 32-bin histogram of the prepared values.

    Parameters
    ----------
    lesion : (X, Y, Z) where known: what is sought is no sign of the source, and its values are left out.
    """
    healthy = prepared.inside.mask if lesion is None else prepared.inside.mask & ~lesion
    inside = prepared.scan.voxels[healthy if healthy.any() else prepared.inside.mask]
    low, high = np.percentile(inside, [0.5, 99.5])
    histogram, _ = np.histogram(inside, bins=_BINS, range=(low, max(high, low + 1e-6)))
    quality = [np.nan if value is None else value for _, value in sorted(prepared.quality.items())]
    extent = [float(np.ptp(np.flatnonzero(prepared.brain.mask.any(axis=axes)))) for axes in ((1, 2), (0, 2), (0, 1))]
    return np.array([prepared.brain.volume_ml, *extent, float(inside.mean()), *quality, *(histogram / inside.size)])


def source_classifier(results: Results) -> tuple[list[Entry], Mapping[str, str]]:
    """B9 of every cell of real abnormal scans, and why a column is confounded.

    Returns
    -------
    Entries of the row `B9`, and by cell the sentence that stands beside its figures. Simulated cells have no entry:
    their scans are changed copies of the normal ones, one source by construction.
    """
    ready = {r.case.case_id: r for r in results.ready}
    normals = [r for r in results.ready if not r.case.abnormal and r.file is not None]
    known: dict[str, Floats] = {}
    entries: list[Entry] = []
    confounds: dict[str, str] = {}
    for name, cell in cells_of(results).items():
        abnormal = [ready[case] for case in cell if ready[case].case.defect is None and ready[case].file is not None]
        if not abnormal:
            continue
        for one in (*normals, *abnormal):
            if one.case.case_id not in known:
                known[one.case.case_id] = features(load_ready(one), load_truth(one))
        entry = _judged(name, normals, abnormal, known, results.fold_of)
        entries.append(entry)
        if entry.value > CONFOUNDED:
            confounds[name] = (
                f"A classifier of size, intensity and sharpness alone tells these scans from the normal ones (AUROC "
                f"{entry.value:.2f}, {entry.low:.2f}–{entry.high:.2f}); {_sources(normals, abnormal)}. "
                "A detector's figure here may show where a scan comes from."
            )
    return entries, confounds


def _judged(
    name: str,
    normals: Sequence[Ready],
    abnormal: Sequence[Ready],
    known: Mapping[str, Floats],
    fold_of: Mapping[str, int],
) -> Entry:
    from sklearn.impute import SimpleImputer  # scikit-learn takes half a second
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    cases = [*normals, *abnormal]
    table = np.stack([known[r.case.case_id] for r in cases])
    label = np.arange(len(cases)) >= len(normals)
    folds = np.array([fold_of[r.case.case_id] for r in cases])
    score = np.full(len(cases), np.nan)
    for fold in np.unique(folds):
        test = folds == fold
        if np.unique(label[~test]).size < 2:
            continue
        model = make_pipeline(
            SimpleImputer(strategy="median", keep_empty_features=True),
            StandardScaler(),
            LogisticRegression(max_iter=2000, class_weight="balanced"),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            score[test] = model.fit(table[~test], label[~test]).decision_function(table[test])
    scored = np.isfinite(score)
    found = bootstrap_interval(
        score[scored],
        label[scored],
        [r.case.subject for r, s in zip(cases, scored, strict=True) if s],
        auroc_of,
        rng=np.random.default_rng(_SEED),
    )
    return Entry(B9, None, name, "auroc", *found, least=found.estimate, most=found.estimate, n=int(label.sum()))


def _sources(normals: Sequence[Ready], abnormal: Sequence[Ready]) -> str:
    ours, theirs = ({r.case.source for r in group} for group in (normals, abnormal))
    if ours.isdisjoint(theirs):
        return f"the normal scans come from {', '.join(sorted(ours))}, these from {', '.join(sorted(theirs))}"
    sites = [{r.case.site for r in group} for group in (normals, abnormal)]
    if sites[0] != sites[1]:
        return "both come from one set, not from the same sites of it"
    return "both come from one set, and differ in it by more than what is sought"
