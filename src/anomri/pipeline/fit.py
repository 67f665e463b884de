"""The verb `fit`: from normal scans to a calibrated model, in resumable stages.

check what can be checked → prepare every scan → for each of five folds by subject: fit the branches on the other four,
score the fold → fit the branches on all → calibrate on the out-of-fold scores → write. Every stage leaves its result in
``MODEL.fit/``, so that the same command run again after a kill goes on where it stopped; once the model is complete
that folder goes.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, cast

from anomri.calibration import Calibration, Normal, normals_needed, robust_z, smallest_rate
from anomri.calibration.tail import check_alarm_rate
from anomri.core.prepared import Prepared
from anomri.datasets.splits import folds_by_subject
from anomri.errors import CalibrationError
from anomri.methods import entry_of
from anomri.models import (
    Branch,
    BranchRecord,
    Card,
    Model,
    TrainingScan,
    require_replaceable,
    write_calibrated,
    write_model,
)
from anomri.models.fusion import Scaling, mean_scaling
from anomri.pipeline.ensemble import Fitted, fewest_to_learn_from, fit_branches
from anomri.pipeline.gather import Dropped, FitInput, gather
from anomri.pipeline.records import normal_of
from anomri.pipeline.specs import BranchSpec, branch_specs
from anomri.preparation import Recipe, recipe_named
from anomri.scope import fit_scope

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from anomri.training.fabric import Device

__all__ = ["FOLDS", "FitSummary", "ModelCardText", "fit"]

FOLDS = 5
_OUTLYING_Z = 3.0


@dataclass(frozen=True, slots=True)
class ModelCardText:
    """The sentences of a model's card that no measurement can write."""

    cohort: str = "Not described."
    validation: str = "Not measured beyond its own cross-validation."
    expects: str = "The sequence, and the preparation, of the scans it was trained on."
    licence: str = "not stated"
    single_site: bool = True


@dataclass(frozen=True, eq=False, slots=True)
class FitSummary:
    """What a fit ended with.

    Parameters
    ----------
    model : as it stands on disk.
    dropped : scans that could not be used.
    curves : training curves by branch; of the final model.
    outlying : training scans whose out-of-fold score stands far out, with their robust z: worth a look.
    normals_needed : by false-alarm rate, how many normals would promise it.
    """

    model: Model
    dropped: tuple[Dropped, ...]
    curves: Mapping[str, Mapping[str, Sequence[float]]]
    outlying: tuple[tuple[str, float], ...]
    normals_needed: Mapping[float, int]
    notes: tuple[str, ...]


def fit(
    methods: Sequence[str],
    scans: Sequence[FitInput],
    out: Path,
    *,
    name: str,
    work: Path | None = None,
    preset: Sequence[str | None] | None = None,
    settings: Mapping[str, str] | None = None,
    recipe: str | None = None,
    card: ModelCardText | None = None,
    version: str = "1",
    seed: int = 0,
    device: str = "auto",
    jobs: int = 1,
    half: bool = False,
    alarm_rate: float = 0.05,
    report: Callable[[str], None] = lambda _line: None,
) -> FitSummary:
    """Train from normal scans alone, calibrate on out-of-fold scores, write the model folder.

    Parameters
    ----------
    methods : one or several names of `METHODS`; several become branches of one model.
    out : model folder.
    work : folder for what is made on the way, which is kept; None for ``<out>.fit``, which goes once the model is
        complete.
    preset : one for each method, or None for its first.
    recipe : name of another preparation than the presets' own.
    half : store weights as float16.
    report : called with a line of progress.

    Raises
    ------
    SettingError, CalibrationError, OutputConflict, EnvironmentProblem : before any scan is prepared, where settings,
        number of scans, output folder or device make a model impossible.
    InputError, CalibrationError, DataLeak, ModelError : as the stages do.
    """
    check_alarm_rate(alarm_rate)
    specs, recipe_name = branch_specs(
        methods,
        preset if preset is not None else [None] * len(methods),
        settings if settings is not None else {},
        recipe=recipe,
    )
    preparation = recipe_named(recipe_name)
    require_replaceable(out)
    for spec in specs:
        spec.config.require_files()
    _require_enough(specs, [scan.subject for scan in scans], seed)
    fabric = _fabric(specs, device)
    _warn_of_few(len(scans), alarm_rate, report)
    folder = out.with_name(out.name + ".fit") if work is None else work
    prepared, dropped = gather(scans, preparation, folder / "prepared", jobs=jobs, report=report)
    if dropped:
        _warn_of_few(len(prepared), alarm_rate, report)
    folds = folds_by_subject([p.subject for p in prepared], FOLDS, seed=seed)
    normals: list[Normal] = []
    constants: dict[str, list[Scaling]] = {spec.name: [] for spec in specs}
    for fold in range(FOLDS):
        train = [p for p, f in zip(prepared, folds, strict=True) if f != fold]
        test = [p for p, f in zip(prepared, folds, strict=True) if f == fold]
        fitted = fit_branches(
            specs, train, seed=seed, fabric=fabric, folder=folder / f"fold-{fold}", recipe_sha256=preparation.sha256
        )
        for branch, scaling in fitted.scalings.items():
            constants[branch].append(scaling)
        normals += [normal_of(p, fitted.read(p, seed=seed), fold) for p in test]
        report(f"fold {fold + 1} of {FOLDS}: fitted on {len(train)}, scored {len(test)}")
    final = fit_branches(
        specs,
        prepared,
        seed=seed,
        fabric=fabric,
        folder=folder / "final",
        recipe_sha256=preparation.sha256,
        scalings={branch: mean_scaling(found) for branch, found in constants.items() if found},
    )
    text = _card(name, version, card if card is not None else ModelCardText(), prepared, seed)
    model = write_model(_uncalibrated(final, specs, prepared, text, preparation), folder / "uncalibrated", half=half)
    calibration = Calibration(
        normals=tuple(sorted(normals, key=lambda n: n.scan_id)),
        model_sha256=model.content_sha256,
        recipe_sha256=preparation.sha256,
        site=name,
        alarm_rate=alarm_rate,
    )
    model = write_calibrated(model, calibration, out)
    report(f"model written to {out}")
    if work is None:
        _clear(folder)
    return _summary(model, dropped, final)


