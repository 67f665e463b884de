"""PCA reconstruction: the linear autoencoder every deep one has to beat (baseline B10).

    r(v) = |G_σ (x − x̂)(v)|,   x̂ = m + Σ_k ⟨x − m, u_k⟩ u_k,   m, u_k = mean and principal components of the normals

At most half as many components as normals are kept: with all of them every training scan would be reproduced
exactly, and a residual of noise alone would be left to compare with.
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
from anomri.core.score import mean_of_top_fraction, smooth_inside
from anomri.errors import CalibrationError, ModelError
from anomri.methods.method import Config, FitReport, Preset

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["PCA", "PRESETS", "PCAConfig"]

_NAMES = ("covered", "mean", "components")


class PCAConfig(Config):
    """Settings of the linear autoencoder.

    Parameters
    ----------
    components : at most this many, and at most half as many as there are normals.
    coverage : a voxel counts where at least this share of the normals has brain.
    smooth_mm : σ of the Gaussian that smooths the residual within the brain.
    top_fraction : the scan score is the mean of this share of the largest residuals.
    least_normals : fewer are refused.
    """

    components: int = Field(default=64, ge=1)
    coverage: float = Field(default=0.8, gt=0.0, le=1.0)
    smooth_mm: float = Field(default=2.0, ge=0.0)
    top_fraction: float = Field(default=0.002, gt=0.0, le=1.0)
    least_normals: int = Field(default=4, ge=2)


class PCA:
    """See the module."""

    version: ClassVar[int] = 1
    config_type: ClassVar[type[Config]] = PCAConfig
    localises: ClassVar[bool] = True

    def __init__(self, config: Config) -> None:
        if not isinstance(config, PCAConfig):
            raise ModelError("pca needs a PCAConfig", remedy="Use a preset of pca.", code="config")
        self.config = config
        self._state: dict[str, NDArray[np.generic]] = {}

    def fit(
        self,
        prepared: Sequence[Prepared],
        *,
        seed: int,  # noqa: ARG002 - the exact decomposition draws nothing
        fabric: Fabric | None = None,  # noqa: ARG002
        resume: Path | None = None,  # noqa: ARG002
    ) -> FitReport:
        """Mean and principal components of the normals; seconds."""
        from sklearn import decomposition  # imported here because it takes half a second

        if len(prepared) < self.config.least_normals:
            raise CalibrationError(
                f"{len(prepared)} normal scans are too few for components",
                remedy=f"Give at least {self.config.least_normals}.",
                code="too_few_normals",
            )
        start = time.perf_counter()
        covered = np.mean([p.inside.mask for p in prepared], axis=0) >= self.config.coverage
        known = np.stack([p.inside.mask[covered] for p in prepared])
        columns = np.stack([p.scan.voxels[covered] for p in prepared])
        mean = np.average(columns, axis=0, weights=known).astype(np.float32)
        count = min(self.config.components, len(prepared) // 2)
        found = decomposition.PCA(count, svd_solver="full").fit(np.where(known, columns - mean, 0.0))
        # In rows: a file keeps the order of the numbers alone.
        components = np.ascontiguousarray(found.components_, dtype=np.float32)
        self._state = {"covered": covered, "mean": mean, "components": components}
        return FitReport(elapsed_s=time.perf_counter() - start)

    def examine(self, prepared: Prepared, *, seed: int = 0) -> Reading:  # noqa: ARG002
        """The smoothed size of the residual as the map; the mean of its largest share as the score."""
        if not self._state:
            raise ModelError("the components have not been fitted", remedy="Fit or restore them.", code="unfitted")
        covered = np.asarray(self._state["covered"], dtype=bool)
        if covered.shape != prepared.scan.geometry.shape:
            raise ModelError("the components lie on another grid", remedy="Use the model's own recipe.", code="grid")
        mean, components = (np.asarray(self._state[name], dtype=np.float32) for name in ("mean", "components"))
        known = prepared.inside.mask & covered
        departure = np.where(known[covered], prepared.scan.voxels[covered] - mean, np.float32(0.0))
        modelled = (components @ departure) @ components
        # Where too few normals have brain nothing is expected but what is there.
        expected = prepared.scan.voxels.copy()
        expected[known] = (mean + modelled)[known[covered]]
        residual = prepared.scan.voxels - expected
        sx, sy, sz = (self.config.smooth_mm / s for s in prepared.scan.geometry.spacing_mm)
        region = prepared.region.mask
        size = np.abs(smooth_inside(residual, prepared.inside.mask, (sx, sy, sz)))
        size = np.where(region, size, np.nan).astype(np.float32)
        return Reading(
            score=mean_of_top_fraction(size[region], self.config.top_fraction),
            map=size,
            expected=np.where(prepared.inside.mask, expected, np.float32(np.nan)),
        )

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """``covered`` (X, Y, Z) bool as uint8, ``mean`` (v,) and ``components`` (k, v) over the v covered voxels."""
        return {name: a.astype(np.uint8) if a.dtype == bool else a for name, a in self._state.items()}

    @classmethod
    def restore(cls, config: Config, state: Mapping[str, NDArray[np.generic]]) -> Self:
        """From a config and its state."""
        method = cls(config)
        fits = set(state) == set(_NAMES)
        if fits:
            voxels = int(np.count_nonzero(state["covered"]))
            fits = state["mean"].shape == (voxels,) and state["components"].shape[1:] == (voxels,)
        if not fits:
            raise ModelError("these are not the weights of a PCA", remedy="Restore the file.", code="weights")
        method._state = {name: np.asarray(state[name], dtype=np.float32) for name in ("mean", "components")}
        method._state["covered"] = np.asarray(state["covered"]) > 0
        return method


PRESETS: dict[str, Preset] = {
    "pca": Preset(PCAConfig(), "brain-t1", "linear autoencoder; baseline, seconds on one core"),
    "pca-tiny": Preset(PCAConfig(least_normals=2), "brain-t1", "for tests"),
}
