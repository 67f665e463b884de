"""The sentences of a result."""

from __future__ import annotations

from typing import Any

import pytest

from anomri.calibration import Calibration, Normal
from anomri.core.result import Driver, Finding
from anomri.models import Card
from anomri.pipeline.words import deviations, judged_reason
from anomri.quality import METRICS

NAMES = sorted(METRICS)[:5]
CALIBRATION = Calibration(
    normals=tuple(
        Normal(scan_id=f"n{i}", subject=f"n{i}", sha256=f"{i:064d}", score=float(i), fold=0) for i in range(20)
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
    given = {"in_training": False, "in_calibration": False, "site_calibrated": False} | more
    card = given.pop("card", CARD)
    return judged_reason(judgement.verdict, judgement, score, drivers, findings, card, **given)


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
        ({}, "calibrated on one scanner"),
        ({"site_calibrated": True}, None),
        ({"card": CARD.model_copy(update={"single_site": False})}, None),
        ({"in_training": True, "in_calibration": True}, "judged by a model that had not seen it"),
        ({"in_training": True, "site_calibrated": True}, "more normal than it may be"),
        ({"in_calibration": True, "site_calibrated": True}, "normal scans that the model was calibrated on"),
    ],
)
def test_what_limits_the_verdict_is_said_last(more, said):
    text = reason(5.5, (local_driver(),), **more)
    if said is None:
        assert text.endswith("normal scans.")
    else:
        assert said in text.split("normal scans.", 1)[1]
