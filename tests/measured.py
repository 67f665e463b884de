"""Synthetic prepared scans as if the real steps had measured them, for what judges measurements."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from anomri.core.history import Grid, History, Step
from anomri.core.prepared import Prepared
from anomri.scope.second_look import _FEATURES

__all__ = ["FEATURES", "as_measured", "drawn_features"]

# Feature of the scope → the step that measures it.
FEATURES: dict[str, str] = {name: entry[0] for name, entry in _FEATURES.items()}


def drawn_features(rng: np.random.Generator) -> dict[str, float]:
    """Measurements of one normal scan: around 1, a few per cent apart."""
    return {name: 1.0 + 0.03 * float(rng.uniform(-1, 1)) for name in FEATURES}


def as_measured(prepared: Prepared, features: Mapping[str, float]) -> Prepared:
    """The same scan with a history whose steps measured `features`."""
    grid = Grid.of(prepared.scan.geometry)
    steps = [
        Step(
            name=step,
            version=1,
            before=grid,
            after=grid,
            measured={name: value for name, value in features.items() if FEATURES[name] == step},
        )
        for step in dict.fromkeys(FEATURES.values())
    ]
    return dataclasses.replace(prepared, history=History(steps=tuple(steps)))
