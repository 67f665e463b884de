"""A model moved to the normals of another site, as far as that needs no training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from anomri.core.prepared import Prepared
from anomri.errors import ModelError
from anomri.methods.method import Adaptable
from anomri.models import Model, TrainingScan

__all__ = ["adapted", "refuse_rigid"]


def adapted(model: Model, prepared: Sequence[Prepared], *, site: str) -> Model:
    """The same model, the statistics of its branches moved to these normals; not calibrated.

    Parameters
    ----------
    prepared : normal scans of the site, by the model's recipe.
    site : its name, for the model's card.

    Raises
    ------
    ModelError : a branch cannot be adapted.
    """
    refuse_rigid(model)
    branches = tuple(
        replace(branch, method=branch.method.adapted(prepared))
        for branch in model.branches
        if isinstance(branch.method, Adaptable)
    )
    learnt = tuple(
        TrainingScan(scan_id=p.scan.scan_id, subject=p.subject, image_sha256=p.scan.source.image_sha256)
        for p in prepared
    )
    update = {
        "cohort": f"{model.card.cohort} Its statistics were moved to {len(prepared)} normal scans of {site}.",
        "validation": f"{model.card.validation} That was measured before its statistics were moved to {site}.",
        "training": (*model.card.training, *learnt),
        "age_range": _with_ages(model.card.age_range, [p.covariates["age"] for p in prepared if "age" in p.covariates]),
    }
    card = model.card.model_copy(update=update)
    return replace(model, card=card, branches=branches, calibration=None, sha256="", folder=None)


def _with_ages(known: tuple[float, float] | None, ages: Sequence[float]) -> tuple[float, float] | None:
    """A range of ages that holds further ones; an unknown one stays unknown."""
    return None if known is None else (min((known[0], *ages)), max((known[1], *ages)))


def refuse_rigid(model: Model) -> None:
    """Raise `ModelError` where a branch of a model cannot be moved to a site."""
    rigid = [branch.record.method for branch in model.branches if not isinstance(branch.method, Adaptable)]
    if rigid:
        raise ModelError(
            f"a branch of {rigid[0]} cannot be adapted to a site",
            remedy="Calibrate without --adapt, or train on the site's normals.",
            code="not_adaptable",
        )
