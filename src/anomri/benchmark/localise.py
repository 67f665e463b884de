"""Figures that need heatmaps and truth masks: does the map's peak lie in the lesion, and how much of it is marked?

Everything is measured on the prepared grid, where all methods of a row meet; what of the lesion lies outside the
examined region is counted and reported, not hidden. A refused scan marks nothing: its lesions are missed, and a refused
normal scan has one false finding that no threshold removes.

Intervals are over subjects, and over seeds where a row has several. Figures of all voxels together have none: the
figure of a scan by itself, which carries the same question, has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from anomri.benchmark.cases import NORMAL
from anomri.benchmark.evaluate import cells_of, rate_interval
from anomri.benchmark.grounds import Grounds
from anomri.benchmark.maps import Allowances, Heatmaps
from anomri.benchmark.results import Entry, Results
from anomri.benchmark.seen import Normals, Seen, Voxels, normals_of, seen_of
from anomri.metrics.bootstrap import WeightStatistic, bootstrap_mean, bootstrap_statistics
from anomri.metrics.lesionwise import FROC_RATES, FalseOn, froc_sensitivities_of
from anomri.metrics.regions import spro_of
from anomri.metrics.voxel import count_ranked, oracle_dice, voxel_average_precision

__all__ = ["localisation"]

_SEED = 0
_FALSE_ON: tuple[FalseOn, ...] = ("normals", "patients")
_UNDEFINED = float("nan")
_POOLED = "voxels of all scans together have no interval; the mean over scans has one"


@dataclass(frozen=True, eq=False, slots=True)
class _Run:
    """What one seed says: of its normals, of each abnormal case, and of the voxels of each cell."""

    normals: Normals
    seen: dict[str, Seen]
    pooled: dict[str, dict[str, float]]


def localisation(results: Results, grounds: Grounds, allowances: Allowances) -> list[Entry]:
    """Figures of every cell that has truth masks; nothing for a row without maps.

    Parameters
    ----------
    grounds : of the cases in the row's preparation.
    allowances : what thresholds from normals allow.
    """
    ready = {r.case.case_id: r for r in results.ready}
    cells = {name: [i for i in ids if ready[i].truth is not None] for name, ids in cells_of(results).items()}
    cells = {name: ids for name, ids in cells.items() if ids}
    runs = []
    for seed in results.maps:
        maps = Heatmaps(results, seed, grounds)
        if not maps.known or not cells:
            return []
        runs.append(_run(results, maps, cells, allowances))
    entries: list[Entry] = []
    healthy = [r.case.subject for r in results.ready if not r.case.abnormal]
    for name, ids in cells.items():
        base = Entry(results.row.name, results.normals, name, "", 0.0, n=len(ids))
        owners = [ready[i].case.subject for i in ids]
        cell = [[run.seen[i] for i in ids] for run in runs]
        for metric in cell[0][0].figures:
            table = np.array([[seen.figures[metric] for seen in one] for one in cell])
            entries += _over_cases(base, metric, table, owners)
        for metric in runs[0].pooled[name]:
            note = "" if metric == "voxel prevalence" else _POOLED
            entries.append(_plain(replace(base, note=note), metric, [run.pooled[name][metric] for run in runs]))
        entries += _froc(base, cell, [run.normals for run in runs], (*owners, *healthy))
        ignored = sum(seen.matched.ignored_lesions for seen in cell[0])
        entries.append(_plain(base, "lesions below 10 mm³, ignored", [float(ignored)]))
        entries += _strata(base, cell, [grounds[i].volumes for i in ids], "volume", owners)
        entries += _strata(base, cell, [grounds[i].contrasts for i in ids], "contrast", owners)
        lost = [1.0 - (ready[i].truth_seen_ml or 0.0) / ml for i in ids if (ml := ready[i].truth_ml)]
        entries.append(replace(base, metric="share of lesion not examined", value=float(np.mean(lost))))
    base = Entry(results.row.name, results.normals, NORMAL, "", 0.0, n=len(runs[0].normals.outside) if runs else 0)
    for allowed in allowances.amounts if runs else ():
        metric = f"false positive {allowances.unit} a normal scan, {allowances.named(allowed)} allowed"
        entries.append(_plain(base, metric, [run.normals.spilt[allowed] for run in runs]))
    return entries


def _run(results: Results, maps: Heatmaps, cells: dict[str, list[str]], allowances: Allowances) -> _Run:
    normals = normals_of(results, maps, allowances)
    cases = dict.fromkeys(i for ids in cells.values() for i in ids)
    both = {i: seen_of(maps[i], normals, results.fold_of[i], allowances) for i in cases}
    return _Run(
        normals=normals,
        seen={i: seen for i, (seen, _) in both.items()},
        pooled={name: _of_voxels([both[i][1] for i in ids], normals) for name, ids in cells.items()},
    )


def _of_voxels(cell: Sequence[Voxels], normals: Normals) -> dict[str, float]:
    """Figures of all voxels of a cell together."""
    counts = count_ranked([v.ranked for v in cell])
    precision = voxel_average_precision(counts)
    return {
        "voxel average precision, pooled": precision.value,
        "voxel prevalence": precision.prevalence,
        "oracle dice, pooled": oracle_dice(counts).dice,
        "spro": spro_of([v.cover for v in cell], [*(v.ranked.outside for v in cell), *normals.outside]),
    }


def _froc(
    base: Entry, cell: Sequence[Sequence[Seen]], normals: Sequence[Normals], owners: Sequence[str]
) -> list[Entry]:
    """Sensitivity for lesions against false positives a scan, over the seeds of a cell."""
    loose = [([s.matched for s in one], n.matched) for one, n in zip(cell, normals, strict=True)]
    strict = [([s.strict for s in one], n.strict) for one, n in zip(cell, normals, strict=True)]
    found = []
    for on in _FALSE_ON:
        of_seeds = [froc_sensitivities_of(patients, healthy, false_on=on) for patients, healthy in loose]
        figures = {f"froc mean, false positives on {on}": [_mean_of(s) for s in of_seeds]}
        for i, rate in enumerate(FROC_RATES):
            figures[f"lesion sensitivity at {rate:g} false positives, on {on}"] = [_one_of(s, i) for s in of_seeds]
        found += _over_subjects(base, figures, len(cell[0]), owners)
    of_seeds = [froc_sensitivities_of(patients, healthy, false_on="normals") for patients, healthy in strict]
    figures = {"froc mean, false positives on normals, strict": [_mean_of(s) for s in of_seeds]}
    return found + _over_subjects(base, figures, len(cell[0]), owners)


def _over_subjects(
    base: Entry, figures: Mapping[str, Sequence[WeightStatistic]], patients: int, owners: Sequence[str]
) -> list[Entry]:
    """Figures of weighted cases, one function a seed, with intervals on the same draws of subjects and of seeds."""
    abnormal = np.arange(len(owners)) < patients
    intervals = bootstrap_statistics(list(figures.values()), abnormal, owners, rng=np.random.default_rng(_SEED))
    data = np.ones((1, len(owners)))
    return [
        replace(_plain(base, name, [float(seed(data)[0]) for seed in seeds]), low=interval.low, high=interval.high)
        for (name, seeds), interval in zip(figures.items(), intervals, strict=True)
    ]


def _mean_of(sensitivities: WeightStatistic) -> WeightStatistic:
    return lambda weights: sensitivities(weights).mean(axis=-1)


def _one_of(sensitivities: WeightStatistic, i: int) -> WeightStatistic:
    return lambda weights: sensitivities(weights)[..., i]


def _strata(
    base: Entry, cell: Sequence[Sequence[Seen]], strata: Sequence[Sequence[str]], kind: str, owners: Sequence[str]
) -> list[Entry]:
    """Share of lesions found at the threshold from normals, by stratum; lesions of a subject come and go together."""
    hits = np.array([[hit for seen in one for hit in seen.found] for one in cell], dtype=float)
    names = [name for own in strata for name in own]
    subjects = [owner for owner, own in zip(owners, strata, strict=True) for _ in own]
    entries = []
    for name in sorted(set(names)):
        here = [i for i, other in enumerate(names) if other == name]
        found = _plain(
            replace(base, n=len(here)), f"lesion sensitivity, {kind} {name}", hits[:, here].mean(axis=1).tolist()
        )
        low, high = rate_interval(hits[:, here], [subjects[i] for i in here])
        entries.append(replace(found, low=low, high=high))
    return entries


def _over_cases(base: Entry, metric: str, table: NDArray[np.float64], subjects: Sequence[str]) -> list[Entry]:
    """Mean with its interval, and median, of (seeds, cases) values; `nan` marks a case without one."""
    defined = ~np.isnan(table)
    seeds = [float(row[ok].mean()) if ok.any() else _UNDEFINED for row, ok in zip(table, defined, strict=True)]
    cases = np.array([c[ok].mean() if ok.any() else np.nan for c, ok in zip(table.T, defined.T, strict=True)])
    found = bootstrap_mean(cases, subjects, rng=np.random.default_rng(_SEED))
    empty = int(np.isnan(cases).sum())
    note = f"undefined in {empty} of {cases.size}" if empty else ""
    kept = cases[~np.isnan(cases)]
    mean = replace(base, metric=metric, note=note, value=found.estimate, low=found.low, high=found.high)
    return [
        replace(mean, least=min(seeds), most=max(seeds)),
        replace(base, metric=f"{metric}, median", note=note, value=float(np.median(kept)) if kept.size else _UNDEFINED),
    ]


def _plain(base: Entry, metric: str, values: Sequence[float]) -> Entry:
    """The mean of a figure over seeds, without an interval."""
    return replace(base, metric=metric, value=float(np.mean(values)), least=min(values), most=max(values))
