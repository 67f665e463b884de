"""Stages 2 and 3 of a benchmark: fit every method on the normals of each fold, then score every case of that fold.

A fold's scores go to one JSON file and, where truth masks exist, its maps to one safetensors file beside it; both are
named by the digest of all that decided them, so that a killed run goes on and a new row leaves the others alone.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as save_tensors

from anomri.benchmark.folds import Fold, verify_apart
from anomri.benchmark.memory import PeakMemory
from anomri.benchmark.preparing import Ready, load_ready
from anomri.benchmark.protocol import MethodRow, Protocol
from anomri.core.prepared import Prepared
from anomri.datasets.splits import folds_by_subject
from anomri.errors import CalibrationError
from anomri.io.write import write_bytes, write_json
from anomri.methods import entry_of, load_method
from anomri.models.fusion import SCALING_VERSION
from anomri.pipeline.ensemble import Fitted, fewest_to_learn_from, fit_branches
from anomri.pipeline.fit import FOLDS
from anomri.pipeline.processes import each
from anomri.pipeline.specs import BranchSpec
from anomri.scope import fit_scope, second_look

__all__ = ["Cost", "Job", "Scored", "fit_and_score", "jobs_of", "too_few"]


@dataclass(frozen=True, slots=True)
class Job:
    """One fit and the scores it gives."""

    row: MethodRow
    seed: int
    normals: int | None
    fold: Fold
    recipe_sha256: str
    folder: Path
    maps: bool


@dataclass(frozen=True, slots=True)
class Cost:
    """What a job took; differs from run to run and stays out of every other table.

    Parameters
    ----------
    peak_mb : the most memory the process held at once, over its fit and its scores, the program itself included; `nan`
        where the system cannot tell the peak of a job from that of the process.
    """

    fit_s: float
    examine_s: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of one job.

    Parameters
    ----------
    scores : by case id; +inf where the scan was refused.
    refused : why, by case id.
    calibration : out-of-fold scores of the training normals, where the protocol varies their number; empty otherwise.
    maps : file of the maps; None where none were asked for, or the method does not localise.
    """

    job: Job
    scores: Mapping[str, float]
    refused: Mapping[str, str]
    calibration: tuple[float, ...]
    maps: Path | None
    cost: Cost


def jobs_of(
    protocol: Protocol, row: MethodRow, folds: Sequence[Fold], *, recipe_sha256: str, folder: Path
) -> tuple[Job, ...]:
    """All fits of a row: a method without randomness runs one seed, unless the seed draws the normals."""
    random = any(entry_of(name).needs_torch for name in row.methods)
    seeds = protocol.seeds if random or protocol.normals is not None else protocol.seeds[:1]
    maps = any(r.truth is not None for fold in folds for r in fold.test)
    return tuple(
        Job(row, seed, normals, fold, recipe_sha256, folder, maps)
        for normals in (protocol.normals if protocol.normals is not None else (None,))
        for seed in seeds
        for fold in folds
    )


def too_few(job: Job) -> str:
    """Why the normals of a job are too few for its row; empty where they are enough."""
    subjects = [r.case.subject for r in _drawn(job)]
    parts = [subjects]
    if job.normals is not None and len(set(subjects)) > 1:
        parts += [[subjects[i] for i in rest] for rest, _ in _inner_splits(job, subjects)]
    specs = job.row.specs()
    for spec in specs:
        least = spec.config.least_normals
        for part in parts:
            try:
                fewest = fewest_to_learn_from(spec, part, seed=job.seed, alone=len(specs) == 1)
            except CalibrationError as error:
                return error.cause
            if fewest < least:
                return f"{spec.method} would learn from {fewest} normal scans and needs {least}"
    return ""


