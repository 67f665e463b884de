import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomri.report.curves import line_charts

VALUES = st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=40)


@settings(deadline=None, max_examples=80)
@given(train=VALUES, validation=VALUES)
def test_every_point_and_tick_stands_on_the_chart(train: list[float], validation: list[float]) -> None:
    (chart,) = line_charts({"train_loss": train, "validation_loss": validation})
    places = [v for line in chart.lines for point in line.points for v in point]
    places += [tick.at for tick in (*chart.x_ticks, *chart.y_ticks)]
    assert all(0.0 <= place <= 1.0 for place in places)
    drawn = sum(len(line.points) for line in chart.lines)
    assert drawn + chart.missing == len(train) + len(validation)
    for line in chart.lines:
        xs = [x for x, _ in line.points]
        assert xs == sorted(xs)


def test_train_and_validation_share_a_chart_and_other_curves_have_their_own() -> None:
    charts = line_charts({"train_loss": [3.0, 2.0], "validation_loss": [3.5, 2.5], "beta": [0.1, 0.2], "empty": []})
    assert [(chart.title, [line.kind for line in chart.lines]) for chart in charts] == [
        ("beta", ["other"]),
        ("loss", ["training", "validation"]),
    ]


def test_heights_are_linear_or_logarithmic_in_the_value() -> None:
    (chart,) = line_charts({"train_loss": [1.0, 3.0, 2.0]})
    heights = [y for _, y in chart.lines[0].points]
    assert not chart.logarithmic
    assert heights[2] == pytest.approx((heights[0] + heights[1]) / 2, abs=1e-5)
    (chart,) = line_charts({"train_loss": [100.0, 1.0, 10.0]})
    heights = [y for _, y in chart.lines[0].points]
    assert chart.logarithmic
    assert heights[2] == pytest.approx((heights[0] + heights[1]) / 2, abs=1e-5)
    assert {"1", "10", "100"} <= {tick.label for tick in chart.y_ticks}


def test_the_lowest_value_is_told_with_its_epoch() -> None:
    (chart,) = line_charts({"validation_loss": [3.0, 1.0, math.nan, 2.0]})
    assert (chart.lines[0].lowest, chart.lines[0].lowest_at, chart.lines[0].last) == (1.0, 2, 2.0)
    assert chart.missing == 1


def test_a_long_curve_is_drawn_by_its_means() -> None:
    values = np.arange(10_000, dtype=np.float64)
    (chart,) = line_charts({"train_loss": values})
    points = np.array(chart.lines[0].points)
    assert chart.joined == 20
    assert len(points) == 500
    # A straight line stays one.
    assert np.allclose(points[:, 1], points[0, 1] + points[:, 0] * (points[-1, 1] - points[0, 1]), atol=5e-3)
    assert points[0, 0] == pytest.approx(9.5 / 9999, abs=1e-5)


def test_a_single_epoch_is_a_point_in_the_middle() -> None:
    (chart,) = line_charts({"train_loss": [0.5]})
    assert chart.lines[0].points == ((0.5, 0.5),)
    assert [tick.label for tick in chart.x_ticks] == ["1"]
