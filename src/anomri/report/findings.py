"""A finding beside what was expected there: three small pictures of one axial slice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from anomri.core.outcome import Outcome
from anomri.core.result import Finding
from anomri.report.display import DisplayGrid, HeatRange, Views, expected_greys
from anomri.report.planes import blend, slice_at

__all__ = ["MOST", "FindingView", "finding_views"]

# How many findings a page shows in pictures.
MOST = 3
# The part that is shown: this wide, or this many times the diameter of a ball of the finding's volume.
_LEAST_MM, _DIAMETERS = 72.0, 3.0
_PIXELS = 192
# The colour of the viewer's cross-hair.
_OUTLINE = (140, 215, 255)

Pixels = NDArray[np.uint8]
Plane = NDArray[np.generic]


@dataclass(frozen=True, eq=False, slots=True)
class FindingView:
    """One place of an axial slice three times, the patient's right on the left and the front above.

    Parameters
    ----------
    scan : (rows, columns, 3), square pixels.
    expected : the same of what was expected, in the greys of the scan, with the outline of the finding; None where
        there is no such image.
    map : the scan with the heatmap above its threshold in colour.
    """

    scan: Pixels
    expected: Pixels | None
    map: Pixels


def finding_views(outcome: Outcome, views: Views, heat: HeatRange) -> tuple[FindingView, ...]:
    """The first few findings of an outcome, each in the slice through its centre.

    Parameters
    ----------
    views, heat : of the outcome.
    """
    return tuple(_view(finding, outcome, views, heat) for finding in outcome.result.findings[:MOST])


def _view(finding: Finding, outcome: Outcome, views: Views, heat: HeatRange) -> FindingView:
    expected = views.expected
    if finding.branch in outcome.expected_by:
        expected = expected_greys(outcome.expected_by[finding.branch], views.grid, views.scan)
    at = views.grid.block_at(finding.centroid_mm)
    box = _window(finding, views.grid, at)
    scan = slice_at(views.scan[box], 2, at)
    heat_slice = None if views.heat is None else slice_at(views.heat[box], 2, at)
    drawn = None if expected is None else _drawn(slice_at(expected[box], 2, at), views.grid)
    if drawn is not None and heat_slice is not None:
        drawn = _outlined(drawn, heat_slice, heat.threshold)
    coloured = np.rint(255.0 * blend(scan, heat_slice, heat))
    return FindingView(scan=_drawn(scan, views.grid), expected=drawn, map=_drawn(coloured, views.grid))


def _window(finding: Finding, grid: DisplayGrid, at: tuple[int, int, int]) -> tuple[slice, slice]:
    """Blocks along X and Y: a square around the finding, moved inwards where it would reach beyond the grid."""
    wide_mm = max(_LEAST_MM, _DIAMETERS * float(np.cbrt(6.0 * finding.volume_mm3 / np.pi)))
    box = []
    for axis in (0, 1):
        count = min(round(wide_mm / grid.spacing_mm[axis]), grid.shape[axis])
        first = int(np.clip(at[axis] - count // 2, 0, grid.shape[axis] - count))
        box.append(slice(first, first + count))
    return box[0], box[1]


def _drawn(plane: Plane, grid: DisplayGrid) -> Pixels:
    """A plane in square pixels, 192 along its longer edge."""
    rows, columns = plane.shape[0] * grid.spacing_mm[1], plane.shape[1] * grid.spacing_mm[0]
    scale = _PIXELS / max(rows, columns)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    picture = Image.fromarray(np.ascontiguousarray(plane, dtype=np.uint8)).convert("RGB")
    return np.array(picture.resize(size, Image.Resampling.BILINEAR))


def _outlined(pixels: Pixels, heat: Plane, threshold: float) -> Pixels:
    """With a line where the heatmap, drawn as large, falls to a threshold."""
    values = Image.fromarray(np.nan_to_num(np.ascontiguousarray(heat, dtype=np.float32)))
    above = np.asarray(values.resize((pixels.shape[1], pixels.shape[0]), Image.Resampling.BILINEAR)) > threshold
    line = ndimage.binary_dilation(above)
    # Half as bright on its outer side, so that it is seen on white matter, too.
    pixels[ndimage.binary_dilation(line) & ~line] //= 2
    pixels[line & ~above] = _OUTLINE
    return pixels