def fit_and_score(
    jobs: Sequence[Job], *, processes: int, fit_only: bool, report: Callable[[str], None]
) -> tuple[Scored, ...]:
    """Run all jobs; with `fit_only` train what has to be trained and score nothing.

    Parameters
    ----------
    processes : jobs at a time; each computes with one thread.
    """
    done = []
    for number, scored in enumerate(each(_train if fit_only else _run, jobs, processes), start=1):
        job = jobs[number - 1]
        some = "" if job.normals is None else f", {job.normals} normals"
        report(f"[{number}/{len(jobs)}] {job.row.name}, seed {job.seed}{some}, fold {job.fold.number + 1}")
        if scored is not None:
            done.append(scored)
    return tuple(done)


def _train(job: Job) -> None:
    specs, train, _ = _planned(job)
    scans = [load_ready(r) for r in train]
    _fitted(job, specs, scans)
    if job.normals is not None:
        for _ in _inner_fits(job, specs, train, scans):
            pass


def _run(job: Job) -> Scored:
    specs, train, folder = _planned(job)
    kept = folder / f"scores-{_tests(job, specs)}.json"
    if not kept.is_file():
        scans = [load_ready(r) for r in train]
        fitted, fit = _fitted(job, specs, scans)
        calibration = [] if job.normals is None else _out_of_fold(job, specs, train, scans)
        _score(job, fitted, scans, kept, fit, calibration)
    known = json.loads(kept.read_text())
    maps = kept.with_suffix(".safetensors")
    return Scored(
        job,
        {case: float(score) for case, score in known["scores"].items()},
        known["refused"],
        tuple(known["calibration"]),
        maps if known["maps"] else None,
        Cost(known["cost"]["fit_s"], known["cost"]["examine_s"], _number(known["cost"]["peak_mb"])),
    )


def _planned(job: Job) -> tuple[tuple[BranchSpec, ...], tuple[Ready, ...], Path]:
    """What to fit, on which scans, and the folder its scores are kept in."""
    specs, train = job.row.specs(), _drawn(job)
    return specs, train, job.folder / "scores" / f"{_slug(job.row.methods)}-{_key(job, specs, train)}"


def _slug(methods: Sequence[str]) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", "-".join(methods)).strip("-")


def _drawn(job: Job) -> tuple[Ready, ...]:
    """The training scans: all of the fold, or those of the first `normals` subjects in an order the seed draws."""
    if job.normals is None:
        return job.fold.train
    subjects = sorted({r.case.subject for r in job.fold.train})
    order = np.random.default_rng([job.seed, job.fold.number]).permutation(len(subjects))
    chosen = {subjects[i] for i in order[: job.normals]}
    return tuple(r for r in job.fold.train if r.case.subject in chosen)


