"""Calibration for another site, exact with enough scans and approximate with few."""

from __future__ import annotations

import numpy as np
import pytest

from anomri.calibration import Calibration, Normal, align_to_site
from anomri.errors import CalibrationError, DataLeak


def normals(scores: np.ndarray, *, first: int = 0, peaks: bool = True) -> tuple[Normal, ...]:
    return tuple(
        Normal(
            scan_id=f"scan-{i}",
            subject=str(i),
            image_sha256=f"{i:064x}",
            score=float(s),
            peak=float(2 * s + 1) if peaks else None,
            fold=0,
        )
        for i, s in enumerate(scores, start=first)
    )


def own(scores: np.ndarray) -> Calibration:
    return Calibration(normals=normals(scores), model_sha256="m", recipe_sha256="r", site="A")


def test_enough_scans_calibrate_alone():
    rng = np.random.default_rng(0)
    model = own(rng.normal(size=60))
    site = align_to_site(model, normals(rng.normal(5, 1, 19), first=1000), site="B")
    assert (site.kind, site.approximate, site.site, site.location, site.scale) == ("site", False, "B", 0.0, 1.0)
    assert len(site.normals) == 19
    site.verify(model_sha256="m", recipe_sha256="r")
    assert align_to_site(model, site.normals[:9], site="B", alarm_rate=0.1).approximate is False


@pytest.mark.parametrize("n", [1, 5, 18])
def test_few_scans_move_the_models_normals_part_of_the_way(n):
    rng = np.random.default_rng(1)
    model = own(rng.normal(size=60))
    site = align_to_site(model, normals(np.full(n, 4.0), first=1000), site="B")
    assert site.approximate
    assert site.kind == "site"
    assert site.scale == 1.0
    assert 4.0 * n / (n + 3) < site.location < 4.0
    assert site.peak_scale == 1.0
    assert site.peak_location > site.location
    assert any("approximate" in note for note in site.judge(4.0).notes)
    # The out-of-fold score of a training scan is judged at home.
    assert site.judge_normal(site.normals[0]).reference_scores[0] >= model.reference_scores[0]


def test_more_scans_move_them_further():
    model = own(np.random.default_rng(2).normal(size=60))
    sites = [align_to_site(model, normals(np.arange(n) + 3.0, first=1000), site="B") for n in (3, 9, 18)]
    assert sites[0].location < sites[1].location < sites[2].location
    assert sites[0].scale < sites[1].scale < sites[2].scale


def test_verdict_and_thresholds_still_agree_after_moving():
    rng = np.random.default_rng(3)
    site = align_to_site(own(rng.normal(size=59)), normals(rng.normal(1, 2, 7), first=1000), site="B")
    for score in [*site.reference_scores, *rng.normal(1, 3, 200)]:
        judged = site.judge(score)
        limits = judged.thresholds
        assert judged.verdict == ("fail" if score > limits.fail else "warn" if score > limits.warn else "pass")


def test_moving_brings_the_false_alarms_nearer_to_the_rate():
    rng = np.random.default_rng(4)
    before, after = [], []
    for _ in range(200):
        model = own(rng.normal(size=60))
        shift, spread = rng.normal(0, 0.7), np.exp(rng.normal(0, 0.35))
        few = align_to_site(model, normals(rng.normal(shift, spread, 8), first=1000), site="B")
        there = rng.normal(shift, spread, 500)
        before.append(np.mean(there > model.thresholds().fail))
        after.append(np.mean(there > few.thresholds().fail))
    assert np.mean(np.abs(np.array(after) - 0.05)) < 0.7 * np.mean(np.abs(np.array(before) - 0.05))
    assert np.mean(after) < 0.1


def test_a_scan_that_trained_the_model_is_a_leak():
    model = own(np.arange(30.0))
    with pytest.raises(DataLeak):
        align_to_site(model, model.normals[:3], site="B")


def test_only_the_models_own_calibration_can_be_aligned():
    model = own(np.arange(30.0))
    site = align_to_site(model, normals(np.arange(20.0), first=1000), site="B")
    with pytest.raises(CalibrationError):
        align_to_site(site, normals(np.arange(20.0), first=2000), site="C")
    with pytest.raises(CalibrationError):
        align_to_site(model, (), site="B")
    with pytest.raises(CalibrationError):
        align_to_site(model, normals(np.arange(3.0), first=1000, peaks=False), site="B")
