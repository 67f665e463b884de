from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anomri.core.result import MetricDeviation, Result, SliceScore, Thresholds
from anomri.report.charts import distribution, metric_range, sparkline

MakeResult = Callable[..., Result]

SCORES = st.floats(-1e6, 1e6)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(normals=st.lists(SCORES, min_size=1, max_size=30), score=SCORES, limit=SCORES)
def test_everything_stands_on_the_axis(
    make_result: MakeResult, normals: list[float], score: float, limit: float
) -> None:
    limits = Thresholds(warn=limit, fail=limit + 1.0, warn_rate=0.1, fail_rate=0.05)
    marks = distribution(make_result(reference_scores=tuple(sorted(normals)), score=score, thresholds=limits))
    assert marks is not None
    assert marks.score is not None
    assert marks.warn is not None
    assert marks.fail is not None
    places = [marks.at(v) for v in (*marks.ticks, marks.score, marks.warn, marks.fail, *marks.axis_ticks)]
    assert min(places) >= 0.0
    assert max(places) <= 1.0
    assert sum(bar.count for bar in marks.bars) == len(normals)
    assert marks.beyond or marks.score == score


def test_without_normals_there_is_no_chart(make_result: MakeResult) -> None:
    assert distribution(make_result(reference_scores=())) is None


def test_thousands_of_normals_are_bars_without_ticks(make_result: MakeResult) -> None:
    normals = tuple(float(v) for v in np.sort(np.random.default_rng(0).normal(size=3000)))
    marks = distribution(make_result(reference_scores=normals))
    assert marks is not None
    assert marks.ticks == ()
    assert len(marks.bars) <= 40


def test_slices_without_a_viewer_lead_nowhere(make_result: MakeResult) -> None:
    slices = tuple(SliceScore(index=i, score=float(i)) for i in range(4))
    spark = sparkline(make_result(slices=slices, slice_axis=2), None)
    assert spark is not None
    assert [bar.block for bar in spark.bars] == [None] * 4
    assert [bar.index for bar in spark.bars] == [0, 1, 2, 3]
    assert spark.level == 1.0
    assert sparkline(make_result(), None) is None


@pytest.mark.parametrize(("value", "outside"), [(-9.0, "low"), (0.5, ""), (1.0, ""), (40.0, "high")])
def test_a_metric_stands_beside_its_range(value: float, outside: str) -> None:
    metric = MetricDeviation(
        name="snr", value=value, normal_low=0.0, normal_high=1.0, deviation=0.0, usually_means="noise"
    )
    place = metric_range(metric)
    assert place.outside == outside
    assert 0.0 < place.value < 1.0
    assert (place.value > place.high) == (outside == "high")
    assert (place.value < place.low) == (outside == "low")


def test_a_range_without_width_still_tells_the_side() -> None:
    metric = MetricDeviation(
        name="snr", value=2.0, normal_low=1.0, normal_high=1.0, deviation=9.0, usually_means="noise"
    )
    assert metric_range(metric).value > 0.69
