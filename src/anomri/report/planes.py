"""Three planes through a volume as pictures: the patient's right on the left, heat above its threshold in colour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anomri.report.colours import colour_table
from anomri.report.display import HeatRange, Views

__all__ = ["blend", "planes_of", "slice_at", "strongest"]

# Name, and across, down and through as axes of the display grid.
_PLANES = (("axial", 0, 1, 2), ("coronal", 0, 2, 1), ("sagittal", 1, 2, 0))
_OPACITY = 0.6


def planes_of(views: Views) -> tuple[tuple[str, int, int, int], ...]:
    """Name, and which axes run across, down and through, of each plane; across a single slice there is none."""
    return _PLANES if views.scan.shape[2] > 1 else _PLANES[:1]


def strongest(views: Views) -> tuple[int, int, int]:
    """Where the heatmap is largest; the middle where there is none."""
    if views.heat is None or not np.isfinite(views.heat).any():
        x, y, z = (n // 2 for n in views.scan.shape)
    else:
        x, y, z = (int(i) for i in np.unravel_index(int(np.nanargmax(views.heat)), views.heat.shape))
    return x, y, z


def slice_at(volume: NDArray[np.generic], through: int, at: tuple[int, int, int]) -> NDArray[np.generic]:
    """Rows from above (or front), columns from the patient's right (or front): both axes backwards."""
    plane: NDArray[np.generic] = np.take(volume, at[through], axis=through)
    return plane.T[::-1, ::-1]


def blend(grey: NDArray[np.generic], heat: NDArray[np.generic] | None, span: HeatRange | None) -> NDArray[np.float64]:
    """(rows, columns) grey 0–255 and heat → (rows, columns, 3) in 0–1."""
    rgb = np.repeat(np.asarray(grey, dtype=np.float64)[..., None] / 255.0, 3, axis=2)
    if heat is None or span is None:
        return rgb
    values = np.asarray(heat, dtype=np.float64)
    shown = np.nan_to_num(values, nan=-np.inf) >= span.threshold
    scaled = np.clip((values[shown] - span.low) / (span.high - span.low), 0.0, 1.0)
    colours = colour_table()[np.rint(255.0 * scaled).astype(int)] / 255.0
    rgb[shown] = (1.0 - _OPACITY) * rgb[shown] + _OPACITY * colours
    return rgb
