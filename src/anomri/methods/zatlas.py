"""Robust voxel-wise atlas: how many spreads of the normals a scan lies from their median, voxel by voxel.

Scan and statistics are smoothed alike before they are compared, because affine registration leaves cortical folds of
different brains a few millimetres apart. Both signs count.

    z(v) = (G_σ x(v) − m(v)) / s(v),   m = median over normals of G_σ x,   s = 1.4826 · MAD, floored

References
----------
Baseline B5 of the evaluation design; the comparison of Saase et al., 2020 (arXiv 2009.05831), where such models beat
a 3D autoencoder voxel by voxel.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from anomri.core.prepared import Prepared
from anomri.core.reading import Reading
from anomri.core.score import MAD_TO_SD, filled_from_nearest, mean_of_top_voxels, smooth_inside
from anomri.errors import CalibrationError, ModelError
from anomri.methods.method import Config, FitReport, Preset, require_normals
from anomri.training.moving import moved_centre, moved_spread

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["PRESETS", "ZAtlas", "ZAtlasConfig"]


class ZAtlasConfig(Config):
    """Settings of the atlas.

    Parameters
    ----------
    sigma_mm : Gaussian smoothing of scan and statistics.
    floor_percentile : spreads below this percentile of all spreads are raised to it.
    coverage : a voxel has statistics where at least this share of the normals has brain.
    top_voxels : the scan score is the mean of this many largest |z|.
    """

    reading_only: ClassVar[frozenset[str]] = frozenset({"top_voxels"})

    sigma_mm: float = Field(default=4.0, ge=0.0, le=50.0)
    floor_percentile: float = Field(default=5.0, ge=0.0, le=100.0)
    coverage: float = Field(default=0.8, gt=0.0, le=1.0)
    top_voxels: int = Field(default=20, ge=1)
    least_normals: int = Field(default=5, ge=2)


class ZAtlas:
    """See the module."""

    version: ClassVar[int] = 1
    config_type: ClassVar[type[Config]] = ZAtlasConfig
    localises: ClassVar[bool] = True

    def __init__(self, config: Config) -> None:
        if not isinstance(config, ZAtlasConfig):
            raise ModelError("zatlas needs a ZAtlasConfig", remedy="Use a preset of zatlas.", code="config")
        self.config = config
        self._state: dict[str, NDArray[np.float32]] = {}

    def fit(
        self,
        prepared: Sequence[Prepared],
        *,
        seed: int,  # noqa: ARG002 - nothing here is random
        fabric: Fabric | None = None,  # noqa: ARG002
        resume: Path | None = None,  # noqa: ARG002
    ) -> FitReport:
        """Median and spread of the normals in every voxel; seconds."""
        require_normals(len(prepared), self.config, "an atlas")
        start = time.perf_counter()
        covered, centre, spread = self._measured(prepared)
        spread = np.maximum(spread, np.percentile(spread, self.config.floor_percentile))
        if not (spread > 0).all():
            raise CalibrationError(
                "the normal scans do not vary",
                remedy="Give different scans, or raise floor_percentile.",
                code="no_spread",
            )
        expected = np.zeros(covered.shape, dtype=np.float32)
        expected[covered] = np.median([p.scan.voxels[covered] for p in prepared], axis=0)
        self._state = {
            "median": filled_from_nearest(centre, covered),
            "spread": filled_from_nearest(spread, covered),
            "expected": expected,
        }
        return FitReport(elapsed_s=time.perf_counter() - start)

    def adapted(self, prepared: Sequence[Prepared]) -> Self:
        """Median, spread and expected image moved to a site, where enough of its scans have brain."""
        covered, here, around = self._measured(prepared)
        state, count = {name: array.copy() for name, array in self._state.items()}, len(prepared)
        centre, spread = state["median"][covered], state["spread"][covered]
        moved = moved_centre(centre, here, spread, count, together=True)
        # A sharp median of few scans would be mostly their noise: the image goes with the smooth one.
        state["expected"][covered] += (moved - centre).astype(np.float32)
        state["median"][covered] = moved
        state["spread"][covered] = moved_spread(spread, around, count)
        return type(self).restore(self.config, state)

    def _measured(
        self, prepared: Sequence[Prepared]
    ) -> tuple[NDArray[np.bool_], NDArray[np.floating], NDArray[np.floating]]:
        """Where enough scans have brain, and their median and spread there."""
        covered = np.mean([p.inside.mask for p in prepared], axis=0) >= self.config.coverage
        if not covered.any():
            raise CalibrationError(
                "no voxel has brain in enough of the normal scans",
                remedy="Look at the scans, or lower coverage.",
                code="no_overlap",
            )
        # Covered voxels alone: hundreds of whole grids would fill the memory.
        columns = np.stack([np.where(p.inside.mask, self._smooth(p), np.nan)[covered] for p in prepared])
        centre = np.nanmedian(columns, axis=0)
        return covered, centre, MAD_TO_SD * np.nanmedian(np.abs(columns - centre), axis=0)

    def examine(self, prepared: Prepared, *, seed: int = 0) -> Reading:  # noqa: ARG002
        """|z| as the map; the signed z as a named map; the mean of the largest |z| as the score."""
        if not self._state:
            raise ModelError("the atlas has not been fitted", remedy="Fit or restore it first.", code="unfitted")
        if self._state["median"].shape != prepared.scan.geometry.shape:
            raise ModelError("the atlas lies on another grid", remedy="Use the model's own recipe.", code="grid")
        region = prepared.region.mask
        z = (self._smooth(prepared) - self._state["median"]) / self._state["spread"]
        z = np.where(region, z, np.nan).astype(np.float32)
        size = np.abs(z)
        return Reading(
            score=mean_of_top_voxels(size[region], self.config.top_voxels),
            map=size,
            map_scale="z",
            expected=np.where(prepared.inside.mask, self._state["expected"], np.nan).astype(np.float32),
            maps={"signed_z": z},
        )

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """``median``, ``spread``, ``expected``: (X, Y, Z) float32 each."""
        return dict(self._state)

    @classmethod
    def restore(cls, config: Config, state: Mapping[str, NDArray[np.generic]]) -> Self:
        """From a config and its state."""
        method = cls(config)
        if set(state) != {"median", "spread", "expected"} or len({a.shape for a in state.values()}) != 1:
            raise ModelError("these are not the weights of an atlas", remedy="Restore the file.", code="weights")
        method._state = {name: np.asarray(array, dtype=np.float32) for name, array in state.items()}
        return method

    def _smooth(self, prepared: Prepared) -> NDArray[np.float32]:
        sx, sy, sz = (self.config.sigma_mm / s for s in prepared.scan.geometry.spacing_mm)
        return smooth_inside(prepared.scan.voxels, prepared.inside.mask, (sx, sy, sz))


PRESETS: dict[str, Preset] = {
    "zatlas": Preset(ZAtlasConfig(), "brain-t1", "voxel-wise atlas, σ = 4 mm; seconds on one core"),
    "zatlas-slices": Preset(ZAtlasConfig(sigma_mm=2.0), "slices-2d", "of single slices; seconds on one core"),
    "zatlas-tiny": Preset(ZAtlasConfig(least_normals=2, top_voxels=5), "brain-t1", "for tests"),
}
