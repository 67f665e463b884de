"""Volumes as a reader looks at them: axes turned to RAS+, cut to the brain, in 256 greys.

Axes are only flipped and exchanged, to the orientation closest to RAS+; nothing is interpolated. Where a page would
grow too large, whole blocks of voxels are joined: their mean for a scan, their largest value for a heatmap, so that
no peak disappears.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from anomri.core.geometry import Geometry, apply_affine, orientation_code
from anomri.core.heatmap import Heatmap
from anomri.core.outcome import Outcome
from anomri.core.scan import Scan

__all__ = [
    "MARGIN_MM",
    "DisplayGrid",
    "HeatRange",
    "Views",
    "blocks",
    "expected_greys",
    "glance_of",
    "heat_range",
    "value_range",
    "views_of",
    "whole_grid",
]

MARGIN_MM = 4.0

Volume = NDArray[np.float32]
Grey = NDArray[np.uint8]


@dataclass(frozen=True, eq=False, slots=True)
class DisplayGrid:
    """A box of a grid, with its axes turned to RAS+.

    Parameters
    ----------
    source : the grid of the scan.
    axes : which voxel axis of `source` is shown as X, Y, Z.
    flips : whether that axis is turned round.
    start, stop : the box, in turned voxels.
    step : edge of the blocks that are joined, voxels.
    """

    source: Geometry
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    start: tuple[int, int, int]
    stop: tuple[int, int, int]
    step: int = 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of blocks along X, Y, Z."""
        x, y, z = (-(-(b - a) // self.step) for a, b in zip(self.start, self.stop, strict=True))
        return x, y, z

    @property
    def affine(self) -> NDArray[np.float64]:
        """(4, 4) block index → world RAS mm, at the centre of the block."""
        turned = np.zeros((4, 4))
        turned[3, 3] = 1.0
        for shown, (axis, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
            first = self.start[shown] + (self.step - 1) / 2.0
            turned[axis, shown] = -self.step if flip else self.step
            turned[axis, 3] = self.source.shape[axis] - 1 - first if flip else first
        return self.source.affine @ turned

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Edge of a block along X, Y, Z, mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    def with_step(self, step: int) -> DisplayGrid:
        """The same box in blocks of another edge."""
        return replace(self, step=step)

    def cut(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """(X, Y, Z) on `source` → the box, turned, voxel by voxel (no blocks)."""
        turned = np.transpose(values, self.axes)
        turned = turned[tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)]
        return turned[tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))]

    def block_at(self, point_mm: tuple[float, float, float]) -> tuple[int, int, int]:
        """The block that holds a world point, or the nearest one inside the box."""
        index = apply_affine(np.linalg.inv(self.affine), np.array([point_mm]))[0]
        x, y, z = (int(np.clip(round(float(i)), 0, n - 1)) for i, n in zip(index, self.shape, strict=True))
        return x, y, z

    def block_of_slice(self, axis: int, index: int) -> int | None:
        """Where slice `index` of voxel axis `axis` of `source` lies on its display axis; None outside the box."""
        shown = self.axes.index(axis)
        turned = self.source.shape[axis] - 1 - index if self.flips[shown] else index
        if not self.start[shown] <= turned < self.stop[shown]:
            return None
        return (turned - self.start[shown]) // self.step


@dataclass(frozen=True, slots=True)
class HeatRange:
    """What the colour scale spans: values outside are shown in its end colours.

    Parameters
    ----------
    low, high : ends of the colour scale, on the heatmap's scale.
    threshold : the overlay starts here; the finding level where the calibration has one.
    is_finding_level : whether `threshold` is the finding level (else the top 1 % of what was examined).
    """

    low: float
    high: float
    threshold: float
    is_finding_level: bool


@dataclass(frozen=True, eq=False, slots=True)
class Views:
    """What is drawn: 8-bit volumes on one display grid, X, Y, Z in RAS+.

    Parameters
    ----------
    grid : the box.
    scan : 0 outside the brain; 1–255 from the 1st to the 99.5th percentile of the brain.
    heat : as float, `nan` where nothing was examined; None where there is no heatmap.
    expected : brought to the greys of `scan` by the quartiles of both, because an average of many brains has other
        extremes than one; None where the model has no such image.
    """

    grid: DisplayGrid
    scan: Grey
    heat: Volume | None
    expected: Grey | None


def views_of(outcome: Outcome) -> Views | None:
    """The volumes of an outcome, brain-masked; None where the scan or its mask is missing.

    Without a mask nothing is shown voxel by voxel, because the surface of an unmasked head shows the face.
    """
    if outcome.scan is None or outcome.brain is None:
        return None
    mask = outcome.brain.mask
    grid = _box(outcome.scan.geometry, mask)
    inside = np.asarray(grid.cut(mask), dtype=bool)
    scan = _greys(_float(grid.cut(outcome.scan.voxels)), inside)
    heat = None if outcome.heatmap is None else _float(grid.cut(outcome.heatmap.values))
    expected = None if outcome.expected is None else expected_greys(outcome.expected, grid, scan)
    return Views(grid=grid, scan=scan, heat=heat, expected=expected)


def expected_greys(expected: Volume, grid: DisplayGrid, scan: Grey) -> Grey:
    """An expected image as `Views` holds it.

    Parameters
    ----------
    expected : (X, Y, Z) on the grid of the scan.
    grid, scan : of the views; `scan` is 0 outside the brain.
    """
    values = _float(grid.cut(expected))
    # On disk what is unknown reads 0, in memory nan: both mean the same here.
    return _greys_like(scan, np.nan_to_num(values), (scan > 0) & np.isfinite(values) & (values != 0))


def heat_range(heatmap: Heatmap, finding_level: float | None) -> HeatRange:
    """The colour scale of a heatmap.

    It runs from 0 (from the 1st percentile where 0 lies far off) to the 99.9th percentile, or as far as the findings
    need to be told apart within: the 98th percentile of what lies above the finding level.
    """
    return value_range(heatmap.values[np.isfinite(heatmap.values)], finding_level)


def value_range(known: Volume, finding_level: float | None) -> HeatRange:
    """`heat_range` of flat finite values, possibly none."""
    if known.size == 0:
        return HeatRange(0.0, 1.0, 1.0, False)
    bottom, top_hundredth, high = (float(v) for v in np.percentile(known, [1.0, 99.0, 99.9]))
    low = 0.0 if bottom < 0.5 * high else bottom
    if finding_level is not None:
        found = known[known > finding_level]
        above = finding_level + 0.25 * abs(finding_level - low)
        high = max(high, above, float(np.percentile(found, 98.0)) if found.size else above)
    if high <= low:
        high = low + 1.0
    if finding_level is not None and finding_level >= low:
        return HeatRange(low, high, finding_level, True)
    return HeatRange(low, high, max(top_hundredth, low), False)


def glance_of(scan: Scan) -> Grey:
    """Three axial slices (the one there is) of a scan without a mask, side by side, the patient's right on the left.

    No more than that, because the surface of a whole head shows the face.

    Returns
    -------
    (rows, columns) uint8, pixels as wide as they are high (nearest neighbour where voxels are not).
    """
    grid = whole_grid(scan.geometry)
    values = _float(grid.cut(scan.voxels))
    shares = (0.4, 0.55, 0.7) if values.shape[2] > 1 else (0.0,)
    slices = [values[::-1, ::-1, int(share * (values.shape[2] - 1))].T for share in shares]
    picture = np.concatenate(slices, axis=1)
    rows, spacing = picture.shape[0], grid.spacing_mm
    shown_rows = max(1, round(rows * spacing[1] / spacing[0]))
    picture = picture[((np.arange(shown_rows) + 0.5) * rows / shown_rows).astype(int)]
    return _greys(picture, np.ones(picture.shape, dtype=bool))


def blocks(values: Volume, step: int, join: Callable[..., NDArray[np.generic]]) -> Volume:
    """Join blocks of `step`³ voxels by `join` (``np.mean``, ``np.max``); the last ones repeat the border."""
    if step == 1:
        return values
    padded = np.pad(values, [(0, -n % step) for n in values.shape], mode="edge")
    x, y, z = (n // step for n in padded.shape)
    return _float(join(padded.reshape(x, step, y, step, z, step), axis=(1, 3, 5)))


def whole_grid(geometry: Geometry) -> DisplayGrid:
    """A whole grid, turned to RAS+."""
    code = orientation_code(geometry.affine)
    axes, flips = [0, 0, 0], [False] * 3
    for axis, letter in enumerate(code):
        shown = next(i for i, pair in enumerate(("RL", "AP", "SI")) if letter in pair)
        axes[shown], flips[shown] = axis, letter in "LPI"
    return DisplayGrid(
        source=geometry,
        axes=(axes[0], axes[1], axes[2]),
        flips=(flips[0], flips[1], flips[2]),
        start=(0, 0, 0),
        stop=(geometry.shape[axes[0]], geometry.shape[axes[1]], geometry.shape[axes[2]]),
    )


def _float(values: NDArray[np.generic]) -> Volume:
    return np.asarray(values, dtype=np.float32)


def _box(geometry: Geometry, mask: NDArray[np.bool_]) -> DisplayGrid:
    whole = whole_grid(geometry)
    turned = np.asarray(whole.cut(mask), dtype=bool)
    start, stop = [], []
    for axis in range(3):
        used = np.flatnonzero(turned.any(axis=tuple(i for i in range(3) if i != axis)))
        margin = round(MARGIN_MM / whole.spacing_mm[axis])
        start.append(max(int(used[0]) - margin, 0))
        stop.append(min(int(used[-1]) + 1 + margin, turned.shape[axis]))
    return replace(whole, start=(start[0], start[1], start[2]), stop=(stop[0], stop[1], stop[2]))


def _greys(values: Volume, inside: NDArray[np.bool_]) -> Grey:
    grey = np.zeros(values.shape, dtype=np.uint8)
    if inside.any():
        low, high = (float(v) for v in np.percentile(values[inside], [1.0, 99.5]))
        scaled = (values[inside] - low) / (high - low if high > low else 1.0)
        grey[inside] = np.rint(1.0 + 254.0 * np.clip(scaled, 0.0, 1.0)).astype(np.uint8)
    return grey


def _greys_like(scan: Grey, values: Volume, inside: NDArray[np.bool_]) -> Grey:
    """`values` in greys whose quartiles are those of `scan`, where both are known."""
    if not inside.any():
        return np.zeros(values.shape, dtype=np.uint8)
    low, high = (float(v) for v in np.percentile(values[inside], [25.0, 75.0]))
    dark, bright = (float(v) for v in np.percentile(scan[inside], [25.0, 75.0]))
    if high <= low or bright <= dark:
        return _greys(values, inside)
    grey = np.zeros(values.shape, dtype=np.uint8)
    scaled = dark + (values[inside] - low) / (high - low) * (bright - dark)
    grey[inside] = np.rint(np.clip(scaled, 1.0, 255.0)).astype(np.uint8)
    return grey
