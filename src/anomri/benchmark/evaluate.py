"""Stage 4 of a benchmark: from scores to figures. Reads what the stages before left; trains and scores nothing.

A threshold for a scan comes from normal scans of the other folds alone, each scored by a model that had not seen it. A
refused scan scores +inf, normal or not, so it is an alarm, and has its own count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from anomri.benchmark.cases import NORMAL
from anomri.benchmark.protocol import Protocol
from anomri.benchmark.results import Entry, Results
from anomri.metrics.bootstrap import bootstrap_difference, bootstrap_interval, bootstrap_mean, holm
from anomri.metrics.detection import (
    Statistic,
    auroc,
    auroc_of,
    average_precision_of,
    oracle_fpr_at_tpr_of,
    oracle_tpr_at_fpr_of,
    rate_of,
)
from anomri.metrics.operating import alarms_per_100, ppv
from anomri.metrics.strata import auroc_within, position_binned_auroc
from anomri.metrics.uniformity import uniformity

__all__ = ["POOLED_ARTEFACTS", "POOLED_LESIONS", "cells_of", "compare", "detection", "p_values", "rate_interval"]

Floats = NDArray[np.float64]

POOLED_ARTEFACTS, POOLED_LESIONS = "all artefacts", "all lesions"
_SEED = 0
_FEWEST = 20
_PREVALENCES = (0.05, 0.20)
_RARE = (0.05, 0.01)
_NAN = float("nan")


@dataclass(frozen=True, eq=False, slots=True)
class Scores:
    """The scores of one cell beside those of the normals, cases in one order for every seed.

    Parameters
    ----------
    values : (seeds, n); `abnormal`, `subjects` (n,).
    """

    values: Floats
    abnormal: NDArray[np.bool_]
    subjects: tuple[str, ...]
    cases: tuple[str, ...]


def cells_of(results: Results) -> dict[str, tuple[str, ...]]:
    """Abnormal cases by cell, in the order of the cases; pooled cells first where there are several of a kind."""
    cells: dict[str, list[str]] = {}
    pooled: dict[str, dict[str, str]] = {POOLED_ARTEFACTS: {}, POOLED_LESIONS: {}}
    for ready in results.ready:
        case = ready.case
        if not case.abnormal:
            continue
        cells.setdefault(case.cell, []).append(case.case_id)
        if case.defect is not None:
            pooled[POOLED_ARTEFACTS if case.defect.kind == "artefact" else POOLED_LESIONS][case.case_id] = case.cell
    kinds = {name: ids for name, ids in pooled.items() if len(set(ids.values())) > 1}
    return {name: tuple(ids) for name, ids in {**kinds, **cells}.items()}


def scores_of(results: Results, cell: Sequence[str]) -> Scores:
    """The scores of the normals and of a cell."""
    normals = [r.case.case_id for r in results.ready if not r.case.abnormal]
    subject = {r.case.case_id: r.case.subject for r in results.ready}
    cases = (*normals, *cell)
    values = np.array([[found[case] for case in cases] for found in results.scores.values()])
    return Scores(values, np.arange(len(cases)) >= len(normals), tuple(subject[c] for c in cases), cases)


def detection(protocol: Protocol, results: Results) -> list[Entry]:
    """Figures that need scores alone: of the normals, then of every cell."""
    entries = _of_normals(protocol, results)
    alarms = {e.metric: e.value for e in entries}
    for name, cell in cells_of(results).items():
        entries += _of_cell(protocol, results, name, scores_of(results, cell), alarms)
    return entries


def compare(table: Sequence[Results]) -> list[Entry]:
    """Every method beside the baseline that is best in the same cell: paired difference of AUROC.

    The baseline is chosen on the cases it is compared on, which favours it; ``holm p`` is adjusted over all
    comparisons of the table.
    """
    rows = [r for r in table if not r.row.baseline]
    entries: list[Entry] = []
    for results in rows:
        rivals = [r for r in table if r.row.baseline and r.normals == results.normals]
        for name, cell in cells_of(results).items():
            ours = scores_of(results, cell)
            others = [(r, scores_of(r, cell)) for r in rivals]
            if not others:
                continue
            best, theirs = max(others, key=lambda pair: _mean_auroc(pair[1]))
            found = bootstrap_difference(
                ours.values, theirs.values, ours.abnormal, ours.subjects, auroc_of, rng=np.random.default_rng(_SEED)
            )
            base = Entry(results.row.name, results.normals, name, "", 0.0, n=int(ours.abnormal.sum()))
            entries.append(
                replace(
                    base,
                    metric="auroc minus best baseline",
                    value=found.estimate,
                    low=found.low,
                    high=found.high,
                    note=best.row.name,
                )
            )
            entries.append(replace(base, metric="holm p", value=found.p, note=best.row.name))
    at = [i for i, entry in enumerate(entries) if entry.metric == "holm p"]
    for i, p in zip(at, holm([entries[i].value for i in at]), strict=True):
        entries[i] = replace(entries[i], value=float(p))
    return entries


def p_values(results: Results, seed: int, cases: Sequence[str]) -> Floats:
    """(n,) p-value of each case: 0 for a refused one, else (1 + #{normal ≥ score}) / (m + 1) over m normals.

    The m calibration normals are those of the other folds, as for maps, each scored by a model that had not seen it.
    Were they all normals but the subject's own, as many would be alarms as the rate allows, whatever the method. Where
    the protocol varies how many normals there are, they are those that trained the model of the case's fold.
    """
    scores = results.scores[seed]
    normals = [r.case.case_id for r in results.ready if not r.case.abnormal]
    values = np.array([scores[c] for c in normals])
    folds = np.array([results.fold_of[c] for c in normals])
    out = np.empty(len(cases))
    for i, case in enumerate(cases):
        if seed in results.calibration:
            known = np.array(results.calibration[seed][results.fold_of[case]])
        else:
            known = values[folds != results.fold_of[case]]
        score = scores[case]
        out[i] = 0.0 if np.isinf(score) else (1 + np.count_nonzero(known >= score)) / (known.size + 1)
    return out


def _of_normals(protocol: Protocol, results: Results) -> list[Entry]:
    normals = [r.case for r in results.ready if not r.case.abnormal]
    names, subjects = [c.case_id for c in normals], [c.subject for c in normals]
    base = Entry(results.row.name, results.normals, NORMAL, "", 0.0, n=len(names))
    by_seed = [p_values(results, seed, names) for seed in results.scores]
    refused = float(np.mean([np.isinf([found[c] for c in names]).sum() for found in results.scores.values()]))
    entries = [replace(base, metric="refused", value=refused)]
    for rate in protocol.rates:
        found = _alarms(base, "false alarms", rate, by_seed, subjects, _promised(results, rate))
        entries.append(found)
        gap = replace(found, metric=f"false alarms less {rate:g}", value=found.value - rate, low=_NAN, high=_NAN)
        entries.append(replace(gap, least=found.least - rate, most=found.most - rate))
        entries.append(
            replace(
                base, metric=f"alarms in 100 normals at {rate:g}", value=alarms_per_100(found.value), note=found.note
            )
        )
    entries.append(_ks(base, "p-value ks", by_seed))
    sites = np.array([c.site for c in normals])
    for site in sorted(set(sites)) if len(set(sites)) > 1 else ():
        here = np.flatnonzero(sites == site)
        own, at = [p[here] for p in by_seed], replace(base, n=here.size)
        owners = [subjects[i] for i in here.tolist()]
        for rate in protocol.rates:
            found = _alarms(at, "false alarms", rate, own, owners, _promised(results, rate))
            entries.append(replace(found, metric=f"{found.metric}, site {site}"))
        entries.append(_ks(at, f"p-value ks, site {site}", own))
    return entries


def _ks(base: Entry, metric: str, by_seed: Sequence[Floats]) -> Entry:
    return _plain(base, metric, [uniformity(p).ks for p in by_seed])


def _of_cell(
    protocol: Protocol, results: Results, name: str, scores: Scores, false: Mapping[str, float]
) -> list[Entry]:
    n = int(scores.abnormal.sum())
    base = Entry(results.row.name, results.normals, name, "", 0.0, n=n)
    prevalence = n / scores.abnormal.size
    entries = [_interval(base, "auroc", auroc_of, scores), *_strata(base, results, scores)]
    precision = _interval(base, "average precision", average_precision_of, scores)
    entries += [precision, replace(base, metric="prevalence", value=prevalence)]
    entries.append(replace(base, metric="average precision lift", value=precision.value / prevalence))
    for share in _RARE:
        metric = f"average precision at prevalence {share:g}"
        entries.append(_interval(base, metric, partial(average_precision_of, prevalence=share), scores))
    for tpr in (0.80, 0.90, 0.95):
        entries.append(_interval(base, f"oracle fpr at tpr {tpr:g}", partial(oracle_fpr_at_tpr_of, tpr=tpr), scores))
    for fpr in (0.01, 0.05, 0.10):
        entries.append(_interval(base, f"oracle tpr at fpr {fpr:g}", partial(oracle_tpr_at_fpr_of, fpr=fpr), scores))
    infinite = np.isinf(scores.values[:, scores.abnormal]).sum(axis=1)
    entries.append(replace(base, metric="refused", value=float(infinite.mean())))
    cell = [c for c, bad in zip(scores.cases, scores.abnormal, strict=True) if bad]
    owners = [s for s, bad in zip(scores.subjects, scores.abnormal, strict=True) if bad]
    by_seed = [p_values(results, seed, cell) for seed in results.scores]
    for rate in protocol.rates:
        found = _alarms(base, "sensitivity", rate, by_seed, owners, _promised(results, rate))
        entries.append(found)
        for share in _PREVALENCES:
            value = ppv(found.value, false[f"false alarms at {rate:g}"], prevalence=share)
            note = found.note or ("no alarm at all" if np.isnan(value) else "")
            entries.append(replace(base, metric=f"ppv at {rate:g}, prevalence {share:g}", value=value, note=note))
    return entries


def _strata(base: Entry, results: Results, scores: Scores) -> list[Entry]:
    """AUROC between cases of the same site, decade, sex or slice position, wherever these are known and differ."""
    ready = {r.case.case_id: r.case for r in results.ready}
    cases = [ready[c] for c in scores.cases]
    known: dict[str, list[Hashable]] = {
        "site": [c.site for c in cases],
        "decade of age": [None if (age := c.covariates.get("age")) is None else int(age // 10) for c in cases],
        "sex": [c.covariates.get("sex") for c in cases],
    }
    entries = []
    for name, strata in known.items():
        if None not in strata and len(set(strata)) > 1:
            values = [auroc_within(row, scores.abnormal, strata).pooled for row in scores.values]
            entries.append(_plain(base, f"auroc within {name}", values))
    positions = [c.position for c in cases if c.position is not None]
    if len(positions) == len(cases):
        values = [position_binned_auroc(row, scores.abnormal, positions).pooled for row in scores.values]
        entries.append(_plain(base, "auroc within slice position", values))
    return entries


def _plain(base: Entry, metric: str, values: Sequence[float]) -> Entry:
    """A figure without an interval, over seeds."""
    return replace(base, metric=metric, value=float(np.mean(values)), least=min(values), most=max(values))


def _promised(results: Results, rate: float) -> str:
    """Empty where the calibration normals can show a rate; why not otherwise."""
    sizes = [len(scores) for found in results.calibration.values() for scores in found.values()]
    if not sizes:
        folds = Counter(results.fold_of[r.case.case_id] for r in results.ready if not r.case.abnormal)
        sizes = [folds.total() - max(folds.values())]
    if rate < 1.0 / (min(sizes) + 1):
        return f"{min(sizes)} normals cannot promise a rate of {rate:g}"
    return ""


def _alarms(
    base: Entry, what: str, rate: float, by_seed: Sequence[Floats], subjects: Sequence[str], impossible: str
) -> Entry:
    entry = replace(base, metric=f"{what} at {rate:g}")
    if impossible:
        return replace(entry, value=float("nan"), note=impossible)
    alarms = np.array([p <= rate for p in by_seed], dtype=float)
    rates = alarms.mean(axis=1)
    low, high = rate_interval(alarms, subjects)
    return replace(
        entry, value=float(rates.mean()), low=low, high=high, least=float(rates.min()), most=float(rates.max())
    )


def rate_interval(hits: Floats, subjects: Sequence[str]) -> tuple[float, float]:
    """95 % interval of the share of hits, the mean over seeds of (seeds, n) zeros and ones.

    Exact where every case has a subject of its own, of the rounded mean number; over subjects otherwise.
    """
    if len(set(subjects)) == len(subjects):
        exact = rate_of(round(float(hits.sum(axis=1).mean())), len(subjects))
        return exact.low, exact.high
    _, low, high = bootstrap_mean(hits.mean(axis=0), subjects, rng=np.random.default_rng(_SEED))
    return low, high


def _interval(base: Entry, metric: str, statistic: Statistic, scores: Scores) -> Entry:
    found = bootstrap_interval(
        scores.values, scores.abnormal, scores.subjects, statistic, rng=np.random.default_rng(_SEED)
    )
    single = [
        bootstrap_interval(
            row, scores.abnormal, scores.subjects, statistic, rng=np.random.default_rng(_SEED), draws=1
        ).estimate
        for row in scores.values
    ]
    few = len({s for s, bad in zip(scores.subjects, scores.abnormal, strict=True) if bad}) < _FEWEST
    return replace(
        base,
        metric=metric,
        value=found.estimate,
        low=found.low,
        high=found.high,
        least=min(single),
        most=max(single),
        note=f"fewer than {_FEWEST} abnormal subjects" if few else "",
    )


def _mean_auroc(scores: Scores) -> float:
    return float(np.mean([auroc(row[~scores.abnormal], row[scores.abnormal]) for row in scores.values]))
