"""The page of one scan: a single file that opens from disk, without network, and is read within a minute."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from anomri.core.geometry import apply_affine
from anomri.core.outcome import Outcome
from anomri.core.result import MetricDeviation, Result
from anomri.quality import METRICS
from anomri.report import words
from anomri.report.charts import branch_marks, distribution, metric_range, sparkline
from anomri.report.colours import colour_table, signed_table
from anomri.report.display import DisplayGrid, HeatRange, Views, glance_of, heat_range, views_of
from anomri.report.findings import MOST, FindingView, finding_views
from anomri.report.outline import outline_png
from anomri.report.overlays import HEAT, Overlay, PackedMaps, pack_maps
from anomri.report.render import render
from anomri.report.volumes import BUDGET, Packed, pack

__all__ = ["scan_page"]

_MOST_UNUSUAL = 3


@dataclass(frozen=True, slots=True)
class _Peak:
    """Where a heatmap is largest: its value, the voxel's place (RAS, mm), the viewer's block, the level beside it.

    `above` is true where it exceeds the level of findings all the same, in a spot too small to be one.
    """

    value: float
    place_mm: tuple[float, float, float]
    block: str | None
    above: bool


def scan_page(outcome: Outcome, *, budget: int = BUDGET) -> str:
    """One self-contained HTML page: verdict, reason, score among the normals, images, findings, quality, model.

    Parameters
    ----------
    outcome : of any verdict; images that are missing are left out.
    budget : characters of base64 the volumes may take; blocks of voxels are joined until they fit.

    Returns
    -------
    HTML, UTF-8; the same bytes for the same outcome.
    """
    result, branches = outcome.result, words.branches(outcome.result)
    views = views_of(outcome)
    single_slice = views is not None and views.scan.shape[2] == 1
    heat = _heat_of(outcome, views)
    seen = () if views is None or heat is None else finding_views(outcome, views, heat)
    pictures = [_pictures(view) for view in seen]
    budget -= sum(len(picture) for row in pictures for _, picture in row)
    outline = _outline(outcome)
    budget -= len(outline or "")
    packed = None if views is None else pack(views, heat, budget=budget)
    grid = None if packed is None else packed.grid
    scale = "" if outcome.heatmap is None else words.SCALE[outcome.heatmap.scale]
    # Without a heatmap there is no overlay to choose instead of.
    maps = _maps_of(outcome, packed, budget) if packed is not None and heat is not None else PackedMaps((), {}, "")
    overlays = () if heat is None else (Overlay(HEAT, scale, heat), *maps.overlays)
    return render(
        "scan.html.jinja",
        style="page.css",
        script="viewer.js",
        data=None if packed is None else _viewer_data(packed, maps, overlays, _start(result, views, packed.grid)),
        result=result,
        verdict=words.VERDICTS[result.verdict],
        meaning=words.meaning(result),
        next_step=words.next_step(result),
        disclaimer=words.DISCLAIMER,
        branches=list(zip(branches, branch_marks(branches, result.thresholds), strict=True)),
        looks_at=words.LOOKS_AT,
        arises=words.how_the_score_arises(result),
        metric_title=words.metric_title,
        distribution=None if result.score is None else distribution(result),
        spark=None if single_slice else sparkline(result, grid),
        single_slice=single_slice,
        picture=result.input.format in words.PICTURES,
        heat=heat,
        scale=scale,
        overlays=overlays,
        outline=outline,
        has_expected=views is not None and views.expected is not None,
        coarser="" if packed is None else f"{packed.coarser} {maps.remark}".strip(),
        findings=[
            {
                "finding": finding,
                "block": _block(grid, finding.centroid_mm),
                "pictures": pictures[at] if at < len(pictures) else None,
            }
            for at, finding in enumerate(result.findings)
        ],
        most_findings=MOST,
        about_findings=words.ABOUT_FINDINGS,
        peak=_peak(outcome, grid),
        unusual=_most_unusual(result),
        quality=_quality_rows(result),
        metric_range=metric_range,
        glance=_png(glance_of(outcome.scan)) if views is None and outcome.scan is not None else None,
    )


def _heat_of(outcome: Outcome, views: Views | None) -> HeatRange | None:
    if outcome.heatmap is None or views is None:
        return None
    limits = outcome.result.thresholds
    return heat_range(outcome.heatmap, None if limits is None else limits.finding_level)


def _start(result: Result, views: Views | None, grid: DisplayGrid) -> tuple[int, int, int]:
    """The first position of the cross-hair: the strongest finding, else the strongest voxel, else the middle."""
    if result.findings:
        return grid.block_at(result.findings[0].centroid_mm)
    if views is not None and views.heat is not None and np.isfinite(views.heat).any():
        at = np.unravel_index(int(np.nanargmax(views.heat)), views.heat.shape)
        x, y, z = (int(i) // grid.step for i in at)
        return x, y, z
    x, y, z = (n // 2 for n in grid.shape)
    return x, y, z


def _maps_of(outcome: Outcome, packed: Packed, budget: int) -> PackedMaps:
    used = sum(len(str(layer["data"])) for layer in packed.layers.values())
    return pack_maps(outcome.maps, packed.grid, budget=budget - used)


def _viewer_data(
    packed: Packed, maps: PackedMaps, overlays: tuple[Overlay, ...], start: tuple[int, int, int]
) -> dict[str, object]:
    grid = packed.grid
    return {
        "shape": list(grid.shape),
        "spacing_mm": [round(s, 6) for s in grid.spacing_mm],
        "affine": [[round(float(v), 6) for v in row] for row in grid.affine[:3]],
        "start": list(start),
        "layers": {**packed.layers, **maps.layers},
        "overlays": [
            {
                "layer": overlay.layer,
                "label": overlay.label,
                "low": overlay.span.low,
                "high": overlay.span.high,
                "threshold": overlay.span.threshold,
                "signed": overlay.signed,
            }
            for overlay in overlays
        ],
        "colours": colour_table().ravel().tolist(),
        "signed_colours": signed_table().ravel().tolist(),
    }


def _pictures(view: FindingView) -> list[tuple[str, Markup]]:
    """Titles and pictures of a finding, in order."""
    expected = [] if view.expected is None else [("Expected normal", _png(view.expected))]
    return [("This scan", _png(view.scan)), *expected, ("Heatmap over it", _png(view.map))]


def _outline(outcome: Outcome) -> Markup | None:
    """A brain that was cut out of a head; None where none was, or where nothing is left of the head around it."""
    scan, brain = outcome.scan, outcome.brain
    if outcome.result.brain_from != "extracted" or scan is None or brain is None:
        return None
    # A result folder keeps no head: an outline around what lies inside it would always look right.
    return _embedded(outline_png(scan, brain)) if scan.voxels[~brain.mask].any() else None


def _peak(outcome: Outcome, grid: DisplayGrid | None) -> _Peak | None:
    heatmap, limits = outcome.heatmap, outcome.result.thresholds
    if heatmap is None or not np.isfinite(heatmap.values).any():
        return None
    at = np.unravel_index(int(np.nanargmax(heatmap.values)), heatmap.values.shape)
    x, y, z = (float(v) for v in apply_affine(heatmap.geometry.affine, np.array([at], dtype=np.float64))[0])
    level = None if limits is None else limits.finding_level
    value = float(heatmap.values[at])
    return _Peak(value, (x, y, z), _block(grid, (x, y, z)), level is not None and value > level)


def _block(grid: DisplayGrid | None, place_mm: tuple[float, float, float]) -> str | None:
    return None if grid is None else ",".join(str(i) for i in grid.block_at(place_mm))


def _most_unusual(result: Result) -> list[MetricDeviation]:
    """The metrics of the quality branches that deviate most."""
    metrics = [m for driver in result.drivers for m in driver.metrics]
    return sorted(metrics, key=lambda m: (-abs(m.deviation), m.name))[:_MOST_UNUSUAL]


def _quality_rows(result: Result) -> list[dict[str, object]]:
    """Every metric of the scan with what it measures, by title."""
    values = {m.name: m.value for driver in result.drivers for m in driver.metrics} | result.quality
    rows: list[dict[str, object]] = [
        {
            "name": name,
            "title": words.metric_title(name),
            "value": value,
            "unit": METRICS[name].unit if name in METRICS else "",
            "formula": METRICS[name].formula if name in METRICS else "",
        }
        for name, value in values.items()
    ]
    return sorted(rows, key=lambda row: (str(row["title"]), str(row["name"])))


def _png(picture: NDArray[np.uint8]) -> Markup:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return _embedded(buffer.getvalue())


def _embedded(png: bytes) -> Markup:
    # Base64 holds no markup, and is too long to be shown as text.
    return Markup("data:image/png;base64," + base64.b64encode(png).decode("ascii"))
