"""What may be laid over a scan in the viewer: the heatmap, and the named maps of the branches.

Named maps are extras: they take what the heatmap, the scan and the expected image leave of a page's budget, in blocks
of voxels where it is little, and stay away where it is not enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomri.io.names import shown
from anomri.report.display import DisplayGrid, HeatRange, value_range
from anomri.report.volumes import heat_layer

__all__ = ["HEAT", "Overlay", "PackedMaps", "map_overlay", "pack_maps"]

HEAT = "heat"
_STEPS = (1, 2, 4, 8)
# A map counts as signed where its 1st percentile lies this far below 0, as a share of its largest magnitude.
_SIGNED_SHARE = 0.1

Volume = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Overlay:
    """One choice of the viewer.

    Parameters
    ----------
    layer : name of its volume in the page.
    label : its name, and what its numbers are.
    span : of its colours; symmetric around 0 where `signed`.
    signed : drawn in two colours, away from 0; the threshold is one of magnitude.
    """

    layer: str
    label: str
    span: HeatRange
    signed: bool = False


@dataclass(frozen=True, slots=True)
class PackedMaps:
    """Named maps ready for a page; `remark` tells what was joined or left out, and is empty where nothing was."""

    overlays: tuple[Overlay, ...]
    layers: dict[str, dict[str, object]]
    remark: str


def map_overlay(name: str, values: Volume) -> Overlay | None:
    """How a named map is coloured; None where it has no finite value.

    The overlay starts at the top 1 % of its values, of its magnitudes where the map is signed.
    """
    known = values[np.isfinite(values)]
    if known.size == 0:
        return None
    label, layer = shown(name), f"map-{shown(name)}"
    top_hundredth, high = (float(v) for v in np.percentile(np.abs(known), [99.0, 99.9]))
    if float(np.percentile(known, 1.0)) < -_SIGNED_SHARE * high:
        return Overlay(layer, label, HeatRange(-high, high, top_hundredth, False), signed=True)
    return Overlay(layer, label, value_range(known, None))


def pack_maps(maps: Mapping[str, Volume], grid: DisplayGrid, *, budget: int) -> PackedMaps:
    """Encode the named maps that fit into a page.

    Parameters
    ----------
    maps : (X, Y, Z) on the grid of the scan, `nan` where nothing is known.
    grid : of the viewer.
    budget : characters of base64 that are left.
    """
    cuts = [(name, np.asarray(grid.cut(values), dtype=np.float32)) for name, values in sorted(maps.items())]
    found = [(overlay, cut) for name, cut in cuts if (overlay := map_overlay(name, cut)) is not None]
    if not found:
        return PackedMaps((), {}, "")
    for step in (step for step in _STEPS if step >= grid.step):
        layers = {
            overlay.layer: heat_layer(cut, overlay.span, step, step // grid.step, signed=overlay.signed)
            for overlay, cut in found
        }
        if sum(len(str(layer["data"])) for layer in layers.values()) <= budget:
            remark = f"The named maps are shown in blocks of {step} × {step} × {step} voxels." if step > 1 else ""
            return PackedMaps(tuple(overlay for overlay, _ in found), layers, remark)
    return PackedMaps((), {}, "The named maps are left out to keep this page small; they lie in the folder maps.")
