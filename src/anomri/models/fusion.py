"""Several branches, one score: pure functions, applied when a scan is scored.

Each branch's score is put on a common scale by constants measured on normals that its training had not seen:

    z_b = (ln score_b − location_b) / spread_b,   fused = max over branches of z_b

so that one branch that sees a defect is enough. With one branch the fused score is the branch's own.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from anomri.core.reading import FloatMap, Reading
from anomri.errors import ModelError

__all__ = [
    "SCALING_VERSION",
    "Scaling",
    "fuse_maps",
    "fuse_scores",
    "fused_reading",
    "leading_branch",
    "measure_scaling",
    "shares",
    "standardised",
]

# Of what `measure_scaling` computes: whoever keeps its result keeps it by this number.
SCALING_VERSION = 2
_SMALLEST_SCORE = 1e-12
# A spread of ln score as it was found for most methods (0.07 to 0.28), and its degrees of freedom (decision 0017).
_TYPICAL_SPREAD, _TYPICAL_WEIGHT = 0.15, 10


class Scaling(BaseModel):
    """Location and spread of ln score, and the median peak of the map, of one branch over held-out normals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    location: float
    spread: float
    peak: float | None = None


def measure_scaling(scores: NDArray[np.floating], peaks: NDArray[np.floating] | None) -> Scaling:
    """Constants of one branch.

    A network's hold-out is a handful of scans, whose spread is uncertain by a quarter and more; too small a one makes
    that branch raise most alarms. So the variance is drawn to a typical one: ((n − 1) s² + 10 · 0.15²) / (n − 1 + 10).

    Parameters
    ----------
    scores : (n,) of held-out normals, positive, n ≥ 2.
    peaks : (n,) map maxima of the same scans; None for a branch without a map.

    Raises
    ------
    ModelError : fewer than two scores, or all equal.
    """
    logs = np.log(np.maximum(np.asarray(scores, dtype=np.float64), _SMALLEST_SCORE))
    spread = float(logs.std(ddof=1)) if logs.size > 1 else 0.0
    if not spread > 0:
        raise ModelError(
            "a branch gives every held-out normal the same score", remedy="Give more normals.", code="scaling"
        )
    freedom = logs.size - 1
    drawn = (freedom * spread**2 + _TYPICAL_WEIGHT * _TYPICAL_SPREAD**2) / (freedom + _TYPICAL_WEIGHT)
    return Scaling(
        location=float(logs.mean()),
        spread=float(np.sqrt(drawn)),
        peak=None if peaks is None else float(np.median(peaks)),
    )


def mean_scaling(scalings: list[Scaling]) -> Scaling:
    """Average of the folds' constants, for the final model."""
    peaks = [s.peak for s in scalings if s.peak is not None]
    return Scaling(
        location=float(np.mean([s.location for s in scalings])),
        spread=float(np.mean([s.spread for s in scalings])),
        peak=float(np.mean(peaks)) if peaks else None,
    )


def standardised(score: float, scaling: Scaling) -> float:
    """z of one branch's score."""
    return (float(np.log(max(score, _SMALLEST_SCORE))) - scaling.location) / scaling.spread


def fuse_scores(scores: Mapping[str, float], scalings: Mapping[str, Scaling]) -> float:
    """The fused scan score; higher is more abnormal."""
    if len(scores) == 1:
        return next(iter(scores.values()))
    return max(standardised(score, scalings[name]) for name, score in scores.items())


def shares(scores: Mapping[str, float], scalings: Mapping[str, Scaling]) -> dict[str, float]:
    """How much of the fused score each branch accounts for; they add up to 1.

    A branch counts by how far it stands above the middle of its normals; where none does, all count alike.
    """
    if len(scores) == 1:
        return dict.fromkeys(scores, 1.0)
    above = {name: max(standardised(score, scalings[name]), 0.0) for name, score in scores.items()}
    total = sum(above.values())
    if total <= 0:
        return dict.fromkeys(scores, 1.0 / len(scores))
    return {name: value / total for name, value in above.items()}


def fuse_maps(maps: Mapping[str, FloatMap], scalings: Mapping[str, Scaling]) -> FloatMap | None:
    """One map: a single branch's own, or the mean of all after each is divided by its normals' median peak."""
    if not maps:
        return None
    if len(maps) == 1:
        return next(iter(maps.values()))
    fused: FloatMap = np.mean([m / _peak(name, scalings) for name, m in maps.items()], axis=0).astype(np.float32)
    return fused


def leading_branch(
    maps: Mapping[str, FloatMap], scalings: Mapping[str, Scaling], at: tuple[NDArray[np.intp], ...]
) -> str:
    """The branch that contributes most to the fused map in the voxels `at`; the first of equals.

    Parameters
    ----------
    maps : at least one, (X, Y, Z) each, `nan` where nothing was examined.
    at : three arrays of indices.
    """
    if len(maps) == 1:
        return next(iter(maps))
    return max(maps, key=lambda name: float(np.nan_to_num(maps[name][at]).mean()) / _peak(name, scalings))


def fused_reading(readings: Mapping[str, Reading], scalings: Mapping[str, Scaling]) -> Reading:
    """The readings of all branches as one: fused score and map; all named maps; one expected image.

    Of several branches that expect something it is the image of the one that contributes most where the fused map is
    largest.
    """
    maps = {name: r.map for name, r in readings.items() if r.map is not None}
    fused = fuse_maps(maps, scalings)
    only = next(iter(maps)) if len(maps) == 1 else None
    return Reading(
        score=fuse_scores({name: r.score for name, r in readings.items()}, scalings),
        map=fused,
        expected=_expected(readings, scalings, fused),
        map_scale="raw" if only is None else readings[only].map_scale,
        maps={f"{name}-{key}": values for name, r in readings.items() for key, values in r.maps.items()},
    )


def _expected(
    readings: Mapping[str, Reading], scalings: Mapping[str, Scaling], fused: FloatMap | None
) -> FloatMap | None:
    expecting = {name: r for name, r in readings.items() if r.expected is not None}
    maps = {name: r.map for name, r in expecting.items() if r.map is not None}
    if fused is not None and maps and np.isfinite(fused).any():
        largest = np.unravel_index(np.array([np.nanargmax(fused)]), fused.shape)
        return expecting[leading_branch(maps, scalings, largest)].expected
    return next((r.expected for r in expecting.values()), None)


def _peak(name: str, scalings: Mapping[str, Scaling]) -> float:
    peak = scalings[name].peak
    if peak is None or peak <= 0:
        raise ModelError(f"branch {name} has no scale for its map", remedy="Fit the model again.", code="scaling")
    return peak