def _clear(folder: Path) -> None:
    """Remove what was made on the way; what cannot be removed harms nobody."""
    for part in ("prepared", "final", "uncalibrated", *(f"fold-{fold}" for fold in range(FOLDS))):
        shutil.rmtree(folder / part, ignore_errors=True)
    with suppress(OSError):
        folder.rmdir()


def _require_enough(specs: Sequence[BranchSpec], subjects: Sequence[str], seed: int) -> None:
    """Refuse fewer scans than every fit of every branch asks for."""
    folds = folds_by_subject(subjects, FOLDS, seed=seed)
    for spec in specs:
        least = spec.config.least_normals
        fewest = len(subjects)
        for fold in range(FOLDS):
            train = [s for s, f in zip(subjects, folds, strict=True) if f != fold]
            fewest = min(fewest, fewest_to_learn_from(spec, train, seed=seed, alone=len(specs) == 1))
        if fewest < least:
            raise CalibrationError(
                f"of {len(subjects)} normal scans {spec.method} would learn from {fewest} in a fold; it needs {least}",
                remedy=f"Give at least {math.ceil(len(subjects) * least / fewest)}.",
                code="too_few_normals",
            )


def _warn_of_few(count: int, alarm_rate: float, report: Callable[[str], None]) -> None:
    needed = normals_needed(alarm_rate)
    if count < needed:
        report(
            f"{count} normals cannot promise a false-alarm rate of {alarm_rate:g}, which needs {needed}: scoring will "
            f"have to ask for at least {smallest_rate(count):.3g}"
        )


def _uncalibrated(
    final: Fitted,
    specs: Sequence[BranchSpec],
    prepared: Sequence[Prepared],
    card: Card,
    recipe: Recipe,
) -> Model:
    branches = []
    for spec in specs:
        record = BranchRecord(
            name=spec.name,
            method=spec.method,
            method_version=final.methods[spec.name].version,
            preset=spec.preset,
            config=json.loads(spec.config.model_dump_json()),
            weights=f"{spec.name}.safetensors",
            scaling=final.scalings.get(spec.name),
        )
        branches.append(Branch(record, final.methods[spec.name]))
    return Model(
        card=card.model_copy(update={"branches": tuple(b.record for b in branches)}),
        recipe=recipe,
        scope=fit_scope(prepared),
        branches=tuple(branches),
        calibration=None,
        sha256="",
    )


def _card(name: str, version: str, text: ModelCardText, prepared: Sequence[Prepared], seed: int) -> Card:
    ages = [p.covariates["age"] for p in prepared if "age" in p.covariates]
    return Card(
        name=name,
        version=version,
        branches=(),
        cohort=text.cohort,
        validation=text.validation,
        expects=text.expects,
        licence=text.licence,
        made_by=f"anomri {metadata.version('anomri')}",
        seed=seed,
        training=tuple(
            TrainingScan(scan_id=p.scan.scan_id, subject=p.subject, image_sha256=p.scan.source.image_sha256)
            for p in prepared
        ),
        age_range=(min(ages), max(ages)) if ages else None,
        single_site=text.single_site,
    )


def _summary(model: Model, dropped: tuple[Dropped, ...], final: Fitted) -> FitSummary:
    calibration = model.calibrated()
    reference = calibration.reference_scores
    outlying = []
    for normal in calibration.normals:
        z = robust_z(normal.score, reference)
        if z is not None and z > _OUTLYING_Z:
            outlying.append((normal.scan_id, z))
    return FitSummary(
        model=model,
        dropped=dropped,
        curves=final.curves,
        outlying=tuple(sorted(outlying, key=lambda o: -o[1])),
        normals_needed={rate: normals_needed(rate) for rate in (0.01, 0.02, 0.05, 0.10)},
        notes=final.notes,
    )


def _fabric(specs: Sequence[BranchSpec], device: str) -> Fabric | None:
    if not any(entry_of(spec.method).needs_torch for spec in specs):
        return None
    from anomri.training.fabric import make_fabric  # brings torch

    fabric: Fabric = make_fabric(cast("Device", device))
    return fabric
