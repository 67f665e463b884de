"""One protocol from scans to tables, in stages that each go on where they stopped.

cases → prepare → train → score → tables. What a stage makes is kept in the work folder by its content; a killed run,
started again, ends with the same tables.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from safetensors.numpy import save as save_tensors

from anomri.benchmark.cases import NORMAL, Case, simulated_cases
from anomri.benchmark.evaluate import compare, detection
from anomri.benchmark.external import external_maps, external_scores
from anomri.benchmark.folds import Fold, split
from anomri.benchmark.gather import real_cases
from anomri.benchmark.grounds import Grounds
from anomri.benchmark.localise import localisation
from anomri.benchmark.maps import allowances_of
from anomri.benchmark.preparing import Ready, made_scan, prepare_cases
from anomri.benchmark.protocol import MethodRow, Protocol
from anomri.benchmark.report import write_report
from anomri.benchmark.results import LEFT_OUT, Entry, Results
from anomri.benchmark.rows import rows_of
from anomri.benchmark.scoring import Job, Scored, fit_and_score, jobs_of, too_few
from anomri.benchmark.source import source_classifier
from anomri.datasets.catalogue import list_dataset
from anomri.errors import InputError, OutputConflict
from anomri.io.write import write_bytes, write_csv, write_json, write_nifti
from anomri.preparation import Recipe
from anomri.runs.lock import Lock

__all__ = ["STAGES", "Stage", "run_benchmark", "write_cases"]

Stage = Literal["prepare", "train", "score", "tables"]
SHAPES = "lesion-shapes"
STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(frozen=True, slots=True)
class _Prepared:
    recipe: Recipe
    ready: tuple[Ready, ...]
    folds: tuple[Fold, ...]
    grounds: Grounds

    def localised(self, results: Results) -> list[Entry]:
        """Where its maps find what is abnormal."""
        return localisation(results, self.grounds, allowances_of(self.recipe))


def run_benchmark(
    protocol: Protocol,
    data: Mapping[str, Path],
    out: Path,
    *,
    work: Path | None = None,
    heatmaps: Mapping[str, Path] | None = None,
    jobs: int = 1,
    until: Stage = "tables",
    report: Callable[[str], None] = lambda _line: None,
) -> tuple[Path, ...]:
    """Run a protocol.

    Parameters
    ----------
    data : folder of each data set the protocol names.
    out : tables, figures and pages go here.
    work : prepared scans, fits and scores; ``out/work`` where None. Protocols on the same scans may share one, and then
        train once.
    heatmaps : rows made elsewhere, by name; see `anomri.benchmark.external`.
    jobs : processes.
    until : the last stage to run.

    Returns
    -------
    The files of tables and pages; empty where the run ended before.

    Raises
    ------
    InputError, DataLeak, CalibrationError, ModelError : as the stages do.
    OutputConflict : `out` holds another split of this protocol, or another run is at work in it.
    """
    out.mkdir(parents=True, exist_ok=True)
    work = out / "work" if work is None else work
    made = tuple(MethodRow(name=name, heatmaps=folder) for name, folder in (heatmaps or {}).items())
    with Lock(out):
        cases = all_cases(protocol, data)
        rows = (*rows_of(protocol), *made)
        prepared: dict[str, _Prepared] = {}
        for name in dict.fromkeys(protocol.recipe if row.recipe is None else row.recipe for row in rows):
            recipe = protocol.recipe_of(name)
            ready = prepare_cases(cases, recipe, work / "prepared", jobs=jobs, report=report)
            prepared[name] = _Prepared(recipe, ready, split(protocol, ready), Grounds(ready))
        _keep_split(prepared[protocol.recipe].folds, out / "split.json")
        if until == "prepare":
            return ()
        stages = {row.name: prepared[protocol.recipe if row.recipe is None else row.recipe] for row in rows}
        tasks = [
            job
            for row in rows
            if row.heatmaps is None
            for job in jobs_of(
                protocol, row, stages[row.name].folds, recipe_sha256=stages[row.name].recipe.sha256, folder=work
            )
        ]
        tasks, left_out = _with_enough(tasks, report)
        scored = fit_and_score(tasks, processes=jobs, fit_only=until == "train", report=report)
        if until != "tables":
            return ()
        results: list[Results] = []
        for row in rows:
            if row.heatmaps is not None:
                results.append(_external(row, stages[row.name], work))
            else:
                results += _results(row, stages[row.name], [s for s in scored if s.job.row == row])
        entries = [e for r in results for e in (*detection(protocol, r), *stages[r.row.name].localised(r))]
        entries += compare(results)
        entries += left_out
        source, confounds = source_classifier(next(r for r in results if r.row.recipe is None))
        return write_report(
            protocol, [*entries, *source], results, out, confounds=confounds, environment=_environment()
        )


def _with_enough(tasks: Sequence[Job], report: Callable[[str], None]) -> tuple[list[Job], list[Entry]]:
    """The jobs of rows that have enough normals in every fold, and an entry that says why for each other row."""
    reasons: dict[tuple[str, int | None], str] = {}
    for job in tasks:
        if why := too_few(job):
            reasons.setdefault((job.row.name, job.normals), why)
    for (name, _), why in reasons.items():
        report(f"left out: {name}: {why}")
    entries = [Entry(name, n, NORMAL, LEFT_OUT, float("nan"), note=why) for (name, n), why in reasons.items()]
    return [job for job in tasks if (job.row.name, job.normals) not in reasons], entries


def write_cases(
    protocol: Protocol, data: Mapping[str, Path], out: Path, *, work: Path, jobs: int, report: Callable[[str], None]
) -> int:
    """Write every case as NIfTI, for a program elsewhere, and ``folds.csv``: case, fold, and whether it may train.

    A defect whose clean scan was refused cannot be made: such a case is not written, and counts as refused.

    Returns
    -------
    How many cases were written.
    """
    out.mkdir(parents=True, exist_ok=True)
    cases = all_cases(protocol, data)
    recipe = protocol.recipe_of(protocol.recipe)
    ready = prepare_cases(cases, recipe, work / "prepared", jobs=jobs, report=report)
    fold_of = {r.case.case_id: fold.number for fold in split(protocol, ready) for r in fold.test}
    lines: list[tuple[object, ...]] = []
    for one in ready:
        try:
            scan = made_scan(one, work / "prepared")
        except InputError as error:
            report(f"not written: {one.case.case_id}: {error.cause}")
            continue
        write_nifti(out / f"{one.case.case_id}.nii.gz", scan.voxels, scan.geometry)
        lines.append((one.case.case_id, fold_of[one.case.case_id], int(one.case.trains)))
    columns = ("case_id", "fold", "may_train_other_folds")
    write_csv(out / "folds.csv", (dict(zip(columns, line, strict=True)) for line in lines), columns)
    return len(lines)


def all_cases(protocol: Protocol, data: Mapping[str, Path]) -> tuple[Case, ...]:
    """Real cases of every set, then the simulated ones."""
    real = real_cases(protocol, data)
    shapes = list_dataset(SHAPES, data[SHAPES]).records if SHAPES in data else ()
    outlines = sorted(record.path for record in shapes)
    return (*real, *simulated_cases(protocol, [case for case in real if case.trains], outlines))


def _keep_split(folds: Sequence[Fold], path: Path) -> None:
    found = {r.case.case_id: {"fold": f.number, "subject": r.case.subject, "key": r.key} for f in folds for r in f.test}
    if path.is_file() and (known := json.loads(path.read_text())) != found:
        other = next(name for name in sorted({*known, *found}) if known.get(name) != found.get(name))
        raise OutputConflict(
            f"the folder holds this benchmark with another split or other scans (the first is {other})",
            remedy="Choose another output folder.",
            code="other_split",
        )
    write_json(path, found)


def _external(row: MethodRow, prepared: _Prepared, folder: Path) -> Results:
    assert row.heatmaps is not None
    scores = external_scores(row.heatmaps, prepared.ready)
    maps = external_maps(row.heatmaps, prepared.ready)
    kept = folder / f"external-{hashlib.sha256(row.name.encode()).hexdigest()[:12]}.safetensors"
    if maps:
        write_bytes(kept, save_tensors(dict(maps)))
    return Results(
        row=row,
        normals=None,
        ready=prepared.ready,
        scores={0: scores},
        refused={
            r.case.case_id: r.refused or "refused by the program"
            for r in prepared.ready
            if np.isposinf(scores[r.case.case_id])
        },
        calibration={},
        fold_of=_fold_of(prepared.folds),
        maps={0: (kept,) if maps else ()},
        costs=(),
    )


def _results(row: MethodRow, prepared: _Prepared, scored: Sequence[Scored]) -> list[Results]:
    """The jobs of a row together: one `Results` for each number of normals."""
    found = []
    for normals in dict.fromkeys(s.job.normals for s in scored):
        mine = [s for s in scored if s.job.normals == normals]
        seeds = list(dict.fromkeys(s.job.seed for s in mine))
        by_seed = {seed: [s for s in mine if s.job.seed == seed] for seed in seeds}
        found.append(
            Results(
                row=row,
                normals=normals,
                ready=prepared.ready,
                scores={seed: {c: v for s in jobs for c, v in s.scores.items()} for seed, jobs in by_seed.items()},
                refused={case: why for s in by_seed[seeds[0]] for case, why in s.refused.items()},
                calibration={}
                if normals is None
                else {seed: {s.job.fold.number: s.calibration for s in jobs} for seed, jobs in by_seed.items()},
                fold_of=_fold_of(prepared.folds),
                maps={seed: tuple(s.maps for s in jobs if s.maps is not None) for seed, jobs in by_seed.items()},
                costs=tuple(s.cost for s in mine),
            )
        )
    return found


def _fold_of(folds: Sequence[Fold]) -> dict[str, int]:
    return {r.case.case_id: fold.number for fold in folds for r in fold.test}


def _environment() -> dict[str, str]:
    """What the figures were made with; nothing that names a machine or a person."""
    packages = ("anomri", "numpy", "scipy", "torch", "scikit-learn", "SimpleITK")
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(os.cpu_count()),
        **{name: metadata.version(name) for name in packages},
    }
