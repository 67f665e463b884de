"""A model fitted on ten made brains by the real chain, small and coarse, and prepared scans for fits without it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from anomri.core.prepared import Prepared
from anomri.extraction import EXTRACTION
from anomri.methods.zatlas import ZAtlas
from anomri.models import Model
from anomri.pipeline import FitInput, FitSummary, fit
from anomri.pipeline.store import save_prepared
from anomri.preparation import RECIPES
from brains import ALARM_RATE, NORMALS, QUICK, digest, write_scan
from measured import as_measured, drawn_features
from synthetic import prepared_population


@dataclass(frozen=True)
class FittedBrains:
    """The model, what it was fitted on, and the voxels that reached its fits."""

    summary: FitSummary
    inputs: tuple[FitInput, ...]
    folder: Path
    seen: dict[str, str]

    @property
    def model(self) -> Model:
        return self.summary.model


@pytest.fixture(scope="session")
def fitted_brains(tmp_path_factory: pytest.TempPathFactory) -> FittedBrains:
    folder = tmp_path_factory.mktemp("brains")
    inputs = tuple(write_scan(folder, seed) for seed in range(NORMALS))
    seen: dict[str, str] = {}
    plain_fit = ZAtlas.fit

    def watched(self: ZAtlas, prepared: list[Prepared], **more: object) -> object:
        seen.update({p.scan.scan_id: digest(p) for p in prepared})
        return plain_fit(self, prepared, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "brain-t1", QUICK)
        patch.setattr(ZAtlas, "fit", watched)
        summary = fit(
            ["zatlas", "iqm1c"],
            inputs,
            folder / "model",
            name="tiny",
            preset=["zatlas-tiny", "iqm1c-tiny"],
            alarm_rate=ALARM_RATE,
        )
    return FittedBrains(summary, inputs, folder, seen)


@pytest.fixture(scope="session")
def people() -> list[Prepared]:
    """Twenty-two scans of twenty synthetic people, as if the real steps had measured them; two people came twice."""
    rng = np.random.default_rng(2)
    scans = [as_measured(p, drawn_features(rng)) for p in prepared_population(22, seed=7)]
    subject = {20: scans[3].subject, 21: scans[11].subject}
    return [dataclasses.replace(p, subject=subject.get(i, p.subject)) for i, p in enumerate(scans)]


def work_of(out: Path) -> Path:
    """Where a fit keeps what it makes on the way, if nothing else is asked for."""
    return out.with_name(out.name + ".fit")


Lay = Callable[[list[Prepared], Path], list[FitInput]]


@pytest.fixture(scope="session")
def lay() -> Lay:
    """Lay prepared scans where a fit or calibration that writes to `out` would have left them."""

    def laid(scans: list[Prepared], out: Path) -> list[FitInput]:
        folder = work_of(out) / "prepared"
        folder.mkdir(parents=True, exist_ok=True)
        inputs = []
        for prepared in scans:
            name = prepared.scan.scan_id
            path = out.parent / f"{name}.raw"
            path.write_bytes(name.encode())
            digest, recipe = hashlib.sha256(name.encode()).hexdigest(), RECIPES["brain-t1"]
            key = f"{name}-{digest[:16]}-{recipe.sha256[:16]}-{EXTRACTION}"
            save_prepared(prepared, folder / f"{key}.safetensors")
            inputs.append(FitInput(path, name, prepared.subject, prepared.covariates))
        return inputs

    return laid


@pytest.fixture(scope="session")
def fitted_people(
    people: list[Prepared], lay: Lay, tmp_path_factory: pytest.TempPathFactory
) -> tuple[FitSummary, list[FitInput], Path]:
    """An atlas fitted on the synthetic people, without a break."""
    out = tmp_path_factory.mktemp("people") / "model"
    inputs = lay(people, out)
    summary = fit(["zatlas"], inputs, out, name="people", preset=["zatlas-tiny"], work=work_of(out))
    return summary, inputs, out
