import base64
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from anomri.core.outcome import Outcome
from anomri.report.display import heat_range, views_of
from anomri.report.volumes import pack

Make = Callable[..., Outcome]


def unpacked(layer: dict[str, Any]) -> np.ndarray:
    """What the viewer does, in the slowest way."""
    nx, ny, nz = layer["shape"]
    raw = zlib.decompress(base64.b64decode(layer["data"]))
    values = np.frombuffer(raw, dtype=np.uint8).reshape(nz, ny, nx).astype(np.int64)
    return (values.cumsum(axis=1).cumsum(axis=2) % 256).transpose()


def test_what_is_packed_is_what_is_shown(make_outcome: Make) -> None:
    outcome = make_outcome()
    views = views_of(outcome)
    assert views is not None
    assert outcome.heatmap is not None
    assert views.heat is not None
    span = heat_range(outcome.heatmap, 4.5)
    packed = pack(views, span)
    assert packed.coarser == ""
    assert np.array_equal(unpacked(packed.layers["scan"]), views.scan)
    assert np.array_equal(unpacked(packed.layers["expected"]), views.expected)
    heat = unpacked(packed.layers["heat"])
    known = np.isfinite(views.heat)
    assert np.array_equal(heat > 0, known)
    back = span.low + (heat[known] - 1) / 254 * (span.high - span.low)
    assert np.abs(back - np.clip(views.heat[known], span.low, span.high)).max() <= (span.high - span.low) / 508 + 1e-6


def test_a_small_budget_joins_voxels_and_says_so(make_outcome: Make) -> None:
    outcome = make_outcome()
    views = views_of(outcome)
    assert views is not None
    assert outcome.heatmap is not None
    span = heat_range(outcome.heatmap, 4.5)
    whole = sum(len(layer["data"]) for layer in pack(views, span).layers.values())
    overlays = pack(views, span, budget=int(whole * 0.8))
    assert "heatmap and the expected image" in overlays.coarser
    assert overlays.grid.step == 1
    everything = pack(views, span, budget=whole // 6)
    assert "2 × 2 × 2" in everything.coarser
    assert everything.grid.step == 2
    assert everything.layers["scan"]["shape"] == list(everything.grid.shape)


def test_joining_voxels_keeps_the_peak(make_outcome: Make) -> None:
    outcome = make_outcome()
    views = views_of(outcome)
    assert views is not None
    assert outcome.heatmap is not None
    span = heat_range(outcome.heatmap, 4.5)
    coarse = unpacked(pack(views, span, budget=1000).layers["heat"])
    assert coarse.max() == unpacked(pack(views, span).layers["heat"]).max()


@pytest.mark.parametrize("without", ["heat", "expected"])
def test_layers_may_be_missing(make_outcome: Make, without: str) -> None:
    outcome = make_outcome()
    kept = Outcome(
        outcome.result,
        outcome.scan,
        None if without == "heat" else outcome.heatmap,
        outcome.brain,
        None if without == "expected" else outcome.expected,
    )
    views = views_of(kept)
    assert views is not None
    span = None if kept.heatmap is None else heat_range(kept.heatmap, 4.5)
    assert without not in pack(views, span).layers
