"""Small pictures of single cases: three planes through the lesion, or through the peak of the map."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomri.benchmark.maps import map_of
from anomri.benchmark.preparing import Ready, load_ready, load_truth
from anomri.benchmark.results import Results

__all__ = ["Picture", "picture_of"]

_ZOOM = 2
_HOT_PERCENTILE = 99.5
_TRUTH, _HOT = (70, 200, 120), (255, 150, 40)


@dataclass(frozen=True, slots=True)
class Picture:
    """A case as the page shows it; `source` is a data URL of a PNG."""

    case_id: str
    cell: str
    score: float
    p_value: float
    source: str


def picture_of(ready: Ready, results: Results, seed: int, *, p_value: float) -> Picture:
    """Three planes of a prepared scan, what the map marks in orange, the outline of the truth in green."""
    from PIL import Image  # one method page needs it, no table does

    prepared = load_ready(ready)
    voxels, region = prepared.scan.voxels, prepared.region.mask
    truth = load_truth(ready)
    values = map_of(results, seed, ready.case.case_id)
    hot = np.zeros(voxels.shape, dtype=bool)
    centre = np.array(ndimage.center_of_mass(prepared.inside.mask)).round().astype(int)
    if values is not None:
        grid = np.full(voxels.shape, -np.inf, dtype=np.float32)
        grid[region] = values
        hot = grid > np.percentile(values, _HOT_PERCENTILE)
        centre = np.array(np.unravel_index(int(grid.argmax()), grid.shape))
    if truth is not None and truth.any():
        centre = np.array(ndimage.center_of_mass(truth)).round().astype(int)
    low, high = np.percentile(voxels[prepared.inside.mask], [1, 99])
    grey = (np.clip((voxels - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)
    axes = (2,) if voxels.shape[2] == 1 else (2, 1, 0)
    tiles = [_tile(grey, hot, truth, axis, int(centre[axis])) for axis in axes]
    height = max(tile.shape[0] for tile in tiles)
    row = np.concatenate([np.pad(t, ((0, height - t.shape[0]), (0, 4), (0, 0))) for t in tiles], axis=1)
    image = Image.fromarray(row).resize((row.shape[1] * _ZOOM, row.shape[0] * _ZOOM), Image.Resampling.NEAREST)
    file = BytesIO()
    image.save(file, "PNG")
    return Picture(
        case_id=ready.case.case_id,
        cell=ready.case.cell,
        score=results.scores[seed][ready.case.case_id],
        p_value=p_value,
        source="data:image/png;base64," + base64.b64encode(file.getvalue()).decode(),
    )


def _tile(
    grey: NDArray[np.uint8], hot: NDArray[np.bool_], truth: NDArray[np.bool_] | None, axis: int, index: int
) -> NDArray[np.uint8]:
    """(rows, columns, 3), seen as radiologists do: patient's left on the right, front or head up."""
    colours = np.repeat(np.take(grey, index, axis)[..., None], 3, axis=2)
    colours[_outline(np.take(hot, index, axis))] = _HOT
    if truth is not None:
        colours[_outline(np.take(truth, index, axis))] = _TRUTH
    shown: NDArray[np.uint8] = np.flip(colours.transpose(1, 0, 2), (0, 1) if axis else 0)
    return np.ascontiguousarray(shown)


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    edge: NDArray[np.bool_] = mask & ~ndimage.binary_erosion(mask)
    return edge
