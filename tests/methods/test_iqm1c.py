"""The one-class model of quality metrics against its formula, written out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from anomri.core.prepared import Prepared
from anomri.errors import CalibrationError, ModelError
from anomri.methods.iqm1c import IQM1C, IQM1CConfig
from anomri.quality import METRICS
from synthetic import prepared_population

CONFIG = IQM1CConfig()
SCORED = [name for name, metric in METRICS.items() if metric.in_score]


@pytest.fixture(scope="module")
def normals() -> list[Prepared]:
    return prepared_population(20, seed=1)


@pytest.fixture(scope="module")
def fitted(normals: list[Prepared]) -> IQM1C:
    method = IQM1C(CONFIG)
    method.fit(normals, seed=0)
    return method


@pytest.fixture(scope="module")
def person() -> Prepared:
    return prepared_population(1, seed=5)[0]


def with_quality(prepared: Prepared, **changes: float | None) -> Prepared:
    return dataclasses.replace(prepared, quality={**prepared.quality, **changes})


def shrunk_covariance(x: np.ndarray) -> np.ndarray:
    """Ledoit and Wolf 2004, lemma 3.2 and section 3.2, term by term."""
    n, d = x.shape
    x = x - x.mean(axis=0)
    sample = x.T @ x / n
    mean = np.trace(sample) / d
    distance = np.sum((sample - mean * np.eye(d)) ** 2) / d
    noise = sum(np.sum((np.outer(row, row) - sample) ** 2) for row in x) / n**2 / d
    share = min(noise, distance) / distance
    return share * mean * np.eye(d) + (1 - share) * sample


def test_the_score_is_the_shrunk_mahalanobis_distance_of_the_compressed_metrics(fitted, normals, person):
    table = np.array([[p.quality[name] for name in SCORED] for p in normals])
    centre = np.median(table, axis=0)
    spread = 1.4826 * np.median(np.abs(table - centre), axis=0)
    shaped = np.arcsinh((table - centre) / spread)
    odd = with_quality(person, **{SCORED[0]: centre[0] + 20 * spread[0]})
    for scan in (person, odd):
        off = np.arcsinh((np.array([scan.quality[n] for n in SCORED]) - centre) / spread) - shaped.mean(axis=0)
        expected = np.sqrt(off @ np.linalg.inv(shrunk_covariance(shaped)) @ off / len(SCORED))
        assert fitted.examine(scan).score == pytest.approx(expected, rel=1e-6)


def test_deviations_and_normal_ranges_are_given_for_every_metric(fitted, normals, person):
    values = fitted.examine(person).values
    for name in SCORED:
        column = np.array([p.quality[name] for p in normals])
        spread = 1.4826 * np.median(np.abs(column - np.median(column)))
        assert values[f"deviation/{name}"] == pytest.approx((person.quality[name] - np.median(column)) / spread)
        low, high = np.percentile(column, [2.5, 97.5])
        assert (values[f"low/{name}"], values[f"high/{name}"]) == pytest.approx((low, high))


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_one_metric_further_out_scores_higher_on_either_side(fitted, normals, side):
    name = SCORED[2]
    column = np.array([p.quality[name] for p in normals])
    middle = {n: float(np.median([p.quality[n] for p in normals])) for n in SCORED}
    scores = [
        fitted.examine(with_quality(normals[0], **{**middle, name: np.median(column) + side * k * column.std()})).score
        for k in (2, 4, 8, 16, 1000)
    ]
    assert scores == sorted(scores)
    # Compressed: a thousand spreads do not drown everything else.
    assert scores[-1] < 10 * scores[0]


def test_metrics_for_the_reader_only_change_nothing(fitted, person):
    others = {name: 1e6 for name, metric in METRICS.items() if not metric.in_score}
    assert others
    assert fitted.examine(with_quality(person, **others)).score == fitted.examine(person).score


def test_a_metric_a_scan_has_not_counts_as_a_large_deviation(fitted, person):
    name = SCORED[1]
    reading = fitted.examine(with_quality(person, **{name: None}))
    assert reading.values[f"deviation/{name}"] == CONFIG.undefined_deviation
    assert reading.score > fitted.examine(person).score


def test_a_metric_undefined_or_constant_among_the_normals_is_left_out_with_a_note(normals, person):
    changed = [
        with_quality(p, **{SCORED[0]: 3.0, SCORED[1]: None if i == 4 else 1.0 + i}) for i, p in enumerate(normals)
    ]
    method = IQM1C(CONFIG)
    report = method.fit(changed, seed=0)
    assert len(report.notes) == 2
    assert all(name in note for name, note in zip(SCORED[:2], report.notes, strict=True))
    one = method.examine(person).score
    assert method.examine(with_quality(person, **{SCORED[0]: 99.0, SCORED[1]: None})).score == one


def test_chosen_metrics_alone_count(normals, person):
    method = IQM1C(IQM1CConfig(metrics=(SCORED[3],)))
    method.fit(normals, seed=0)
    assert set(method.examine(person).values) == {f"{kind}/{SCORED[3]}" for kind in ("deviation", "low", "high")}


def test_normals_that_do_not_vary_or_are_too_few_are_refused(normals):
    flat = [dataclasses.replace(p, quality=normals[0].quality) for p in normals]
    for scans, code in ((flat, "no_metric"), (normals[:4], "too_few_normals")):
        with pytest.raises(CalibrationError) as error:
            IQM1C(CONFIG).fit(scans, seed=0)
        assert error.value.code == code


def test_a_metric_this_version_does_not_measure_is_an_error_not_a_deviation(fitted, person):
    quality = {name: value for name, value in person.quality.items() if name != SCORED[0]}
    with pytest.raises(ModelError) as error:
        fitted.examine(dataclasses.replace(person, quality=quality))
    assert error.value.code == "unknown_metric"


def test_weights_that_disagree_are_refused(fitted):
    state = dict(fitted.state())
    damages = (
        {**state, "precision": np.eye(2)},
        {**state, "centre": np.zeros(3)},
        {**state, "names": np.frombuffer(b"\xff\xfe", dtype=np.uint8)},
        {k: v for k, v in state.items() if k != "low"},
    )
    for damaged in damages:
        with pytest.raises(ModelError):
            IQM1C.restore(CONFIG, damaged)
