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
from numpy.typing import NDArray

from anomri.benchmark.cases import NORMAL
from anomri.benchmark.evaluate import cells_of
from anomri.benchmark.grounds import Grounds
from anomri.benchmark.maps import Allowances, Heatmaps, Mapped, levels_of
from anomri.benchmark.results import Entry, Results
from anomri.metrics.bootstrap import bootstrap_mean, bootstrap_statistic
from anomri.metrics.lesionwise import (
    FROC_RATES,
    FalseOn,
    Matched,
    candidates_of,
    froc,
    froc_mean_of,
    lesions_of,
    match_candidates,
)
from anomri.metrics.localisation import top_hit
from anomri.metrics.overlap import dice, iou, margin_of, surface_distance_95_mm
from anomri.metrics.regions import Cover, aupimo_of, cover_of, spro_of
from anomri.metrics.strata import rates_within
from anomri.metrics.thresholds import otsu_threshold, robust_z_threshold
from anomri.metrics.voxel import (
    RankedVoxels,
    count_ranked,
    count_voxels,
    oracle_dice,
    voxel_average_precision,
)

__all__ = ["localisation"]

_SEED = 0
_FALSE_ON: tuple[FalseOn, ...] = ("normals", "patients")
_UNDEFINED = float("nan")


@dataclass(frozen=True, eq=False, slots=True)
class _Normals:
    """What the normal scans of a seed say once, for every case and cell.

    Parameters
    ----------
    levels : threshold by fold and by the false positive allowed.
    low : threshold of FROC candidates, one for all scans.
    outside : (n,) values of each scan, ascending.
    spilt : realised false positive a scan, by the amount allowed; each scan at the level that other folds set.
    """

    levels: Mapping[tuple[int, float], float]
    low: float
    outside: tuple[NDArray[np.float32], ...]
    spilt: Mapping[float, float]
    matched: tuple[Matched, ...]
    strict: tuple[Matched, ...]
    owners: tuple[str, ...]


@dataclass(frozen=True, eq=False, slots=True)
class _Seen:
    """What a map says of one abnormal case, for every cell it stands in.

    Parameters
    ----------
    figures : of the case alone; `nan` where it has none.
    found : whether each of its lesions is hit at the honest operating point.
    volumes, contrasts : their strata.
    """

    figures: Mapping[str, float]
    ranked: RankedVoxels
    cover: Cover
    matched: Matched
    strict: Matched
    found: tuple[bool, ...]
    volumes: tuple[str, ...]
    contrasts: tuple[str, ...]
    owner: str


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
    cases = list(dict.fromkeys(i for ids in cells.values() for i in ids))
    single: dict[str, list[dict[str, list[float]]]] = {name: [] for name in cells}
    pooled: dict[str, list[dict[str, Entry]]] = {name: [] for name in cells}
    spilt: list[Mapping[float, float]] = []
    for seed in results.maps:
        maps = Heatmaps(results, seed, grounds)
        if not maps.known or not cells:
            return []
        normals = _normals(results, maps, allowances)
        seen = {i: _of_case(maps[i], normals, results.fold_of[i], allowances) for i in cases}
        spilt.append(normals.spilt)
        for name, ids in cells.items():
            base = Entry(results.row.name, results.normals, name, "", 0.0, n=len(ids))
            cell = [seen[i] for i in ids]
            single[name].append({metric: [s.figures[metric] for s in cell] for metric in cell[0].figures})
            pooled[name].append({e.metric: e for e in _of_all(base, cell, normals)})
    entries: list[Entry] = []
    for name, ids in cells.items():
        base = Entry(results.row.name, results.normals, name, "", 0.0, n=len(ids))
        owners = [ready[i].case.subject for i in ids]
        for metric in single[name][0]:
            entries += _over_cases(base, metric, np.array([run[metric] for run in single[name]]), owners)
        entries += [_over_seeds([run[metric] for run in pooled[name]]) for metric in pooled[name][0]]
        lost = [1.0 - (ready[i].truth_seen_ml or 0.0) / ml for i in ids if (ml := ready[i].truth_ml)]
        entries.append(replace(base, metric="share of lesion not examined", value=float(np.mean(lost))))
    healthy = [r for r in results.ready if not r.case.abnormal]
    base = Entry(results.row.name, results.normals, NORMAL, "", 0.0, n=len(healthy))
    for allowed in allowances.amounts if cells else ():
        metric = f"false positive {allowances.unit} a normal scan, {allowances.named(allowed)} allowed"
        values = [run[allowed] for run in spilt]
        entries.append(replace(base, metric=metric, value=float(np.mean(values)), least=min(values), most=max(values)))
    return entries


