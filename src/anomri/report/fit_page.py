"""The page of a fit: what was fitted on whom, how it went, and whether the normals are enough."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from anomri.core.result import Thresholds
from anomri.report import words
from anomri.report.charts import score_axis
from anomri.report.curves import line_charts
from anomri.report.render import render
from anomri.report.text import number

__all__ = ["FitFacts", "FittedBranch", "LeftOut", "OutlyingScan", "PromisedRate", "Setting", "fit_page"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting; `preset` is the preset's value where it was changed, else empty."""

    name: str
    value: str
    preset: str = ""


@dataclass(frozen=True, slots=True)
class FittedBranch:
    """One branch of the model; `curves` are those of its final training, one number an epoch or step."""

    name: str
    method: str
    preset: str
    settings: tuple[Setting, ...]
    curves: Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class OutlyingScan:
    """A training scan whose out-of-fold score stands far out among the others."""

    scan_id: str
    subject: str
    score: float
    robust_z: float


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A scan that could not be used, and why."""

    scan_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class PromisedRate:
    """How many normals promise a false-alarm rate, and from how many on it is steady."""

    rate: float
    needed: int
    steady: int


@dataclass(frozen=True, eq=False, slots=True)
class FitFacts:
    """All that the page of a fit shows, as plain values.

    Parameters
    ----------
    recipe, recipe_settings : the preparation by name, and its settings.
    subjects, folds : how many.
    scores : out-of-fold scores of the training scans, sorted.
    thresholds : None where so few normals cannot show the rate.
    fail_interval : 95 % interval of the fail threshold; infinite where the normals cannot bound it; None without.
    alarm_rate : share of normal scans that may fail.
    smallest_rate : the finest rate these normals can promise.
    rates : what other rates would need.
    """

    model: str
    version: str
    sha256: str
    made_by: str
    cohort: str
    expects: str
    validation: str
    licence: str
    seed: int
    branches: tuple[FittedBranch, ...]
    recipe: str
    recipe_settings: tuple[Setting, ...]
    subjects: int
    folds: int
    scores: tuple[float, ...]
    thresholds: Thresholds | None
    fail_interval: tuple[float, float] | None
    alarm_rate: float
    smallest_rate: float
    rates: tuple[PromisedRate, ...]
    outlying: tuple[OutlyingScan, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _RateRow:
    """A row of the table of rates; `at_hand` marks the row of the normals that are there."""

    rate: float
    needed: int
    steady: int | None
    remark: str
    at_hand: bool = False


def fit_page(data: FitFacts) -> str:
    """One self-contained HTML page.

    Returns
    -------
    HTML, UTF-8, without any script; the same bytes for the same facts.
    """
    return render(
        "fit.html.jinja",
        style="page.css",
        fit=data,
        scans=len(data.scores),
        distribution=score_axis(data.scores, data.thresholds),
        median=data.scores[len(data.scores) // 2] if data.scores else None,
        interval=_interval_words(data.fail_interval),
        rates=_rate_rows(data),
        needed=next((row.needed for row in data.rates if row.rate == data.alarm_rate), None),
        charts=[(branch, line_charts(branch.curves)) for branch in data.branches],
        disclaimer=words.DISCLAIMER,
    )


def _interval_words(interval: tuple[float, float] | None) -> str:
    """How far the line would move with other normals; empty where nothing is known."""
    if interval is None or not any(math.isfinite(end) for end in interval):
        return ""
    low, high = interval
    if not math.isfinite(high):
        return f"With as many other normals it would lie above {number(low)} (95 %); how high, so few cannot tell."
    if not math.isfinite(low):
        return f"With as many other normals it would lie below {number(high)} (95 %); how low, so few cannot tell."
    return f"With as many other normals it would lie between {number(low)} and {number(high)} (95 %)."


def _rate_rows(data: FitFacts) -> list[_RateRow]:
    """From the coarsest rate to the finest, with the normals at hand where they stand among them."""
    n = len(data.scores)
    rows = [_RateRow(row.rate, row.needed, row.steady, _remark(row, n)) for row in data.rates]
    rows.append(_RateRow(data.smallest_rate, n, None, "at hand: this is the smallest rate they can promise", True))
    return sorted(rows, key=lambda row: (row.needed, row.at_hand))


def _remark(row: PromisedRate, n: int) -> str:
    if n >= row.steady:
        return "steady"
    if n >= row.needed:
        return f"can be promised, but hangs on the one or two oddest normals; {row.steady - n} more make it steady"
    return f"{row.needed - n} more needed"
