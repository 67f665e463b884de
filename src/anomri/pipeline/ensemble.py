"""Fitting one or several branches on normals, and the constants that make their scores comparable.

Applying those constants is a pure function in `models.fusion`; nothing here sees a scan that will be scored.
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
from anomri.datasets.splits import hold_out_by_subject
from anomri.io.write import write_bytes, write_json
from anomri.methods import METHODS, Config, Method, load_method
from anomri.models.fusion import Scaling, fused_reading, measure_scaling

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["BranchSpec", "Fitted", "fit_branches"]

_HOLD_OUT_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class BranchSpec:
    """One branch to fit."""

    name: str
    method: str
    preset: str
    config: Config


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
    folder : weights and checkpoints; a branch whose weights stand there for the same scans, recipe and settings is
        not fitted again.
    scalings : constants for several branches where they are known. Where they are not, about a fifth of the subjects
        is kept from the branches and gives them.

    Returns
    -------
    The branches; with one branch no scaling is needed and none is measured.
    """
    measured = len(specs) > 1 and scalings is None
    held = hold_out_by_subject([p.subject for p in prepared], _HOLD_OUT_SHARE, seed=seed) if measured else ()
    train = [p for p, out in zip(prepared, held, strict=True) if not out] if measured else list(prepared)
    scans = sorted(p.scan.source.sha256 for p in train)
    methods: dict[str, Method] = {}
    curves: dict[str, Mapping[str, Sequence[float]]] = {}
    notes: list[str] = []
    for spec in specs:
        key = hashlib.sha256(
            "\n".join([spec.method, spec.config.model_dump_json(), str(seed), recipe_sha256, *scans]).encode()
        ).hexdigest()
        methods[spec.name], curves[spec.name], said = _fit_or_restore(spec, train, key, seed, fabric, folder)
        notes += [f"{spec.name}: {note}" for note in said]
    found: dict[str, Scaling] = dict(scalings) if scalings is not None else {}
    if measured:
        kept = [p for p, out in zip(prepared, held, strict=True) if out]
        for name, method in methods.items():
            readings = [method.examine(p, seed=seed) for p in kept]
            peaks = None
            if all(r.map is not None for r in readings):
                peaks = np.array([np.nanmax(r.map) for r in readings if r.map is not None])
            found[name] = measure_scaling(np.array([r.score for r in readings]), peaks)
    return Fitted(methods, found, curves, tuple(notes))


def _fit_or_restore(
    spec: BranchSpec, train: Sequence[Prepared], key: str, seed: int, fabric: Fabric | None, folder: Path
) -> tuple[Method, Mapping[str, Sequence[float]], tuple[str, ...]]:
    weights, record = folder / f"{spec.name}.safetensors", folder / f"{spec.name}.json"
    method_type = load_method(spec.method)
    if record.is_file() and weights.is_file():
        known = json.loads(record.read_text())
        if known["key"] == key:
            return method_type.restore(spec.config, load_file(weights)), known["curves"], tuple(known["notes"])
    folder.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)  # a kill between the two files must not leave a record with other weights
    method = method_type(spec.config)
    resume = folder / f"{spec.name}-{key[:12]}" if METHODS[spec.method].needs_torch else None
    report = method.fit(train, seed=seed, fabric=fabric, resume=resume)
    curves = {name: [float(v) for v in values] for name, values in report.curves.items()}
    write_bytes(weights, save_tensors({n: np.ascontiguousarray(a) for n, a in method.state().items()}))
    write_json(record, {"key": key, "curves": curves, "notes": list(report.notes)})
    return method, curves, report.notes
