"""Figures that need heatmaps and truth masks: does the map's peak lie in the lesion, and how much of it is marked?

Everything is measured on the prepared grid, where all methods of a row meet; what of the lesion lies outside the
examined region is counted and reported, not hidden.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from anomri.benchmark.evaluate import cells_of
from anomri.benchmark.preparing import Ready, load_ready, load_truth
from anomri.benchmark.results import Entry, Results
from anomri.metrics.bootstrap import bootstrap_mean
from anomri.metrics.lesionwise import froc, match_lesions
from anomri.metrics.localisation import top_hit
from anomri.metrics.overlap import dice, false_positive_ml
from anomri.metrics.thresholds import robust_z_threshold, threshold_at_false_positive_ml
from anomri.metrics.voxel import count_voxels, oracle_dice, voxel_average_precision

__all__ = ["localisation", "maps_of"]

FloatMap = NDArray[np.float32]
Mask = NDArray[np.bool_]

_SEED = 0
# Candidates of the FROC: low enough for 8 false positives a scan.
_FROC_ML = 5.0
_MEANS = (
    "top finding in lesion",
    "chance of it",
    "distance of top finding, mm",
    "voxel average precision, mean",
    "dice, threshold from normals",
    "dice, scan's own threshold",
    "oracle dice, per subject",
)


def localisation(results: Results) -> list[Entry]:
    """Figures of every cell that has truth masks; nothing for a row without maps."""
    cells = {
        name: [r for r in results.ready if r.case.case_id in set(ids) and r.truth is not None]
        for name, ids in cells_of(results).items()
    }
    entries: list[Entry] = []
    per_seed: dict[str, list[dict[str, dict[str, float]]]] = {}
    pooled: dict[str, dict[str, list[float]]] = {}
    for seed in results.maps:
        maps = _Maps(results, seed)
        if not maps.known:
            return []
        normals = [r for r in results.ready if not r.case.abnormal and r.case.case_id in maps.known]
        levels = _levels(maps, normals, results.fold_of)
        for name, cell in cells.items():
            if cell:
                per_seed.setdefault(name, []).append({r.case.case_id: _of_case(maps, r, levels, results) for r in cell})
                for metric, value in _of_all(maps, cell, normals, levels).items():
                    pooled.setdefault(name, {}).setdefault(metric, []).append(value)
    for name, runs in per_seed.items():
        cell = cells[name]
        base = Entry(results.row.name, results.normals, name, "", 0.0, n=len(cell))
        subjects = [r.case.subject for r in cell]
        for metric in _MEANS:
            table = np.array([[run[r.case.case_id][metric] for r in cell] for run in runs])
            with np.errstate(all="ignore"):
                seeds = [float(np.nanmean(row)) if np.isfinite(row).any() else float("nan") for row in table]
                values = np.array([np.nanmean(c) if np.isfinite(c).any() else np.nan for c in table.T])
            found = bootstrap_mean(values, subjects, rng=np.random.default_rng(_SEED))
            entries.append(
                replace(
                    base,
                    metric=metric,
                    value=found.estimate,
                    low=found.low,
                    high=found.high,
                    least=min(seeds),
                    most=max(seeds),
                )
            )
        for metric, values_of in pooled[name].items():
            entries.append(
                replace(base, metric=metric, value=float(np.mean(values_of)), least=min(values_of), most=max(values_of))
            )
        lost = [1.0 - (r.truth_seen_ml or 0.0) / r.truth_ml for r in cell if r.truth_ml]
        entries.append(replace(base, metric="share of lesion not examined", value=float(np.mean(lost))))
    return entries


def maps_of(results: Results, seed: int) -> dict[str, FloatMap]:
    """Map values inside the examined region by case id, in the order of the region's voxels."""
    found: dict[str, FloatMap] = {}
    for file in results.maps.get(seed, ()):
        found |= load_file(file)
    return found


