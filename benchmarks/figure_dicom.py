"""The picture of the how-to on DICOM results: one slice of a series, with the map and the segments over it.

    python benchmarks/figure_dicom.py SERIES DICOM_RESULTS docs/images/dicom-results.jpg

Drawn as a viewer would, from DICOM files alone: nothing of anomri is imported. The slice is the one in which the map
peaks.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image


def main() -> None:
    series, results, out = (Path(argument) for argument in sys.argv[1:])
    heatmap, findings = (pydicom.dcmread(results / f"{name}.dcm") for name in ("heatmap", "findings"))
    size = (int(heatmap.NumberOfFrames), heatmap.Rows, heatmap.Columns)
    heat = np.frombuffer(heatmap.FloatPixelData, dtype="<f4").reshape(size)
    peak = int(heat.max(axis=(1, 2)).argmax())
    place = position(heatmap, peak)
    slices = [pydicom.dcmread(path) for path in series.iterdir()]
    behind = min(slices, key=lambda one: np.linalg.norm(np.array(one.ImagePositionPatient, dtype=float) - place))
    segments = np.zeros(size[1:], dtype=bool)
    for number, frame in enumerate(np.atleast_3d(findings.pixel_array)):
        if np.linalg.norm(position(findings, number) - place) < 0.1:
            segments |= frame.astype(bool)
    window = heatmap.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence[0]
    low = float(window.WindowCenter) - float(window.WindowWidth) / 2.0
    spacing = [float(v) for v in behind.PixelSpacing]
    draw(behind.pixel_array, heat[peak], segments, (low, low + float(window.WindowWidth)), spacing[0] / spacing[1], out)


def position(image: Any, number: int) -> np.ndarray:
    """Centre of a frame's first pixel, mm in the patient."""
    frame = image.PerFrameFunctionalGroupsSequence[number]
    return np.array(frame.PlanePositionSequence[0].ImagePositionPatient, dtype=float)


def draw(
    grey: np.ndarray, heat: np.ndarray, segments: np.ndarray, window: tuple[float, float], aspect: float, out: Path
) -> None:
    """Three panels: the slice, the map over it, the segments' outlines over it."""
    figure = Figure(figsize=(10.5, 4.4), dpi=110, facecolor="black")
    titles = ("the series", "Parametric Map", "Segmentation")
    for at, title in enumerate(titles):
        axes = figure.add_axes((at / 3.0 + 0.005, 0.0, 1.0 / 3.0 - 0.01, 0.9))
        axes.set_axis_off()
        axes.imshow(grey, cmap="gray", vmin=0, vmax=np.percentile(grey[grey > 0], 99.5), aspect=aspect)
        if at == 1:
            shown = np.ma.masked_less(heat, window[0] + 0.1 * (window[1] - window[0]))
            axes.imshow(shown, cmap="inferno", vmin=window[0], vmax=window[1], alpha=0.65, aspect=aspect)
        if at == 2:
            axes.contour(segments, levels=[0.5], colors=["#ffd23f"], linewidths=1.6)
        axes.set_title(title, color="white", fontsize=12)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).save(out, quality=88)


if __name__ == "__main__":
    main()
