"""Stage 1 of a benchmark: every case simulated where it is to be, prepared, and kept on disk by its content.

A key holds the digest of the file, of the recipe, of the defect and of its simulator, so that a protocol that shares
scans with another one prepares them once, and a change of any of them prepares them anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from safetensors.numpy import save as save_tensors

from anomri import io
from anomri.benchmark.cases import Case, Defect
from anomri.core.geometry import Geometry, carry
from anomri.core.prepared import Prepared
from anomri.core.scan import Scan
from anomri.errors import InputError
from anomri.extraction import EXTRACTION
from anomri.io.formats import read_image
from anomri.io.write import write_bytes, write_json
from anomri.pipeline.brain import brain_of
from anomri.pipeline.processes import each
from anomri.pipeline.store import STORE_VERSION, load_prepared, save_prepared
from anomri.preparation import Recipe, prepare
from anomri.simulate import KINDS, Outline, Simulated, corrupt, lesion, outline_of
from anomri.simulate.lesions import LESION_VERSION

__all__ = ["Ready", "load_ready", "load_truth", "made_scan", "prepare_cases"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Ready:
    """A case after preparation.

    Parameters
    ----------
    key : digest of all that decides its bytes.
    clean : key of the scan a defect is simulated on; None for a real case.
    file : prepared scan; None where it was refused.
    refused : why it could not be prepared or is out of scope; empty otherwise.
    truth : kept truth mask on the prepared grid, of a refused scan on its own axes with the same spacing; None where
        there is none.
    truth_ml, truth_seen_ml : volume of the truth, and of the part inside the examined region.
    """

    case: Case
    key: str
    file: Path | None
    clean: str | None = None
    refused: str = ""
    truth: Path | None = None
    truth_ml: float | None = None
    truth_seen_ml: float | None = None


def prepare_cases(
    cases: Sequence[Case], recipe: Recipe, folder: Path, *, jobs: int, report: Callable[[str], None]
) -> tuple[Ready, ...]:
    """Prepare every case, the real ones first: a defect is simulated in the brain that preparation found.

    Parameters
    ----------
    folder : where prepared cases are kept between runs.

    Returns
    -------
    In the order of `cases`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digests = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in {case.path for case in cases}}
    keys = {case.case_id: _key(case, digests, recipe) for case in cases}
    clean = {case.path: _key(replace(case, defect=None, truth=None, outline=None), digests, recipe) for case in cases}
    found: dict[str, Ready] = {}
    for simulated in (False, True):
        tasks = [
            _Task(case, keys[case.case_id], clean[case.path] if simulated else None, recipe, folder)
            for case in cases
            if (case.defect is not None) == simulated
        ]
        for number, ready in enumerate(each(_prepare_one, tasks, jobs), start=1):
            found[ready.case.case_id] = ready
            said = f": refused, {ready.refused}" if ready.refused else ""
            report(f"prepared [{number}/{len(tasks)}] {ready.case.case_id}{said}")
    return tuple(found[case.case_id] for case in cases)


def load_ready(ready: Ready) -> Prepared:
    """The prepared scan of a case that was not refused, with the case's subject and covariates.

    Raises
    ------
    InputError : its file vanished.
    """
    prepared = None if ready.file is None else load_prepared(ready.file)
    if prepared is None:
        raise InputError(
            f"the prepared scan of {ready.case.case_id} is gone", remedy="Run the same command again.", code="vanished"
        )
    covariates = dict(ready.case.covariates)
    if ready.case.position is not None:
        covariates["position"] = ready.case.position
    return replace(prepared, subject=ready.case.subject, covariates=covariates)


def load_truth(ready: Ready) -> Mask | None:
    """(X, Y, Z) mask of what is abnormal on the prepared grid; None where nothing local is known."""
    if ready.truth is None:
        return None
    kept = load_file(ready.truth)
    shape = tuple(int(n) for n in kept["shape"])
    mask: Mask = np.unpackbits(kept["truth"], count=int(np.prod(shape))).reshape(shape).astype(bool)
    return mask


def made_scan(ready: Ready, folder: Path) -> Scan:
    """The scan of a case as it went into preparation: read, and changed where a defect is simulated.

    Raises
    ------
    InputError : the file cannot be read, or the clean scan of a simulated case was refused.
    """
    scan = io.read(ready.case.path, scan_id=ready.case.case_id)
    if ready.case.defect is None:
        return scan
    return _with_defect(scan, _clean(folder, ready.clean), ready.case.defect, ready.case.outline).scan


@dataclass(frozen=True, slots=True)
class _Task:
    case: Case
    key: str
    clean: str | None
    recipe: Recipe
    folder: Path


def _key(case: Case, digests: Mapping[Path, str], recipe: Recipe) -> str:
    parts = [digests[case.path], recipe.sha256, str(STORE_VERSION)]
    if case.truth is not None:
        parts.append(hashlib.sha256(case.truth.read_bytes()).hexdigest())
        parts += [str(value) for value in case.truth_values]
    if case.defect is not None:
        version = KINDS[case.defect.name].version if case.defect.kind == "artefact" else LESION_VERSION
        parts += [case.defect.model_dump_json(), str(version)]
    if case.outline is not None:
        parts.append(hashlib.sha256(case.outline.read_bytes()).hexdigest())
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]


