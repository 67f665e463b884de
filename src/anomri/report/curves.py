"""Training curves as line charts: where their points and ticks stand; the template draws them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomri.report.charts import round_numbers
from anomri.report.text import number

__all__ = ["Line", "LineChart", "Tick", "line_charts"]

_MOST_POINTS = 500
# Beyond this ratio of the largest to the smallest value a linear axis shows the beginning of a training alone.
_LINEAR_RATIO = 20.0
# The ends of curves' names that tell the same measure on other scans.
_PARTS = {"train": "training", "validation": "validation"}


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on an axis, 0 (left, bottom) to 1."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Line:
    """One curve.

    Parameters
    ----------
    label : what it was measured on.
    kind : ``training``, ``validation`` or ``other``; how it is drawn.
    points : (x, y), 0–1 from the left and from the bottom, at most 500.
    last : its last value.
    lowest, lowest_at : its smallest value and in which step, counted from 1; nan and 0 where no value is a number.
    """

    label: str
    kind: str
    points: tuple[tuple[float, float], ...]
    last: float
    lowest: float
    lowest_at: int


@dataclass(frozen=True, slots=True)
class LineChart:
    """The curves of one measure.

    Parameters
    ----------
    steps : length of the longest curve: epochs, or steps.
    logarithmic : whether the vertical axis is.
    joined : how many steps are drawn as one point, their mean; 1 for each by itself.
    missing : values that are no finite numbers, and not drawn.
    """

    title: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    steps: int
    logarithmic: bool
    joined: int
    missing: int


def line_charts(curves: Mapping[str, Sequence[float]]) -> tuple[LineChart, ...]:
    """One chart for each measure, so that ``train_loss`` and ``validation_loss`` stand side by side.

    Parameters
    ----------
    curves : by name, one number an epoch or step; empty ones are left out.
    """
    measures: dict[str, dict[str, NDArray[np.float64]]] = {}
    for name, values in curves.items():
        part, _, measure = name.partition("_")
        known = part in _PARTS and measure != ""
        if len(values):
            group = measures.setdefault(measure if known else name, {})
            group[_PARTS[part] if known else name] = np.asarray(values, dtype=np.float64)
    return tuple(_chart(title.replace("_", " "), group) for title, group in sorted(measures.items()))


def _chart(title: str, group: Mapping[str, NDArray[np.float64]]) -> LineChart:
    steps = max(values.size for values in group.values())
    joined = math.ceil(steps / _MOST_POINTS)
    everything = np.concatenate(list(group.values()))
    finite = everything[np.isfinite(everything)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    logarithmic = low > 0 and high / low > _LINEAR_RATIO
    if logarithmic:
        low, high = math.log10(low), math.log10(high)
    # A curve that stands still is drawn in the middle.
    margin = 0.05 * (high - low) if high > low else max(abs(high), 1.0) * 0.1
    low, high = low - margin, high + margin
    return LineChart(
        title=title,
        lines=tuple(
            _line(label, values, steps, joined, (low, high), logarithmic)
            for label, values in sorted(group.items(), key=lambda item: item[0])
        ),
        x_ticks=_step_ticks(steps),
        y_ticks=_value_ticks(low, high, logarithmic),
        steps=steps,
        logarithmic=logarithmic,
        joined=joined,
        missing=everything.size - finite.size,
    )


def _line(
    label: str,
    values: NDArray[np.float64],
    steps: int,
    joined: int,
    span: tuple[float, float],
    logarithmic: bool,
) -> Line:
    points = []
    for first in range(0, values.size, joined):
        block = values[first : first + joined]
        block = block[np.isfinite(block)]
        if block.size:
            value = float(block.mean())
            height = ((math.log10(value) if logarithmic else value) - span[0]) / (span[1] - span[0])
            points.append((round(_along(first + 1 + (block.size - 1) / 2.0, steps), 5), round(height, 5)))
    known = np.isfinite(values)
    lowest = int(np.argmin(np.where(known, values, np.inf)))
    return Line(
        label=label,
        kind=label if label in _PARTS.values() else "other",
        points=tuple(points),
        last=float(values[-1]),
        lowest=float(values[lowest]) if known.any() else math.nan,
        lowest_at=lowest + 1 if known.any() else 0,
    )


def _along(step: float, steps: int) -> float:
    return (step - 1.0) / (steps - 1.0) if steps > 1 else 0.5


def _step_ticks(steps: int) -> tuple[Tick, ...]:
    if steps == 1:
        return (Tick(0.5, "1"),)
    whole = [int(t) for t in round_numbers(1.0, float(steps)) if t == int(t) and t > 1]
    return tuple(Tick(round(_along(step, steps), 5), str(step)) for step in (1, *whole))


def _value_ticks(low: float, high: float, logarithmic: bool) -> tuple[Tick, ...]:
    if not logarithmic:
        marks = [(value, value) for value in round_numbers(low, high)]
    else:
        powers = range(math.floor(low), math.ceil(high) + 1)
        marks = [(math.log10(m) + p, m * 10.0**p) for p in powers for m in (1.0, 2.0, 5.0)]
        marks = [mark for mark in marks if low <= mark[0] <= high]
        if len(marks) > 6:
            marks = [mark for mark in marks if mark[0] == round(mark[0])]
    return tuple(Tick(round((at - low) / (high - low), 5), _plain(value)) for at, value in marks)


def _plain(value: float) -> str:
    return f"{value:g}".replace("-", "−") if 1e-3 <= abs(value) < 1e5 or value == 0 else number(value, 2)