def _normals(results: Results, maps: Heatmaps, allowances: Allowances) -> _Normals:
    healthy = [r.case for r in results.ready if not r.case.abnormal]
    found = [maps[c.case_id] for c in healthy if c.case_id in maps.known]
    refused = [c.subject for c in healthy if c.case_id not in maps.known]
    levels = levels_of(found, results.fold_of, allowances)
    low = min(level for (_, allowed), level in levels.items() if allowed == allowances.lax)
    alarm = Matched(np.zeros(0), np.zeros(0), np.array([np.inf]), 0, 0)
    spilt: dict[float, list[float]] = {allowed: [] for allowed in allowances.amounts}
    outside, matched, strict = [], [], []
    for m in found:
        outside.append(m.ranked.outside)
        for allowed, values in spilt.items():
            level = levels[results.fold_of[m.ground.ready.case.case_id], allowed]
            values.append((m.inside > level).sum() * m.per_voxel(allowances))
        loose, hard = _matched(m, m.values, low)
        matched.append(loose)
        strict.append(hard)
    return _Normals(
        levels=levels,
        low=low,
        outside=tuple(outside),
        spilt={allowed: float(np.mean(values)) for allowed, values in spilt.items()},
        matched=(*matched, *[alarm] * len(refused)),
        strict=(*strict, *[alarm] * len(refused)),
        owners=(*(m.ground.ready.case.subject for m in found), *refused),
    )


def _matched(m: Mapped, values: NDArray[np.float32], level: float) -> tuple[Matched, Matched]:
    """Its lesions and the candidates above a level, matched by either rule of a hit."""
    truth = lesions_of(m.ground.truth, spacing_mm=m.ground.spacing_mm)
    found = candidates_of(values, level, spacing_mm=m.ground.spacing_mm)
    loose, strict = (
        match_candidates(found, truth, spacing_mm=m.ground.spacing_mm, strict=hard) for hard in (False, True)
    )
    return loose, strict


def _of_case(m: Mapped, normals: _Normals, fold: int, allowances: Allowances) -> _Seen:
    values, truth, spacing_mm = m.values, m.ground.truth, m.ground.spacing_mm
    honest = normals.levels[fold, allowances.honest]
    ranked = m.ranked
    matched, strict = _matched(m, values, normals.low)
    found, _ = _matched(m, values, honest)
    hit, chance, distance = _UNDEFINED, _UNDEFINED, _UNDEFINED
    if m.refused:
        hit = 0.0
    else:
        hit, chance, distance = top_hit(values, truth, spacing_mm=spacing_mm)
    seen, lesion = m.listed
    counts = count_ranked([ranked])
    far = ~(margin_of(truth, spacing_mm=spacing_mm) & ~truth)[m.ground.region]
    apart = count_voxels([m.inside[far]], [truth[m.ground.region][far]])
    figures = {
        "top finding in lesion": hit,
        "chance of it": chance,
        "distance of top finding, mm": distance,
        "voxel average precision, mean": voxel_average_precision(counts).value,
        "voxel average precision outside a margin of 5 mm, mean": voxel_average_precision(apart).value,
        "dice, threshold from normals": dice(seen > honest, lesion),
        **{
            f"dice, threshold from normals, {allowances.named(amount)}": dice(
                seen > normals.levels[fold, amount], lesion
            )
            for amount in (allowances.strict, allowances.lax)
        },
        "dice, scan's own threshold": dice(seen > robust_z_threshold(seen), lesion),
        "dice, scan's own threshold, otsu": dice(seen > otsu_threshold(seen), lesion),
        "oracle dice, per subject": oracle_dice(counts).dice,
        "iou, threshold from normals": iou(seen > honest, lesion),
        "surface distance 95 %, mm": surface_distance_95_mm(values > honest, truth, spacing_mm=spacing_mm),
        "aupimo": aupimo_of(ranked, normals.outside),
    }
    return _Seen(
        figures=figures,
        ranked=ranked,
        cover=cover_of(values, truth, spacing_mm=spacing_mm),
        matched=matched,
        strict=strict,
        found=tuple((found.lesion_scores > -np.inf).tolist()),
        volumes=m.ground.volumes,
        contrasts=m.ground.contrasts,
        owner=m.ground.ready.case.subject,
    )


def _of_all(base: Entry, cell: Sequence[_Seen], normals: _Normals) -> list[Entry]:
    """Figures of all voxels or lesions of a cell together."""
    counts = count_ranked([s.ranked for s in cell])
    precision = voxel_average_precision(counts)
    covered = spro_of([s.cover for s in cell], [*(s.ranked.outside for s in cell), *normals.outside])
    found = [
        replace(base, metric="voxel average precision, pooled", value=precision.value),
        replace(base, metric="voxel prevalence", value=precision.prevalence),
        replace(base, metric="oracle dice, pooled", value=oracle_dice(counts).dice),
        replace(base, metric="spro", value=covered),
    ]
    matched, strict = [s.matched for s in cell], [s.strict for s in cell]
    owners = [*(s.owner for s in cell), *normals.owners]
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
    return [*found, *_strata(base, cell)]


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


def _strata(base: Entry, cell: Sequence[_Seen]) -> list[Entry]:
    """Share of lesions found at the threshold from normals, by their volume and their contrast."""
    hits = [hit for s in cell for hit in s.found]
    volumes = [name for s in cell for name in s.volumes]
    contrasts = [name for s in cell for name in s.contrasts]
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
