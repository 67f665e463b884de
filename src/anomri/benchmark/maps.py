"""The heatmaps of a row on their grids, and the levels that normal scans of other folds put through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from anomri.benchmark.preparing import Ready, load_ready, load_truth
from anomri.benchmark.results import Results
from anomri.metrics.thresholds import threshold_at_false_positive_ml

__all__ = ["ALLOWED_ML", "Heatmaps", "Mapped", "levels_of", "maps_of"]

FloatMap = NDArray[np.float32]
Mask = NDArray[np.bool_]

# False positive a normal scan may have on average: the honest operating point and its neighbours.
ALLOWED_ML = (0.1, 1.0, 5.0)


@dataclass(frozen=True, eq=False, slots=True)
class Mapped:
    """A case with its map.

    Parameters
    ----------
    values : (X, Y, Z), `nan` where nothing was examined; `nan` everywhere for a refused scan, which marks nothing.
    truth : (X, Y, Z), empty for a normal scan.
    """

    ready: Ready
    values: FloatMap
    truth: Mask
    spacing_mm: tuple[float, float, float]

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    @property
    def refused(self) -> bool:
        """Whether there is no map."""
        return bool(np.isnan(self.values).all())


class Heatmaps:
    """Maps of one seed; each is put on its grid when it is asked for."""

    def __init__(self, results: Results, seed: int) -> None:
        self.known = maps_of(results, seed)
        self._ready = {r.case.case_id: r for r in results.ready}
        some = next((r for r in results.ready if r.case.case_id in self.known), None)
        self._spacing_mm = (1.0, 1.0, 1.0) if some is None else load_ready(some).scan.geometry.spacing_mm

    def __getitem__(self, case: str) -> Mapped:
        ready = self._ready[case]
        truth = load_truth(ready)
        if ready.file is None:
            # Its truth was kept at the spacing of the others.
            mask = _nothing((1, 1, 1)) if truth is None else truth
            return Mapped(ready, np.full(mask.shape, np.nan, np.float32), mask, self._spacing_mm)
        prepared = load_ready(ready)
        geometry = prepared.scan.geometry
        values = np.full(geometry.shape, np.nan, dtype=np.float32)
        if case in self.known:
            values[prepared.region.mask] = self.known[case].astype(np.float32)
        return Mapped(ready, values, _nothing(geometry.shape) if truth is None else truth, geometry.spacing_mm)


def maps_of(results: Results, seed: int) -> dict[str, FloatMap]:
    """Map values inside the examined region by case id, in the order of the region's voxels."""
    found: dict[str, FloatMap] = {}
    for file in results.maps.get(seed, ()):
        found |= load_file(file)
    return found


def levels_of(normals: Sequence[Mapped], fold_of: Mapping[str, int]) -> dict[tuple[int, float], float]:
    """Threshold of each fold by ml of false positive allowed a scan, from the normals of the other folds alone."""
    found = {}
    for fold in sorted(set(fold_of.values())):
        others = [m for m in normals if fold_of[m.ready.case.case_id] != fold]
        for allowed in ALLOWED_ML:
            found[fold, allowed] = threshold_at_false_positive_ml(
                [m.values for m in others], [m.voxel_ml for m in others], ml_per_scan=allowed
            )
    return found


def _nothing(shape: tuple[int, int, int]) -> Mask:
    """An empty mask that takes no memory."""
    return np.broadcast_to(np.False_, shape)
