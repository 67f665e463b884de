"""A calibration as it goes to disk, and the judgement it gives."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from anomri.calibration import Calibration, Normal, p_value, robust_z
from anomri.errors import CalibrationError

DIGESTS = {"model_sha256": "m" * 64, "recipe_sha256": "r" * 64}


def normal(i: int, score: float | None = None, *, peak: float | None = None) -> Normal:
    return Normal(
        scan_id=f"scan-{i}",
        subject=f"{i}",
        image_sha256=f"{i:064x}",
        score=float(i) if score is None else score,
        peak=peak,
        fold=i % 5,
    )


def calibration(n: int = 59, *, peaks: bool = True, **fields: object) -> Calibration:
    normals = tuple(normal(i, peak=10.0 + i if peaks else None) for i in reversed(range(n)))
    return Calibration(**{"normals": normals, "site": "A", **DIGESTS, **fields})  # type: ignore[arg-type]


def test_it_comes_back_from_json_as_it_went():
    before = calibration(5, normals=(normal(0, 0.1 + 0.2), normal(1, 1e-17)))
    assert Calibration.model_validate_json(before.model_dump_json()) == before


@pytest.mark.parametrize("what", ["model", "recipe"])
def test_it_refuses_another_model_and_another_recipe(what):
    calibration().verify(**DIGESTS)
    with pytest.raises(CalibrationError) as caught:
        calibration().verify(**{**DIGESTS, f"{what}_sha256": "0" * 64})
    assert caught.value.code == f"other_{what}"


def test_a_judgement_agrees_with_the_formulas():
    normals = calibration()
    judged = normals.judge(55.5)
    scores = [float(i) for i in range(59)]
    assert judged.reference_scores == tuple(scores)
    assert judged.p_value == p_value(55.5, scores) == 4 / 60
    assert judged.robust_z == robust_z(55.5, scores)
    assert judged.verdict == "warn"
    assert judged.thresholds.warn < 55.5 <= judged.thresholds.fail
    assert (judged.thresholds.warn_rate, judged.thresholds.fail_rate) == (0.1, 0.05)
    assert judged.thresholds.finding_level == 10 + judged.thresholds.fail
    assert judged.notes == ()


def test_verdict_and_thresholds_agree_at_every_score():
    normals = calibration(40)
    for score in [x / 2 for x in range(-2, 90)]:
        judged = normals.judge(score)
        limits = judged.thresholds
        expected = "fail" if score > limits.fail else "warn" if score > limits.warn else "pass"
        assert judged.verdict == expected


def test_a_rate_too_fine_for_the_normals_is_refused_with_the_number_needed():
    with pytest.raises(CalibrationError, match="19") as caught:
        calibration(10).judge(3.0)
    assert caught.value.code == "too_few_normals"
    assert calibration(10).judge(20.0, 0.1).verdict == "fail"
    assert calibration(10).judge(20.0, 0.1).notes


@pytest.mark.parametrize(("rate", "needed"), [(0.04, 24), (0.01, 99)])
def test_a_refusal_names_the_rate_that_was_asked_for(rate, needed):
    with pytest.raises(CalibrationError, match=rf"rate of {rate} .*at least {needed} normal scans"):
        calibration(10).thresholds(rate)


def test_a_normal_is_judged_by_its_own_score_and_the_thresholds_of_everybody():
    normals = calibration()
    known = normals.in_training(f"{58:064x}")
    assert known is not None
    judged = normals.judge_normal(known)
    assert judged.p_value == 2 / 60
    assert judged.thresholds == normals.thresholds()
    assert normals.in_training("0" * 63 + "x") is None
    few = calibration(19)
    assert few.judge_normal(few.normals[0]).verdict == "warn"
    with pytest.raises(CalibrationError):
        normals.judge_normal(normal(99))


def test_a_model_without_a_map_has_no_finding_level():
    assert calibration(peaks=False).judge(1.0).thresholds.finding_level is None


@pytest.mark.parametrize(
    "fields",
    [
        {"normals": ()},
        {"normals": (normal(1), normal(1))},
        {"normals": (normal(1, peak=1.0), normal(2))},
        {"alarm_rate": 0.0},
        {"alarm_rate": 0.5},
        {"scale": 0.0},
        {"peak_scale": -1.0},
    ],
)
def test_what_cannot_calibrate_is_refused(fields):
    with pytest.raises(CalibrationError):
        calibration(**fields)


def test_a_score_that_is_no_number_cannot_be_a_normal_or_be_judged():
    with pytest.raises(ValidationError):
        normal(1, math.nan)
    with pytest.raises(CalibrationError):
        calibration().judge(math.nan)


def test_full_heads_count_where_they_are_most_of_the_site_s_normals_or_of_the_model_s_own():
    def normals(heads: int, of: int, at: int) -> tuple[Normal, ...]:
        return tuple(normal(i + at).model_copy(update={"full_head": i < heads}) for i in range(of))

    def calibrated(own: tuple[Normal, ...], site: tuple[Normal, ...] = ()) -> Calibration:
        return calibration(normals=own, site_normals=site)

    assert not calibrated(normals(5, 10, 0)).of_full_heads
    assert calibrated(normals(6, 10, 0)).of_full_heads
    assert calibrated(normals(0, 20, 0), normals(3, 4, 100)).of_full_heads
    assert not calibrated(normals(20, 20, 0), normals(1, 4, 100)).of_full_heads
