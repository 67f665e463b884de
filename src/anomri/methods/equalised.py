"""The rank of an intensity within its own scan (baseline B4): learns nothing, and finds bright lesions.

    r(v) = share of the brain's voxels darker than v, in 256 bins; small bright parts dropped

Of one scan all ranks occur equally often, so what tells two scans apart is whether the extreme ones lie together.

References
----------
Meissen F., Kaissis G., Rueckert D., "Challenging current semi-supervised anomaly segmentation methods for brain MRI",
BrainLes 2021 (arXiv 2109.06023): a threshold on the equalised FLAIR beat most learned methods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from anomri.core.prepared import Prepared
from anomri.core.reading import Reading
from anomri.core.score import mean_of_top_fraction
from anomri.errors import ModelError
from anomri.methods.method import Config, FitReport, Preset, require_normals

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["PRESETS", "Equalised", "EqualisedConfig"]

_BINS = 256


class EqualisedConfig(Config):
    """Settings of the ranks.

    Parameters
    ----------
    tail : which ranks are abnormal: ``bright`` ones, as published for FLAIR, or those far from the middle (``both``).
    smallest_voxels : 26-connected parts of the highest `top_fraction` with no more voxels are set to 0.
    top_fraction : share of the region's voxels whose mean is the score.
    """

    tail: Literal["bright", "both"] = "bright"
    smallest_voxels: int = Field(default=20, ge=0)
    top_fraction: float = Field(default=0.01, gt=0.0, le=1.0)
    least_normals: int = Field(default=2, ge=2)


class Equalised:
    """See the module."""

    version: ClassVar[int] = 1
    config_type: ClassVar[type[Config]] = EqualisedConfig
    localises: ClassVar[bool] = True

    def __init__(self, config: Config) -> None:
        if not isinstance(config, EqualisedConfig):
            raise ModelError("equalised needs an EqualisedConfig", remedy="Use a preset of it.", code="config")
        self.config = config

    def fit(
        self,
        prepared: Sequence[Prepared],
        *,
        seed: int,  # noqa: ARG002 - there is nothing to learn
        fabric: Fabric | None = None,  # noqa: ARG002
        resume: Path | None = None,  # noqa: ARG002
    ) -> FitReport:
        """Learns nothing."""
        require_normals(len(prepared), self.config, "equalised")
        return FitReport()

    def examine(self, prepared: Prepared, *, seed: int = 0) -> Reading:  # noqa: ARG002
        """The rank (0 to 1) as the map, the mean of its largest share as the score."""
        region, inside = prepared.region.mask, prepared.inside.mask
        values = prepared.scan.voxels
        counts, edges = np.histogram(values[inside], bins=_BINS)
        rank = np.interp(values, edges[1:], np.cumsum(counts) / counts.sum()).astype(np.float32)
        if self.config.tail == "both":
            rank = np.abs(2.0 * rank - 1.0)
        extreme = inside & (rank > 1.0 - self.config.top_fraction)
        labels, _ = ndimage.label(extreme, structure=np.ones((3, 3, 3)))
        small = np.bincount(labels.ravel()) <= self.config.smallest_voxels
        small[0] = False
        rank = np.where(small[labels], np.float32(0.0), rank)
        return Reading(
            score=mean_of_top_fraction(rank[region], self.config.top_fraction),
            map=np.where(region, rank, np.float32(np.nan)).astype(np.float32),
        )

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Empty."""
        return {}

    @classmethod
    def restore(cls, config: Config, state: Mapping[str, NDArray[np.generic]]) -> Self:
        """From a config and an empty state."""
        if state:
            raise ModelError("these are not the weights of equalised", remedy="Restore the file.", code="weights")
        return cls(config)


PRESETS: dict[str, Preset] = {
    "equalised": Preset(EqualisedConfig(), "brain-t1", "bright ranks; baseline, at once"),
    "equalised-both": Preset(EqualisedConfig(tail="both"), "brain-t1", "bright and dark ranks; baseline, at once"),
}
