"""Fitting one or several branches on normals, and the constants that make their scores comparable.

The constants of a branch come from normals that it had not seen. A branch that is fitted in seconds is fitted once more
without each fifth of the subjects, and all of them give its constants; a network is trained once, without a fifth, and
that fifth gives them. Applying the constants is a pure function in `models.fusion`; nothing here sees a scan that will
be scored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load_file
from safetensors.numpy import save as save_tensors

from anomri.core.prepared import Prepared
from anomri.core.reading import Reading
from anomri.datasets.splits import folds_by_subject, hold_out_by_subject
from anomri.io.write import write_bytes, write_json
from anomri.methods import Method, entry_of, load_method
from anomri.models.fusion import Scaling, fused_reading, measure_scaling
from anomri.pipeline.specs import BranchSpec

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Fitted", "fewest_to_learn_from", "fit_branches"]

_HOLD_OUT_SHARE = 0.2
_INNER_FOLDS = 5


@dataclass(frozen=True, eq=False, slots=True)
class Fitted:
    """Fitted branches with their scalings and training curves, by branch name."""

    methods: Mapping[str, Method]
    scalings: Mapping[str, Scaling]
    curves: Mapping[str, Mapping[str, Sequence[float]]]
    notes: tuple[str, ...]

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
    folder : weights and checkpoints; a branch whose weights stand there for the same scans, recipe, settings and
        version of the method is not fitted again.
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
    )


def fewest_to_learn_from(spec: BranchSpec, subjects: Sequence[str], *, seed: int, alone: bool) -> int:
    """The smallest number of scans any fit of a branch gets from a training set, given whose each scan is.

    Raises
    ------
    CalibrationError : too few subjects to keep any from it.
    """
    if alone:
        return len(subjects)
    return min(held.count(False) for held in _inner_splits(spec, subjects, seed))


def _inner_splits(spec: BranchSpec, subjects: Sequence[str], seed: int) -> list[tuple[bool, ...]]:
    """Which scans each inner fit of a branch does not see."""
    if entry_of(spec.method).needs_torch:
        return [hold_out_by_subject(subjects, _HOLD_OUT_SHARE, seed=seed)]
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
    weights, record = folder / f"{spec.name}.safetensors", folder / f"{spec.name}.json"
    key = _key(spec, prepared, seed, recipe_sha256, measured=measured)
    if record.is_file() and weights.is_file():
        known = json.loads(record.read_text())
        if known["key"] == key:
            scaling = None if known["scaling"] is None else Scaling.model_validate(known["scaling"])
            method = load_method(spec.method).restore(spec.config, load_file(weights))
            return _Branch(method, scaling, known["curves"], tuple(known["notes"]))
    folder.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)  # a kill between the two files must not leave a record with other weights
    # A training goes on under other settings of the reading: its key leaves them out.
    resume = folder / f"{spec.name}-{_key(spec, prepared, seed, recipe_sha256, measured=False)[:12]}"
    branch = _fit(spec, prepared, seed, fabric, resume, measured=measured)
    write_bytes(weights, save_tensors({n: np.ascontiguousarray(a) for n, a in branch.method.state().items()}))
    scaling_said = None if branch.scaling is None else branch.scaling.model_dump()
    write_json(record, {"key": key, "scaling": scaling_said, "curves": branch.curves, "notes": list(branch.notes)})
    return branch


def _fit(
    spec: BranchSpec, prepared: Sequence[Prepared], seed: int, fabric: Fabric | None, resume: Path, *, measured: bool
) -> _Branch:
    network = entry_of(spec.method).needs_torch
    splits = _inner_splits(spec, [p.subject for p in prepared], seed) if measured else []
    train = _parts(prepared, splits[0])[0] if measured and network else prepared
    method = load_method(spec.method)(spec.config)
    report = method.fit(train, seed=seed, fabric=fabric, resume=resume if network else None)
    scores, peaks = [], []
    for split in splits:
        rest, held = _parts(prepared, split)
        inner = method
        if not network:
            inner = load_method(spec.method)(spec.config)
            inner.fit(rest, seed=seed, fabric=None, resume=None)
        for each in held:
            reading = inner.examine(each, seed=seed)
            scores.append(reading.score)
            if reading.map is not None:
                peaks.append(np.nanmax(reading.map))
    scaling = None
    if measured:
        scaling = measure_scaling(np.array(scores), np.array(peaks) if len(peaks) == len(scores) else None)
    return _Branch(method, scaling, {n: [float(v) for v in c] for n, c in report.curves.items()}, report.notes)


def _key(spec: BranchSpec, prepared: Sequence[Prepared], seed: int, recipe_sha256: str, *, measured: bool) -> str:
    """Digest of all that decides a branch: who a scan is of decides the splits; scalings hang on the reading, too."""
    method = f"{spec.method} {load_method(spec.method).version} {measured}"
    scans = sorted(f"{p.scan.source.image_sha256} {p.subject} {sorted(p.covariates.items())}" for p in prepared)
    settings = spec.config.model_dump(mode="json") if measured else spec.config.of_fit()
    parts = [method, json.dumps(settings), str(seed), recipe_sha256, *scans]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _parts(prepared: Sequence[Prepared], held: Sequence[bool]) -> tuple[list[Prepared], list[Prepared]]:
    rest = [p for p, out in zip(prepared, held, strict=True) if not out]
    return rest, [p for p, out in zip(prepared, held, strict=True) if out]
