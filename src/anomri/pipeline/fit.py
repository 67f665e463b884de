"""The verb `fit`: from normal scans to a calibrated model, in resumable stages.

prepare every scan → for each of five folds by subject: fit the branches on the other four, score the fold → fit the
branches on all → write → calibrate on the out-of-fold scores → write. Every stage leaves its result in
``MODEL.fit/``; the same command run again after a kill goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from pydantic import ValidationError

from anomri.calibration import Calibration, Normal, normals_needed, robust_z, smallest_rate
from anomri.core.prepared import Prepared
from anomri.datasets.splits import folds_by_subject
from anomri.errors import InputError
from anomri.methods import METHODS, load_preset
from anomri.models import Branch, BranchRecord, Card, Model, TrainingScan, write_calibrated, write_model
from anomri.models.fusion import Scaling, mean_scaling
from anomri.pipeline.ensemble import BranchSpec, Fitted, fit_branches
from anomri.pipeline.gather import Dropped, FitInput, gather
from anomri.preparation import Recipe, recipe_named
from anomri.scope import fit_scope

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from anomri.training.fabric import Device

__all__ = ["FOLDS", "FitSummary", "ModelCardText", "branch_specs", "fit", "fold_folder"]

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


def branch_specs(
    methods: Sequence[str], presets: Sequence[str | None], settings: Mapping[str, str]
) -> tuple[tuple[BranchSpec, ...], str]:
    """What to fit, and the recipe it needs.

    Parameters
    ----------
    settings : ``field`` or ``method.field`` → value, as text; read by the method's own config.

    Raises
    ------
    InputError : a method twice, an unknown setting, a value that does not fit, or methods made for different recipes.
    """
    if len(set(methods)) < len(methods):
        raise InputError("a method stands twice", remedy="Name each method once.", code="setting")
    specs, recipes = [], []
    used: set[str] = set()
    for method, preset in zip(methods, presets, strict=True):
        name, found = load_preset(method, preset)
        values: dict[str, Any] = found.config.model_dump()
        for key, value in settings.items():
            owner, _, field = key.rpartition(".")
            if field in values and owner in ("", method):
                values[field] = _parsed(value)
                used.add(key)
        try:
            config = type(found.config).model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InputError(
                f"setting {where} of {method}: {first['msg']}", remedy="See anomri methods.", code="setting"
            ) from error
        specs.append(BranchSpec(method, method, name, config))
        recipes.append(found.recipe)
    unknown = sorted(set(settings) - used)
    if unknown:
        raise InputError(
            f"no such setting: {', '.join(unknown)}", remedy="See the method's page for its settings.", code="setting"
        )
    if len(set(recipes)) > 1:
        raise InputError(
            f"these methods need different preparations ({', '.join(sorted(set(recipes)))})",
            remedy="Fit them as two models.",
            code="recipes",
        )
    return tuple(specs), recipes[0]


def fit(
    methods: Sequence[str],
    scans: Sequence[FitInput],
    out: Path,
    *,
    name: str,
    preset: Sequence[str | None] | None = None,
    settings: Mapping[str, str] | None = None,
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
    preset : one for each method, or None for its first.
    out : model folder; stages are kept beside it in ``<out>.fit``.
    half : store weights as float16.
    report : called with a line of progress.

    Raises
    ------
    InputError, CalibrationError, DataLeak, ModelError : as the stages do.
    """
    specs, recipe_name = branch_specs(
        methods, preset if preset is not None else [None] * len(methods), settings if settings is not None else {}
    )
    recipe = recipe_named(recipe_name)
    work = out.with_name(out.name + ".fit")
    prepared, dropped = gather(scans, recipe, work / "prepared", jobs=jobs, report=report)
    if len(prepared) < normals_needed(alarm_rate):
        report(
            f"{len(prepared)} normals cannot promise a false-alarm rate of {alarm_rate:g}, which needs "
            f"{normals_needed(alarm_rate)}: scoring will have to ask for at least {smallest_rate(len(prepared)):.3g}"
        )
    fabric = _fabric(specs, device)
    folds = folds_by_subject([p.subject for p in prepared], FOLDS, seed=seed)
    normals: list[Normal] = []
    constants: dict[str, list[Scaling]] = {spec.name: [] for spec in specs}
    for fold in range(FOLDS):
        train = [p for p, f in zip(prepared, folds, strict=True) if f != fold]
        test = [p for p, f in zip(prepared, folds, strict=True) if f == fold]
        fitted = fit_branches(
            specs, train, seed=seed, fabric=fabric, folder=fold_folder(out, fold), recipe_sha256=recipe.sha256
        )
        for branch, scaling in fitted.scalings.items():
            constants[branch].append(scaling)
        normals += [_score(p, fitted, fold, seed) for p in test]
        report(f"fold {fold + 1} of {FOLDS}: fitted on {len(train)}, scored {len(test)}")
    final = fit_branches(
        specs,
        prepared,
        seed=seed,
        fabric=fabric,
        folder=work / "final",
        recipe_sha256=recipe.sha256,
        scalings={branch: mean_scaling(found) for branch, found in constants.items() if found},
    )
    text = _card(name, version, card if card is not None else ModelCardText(), prepared, seed)
    model = write_model(_uncalibrated(final, specs, prepared, text, recipe), out, half=half)
    calibration = Calibration(
        normals=tuple(sorted(normals, key=lambda n: n.scan_id)),
        model_sha256=model.content_sha256,
        recipe_sha256=recipe.sha256,
        site=name,
        alarm_rate=alarm_rate,
    )
    model = write_calibrated(model, calibration, out)
    report(f"model written to {out}")
    return _summary(model, dropped, final)


def fold_folder(out: Path, fold: int) -> Path:
    """Where `fit` keeps the branches of one fold."""
    return out.with_name(out.name + ".fit") / f"fold-{fold}"


def _score(prepared: Prepared, fitted: Fitted, fold: int, seed: int) -> Normal:
    reading = fitted.read(prepared, seed=seed)
    return Normal(
        scan_id=prepared.scan.scan_id,
        subject=prepared.subject,
        sha256=prepared.scan.source.sha256,
        score=reading.score,
        peak=None if reading.map is None else float(np.nanmax(reading.map)),
        fold=fold,
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
            TrainingScan(scan_id=p.scan.scan_id, subject=p.subject, sha256=p.scan.source.sha256) for p in prepared
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
    if not any(METHODS[spec.method].needs_torch for spec in specs):
        return None
    from anomri.training.fabric import make_fabric  # brings torch

    fabric: Fabric = make_fabric(cast("Device", device))
    return fabric


def _parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value
