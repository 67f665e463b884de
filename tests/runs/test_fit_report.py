"""From what a fit ended with to the page beside the model."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from anomri.calibration import Calibration, Normal
from anomri.errors import EnvironmentProblem
from anomri.methods import load_preset
from anomri.models import BranchRecord, Card, TrainingScan
from anomri.preparation import recipe_named
from anomri.runs.fit_report import fit_facts, write_fit_report


def summary_of(n: int = 24, rate: float = 0.05) -> Any:
    """A fit of one branch with one changed setting."""
    name, preset = load_preset("zatlas")
    config = preset.config.model_dump(mode="json")
    config["floor_percentile"] = 7.5
    digests = [f"{i:064x}" for i in range(n)]
    scores = np.random.default_rng(2).gamma(9.0, 0.3, size=n)
    calibration = Calibration(
        normals=tuple(
            Normal(
                scan_id=f"s{i}", subject=f"p{i // 2}", image_sha256=digests[i], score=float(scores[i]), fold=i // 2 % 5
            )
            for i in range(n)
        ),
        model_sha256="a" * 64,
        recipe_sha256="b" * 64,
        site="here",
        alarm_rate=rate,
    )
    card = Card(
        name="mine",
        version="1",
        branches=(
            BranchRecord(name="zatlas", method="zatlas", method_version=1, preset=name, config=config, weights="w"),
        ),
        cohort="c",
        validation="v",
        expects="e",
        licence="l",
        made_by="anomri",
        seed=11,
        training=tuple(TrainingScan(scan_id=f"s{i}", subject=f"p{i // 2}", image_sha256=digests[i]) for i in range(n)),
    )
    model = SimpleNamespace(
        card=card, recipe=recipe_named(preset.recipe), sha256="d" * 64, calibrated=lambda: calibration
    )
    return SimpleNamespace(
        model=model,
        dropped=(SimpleNamespace(scan_id="sub-09", reason="cut off"),),
        curves={"zatlas": {}},
        outlying=(("s3", 4.5),),
        normals_needed={0.01: 99, 0.1: 9},
        notes=("a note",),
    )


def test_the_facts_are_those_of_the_fit() -> None:
    summary = summary_of()
    found = fit_facts(summary)
    calibration = summary.model.calibrated()
    assert (found.subjects, found.folds, found.seed, len(found.scores)) == (12, 5, 11, 24)
    assert found.thresholds == calibration.thresholds()
    assert found.smallest_rate == 1 / 25
    assert [(r.rate, r.needed, r.steady) for r in found.rates] == [(0.01, 99, 299), (0.05, 19, 59), (0.1, 9, 29)]
    (odd,) = found.outlying
    assert (odd.scan_id, odd.subject, odd.score, odd.robust_z) == ("s3", "p1", calibration.normals[3].score, 4.5)
    changed = [(s.name, s.value) for s in found.branches[0].settings if s.preset]
    assert changed == [("floor_percentile", "7.5")]
    assert not [s for s in found.recipe_settings if s.preset]


def test_a_rate_finer_than_the_normals_can_show_has_no_threshold() -> None:
    found = fit_facts(summary_of(n=10))
    assert found.thresholds is None
    assert found.fail_interval is None
    assert found.smallest_rate == 1 / 11


def test_the_page_lies_beside_the_model(tmp_path: Path) -> None:
    path = write_fit_report(summary_of(), tmp_path)
    assert path == tmp_path / "fit_report.html"
    assert "mine 1, learnt from 24 normal scans" in path.read_text(encoding="utf-8")
    first = path.read_bytes()
    assert write_fit_report(summary_of(), tmp_path).read_bytes() == first


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem):
        write_fit_report(summary_of(), tmp_path / "nowhere")
