"""The report of a fit, beside the model it tells of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anomri.models import BranchRecord
    from anomri.pipeline import FitSummary
    from anomri.report.fit_page import FitFacts, Setting

__all__ = ["FIT_REPORT", "fit_facts", "write_fit_report"]

FIT_REPORT = "fit_report.html"
# A rate is steady with three normals expected beyond its threshold instead of one.
_STEADY_COUNT = 3


def write_fit_report(summary: FitSummary, folder: Path) -> Path:
    """Write ``fit_report.html`` into a model folder and return its path.

    The page is no part of the model: `model.json` does not name it, and the model loads without it.

    Raises
    ------
    EnvironmentProblem : the disk is full, or the folder cannot be written.
    """
    from anomri.io.write import write_text
    from anomri.report.fit_page import fit_page

    path = Path(folder) / FIT_REPORT
    write_text(path, fit_page(fit_facts(summary)))
    return path


def fit_facts(summary: FitSummary) -> FitFacts:
    """What a fit ended with, as plain values.

    Raises
    ------
    ModelError : the model is not calibrated.
    """
    from anomri.calibration import normals_needed, smallest_rate, threshold_interval
    from anomri.report.fit_page import FitFacts, FittedBranch, LeftOut, OutlyingScan, PromisedRate

    card, calibration = summary.model.card, summary.model.calibrated()
    scores, rate = calibration.reference_scores, calibration.alarm_rate
    by_id = {normal.scan_id: normal for normal in calibration.normals}
    # Fewer normals than the rate needs still make a model, which refuses to judge at that rate.
    enough = len(scores) >= normals_needed(rate)
    rates = {**summary.normals_needed, rate: normals_needed(rate)}
    return FitFacts(
        model=card.name,
        version=card.version,
        sha256=summary.model.sha256,
        made_by=card.made_by,
        cohort=card.cohort,
        expects=card.expects,
        validation=card.validation,
        licence=card.licence,
        seed=card.seed,
        branches=tuple(
            FittedBranch(b.name, b.method, b.preset, _branch_settings(b), summary.curves.get(b.name, {}))
            for b in card.branches
        ),
        recipe=summary.model.recipe.name,
        recipe_settings=_settings(json.loads(summary.model.recipe.model_dump_json(exclude={"name"}))),
        subjects=len({scan.subject for scan in card.training}),
        folds=len({normal.fold for normal in calibration.normals}),
        scores=scores,
        thresholds=calibration.thresholds() if enough else None,
        fail_interval=threshold_interval(scores, rate) if enough else None,
        alarm_rate=rate,
        smallest_rate=smallest_rate(len(scores)),
        rates=tuple(PromisedRate(r, n, normals_needed(r / _STEADY_COUNT)) for r, n in sorted(rates.items())),
        outlying=tuple(
            OutlyingScan(scan_id, by_id[scan_id].subject, by_id[scan_id].score, z) for scan_id, z in summary.outlying
        ),
        left_out=tuple(LeftOut(dropped.scan_id, dropped.reason) for dropped in summary.dropped),
        notes=summary.notes,
    )


def _branch_settings(branch: BranchRecord) -> tuple[Setting, ...]:
    from anomri.methods import load_preset

    _, preset = load_preset(branch.method, branch.preset)
    return _settings(branch.config, json.loads(preset.config.model_dump_json()))


def _settings(values: dict[str, Any], preset: dict[str, Any] | None = None) -> tuple[Setting, ...]:
    from anomri.report.fit_page import Setting

    usual = values if preset is None else preset
    return tuple(
        Setting(name, _plain(value), "" if value == usual.get(name) else _plain(usual.get(name)))
        for name, value in values.items()
    )


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
