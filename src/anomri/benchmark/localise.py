"""Figures that need heatmaps and truth masks: does the map's peak lie in the lesion, and how much of it is marked?

Everything is measured on the prepared grid, where all methods of a row meet; what of the lesion lies outside the
examined region is counted and reported, not hidden. A refused scan marks nothing: its lesions are missed, and a refused
normal scan has one false finding that no threshold removes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from anomri.benchmark.evaluate import cells_of
from anomri.benchmark.maps import ALLOWED_ML, Heatmaps, Mapped, levels_of
from anomri.benchmark.preparing import load_ready
from anomri.benchmark.results import Entry, Results
from anomri.metrics.bootstrap import bootstrap_mean, bootstrap_statistic
from anomri.metrics.lesionwise import (
    FROC_RATES,
    FalseOn,
    Matched,
    contrasts_of,
    froc,
    froc_mean_of,
    lesions_of,
    match_lesions,
)
from anomri.metrics.localisation import top_hit
from anomri.metrics.overlap import dice, iou, surface_distance_95_mm, without_margin
from anomri.metrics.regions import aupimo, spro
from anomri.metrics.strata import contrast_stratum, rates_within, volume_stratum
from anomri.metrics.thresholds import otsu_threshold, robust_z_threshold
from anomri.metrics.voxel import count_voxels, oracle_dice, voxel_average_precision

__all__ = ["localisation"]

_SEED = 0
_HONEST_ML, _FROC_ML = 1.0, 5.0  # candidates of the FROC lie low enough for 8 false positives a scan
_FALSE_ON: tuple[FalseOn, ...] = ("normals", "patients")
_UNDEFINED = float("nan")


@dataclass(frozen=True, eq=False, slots=True)
class _Normals:
    """What the normal scans of a seed say once, for every cell."""

    maps: tuple[Mapped, ...]
    levels: Mapping[tuple[int, float], float]
    matched: tuple[Matched, ...]
    strict: tuple[Matched, ...]
    owners: tuple[str, ...]

    @property
    def low(self) -> float:
        """Threshold of FROC candidates, one for all scans."""
        return _lowest(self.levels)


def localisation(results: Results) -> list[Entry]:
    """Figures of every cell that has truth masks; nothing for a row without maps."""
    truths = {r.case.case_id for r in results.ready if r.truth is not None}
    cells = {name: [i for i in ids if i in truths] for name, ids in cells_of(results).items()}
    cells = {name: ids for name, ids in cells.items() if ids}
    single: dict[str, list[dict[str, list[float]]]] = {name: [] for name in cells}
    pooled: dict[str, list[dict[str, Entry]]] = {name: [] for name in cells}
    spilt: list[dict[float, float]] = []
    for seed in results.maps:
        maps = Heatmaps(results, seed)
        if not maps.known or not cells:
            return []
        normals = _normals(results, maps)
        spilt.append(_spilt(normals, results.fold_of))
        for name, ids in cells.items():
            base = Entry(results.row.name, results.normals, name, "", 0.0, n=len(ids))
            cell = [maps[i] for i in ids]
            single[name].append(_of_cases(cell, normals, results.fold_of))
            pooled[name].append({e.metric: e for e in _of_all(base, cell, normals, results.fold_of)})
    owner = {r.case.case_id: r.case.subject for r in results.ready}
    ready = {r.case.case_id: r for r in results.ready}
    entries: list[Entry] = []
    for name, ids in cells.items():
        base = Entry(results.row.name, results.normals, name, "", 0.0, n=len(ids))
        for metric in single[name][0]:
            table = np.array([run[metric] for run in single[name]])
            entries += _over_cases(base, metric, table, [owner[i] for i in ids])
        entries += [_over_seeds([run[metric] for run in pooled[name]]) for metric in pooled[name][0]]
        lost = [1.0 - (ready[i].truth_seen_ml or 0.0) / ml for i in ids if (ml := ready[i].truth_ml)]
        entries.append(replace(base, metric="share of lesion not examined", value=float(np.mean(lost))))
    base = Entry(results.row.name, results.normals, "normal", "", 0.0, n=len(normals.maps) if cells else 0)
    for allowed in ALLOWED_ML if cells else ():
        values = [found[allowed] for found in spilt]
        entries.append(
            replace(
                base,
                metric=f"false positive ml a normal scan, {allowed:g} ml allowed",
                value=float(np.mean(values)),
                least=min(values),
                most=max(values),
            )
        )
    return entries


def _normals(results: Results, maps: Heatmaps) -> _Normals:
    healthy = [r.case for r in results.ready if not r.case.abnormal]
    found = tuple(maps[c.case_id] for c in healthy if c.case_id in maps.known)
    refused = [c.subject for c in healthy if c.case_id not in maps.known]
    levels = levels_of(found, results.fold_of)
    low = _lowest(levels)
    alarm = Matched(np.zeros(0), np.zeros(0), np.array([np.inf]), 0, 0)
    matched, strict = (
        (
            *(match_lesions(m.values, m.truth, low, spacing_mm=m.spacing_mm, strict=hard) for m in found),
            *[alarm] * len(refused),
        )
        for hard in (False, True)
    )
    return _Normals(found, levels, matched, strict, (*(m.ready.case.subject for m in found), *refused))


def _lowest(levels: Mapping[tuple[int, float], float]) -> float:
    return min(level for (_, allowed), level in levels.items() if allowed == _FROC_ML)


def _spilt(normals: _Normals, fold_of: Mapping[str, int]) -> dict[float, float]:
    """Realised ml of false positive a normal scan, each at the threshold that normals of other folds set."""
    return {
        allowed: float(
            np.mean(
                [
                    (m.values > normals.levels[fold_of[m.ready.case.case_id], allowed]).sum() * m.voxel_ml
                    for m in normals.maps
                ]
            )
        )
        for allowed in ALLOWED_ML
    }


def _of_cases(cell: Sequence[Mapped], normals: _Normals, fold_of: Mapping[str, int]) -> dict[str, list[float]]:
    """Figures of each case, by metric; `nan` where a case has none."""
    rows = [_of_case(m, {ml: normals.levels[fold_of[m.ready.case.case_id], ml] for ml in ALLOWED_ML}) for m in cell]
    table = {metric: [row[metric] for row in rows] for metric in rows[0]}
    recalls = aupimo([m.values for m in cell], [m.truth for m in cell], [m.values for m in normals.maps])
    return table | {"aupimo": recalls.tolist()}


def _of_case(m: Mapped, levels: Mapping[float, float]) -> dict[str, float]:
    hit, chance, distance = 0.0, _UNDEFINED, _UNDEFINED
    if not m.refused:
        hit, chance, distance = top_hit(m.values, m.truth, spacing_mm=m.spacing_mm)
    counts = count_voxels([m.values], [m.truth])
    apart = count_voxels([without_margin(m.values, m.truth, spacing_mm=m.spacing_mm)], [m.truth])
    marked = m.values > levels[_HONEST_ML]
    return {
        "top finding in lesion": hit,
        "chance of it": chance,
        "distance of top finding, mm": distance,
        "voxel average precision, mean": voxel_average_precision(counts).value,
        "voxel average precision outside a margin of 5 mm, mean": voxel_average_precision(apart).value,
        "dice, threshold from normals": dice(marked, m.truth),
        "dice, threshold from normals, 0.1 ml": dice(m.values > levels[0.1], m.truth),
        "dice, threshold from normals, 5 ml": dice(m.values > levels[5.0], m.truth),
        "dice, scan's own threshold": dice(m.values > robust_z_threshold(m.values), m.truth),
        "dice, scan's own threshold, otsu": dice(m.values > otsu_threshold(m.values), m.truth),
        "oracle dice, per subject": oracle_dice(counts).dice,
        "iou, threshold from normals": iou(marked, m.truth),
        "surface distance 95 %, mm": surface_distance_95_mm(marked, m.truth, spacing_mm=m.spacing_mm),
    }


def _of_all(base: Entry, cell: Sequence[Mapped], normals: _Normals, fold_of: Mapping[str, int]) -> list[Entry]:
    """Figures of all voxels or lesions of a cell together."""
    values, truths, spacings = [m.values for m in cell], [m.truth for m in cell], [m.spacing_mm for m in cell]
    counts = count_voxels(values, truths)
    precision = voxel_average_precision(counts)
    healthy, none = [m.values for m in normals.maps], [m.truth for m in normals.maps]
    found = [
        replace(base, metric="voxel average precision, pooled", value=precision.value),
        replace(base, metric="voxel prevalence", value=precision.prevalence),
        replace(base, metric="oracle dice, pooled", value=oracle_dice(counts).dice),
        replace(
            base,
            metric="spro",
            value=spro([*values, *healthy], [*truths, *none], [*spacings, *(m.spacing_mm for m in normals.maps)]),
        ),
    ]
    matched = [match_lesions(m.values, m.truth, normals.low, spacing_mm=m.spacing_mm) for m in cell]
    strict = [match_lesions(m.values, m.truth, normals.low, spacing_mm=m.spacing_mm, strict=True) for m in cell]
    owners = [*(m.ready.case.subject for m in cell), *normals.owners]
    for on in _FALSE_ON:
        found += _froc(base, f"froc mean, false positives on {on}", matched, normals.matched, owners, on)
        shares = froc(matched, normals.matched, false_on=on).sensitivity
        found += [
            replace(base, metric=f"lesion sensitivity at {rate:g} false positives, on {on}", value=share)
            for rate, share in zip(FROC_RATES, shares, strict=True)
        ]
    found += _froc(base, "froc mean, false positives on normals, strict", strict, normals.strict, owners, "normals")
    ignored = sum(m.ignored_lesions for m in matched)
    found.append(replace(base, metric="lesions below 10 mm³, ignored", value=float(ignored)))
    return [*found, *_strata(base, cell, normals, fold_of)]


def _froc(
    base: Entry,
    metric: str,
    patients: Sequence[Matched],
    healthy: Sequence[Matched],
    owners: Sequence[str],
    on: FalseOn,
) -> list[Entry]:
    statistic = froc_mean_of(patients, healthy, false_on=on)
    abnormal = np.arange(len(patients) + len(healthy)) < len(patients)
    interval = bootstrap_statistic(statistic, abnormal, owners, rng=np.random.default_rng(_SEED))
    return [replace(base, metric=metric, value=interval.estimate, low=interval.low, high=interval.high)]


def _strata(base: Entry, cell: Sequence[Mapped], normals: _Normals, fold_of: Mapping[str, int]) -> list[Entry]:
    """Share of lesions found at the threshold from normals, by their volume and their contrast."""
    hits: list[bool] = []
    volumes: list[str] = []
    contrasts: list[str] = []
    for m in cell:
        level = normals.levels[fold_of[m.ready.case.case_id], _HONEST_ML]
        hits += (match_lesions(m.values, m.truth, level, spacing_mm=m.spacing_mm).lesion_scores > -np.inf).tolist()
        lesions = lesions_of(m.truth, spacing_mm=m.spacing_mm)
        volumes += [volume_stratum(ml) for ml in lesions.volumes_ml.tolist()]
        if m.ready.file is None:
            contrasts += ["undefined"] * lesions.volumes_ml.size
        else:
            prepared = load_ready(m.ready)
            seen = contrasts_of(prepared.scan.voxels, lesions, prepared.inside.mask, spacing_mm=m.spacing_mm)
            contrasts += [contrast_stratum(c) for c in seen.tolist()]
    entry = partial(replace, base)
    return [
        entry(metric=f"lesion sensitivity, {kind} {name}", value=rate.rate, low=rate.low, high=rate.high, n=rate.n)
        for kind, strata in (("volume", volumes), ("contrast", contrasts))
        for name, rate in sorted(rates_within(hits, strata).items(), key=lambda pair: str(pair[0]))
    ]


def _over_cases(base: Entry, metric: str, table: np.ndarray, subjects: Sequence[str]) -> list[Entry]:
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


def _over_seeds(runs: Sequence[Entry]) -> Entry:
    """The mean of a figure over seeds; an interval over subjects stands with one seed only, being that of the seed."""
    values = [e.value for e in runs]
    first = runs[0] if len(runs) == 1 else replace(runs[0], low=_UNDEFINED, high=_UNDEFINED)
    return replace(first, value=float(np.mean(values)), least=min(values), most=max(values))
