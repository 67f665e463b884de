"""A picture of a mask: three planes through its middle, its outline drawn on the scan, and no face."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomri.core.geometry import ras_axes
from anomri.core.region import Region
from anomri.core.scan import Scan
from anomri.report.planes import slice_at

__all__ = ["outline_png"]

# Across, down and through of axial, coronal and sagittal planes.
_PLANES = ((0, 1, 2), (0, 2, 1), (1, 2, 0))
_HEIGHT_INCH, _GAP_INCH, _DPI = 3.5, 0.08, 100.0
_BRIGHT_PERCENTILE = 99.5
_COLOUR = "#ff5a3c"
# Enough around the mask to see what it left out; a face lies further away.
_MARGIN_MM = 15.0


def outline_png(scan: Scan, region: Region) -> bytes:
    """Axial, coronal and sagittal plane of a scan around a mask, with its outline; radiological convention, as a PNG.

    Parameters
    ----------
    region : on the scan's grid.

    Returns
    -------
    The same bytes for the same scan and mask; 350 pixels high.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    order, flips, geometry = ras_axes(scan.geometry)
    inside = np.flip(region.mask.transpose(order), flips)
    around = _around(inside, geometry.spacing_mm)
    values, mask = np.flip(scan.voxels.transpose(order), flips)[around], inside[around]
    x, y, z = (int(i) for i in np.round(np.argwhere(mask).mean(axis=0)))
    dark, bright = np.percentile(values[::2, ::2, ::2], [1.0, _BRIGHT_PERCENTILE])
    mm = [n * s for n, s in zip(values.shape, geometry.spacing_mm, strict=True)]
    scale = _HEIGHT_INCH / max(mm[1], mm[2])
    width = sum(mm[across] * scale for across, _, _ in _PLANES) + _GAP_INCH * (len(_PLANES) - 1)
    figure = Figure(figsize=(width, _HEIGHT_INCH), dpi=_DPI, facecolor="#000000")
    left = 0.0
    for across, down, through in _PLANES:
        wide, high = mm[across] * scale, mm[down] * scale
        axes = figure.add_axes((left / width, 0.5 - high / _HEIGHT_INCH / 2.0, wide / width, high / _HEIGHT_INCH))
        axes.set_axis_off()
        axes.imshow(slice_at(values, through, (x, y, z)), cmap="gray", vmin=dark, vmax=bright, aspect="auto")
        plane: NDArray[np.generic] = slice_at(mask, through, (x, y, z))
        axes.contour(np.asarray(plane, dtype=np.float32), levels=[0.5], colors=[_COLOUR], linewidths=1.0)
        left += wide + _GAP_INCH
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])).save(buffer, format="PNG")
    return buffer.getvalue()


def _around(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> tuple[slice, slice, slice]:
    """The box of a mask and a margin around it, within the grid."""
    x, y, z = (
        slice(max(0, int(used.min()) - round(_MARGIN_MM / spacing)), int(used.max()) + 1 + round(_MARGIN_MM / spacing))
        for used, spacing in zip(np.nonzero(mask), spacing_mm, strict=True)
    )
    return x, y, z