class _Maps:
    """Maps of one seed, on their grids, `nan` where nothing was examined; read when asked for."""

    def __init__(self, results: Results, seed: int) -> None:
        self.known = maps_of(results, seed)
        self._ready = {r.case.case_id: r for r in results.ready}

    def __getitem__(self, case: str) -> tuple[FloatMap, tuple[float, float, float], float]:
        """Map, spacing in mm, voxel volume in ml."""
        prepared = load_ready(self._ready[case])
        values = np.full(prepared.scan.geometry.shape, np.nan, dtype=np.float32)
        if case in self.known:
            values[prepared.region.mask] = self.known[case].astype(np.float32)
        return values, prepared.scan.geometry.spacing_mm, prepared.scan.geometry.voxel_ml

    def each(self, ready: Sequence[Ready]) -> Iterator[FloatMap]:
        """The maps of several cases."""
        return (self[r.case.case_id][0] for r in ready)


def _levels(maps: _Maps, normals: Sequence[Ready], fold_of: Mapping[str, int]) -> dict[tuple[int, float], float]:
    """Threshold of each fold by ml of false positive allowed a scan, from the normals of the other folds."""
    found = {}
    for fold in sorted(set(fold_of.values())):
        others = [r for r in normals if fold_of[r.case.case_id] != fold]
        values = list(maps.each(others))
        ml = [maps[r.case.case_id][2] for r in others[:1]] * len(others)
        for allowed in (1.0, _FROC_ML):
            found[fold, allowed] = threshold_at_false_positive_ml(values, ml, ml_per_scan=allowed)
    return found


def _of_case(
    maps: _Maps, ready: Ready, levels: Mapping[tuple[int, float], float], results: Results
) -> dict[str, float]:
    truth = load_truth(ready)
    assert truth is not None
    if ready.file is None or ready.case.case_id not in maps.known:
        # A refused scan marks nothing.
        nan = float("nan")
        return dict.fromkeys(_MEANS, 0.0) | {_MEANS[1]: nan, _MEANS[2]: nan, _MEANS[3]: nan}
    values, spacing_mm, _ = maps[ready.case.case_id]
    hit = top_hit(values, truth, spacing_mm=spacing_mm)
    counts = count_voxels([values], [truth])
    level = levels[results.fold_of[ready.case.case_id], 1.0]
    numbers = (
        hit.hit,
        hit.chance,
        hit.distance_mm,
        voxel_average_precision(counts).value,
        dice(values > level, truth),
        dice(values > robust_z_threshold(values), truth),
        oracle_dice(counts).dice,
    )
    return dict(zip(_MEANS, numbers, strict=True))


def _of_all(
    maps: _Maps, cell: Sequence[Ready], normals: Sequence[Ready], levels: Mapping[tuple[int, float], float]
) -> dict[str, float]:
    judged = [r for r in cell if r.file is not None and r.case.case_id in maps.known]
    if not judged:
        return {}
    values = list(maps.each(judged))
    truths = [t for r in judged if (t := load_truth(r)) is not None]
    counts = count_voxels(values, truths)
    spacing_mm, voxel_ml = maps[judged[0].case.case_id][1:]
    low = min(level for (_, allowed), level in levels.items() if allowed == _FROC_ML)
    one = min(level for (_, allowed), level in levels.items() if allowed == 1.0)
    patients = [match_lesions(v, t, low, spacing_mm=spacing_mm) for v, t in zip(values, truths, strict=True)]
    empty = np.zeros(values[0].shape, dtype=bool)
    healthy = [match_lesions(v, empty, low, spacing_mm=spacing_mm) for v in maps.each(normals)]
    spilt = [false_positive_ml(v > one, empty, voxel_ml=voxel_ml) for v in maps.each(normals)]
    return {
        "voxel average precision, pooled": voxel_average_precision(counts).value,
        "voxel prevalence": voxel_average_precision(counts).prevalence,
        "oracle dice, pooled": oracle_dice(counts).dice,
        "froc mean, false positives on normals": froc(patients, healthy, false_on="normals").mean,
        "froc mean, false positives on patients": froc(patients, healthy, false_on="patients").mean,
        "false positive ml a normal scan": float(np.mean(spilt)),
    }
