"""Fitting one or several branches on normals, and the constants that make their scores comparable.

The constants of a branch come from normals that it had not seen. A branch that is fitted in seconds is fitted once more
without each fifth of the subjects, and all of them give its constants; a network keeps a fifth out of its own training,
and that fifth gives them. Applying the constants is a pure function in `models.fusion`; nothing here sees a scan that
will be scored.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load_file
from safetensors.numpy import save as save_tensors

from anomri.core.prepared import Prepared
from anomri.core.reading import Reading
from anomri.datasets.splits import folds_by_subject
from anomri.io.write import write_bytes, write_json
from anomri.methods import Method, entry_of, load_method
from anomri.models.fusion import SCALING_VERSION, Scaling, fused_reading, measure_scaling
from anomri.pipeline.specs import BranchSpec

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Fitted", "fewest_to_learn_from", "fit_branches"]

_INNER_FOLDS = 5


@dataclass(frozen=True, eq=False, slots=True)
class Fitted:
    """Fitted branches with their scalings and training curves, by branch name.

    `folders` hold what is kept of each branch; `fit_s` is the wall time all their fits took, whenever that was.
    """

    methods: Mapping[str, Method]
    scalings: Mapping[str, Scaling]
    curves: Mapping[str, Mapping[str, Sequence[float]]]
    notes: tuple[str, ...]
    folders: Mapping[str, Path]
    fit_s: float

    def read(self, prepared: Prepared, *, seed: int) -> Reading:
        """The fused reading of one scan."""
        readings = {name: method.examine(prepared, seed=seed) for name, method in self.methods.items()}
        return fused_reading(readings, self.scalings)


@dataclass(frozen=True, eq=False, slots=True)
class _Branch:
    """One fitted branch, with its scaling where one was measured."""

    method: Method
    scaling: Scaling | None
    curves: Mapping[str, Sequence[float]]
    notes: tuple[str, ...]
    folder: Path
    fit_s: float


def fit_branches(
    specs: Sequence[BranchSpec],
    prepared: Sequence[Prepared],
    *,
    seed: int,
    fabric: Fabric | None,
    folder: Path,
    recipe_sha256: str,
    scalings: Mapping[str, Scaling] | None = None,
) -> Fitted:
    """Fit every branch on normals.

    Parameters
    ----------
    prepared : scans of normal subjects.
    folder : each branch keeps its weights and checkpoints in a folder of its own there, named by the scans, recipe,
        settings and version of the method. What stands there is not fitted again, for whichever model it was made.
    scalings : constants for several branches where they are known; they are measured where they are not.

    Returns
    -------
    The branches; with one branch no scaling is needed and none is measured.
    """
    measured = len(specs) > 1 and scalings is None
    found = {
        spec.name: _fit_or_restore(spec, prepared, seed, fabric, folder, recipe_sha256, measured=measured)
        for spec in specs
    }
    own = {name: branch.scaling for name, branch in found.items() if branch.scaling is not None}
    return Fitted(
        methods={name: branch.method for name, branch in found.items()},
        scalings=own if scalings is None else scalings,
        curves={name: branch.curves for name, branch in found.items()},
        notes=tuple(f"{name}: {note}" for name, branch in found.items() for note in branch.notes),
        folders={name: branch.folder for name, branch in found.items()},
        fit_s=sum(branch.fit_s for branch in found.values()),
    )


def fewest_to_learn_from(spec: BranchSpec, subjects: Sequence[str], *, seed: int, alone: bool) -> int:
    """The smallest number of scans any fit of a branch gets from a training set, given whose each scan is.

    Raises
    ------
    CalibrationError : too few subjects to keep any from it.
    """
    if alone or entry_of(spec.method).needs_torch:
        return len(subjects)
    return min(held.count(False) for held in _inner_splits(subjects, seed))


def _inner_splits(subjects: Sequence[str], seed: int) -> list[tuple[bool, ...]]:
    """Which scans each inner fit of a branch does not see."""
    folds = folds_by_subject(subjects, _INNER_FOLDS, seed=seed)
    return [tuple(fold == number for fold in folds) for number in range(_INNER_FOLDS)]


def _fit_or_restore(
    spec: BranchSpec,
    prepared: Sequence[Prepared],
    seed: int,
    fabric: Fabric | None,
    folder: Path,
    recipe_sha256: str,
    *,
    measured: bool,
) -> _Branch:
    network = entry_of(spec.method).needs_torch
    key = _key(spec, prepared, seed, recipe_sha256)
    own = folder / f"{spec.method}-{key[:24]}"
    # What the reading alone hangs on decides a scaling, and nothing of the weights.
    reading = f"{SCALING_VERSION} {spec.config.model_dump_json()}"
    read = hashlib.sha256(reading.encode()).hexdigest()[:12]
    weights, record, scaled = own / "weights.safetensors", own / "fit.json", own / f"scaling-{read}.json"
    if not (record.is_file() and (scaled.is_file() or not measured)):
        own.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        method = load_method(spec.method)(spec.config)
        report = method.fit(prepared, seed=seed, fabric=fabric, resume=own / "training" if network else None)
        fit_s = report.elapsed_s if network else time.perf_counter() - start
        curves = {name: [float(v) for v in curve] for name, curve in report.curves.items()}
        if measured:
            write_json(scaled, _scaling(report.held_out or _out_of_fold(spec, prepared, seed)).model_dump())
        if not record.is_file():
            write_bytes(weights, save_tensors({n: np.ascontiguousarray(a) for n, a in method.state().items()}))
            write_json(record, {"curves": curves, "notes": list(report.notes), "fit_s": fit_s})
    known = json.loads(record.read_text())
    method = load_method(spec.method).restore(spec.config, load_file(weights))
    scaling = Scaling.model_validate_json(scaled.read_text()) if measured else None
    return _Branch(method, scaling, known["curves"], tuple(known["notes"]), own, known["fit_s"])


def _out_of_fold(spec: BranchSpec, prepared: Sequence[Prepared], seed: int) -> list[Reading]:
    """Each scan read by a branch fitted without its fold."""
    readings = []
    for split in _inner_splits([p.subject for p in prepared], seed):
        rest, held = _parts(prepared, split)
        inner = load_method(spec.method)(spec.config)
        inner.fit(rest, seed=seed, fabric=None, resume=None)
        readings += [inner.examine(each, seed=seed) for each in held]
    return readings


def _scaling(readings: Sequence[Reading]) -> Scaling:
    peaks = [float(np.nanmax(reading.map)) for reading in readings if reading.map is not None]
    scores = np.array([reading.score for reading in readings])
    return measure_scaling(scores, np.array(peaks) if len(peaks) == len(readings) else None)


def _key(spec: BranchSpec, prepared: Sequence[Prepared], seed: int, recipe_sha256: str) -> str:
    """Digest of all that decides a branch; who a scan is of decides the splits."""
    method = f"{spec.method} {load_method(spec.method).version}"
    scans = sorted(f"{p.scan.source.image_sha256} {p.subject} {sorted(p.covariates.items())}" for p in prepared)
    parts = [method, json.dumps(spec.config.of_fit()), str(seed), recipe_sha256, *scans]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _parts(prepared: Sequence[Prepared], held: Sequence[bool]) -> tuple[list[Prepared], list[Prepared]]:
    rest = [p for p, out in zip(prepared, held, strict=True) if not out]
    return rest, [p for p, out in zip(prepared, held, strict=True) if out]