def _prepare_one(task: _Task) -> Ready:
    record = task.folder / f"{task.key}.json"
    kept = json.loads(record.read_text()) if record.is_file() else None
    # Only a head is made anew where brains are cut out in another way.
    if kept is None or kept.get("brain", EXTRACTION) != EXTRACTION:
        _make(task, record)
        kept = json.loads(record.read_text())
    file, truth = task.folder / f"{task.key}.safetensors", task.folder / f"{task.key}.truth"
    return Ready(
        case=task.case,
        key=task.key,
        clean=task.clean,
        file=None if kept["refused"] else file,
        refused=kept["refused"],
        truth=truth if kept["truth_ml"] is not None else None,
        truth_ml=kept["truth_ml"],
        truth_seen_ml=kept["truth_seen_ml"],
    )


def _make(task: _Task, record: Path) -> None:
    """The record comes last: where it stands, the files it speaks of are whole."""
    said: dict[str, object] = {"refused": "", "truth_ml": None, "truth_seen_ml": None}
    truth: Mask | None = None
    kept = task.folder / f"{task.key}.truth"
    try:
        scan = io.read(task.case.path, scan_id=task.case.case_id)
        if task.case.defect is not None:
            made = _with_defect(scan, _clean(task.folder, task.clean), task.case.defect, task.case.outline)
            scan, truth = replace(made.scan, scan_id=task.case.case_id), made.core
        elif task.case.truth is not None:
            labels = read_image(task.case.truth).voxels
            truth = np.isin(labels, task.case.truth_values) if task.case.truth_values else labels > 0
        brain = brain_of(scan, task.recipe)
        if brain.full_head:
            said["brain"] = EXTRACTION
        if brain.reasons:
            raise InputError("; ".join(brain.reasons), remedy="Leave the case out, or use its recipe.", code="scope")
        prepared = prepare(scan, task.recipe, mask=brain.region)
    except InputError as error:
        said["refused"] = error.cause
        if truth is not None and truth.any():
            said |= _keep_truth(truth, scan.geometry, _like(scan.geometry, task.recipe.spacing_mm), None, kept)
    else:
        save_prepared(prepared, task.folder / f"{task.key}.safetensors")
        if truth is not None and truth.any():
            world, examined = prepared.history.world, prepared.region.mask
            said |= _keep_truth(truth, scan.geometry, prepared.scan.geometry, examined, kept, world=world)
    write_json(record, said)


def _clean(folder: Path, key: str | None) -> Prepared:
    clean = load_prepared(folder / f"{key}.safetensors")
    if clean is None:
        raise InputError("the clean scan was refused", remedy="See its own reason.", code="clean")
    return clean


def _with_defect(scan: Scan, clean: Prepared, defect: Defect, outline: Path | None) -> Simulated:
    brain = clean.brain.mask
    if defect.severity is not None:
        # Around a head, a body and a brain in its head lies what an artefact reaches; around a stripped brain nothing.
        return corrupt(
            scan,
            defect.name,
            severity=defect.severity,
            seed=defect.seed,
            brain=brain,
            keep_outside=clean.brain.name in ("head", "body") or clean.brain.made_by == EXTRACTION,
        )
    assert defect.volume_ml is not None
    assert defect.contrast is not None
    white = clean.history.measured("quality", "white")
    grey = white * clean.history.measured("quality", "grey_to_white")
    csf = white * clean.history.measured("quality", "csf_to_white")
    return lesion(
        scan,
        volume_ml=defect.volume_ml,
        contrast=defect.contrast,
        sign="bright" if defect.name == "bright" else "dark",
        seed=defect.seed,
        brain=brain,
        grey_white_difference=white - grey,
        # The centre lies in tissue: a lesion within a ventricle would be none.
        candidates=scan.voxels > (csf + grey) / 2,
        outline=None if outline is None else _outline(outline),
    )


def _outline(path: Path) -> Outline:
    mask = read_image(path)
    return outline_of(mask.voxels > 0, mask.geometry.spacing_mm)


def _like(geometry: Geometry, spacing_mm: float) -> Geometry:
    """The same field of view with another spacing; a single slice stays one."""
    shape, affine = list(geometry.shape), geometry.affine.copy()
    for axis in range(3):
        if shape[axis] > 1:
            shape[axis] = max(1, round(shape[axis] * geometry.spacing_mm[axis] / spacing_mm))
        affine[:3, axis] *= spacing_mm / geometry.spacing_mm[axis]
    return Geometry((shape[0], shape[1], shape[2]), affine)


def _keep_truth(
    truth: Mask,
    source: Geometry,
    target: Geometry,
    examined: Mask | None,
    path: Path,
    *,
    world: NDArray[np.float64] | None = None,
) -> dict[str, float]:
    carried = carry(truth.astype(np.float32), source, target, world) > 0.5
    shape = np.array(carried.shape, dtype=np.int64)
    write_bytes(path, save_tensors({"truth": np.packbits(carried), "shape": shape}))
    seen = 0 if examined is None else int((carried & examined).sum())
    # Both in the world of the scan: registration, and the box of a slice most of all, change sizes.
    enlarged = 1.0 if world is None else abs(float(np.linalg.det(world[:3, :3])))
    return {"truth_ml": float(truth.sum() * source.voxel_ml), "truth_seen_ml": seen * target.voxel_ml / enlarged}