def _key(job: Job, specs: Sequence[BranchSpec], train: Sequence[Ready]) -> str:
    """Digest of what decides a fit; the scalings of several branches hang on the settings of the reading, too."""
    settings = [s.config.of_fit() if len(specs) == 1 else s.config.model_dump(mode="json") for s in specs]
    parts = [
        f"{s.method}:{load_method(s.method).version}:{json.dumps(found)}"
        for s, found in zip(specs, settings, strict=True)
    ]
    parts += [f"scaling {SCALING_VERSION}"] if len(specs) > 1 else []
    parts += [str(job.seed), job.recipe_sha256, *sorted(r.key for r in train)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def _tests(job: Job, specs: Sequence[BranchSpec]) -> str:
    """Digest of what decides the scores of a fit."""
    settings = [s.config.model_dump_json() for s in specs]
    text = "\n".join([*settings, *(f"{r.case.case_id}:{r.key}" for r in job.fold.test)])
    calibrated = "" if job.normals is None else "|calibrated"
    return hashlib.sha256(f"{text}|{job.maps}{calibrated}".encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class _FitCost:
    fit_s: float
    peak_mb: float


def _fitted(job: Job, specs: Sequence[BranchSpec], train: Sequence[Prepared]) -> tuple[Fitted, _FitCost]:
    """The model of a row. A branch that another row has fitted on the same scans is not fitted again."""
    fabric = None
    if any(entry_of(spec.method).needs_torch for spec in specs):
        from anomri.training.fabric import make_fabric  # brings torch

        fabric = make_fabric("auto")
    folder, peak = job.folder / "branches", PeakMemory()
    fitted = fit_branches(specs, train, seed=job.seed, fabric=fabric, folder=folder, recipe_sha256=job.recipe_sha256)
    now, peaks = _or_none(peak.mb()), []
    for branch in fitted.folders.values():
        if not (branch / "peak.json").is_file():
            write_json(branch / "peak.json", {"peak_mb": now})
        peaks.append(_number(json.loads((branch / "peak.json").read_text())["peak_mb"]))
    return fitted, _FitCost(fitted.fit_s, float(np.max(peaks)))


def _or_none(value: float) -> float | None:
    """For JSON, which has no `nan`."""
    return None if math.isnan(value) else value


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _out_of_fold(
    job: Job, specs: Sequence[BranchSpec], train: Sequence[Ready], scans: Sequence[Prepared]
) -> list[float]:
    """What `anomri fit` calibrates on: each training scan scored by a model of the others."""
    return [
        fitted.read(scan, seed=job.seed).score
        for fitted, held in _inner_fits(job, specs, train, scans)
        for scan in held
    ]


def _inner_splits(job: Job, subjects: Sequence[str]) -> list[tuple[list[int], list[int]]]:
    """Training scans of each inner fit, and those it has not seen."""
    count = min(FOLDS, len(set(subjects)))
    numbers = folds_by_subject(subjects, count, seed=job.seed)
    return [
        ([i for i, n in enumerate(numbers) if n != fold], [i for i, n in enumerate(numbers) if n == fold])
        for fold in range(count)
    ]


def _inner_fits(
    job: Job, specs: Sequence[BranchSpec], train: Sequence[Ready], scans: Sequence[Prepared]
) -> Iterator[tuple[Fitted, list[Prepared]]]:
    """Models of a part of the training scans, each with those that it has not seen.

    Raises
    ------
    CalibrationError : one subject alone, who cannot be both.
    DataLeak : one image under two subjects.
    """
    subjects = [r.case.subject for r in train]
    if len(set(subjects)) < 2:
        raise CalibrationError(
            "one normal subject cannot train and calibrate", remedy="Give normals of 2 or more.", code="too_few_normals"
        )
    for rest, held in _inner_splits(job, subjects):
        verify_apart([train[i] for i in rest], [train[i] for i in held])
        fitted, _ = _fitted(job, specs, [scans[i] for i in rest])
        yield fitted, [scans[i] for i in held]


def _score(
    job: Job, fitted: Fitted, train: Sequence[Prepared], kept: Path, fit: _FitCost, calibration: Sequence[float]
) -> None:
    peak = PeakMemory()
    scope = fit_scope(train)
    scores: dict[str, float] = {}
    refused: dict[str, str] = {}
    maps: dict[str, NDArray[np.float32]] = {}
    seconds = 0.0
    for ready in job.fold.test:
        name = ready.case.case_id
        prepared = None if ready.file is None else load_ready(ready)
        reasons = [ready.refused] if prepared is None else second_look(prepared, scope)
        if prepared is None or reasons:
            scores[name], refused[name] = float("inf"), "; ".join(reasons)
            continue
        start = time.perf_counter()
        reading = fitted.read(prepared, seed=job.seed)
        seconds += time.perf_counter() - start
        scores[name] = reading.score
        if job.maps and reading.map is not None and (ready.truth is not None or not ready.case.abnormal):
            maps[name] = reading.map[prepared.region.mask]
    kept.parent.mkdir(parents=True, exist_ok=True)
    if maps:
        write_bytes(kept.with_suffix(".safetensors"), save_tensors(maps))
    judged = max(1, len(scores) - len(refused))
    most = float(np.maximum(fit.peak_mb, peak.mb()))
    cost = {"fit_s": fit.fit_s, "examine_s": seconds / judged, "peak_mb": _or_none(most)}
    # JSON has no infinity: text is exact and reads back as a float.
    texts = {name: repr(float(score)) for name, score in scores.items()}
    write_json(
        kept, {"scores": texts, "refused": refused, "maps": bool(maps), "cost": cost, "calibration": list(calibration)}
    )
