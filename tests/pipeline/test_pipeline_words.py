"""The sentences of a result."""

from __future__ import annotations

from typing import Any

import pytest

from anomri.calibration import Calibration, Normal
from anomri.core.result import Driver, Finding
from anomri.models import Card
from anomri.pipeline.words import deviations, judged_reason, limits
from anomri.quality import METRICS

NAMES = sorted(METRICS)[:5]
CALIBRATION = Calibration(
    normals=tuple(
        Normal(scan_id=f"n{i}", subject=f"n{i}", image_sha256=f"{i:064d}", score=float(i), fold=0) for i in range(20)
    ),
    model_sha256="m",
    recipe_sha256="r",
    site="here",
)
CARD = Card(
    name="m",
    version="1",
    branches=(),
    cohort="",
    validation="",
    expects="",
    licence="",
    made_by="",
    seed=0,
    training=(),
)
FINDING = Finding(centroid_mm=(-20.4, 31.6, 5.0), volume_mm3=4321.0, peak=9.0, mean=7.0)


def reading_values(found: dict[str, float]) -> dict[str, float]:
    values = {}
    for name, deviation in found.items():
        values |= {f"deviation/{name}": deviation, f"low/{name}": 1.0, f"high/{name}": 2.0}
    return values


def quality_driver(share: float = 1.0) -> Driver:
    found = deviations(reading_values({NAMES[0]: 8.0}), {NAMES[0]: 5.0})
    return Driver(kind="quality", branch="iqm1c", share=share, score=3.0, metrics=found)


def local_driver(share: float = 1.0) -> Driver:
    return Driver(kind="local", branch="zatlas", share=share, score=3.0)


def reason(score: float, drivers: tuple[Driver, ...], findings: tuple[Finding, ...] = (), **more: Any) -> str:
    judgement = CALIBRATION.judge(score)
    given = {"in_training": False, "in_calibration": False, "verdict": judgement.verdict} | more
    return judged_reason(given.pop("verdict"), judgement, score, drivers, findings, **given)


def limiting(score: float = 5.5, **more: Any) -> tuple[str, ...]:
    given = {
        "extracted_ml": None,
        "age": None,
        "known": False,
        "site_calibrated": False,
        "held": False,
        "card": CARD,
    } | more
    return limits(CALIBRATION.judge(score, given.pop("rate", 0.2)), given.pop("card"), **given)


def test_the_three_most_deviating_metrics_are_named_strongest_first_on_either_side():
    found = deviations(
        reading_values(dict(zip(NAMES, [1.0, -9.0, 4.0, 0.5, 6.0], strict=True))), dict.fromkeys(NAMES, 1.5)
    )
    assert [m.name for m in found] == [NAMES[1], NAMES[4], NAMES[2]]
    assert found[0].usually_means == METRICS[NAMES[1]].low_means
    assert found[1].usually_means == METRICS[NAMES[4]].high_means
    assert (found[0].normal_low, found[0].normal_high, found[0].value) == (1.0, 2.0, 1.5)


def test_a_metric_the_scan_has_not_is_not_quoted_and_a_branch_without_metrics_has_none():
    values = reading_values({NAMES[0]: 10.0, NAMES[1]: 2.0})
    assert [m.name for m in deviations(values, {NAMES[0]: None, NAMES[1]: 3.0})] == [NAMES[1]]
    assert deviations({"other": 1.0}, {}) == ()


def test_a_pass_says_how_it_stands_and_where_there_is_something_all_the_same():
    assert "more abnormal than 6 of 20 normal scans" in reason(5.5, (local_driver(),))
    text = reason(5.5, (local_driver(),), (FINDING,))
    assert "nothing stands out" in text
    assert "4.3 ml around (-20, 32, 5) mm" in text


def test_an_alarm_says_what_drove_it():
    assert METRICS[NAMES[0]].title in reason(99.0, (quality_driver(), local_driver(0.0)), (FINDING,))
    assert "4.3 ml around (-20, 32, 5) mm" in reason(99.0, (local_driver(), quality_driver(0.0)), (FINDING,))
    assert "several places" in reason(99.0, (local_driver(),))
    volume = Driver(kind="quality", branch="baseline-volume", share=1.0, score=3.0)
    assert "points at no place" in reason(99.0, (volume,))
    assert "20 of 20" in reason(99.0, (local_driver(),))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, None),
        ({"in_training": True, "in_calibration": True}, "judged by a model that had not seen it"),
        ({"in_training": True}, "more normal than it may be"),
        ({"in_calibration": True}, "normal scans that the model was calibrated on"),
    ],
)
def test_that_the_model_knows_the_scan_is_said_last(more, said):
    text = reason(5.5, (local_driver(),), **more)
    if said is None:
        assert text.endswith("normal scans.")
    else:
        assert said in text.split("normal scans.", 1)[1]


def test_a_verdict_held_back_says_so_and_why():
    text = reason(99.0, (local_driver(),), (FINDING,), verdict="warn")
    assert "score is that of a fail" in text
    assert "held at warn" in text
    assert "full head" in text
    assert "held" not in reason(99.0, (local_driver(),), (FINDING,))


def test_a_metric_within_its_range_is_not_said_to_be_out_of_it():
    inside = quality_driver().metrics[0].model_copy(update={"value": 1.5})
    text = reason(99.0, (quality_driver().model_copy(update={"metrics": (inside,)}),))
    assert "in its combination" in text
    assert "usually means" not in text


def test_nothing_limits_a_scan_like_the_normals():
    assert limiting(site_calibrated=True) == ()
    assert limiting(known=True) == ()
    assert limiting(card=CARD.model_copy(update={"single_site": False})) == ()
    aged = CARD.model_copy(update={"age_range": (20.0, 50.0)})
    assert limiting(card=aged, age=30.0, known=True) == ()
    assert limiting(card=aged, known=True) == ()


def test_what_limits_a_verdict_is_said_the_heaviest_first():
    card = CARD.model_copy(update={"age_range": (20.0, 50.0)})
    scanner, head, cut, rate, age = limiting(card=card, age=80.0, held=True, extracted_ml=1234.6, rate=0.1)
    assert "one scanner" in scanner
    assert "at most warn" in head
    assert "1235 ml" in cut
    assert "0.1" in rate
    assert "80 years old; the model's normals are 20 to 50" in age


def test_a_cap_that_took_effect_is_in_the_reason_alone():
    assert not any("at most warn" in said for said in limiting(score=99.0, held=True))
