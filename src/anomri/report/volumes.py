"""Volumes inside a page: 8 bit, as differences, deflated, base64; as large as the page's budget allows.

The viewer undoes it with two running sums and the browser's own inflate (`DecompressionStream`), which, unlike
reading pixels back from a canvas, no privacy setting of a browser perturbs.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomri.report.display import DisplayGrid, HeatRange, Views, blocks

__all__ = ["BUDGET", "Packed", "heat_layer", "pack"]

# Characters of base64 a page may carry, so that the page stays below 5 MB.
BUDGET = 4_700_000

# Block edges tried in turn: of the scan, of the heatmap and the expected image (which are smoother).
_STEPS = ((1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (8, 8))


@dataclass(frozen=True, slots=True)
class Packed:
    """The volumes of a page.

    Parameters
    ----------
    grid : what a voxel of the viewer is.
    layers : by name (``scan``, ``heat``, ``expected``): shape, step relative to `grid`, base64 data.
    coarser : what was joined to stay within the budget, in words; empty where nothing was.
    """

    grid: DisplayGrid
    layers: dict[str, dict[str, object]]
    coarser: str


def pack(views: Views, heat: HeatRange | None, *, budget: int = BUDGET) -> Packed:
    """Encode the volumes, joining blocks of voxels until they fit into `budget` characters."""
    for scan_step, overlay_step in _STEPS:
        layers = {"scan": _layer(_joined_grey(views.scan, scan_step), 1)}
        if views.heat is not None and heat is not None:
            layers["heat"] = heat_layer(views.heat, heat, overlay_step, overlay_step // scan_step)
        if views.expected is not None:
            layers["expected"] = _layer(_joined_grey(views.expected, overlay_step), overlay_step // scan_step)
        if sum(len(str(layer["data"])) for layer in layers.values()) <= budget:
            break
    return Packed(views.grid.with_step(scan_step), layers, _coarser(scan_step, overlay_step, len(layers)))


def heat_layer(
    values: NDArray[np.float32], span: HeatRange, step: int, relative: int, *, signed: bool = False
) -> dict[str, object]:
    """An overlay: a value v becomes 0 where it is nan, else 1 + 254 · (v − low) / (high − low), clipped.

    Parameters
    ----------
    step : edge of the blocks that are joined; each keeps its largest value, of largest magnitude where `signed`.
    relative : the same edge, in voxels of the viewer.
    """
    unknown = np.float32(-np.inf)
    joined = blocks(np.where(np.isfinite(values), values, unknown).astype(np.float32), step, np.max)
    if signed:
        lowest = -blocks(np.where(np.isfinite(values), -values, unknown).astype(np.float32), step, np.max)
        joined = np.where(np.isfinite(joined) & (-lowest > joined), lowest, joined)
    known = np.isfinite(joined)
    scaled = (np.where(known, joined, 0.0) - span.low) / (span.high - span.low)
    stored = np.where(known, np.rint(1.0 + 254.0 * np.clip(scaled, 0.0, 1.0)), 0.0).astype(np.uint8)
    return _layer(stored, relative)


def _coarser(scan_step: int, overlay_step: int, layers: int) -> str:
    if scan_step > 1:
        return f"To keep this page small, blocks of {scan_step} × {scan_step} × {scan_step} voxels are shown as one."
    if overlay_step > 1 and layers > 1:
        return (
            "To keep this page small, the heatmap and the expected image are shown in blocks of "
            f"{overlay_step} × {overlay_step} × {overlay_step} voxels."
        )
    return ""


def _joined_grey(values: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    return np.rint(blocks(values.astype(np.float32), step, np.mean)).astype(np.uint8)


def _layer(values: NDArray[np.uint8], step: int) -> dict[str, object]:
    stored = np.ascontiguousarray(np.transpose(values))
    zero = np.uint8(0)
    changes = np.diff(np.diff(stored, axis=2, prepend=zero), axis=1, prepend=zero)
    data = base64.b64encode(zlib.compress(changes.tobytes(), 6)).decode("ascii")
    return {"shape": list(values.shape), "step": step, "data": data}
