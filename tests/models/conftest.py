"""A small model of two branches on synthetic scans, as it stands on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from anomri.calibration import Calibration, Normal
from anomri.core.prepared import Prepared
from anomri.methods import load_method, load_preset
from anomri.models import Branch, BranchRecord, Card, Model, TrainingScan, write_calibrated, write_model
from anomri.models.fusion import Scaling
from anomri.preparation import RECIPES
from anomri.scope import fit_scope
from measured import as_measured, drawn_features
from synthetic import prepared_population


@pytest.fixture(scope="session")
def normals() -> list[Prepared]:
    rng = np.random.default_rng(1)
    return [as_measured(p, drawn_features(rng)) for p in prepared_population(8, seed=1)]


def branch(method: str, normals: list[Prepared], scaling: Scaling | None) -> Branch:
    preset, found = load_preset(method, f"{method}-tiny")
    fitted = load_method(method)(found.config)
    fitted.fit(normals, seed=0, fabric=None, resume=None)
    record = BranchRecord(
        name=method,
        method=method,
        method_version=fitted.version,
        preset=preset,
        config=json.loads(found.config.model_dump_json()),
        weights=f"{method}.safetensors",
        scaling=scaling,
    )
    return Branch(record, fitted)


def calibration_of(model: Model, normals: list[Prepared]) -> Calibration:
    return Calibration(
        normals=tuple(
            Normal(
                scan_id=p.scan.scan_id,
                subject=p.subject,
                image_sha256=p.scan.source.image_sha256,
                score=1.0 + i,
                peak=4.0 + i,
                fold=i % 5,
            )
            for i, p in enumerate(normals)
        ),
        model_sha256=model.content_sha256,
        recipe_sha256=model.recipe.sha256,
        site="here",
        alarm_rate=0.2,
    )


@pytest.fixture(scope="session")
def in_memory(normals: list[Prepared]) -> Model:
    branches = (
        branch("zatlas", normals, Scaling(location=1.0, spread=0.5, peak=5.0)),
        branch("iqm1c", normals, Scaling(location=0.0, spread=0.3)),
    )
    card = Card(
        name="tiny",
        version="1",
        branches=tuple(b.record for b in branches),
        cohort="Eight made people.",
        validation="Not measured.",
        expects="Made scans.",
        licence="Apache-2.0",
        made_by="a test",
        seed=0,
        training=tuple(
            TrainingScan(scan_id=p.scan.scan_id, subject=p.subject, image_sha256=p.scan.source.image_sha256)
            for p in normals
        ),
        age_range=(20.0, 80.0),
    )
    return Model(
        card=card,
        recipe=RECIPES["brain-t1"],
        scope=fit_scope(normals),
        branches=branches,
        calibration=None,
        sha256="",
    )


@pytest.fixture(scope="session")
def written(in_memory: Model, normals: list[Prepared], tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Uncalibrated first, then calibrated, as `fit` does it."""
    folder: Path = tmp_path_factory.mktemp("models") / "tiny"
    bare = write_model(in_memory, folder)
    return write_calibrated(bare, calibration_of(bare, normals), folder)
