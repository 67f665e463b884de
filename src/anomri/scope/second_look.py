"""After preparation: do alignment and tissue contrast lie where those of the model's normals lie?

Each feature has limits set from the normals that trained the model: their range, widened on each side by a multiple
of itself. A range needs no distribution; the widening keeps unusual normals in, while another contrast, an
upside-down brain or an object that is no brain lies far outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, field_validator

from anomri.core.prepared import Prepared

__all__ = ["Limit", "Scope", "features", "fit_scope", "second_look"]

_Side = Literal["low", "high", "both"]

# What was not measured has no limit: a single slice has no template and no tissue classes, only the box of its head.
# Name: (step of the history, which sides can be out of scope, widening, what it means to lie outside). Tissue contrast
# is widened most (normals of one scanner hardly differ in it, a blurred scan of theirs differs by twice their range and
# should be judged, another sequence differs by ten times) and counts on its high side alone: fluid or grey matter
# brighter than in the normals is another sequence, darker is a defect. The outline is widened as much, and resemblance
# is left to the recipe's least correlation, because both fall when a part of the brain is missing, which should be
# judged. `upright` has a natural zero, where a brain lies turned over: half of what the least normal scan shows is
# asked for, and at most `_UPRIGHT_MARGIN`.
_FEATURES: dict[str, tuple[str, _Side, float, str]] = {
    "volume_ml": ("mask", "both", 1.0, "the brain's volume is unlike the model's normals"),
    "upright": ("register", "low", 1.0, "it resembles the template more when it is turned over"),
    "overlap": ("register", "low", 3.0, "its outline does not fit the template's"),
    "scale": ("register", "both", 1.0, "its size is unlike the model's normals"),
    "stretch": ("register", "high", 1.0, "its proportions are unlike a brain's"),
    "rotation_deg": ("register", "high", 1.0, "it lies turned against its header's axes"),
    "fill": ("box", "both", 1.0, "its outline is unlike the model's normals"),
    "aspect": ("box", "both", 1.0, "its proportions are unlike the model's normals"),
    "width_mm": ("body", "both", 1.0, "the body is not as wide as in the model's normals"),
    "depth_mm": ("body", "both", 1.0, "the body is not as deep as in the model's normals"),
    "fullness": ("body", "both", 1.0, "its outline is unlike the model's normals"),
    "csf_to_white": ("quality", "high", 3.0, "fluid is not as dark beside white matter as in the model's sequence"),
    "grey_to_white": ("quality", "high", 3.0, "grey and white matter do not stand as in the model's sequence"),
}


# A field of view that cuts every body off makes all normals alike, and the next one a little different: shares of the
# largest value among the normals.
_LEAST_REACH = {"width_mm": 0.2, "depth_mm": 0.2, "fullness": 0.1}
# Of 36 real brains turned over the one that came closest reached 0.06; the least upright normal of 60 had 0.19.
_UPRIGHT_MARGIN = 0.08


class Limit(BaseModel):
    """Where a feature may lie."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float | None
    high: float | None


class Scope(BaseModel):
    """`scope.json`: what the model was made for, as limits on `features`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limits: dict[str, Limit]

    @field_validator("limits")
    @classmethod
    def _features_that_are_measured(cls, limits: dict[str, Limit]) -> dict[str, Limit]:
        unknown = sorted(set(limits) - set(_FEATURES))
        if unknown:
            raise ValueError(f"limits on {', '.join(unknown)}, which nothing measures")
        return limits


def features(prepared: Prepared) -> dict[str, float]:
    """The measured features a scope judges, by name."""
    known = {step.name: step.measured for step in prepared.history.steps}
    return {name: known[step][name] for name, (step, *_) in _FEATURES.items() if name in known.get(step, {})}


def fit_scope(prepared: Sequence[Prepared]) -> Scope:
    """Limits from normal scans: range of each feature, widened on the sides that count."""
    table = [features(p) for p in prepared]
    limits = {}
    for name in table[0]:
        _, side, widening, _ = _FEATURES[name]
        values = np.array([row[name] for row in table])
        low, high = float(values.min()), float(values.max())
        reach = max(widening * (high - low), _LEAST_REACH.get(name, 0.0) * high)
        if name == "upright":
            reach = max(low / 2.0, low - _UPRIGHT_MARGIN)
        limits[name] = Limit(
            low=low - reach if side in ("low", "both") else None,
            high=high + reach if side in ("high", "both") else None,
        )
    return Scope(limits=limits)


def second_look(prepared: Prepared, scope: Scope) -> tuple[str, ...]:
    """Why a prepared scan is out of scope; empty where it is in."""
    found = features(prepared)
    reasons = []
    for name, limit in scope.limits.items():
        value = found[name]
        below = limit.low is not None and not value >= limit.low
        above = limit.high is not None and not value <= limit.high
        if below or above:
            bounds = " to ".join("any" if b is None else f"{b:.2f}" for b in (limit.low, limit.high))
            reasons.append(f"{_FEATURES[name][3]} ({name} {value:.2f}, expected {bounds})")
    return tuple(reasons)
