"""The trivial baselines a learned method has to beat before it may be called useful.

    B0  Constant      a constant, or a random number             what a broken metric would show
    B1  Volume        size and shape of the mask                 field of view, skull stripping, atrophy
    B2  Intensity     mean, spread and quantiles of the values   gain and contrast
    B3  Sharpness     noise, sharpness, entropy                  blur, noise, motion
    B6  Asymmetry     |x − mirrored x|                           lesions of one side
    B7  BlurResidual  |x − blurred x|                            what a blurry autoencoder gives for free
    B8  Gradient      size of the gradient                       what an edge detector gives for free
    B11 Position      where a slice lies in its stack            a data set that labels by position

B1–B3 and B11 measure a few numbers; the score is the root mean square of their deviations from the normals. B6–B8
make a map, smooth it and count, voxel by voxel, by how many spreads it exceeds the normals; the score is the mean of
the map's largest values. A deviation is (value − median) / spread, spread = 1.4826 · MAD with a floor.

References
----------
Meissen F., Kaissis G., Rueckert D., "Challenging current semi-supervised anomaly segmentation methods for brain MRI",
BrainLes 2021: how far maps as simple as these go. B4, B5 and B10 are
the methods `equalised`, `zatlas` and `pca`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from anomri.core.geometry import carry
from anomri.core.prepared import Prepared
from anomri.core.reading import Reading
from anomri.core.score import MAD_TO_SD, filled_from_nearest, mean_of_top_fraction, smooth_inside
from anomri.errors import CalibrationError, ModelError
from anomri.methods.method import Config, FitReport, MetricName, Preset, require_normals

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = [
    "PRESETS",
    "Asymmetry",
    "BlurResidual",
    "Constant",
    "Gradient",
    "Intensity",
    "Position",
    "Sharpness",
    "Volume",
]

FloatMap = NDArray[np.float32]
Mask = NDArray[np.bool_]
State = Mapping[str, NDArray[np.generic]]

# Least spread of a measured number, as a share of its median: below it lies rounding, not variety.
SMALLEST_SPREAD = 1e-3
MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


# Configs


class ConstantConfig(Config):
    """`random`: a uniform number in [0, 1) drawn from the scan's digest and the seed, instead of 0."""

    random: bool = False


class FeatureConfig(Config):
    """Settings of B1–B3.

    Parameters
    ----------
    metrics : image quality metrics that count beside what the baseline measures itself.
    undefined_deviation : deviation of a metric that the normals have and a scan has not.
    """

    metrics: tuple[MetricName, ...] = ()
    undefined_deviation: float = Field(default=10.0, ge=0.0)
    least_normals: int = Field(default=5, ge=2)


class VolumeConfig(FeatureConfig):
    """See `FeatureConfig`."""

    metrics: tuple[MetricName, ...] = ("surface_excess", "ellipsoid_fill")


class IntensityConfig(FeatureConfig):
    """See `FeatureConfig`; `quantiles` of the prepared values inside the brain."""

    metrics: tuple[MetricName, ...] = ("dark_tail", "bright_tail")
    quantiles: tuple[Annotated[float, Field(ge=0.0, le=1.0)], ...] = (0.05, 0.25, 0.5, 0.75, 0.95)


class SharpnessConfig(FeatureConfig):
    """See `FeatureConfig`."""

    metrics: tuple[MetricName, ...] = (
        "noise_level",
        "gradient_energy",
        "gradient_entropy",
        "curvature",
        "focus_entropy",
    )


class MapConfig(Config):
    """Settings of B6–B8.

    Parameters
    ----------
    smooth_mm : standard deviation of the Gaussian that smooths the map.
    floor_percentile : spreads below this percentile of all spreads are raised to it.
    coverage : a voxel has statistics where at least this share of the normals has a value.
    top_fraction : share of the region's voxels whose mean is the score.
    """

    smooth_mm: float = Field(default=4.0, ge=0.0, le=50.0)
    floor_percentile: float = Field(default=5.0, ge=0.0, le=100.0)
    coverage: float = Field(default=0.8, gt=0.0, le=1.0)
    top_fraction: float = Field(default=0.01, gt=0.0, le=1.0)
    least_normals: int = Field(default=5, ge=2)


class PositionConfig(FeatureConfig):
    """See `FeatureConfig`."""


class BlurConfig(MapConfig):
    """See `MapConfig`; `blur_voxels` is the standard deviation of the blur that plays the autoencoder."""

    blur_voxels: float = Field(default=2.0, gt=0.0, le=50.0)


# What they share


class _Baseline:
    """A few arrays, learnt from the normals by `_learn`."""

    version: ClassVar[int] = 1
    config_type: ClassVar[type[Config]]
    localises: ClassVar[bool] = False
    learns: ClassVar[tuple[str, ...]]

    def __init__(self, config: Config) -> None:
        if type(config) is not self.config_type:
            raise ModelError(
                f"this baseline needs a {self.config_type.__name__}", remedy="Use its own preset.", code="config"
            )
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
        """Learn from the normals; seconds."""
        start = time.perf_counter()
        require_normals(len(prepared), self.config, "a baseline")
        self._state = dict(zip(self.learns, self._learn(prepared), strict=True))
        return FitReport(elapsed_s=time.perf_counter() - start)

    def state(self) -> State:
        """The arrays that were learnt, float32."""
        return dict(self._state)

    @classmethod
    def restore(cls, config: Config, state: State) -> Self:
        """From a config and its state."""
        method = cls(config)
        if set(state) != set(cls.learns) or len({array.shape for array in state.values()}) > 1:
            raise ModelError("these are not the weights of this baseline", remedy="Restore the file.", code="weights")
        method._state = {name: np.asarray(array, dtype=np.float32) for name, array in state.items()}
        return method

    def _learn(self, prepared: Sequence[Prepared]) -> tuple[NDArray[np.float32], ...]:
        """The arrays that `learns` names."""
        raise NotImplementedError

    def _require_fitted(self) -> None:
        if not self._state:
            raise ModelError("the baseline has not been fitted", remedy="Fit or restore it first.", code="unfitted")


# B0: nothing


class Constant(_Baseline):
    """B0: the same score for every scan, or one that has nothing to do with it."""

    config_type: ClassVar[type[Config]] = ConstantConfig
    learns: ClassVar[tuple[str, ...]] = ()
    config: ConstantConfig

    def _learn(self, prepared: Sequence[Prepared]) -> tuple[NDArray[np.float32], ...]:  # noqa: ARG002
        return ()

    def examine(self, prepared: Prepared, *, seed: int = 0) -> Reading:
        """0, or a number that depends on the scan's digest and the seed alone."""
        if not self.config.random:
            return Reading(score=0.0)
        digest = np.frombuffer(prepared.scan.source.sha256.encode(), dtype=np.uint8)
        return Reading(score=float(np.random.default_rng([seed, *digest]).random()))


# B1–B3: a few numbers


class _Features(_Baseline):
    """Root mean square deviation of named numbers; the three baselines differ in what they measure.

    Median and spread of every number over the normals, (n,) each, the baseline's own numbers first, then the metrics.
    """

    learns: ClassVar[tuple[str, ...]] = ("centre", "spread")
    config: FeatureConfig

    def measure(self, prepared: Prepared) -> dict[str, float]:
        """The baseline's own numbers of a scan, always the same names in the same order."""
        raise NotImplementedError

    def _learn(self, prepared: Sequence[Prepared]) -> tuple[NDArray[np.float32], ...]:
        table = np.array([list(self._numbers(each).values()) for each in prepared], dtype=np.float64)
        # What no scan of this kind has (a single slice has no ellipsoid) is left out.
        never = ~np.isfinite(table).any(axis=0)
        undefined = ~np.isfinite(table).all(axis=0) & (~never | never.all())
        if undefined.any():
            names = np.array(list(self._numbers(prepared[0])))[undefined]
            raise CalibrationError(
                f"undefined in some of the normal scans: {', '.join(names)}",
                remedy="Leave the metric out of the config, or the scans out of the fit.",
                code="undefined_metric",
            )
        centre = np.median(table, axis=0)  # nan where it is left out
        spread = MAD_TO_SD * np.median(np.abs(table - centre), axis=0)
        spread = np.maximum(spread, SMALLEST_SPREAD * np.abs(centre))
        # A number that is 0 in every normal has no scale of its own; its unit serves.
        spread[spread == 0] = 1.0
        return centre.astype(np.float32), spread.astype(np.float32)

    def examine(self, prepared: Prepared, *, seed: int = 0) -> Reading:  # noqa: ARG002
        """The root mean square deviation as the score, each ``deviation/…`` as a value."""
        self._require_fitted()
        numbers = self._numbers(prepared)
        counts = np.isfinite(self._state["centre"])
        deviation = ((np.array(list(numbers.values())) - self._state["centre"]) / self._state["spread"])[counts]
        deviation = np.where(np.isfinite(deviation), deviation, self.config.undefined_deviation)
        names = [name for name, counted in zip(numbers, counts, strict=True) if counted]
        values = {f"deviation/{name}": float(z) for name, z in zip(names, deviation, strict=True)}
        return Reading(score=float(np.sqrt(np.mean(np.square(deviation)))), values=values)

    def _numbers(self, prepared: Prepared) -> dict[str, float]:
        """All numbers by name; `nan` where a metric is undefined."""
        missing = [name for name in self.config.metrics if name not in prepared.quality]
        if missing:
            raise ModelError(
                f"the scan comes without the quality metrics {', '.join(missing)}",
                remedy="Prepare it with the model's own recipe.",
                code="missing_metric",
            )
        metrics = {name: prepared.quality[name] for name in self.config.metrics}
        return self.measure(prepared) | {name: np.nan if q is None else q for name, q in metrics.items()}


class Volume(_Features):
    """B1: volume of the mask, and how far its shape departs from a ball and an ellipsoid."""

    config_type: ClassVar[type[Config]] = VolumeConfig

    def measure(self, prepared: Prepared) -> dict[str, float]:
        """Volume of the whole mask on the original grid, ml: registration would hide it."""
        return {"volume_ml": prepared.brain.volume_ml}


class Intensity(_Features):
    """B2: mean, spread and quantiles of the prepared values, and the tails of the native ones."""

    config_type: ClassVar[type[Config]] = IntensityConfig

    def measure(self, prepared: Prepared) -> dict[str, float]:
        """Statistics of the values inside the brain on the prepared grid."""
        assert isinstance(self.config, IntensityConfig)
        inside = prepared.scan.voxels[prepared.inside.mask].astype(np.float64)
        numbers = {"mean": float(inside.mean()), "sd": float(inside.std())}
        quantiles = np.quantile(inside, self.config.quantiles)
        return numbers | {f"q{q:g}": float(v) for q, v in zip(self.config.quantiles, quantiles, strict=True)}


class Sharpness(_Features):
    """B3: quality metrics alone, all together or (one name in the config) a single one."""

    config_type: ClassVar[type[Config]] = SharpnessConfig

    def measure(self, prepared: Prepared) -> dict[str, float]:  # noqa: ARG002
        """Nothing beside the metrics."""
        return {}


class Position(_Features):
    """B11: where a slice lies in its stack, and nothing of what it shows."""

    config_type: ClassVar[type[Config]] = PositionConfig

    def measure(self, prepared: Prepared) -> dict[str, float]:
        """Position of the slice, 0 to 1; `nan` where the data set does not say."""
        return {"position": prepared.covariates.get("position", float("nan"))}


# B6–B8: a map


class _Deviation(_Baseline):
    """A smoothed map in spreads above the normals' median; the three baselines differ in the map.

    Median and spread of the normals' maps in every voxel, (X, Y, Z) each.
    """

    localises: ClassVar[bool] = True
    learns: ClassVar[tuple[str, ...]] = ("median", "spread")
    config: MapConfig

    def measure(self, prepared: Prepared) -> tuple[FloatMap, Mask]:
        """The map of a scan, higher is more abnormal, and where it is known."""
        raise NotImplementedError

    def _learn(self, prepared: Sequence[Prepared]) -> tuple[NDArray[np.float32], ...]:
        maps, known = zip(*(self._smooth(each) for each in prepared), strict=True)
        covered = np.mean(known, axis=0) >= self.config.coverage
        if not covered.any():
            raise CalibrationError(
                "no voxel has brain in enough of the normal scans",
                remedy="Look at the scans, or lower coverage.",
                code="no_overlap",
            )
        columns = np.stack([m[covered] for m in maps])
        columns[~np.stack([k[covered] for k in known])] = np.nan
        centre = np.nanmedian(columns, axis=0)
        spread = MAD_TO_SD * np.nanmedian(np.abs(columns - centre), axis=0)
        spread = np.maximum(spread, np.percentile(spread, self.config.floor_percentile))
        if not (spread > 0).all():
            raise CalibrationError(
                "the maps of the normal scans do not vary", remedy="Give different scans.", code="no_spread"
            )
        return filled_from_nearest(centre, covered), filled_from_nearest(spread, covered)

    def examine(self, prepared: Prepared, *, seed: int = 0) -> Reading:  # noqa: ARG002
        """The signed deviation as the map, the mean of its largest share as the score."""
        self._require_fitted()
        if self._state["median"].shape != prepared.scan.geometry.shape:
            raise ModelError("the baseline lies on another grid", remedy="Use the model's own recipe.", code="grid")
        region = prepared.region.mask
        smooth, _ = self._smooth(prepared)
        z = np.where(region, (smooth - self._state["median"]) / self._state["spread"], np.nan).astype(np.float32)
        return Reading(score=mean_of_top_fraction(z[region], self.config.top_fraction), map=z, map_scale="z")

    def _smooth(self, prepared: Prepared) -> tuple[FloatMap, Mask]:
        values, known = self.measure(prepared)
        sx, sy, sz = (self.config.smooth_mm / s for s in prepared.scan.geometry.spacing_mm)
        return smooth_inside(values, known, (sx, sy, sz)), known


class Asymmetry(_Deviation):
    """B6: how much a voxel differs from the one at the same place of the other side."""

    config_type: ClassVar[type[Config]] = MapConfig

    def measure(self, prepared: Prepared) -> tuple[FloatMap, Mask]:
        """|x − mirrored x| about the plane x = 0 mm of the world, which is the mid-sagittal one of the template.

        Where the other side lies outside the brain, the mirrored value is 0. A grid that is not symmetric about the
        plane is interpolated linearly; the normals are blurred by it just the same.
        """
        voxels, grid = prepared.scan.voxels, prepared.scan.geometry
        return np.abs(voxels - carry(voxels, grid, grid, MIRROR)), prepared.inside.mask


class BlurResidual(_Deviation):
    """B7: the residual of an autoencoder that returns its input, only blurred."""

    config_type: ClassVar[type[Config]] = BlurConfig

    def measure(self, prepared: Prepared) -> tuple[FloatMap, Mask]:
        """|x − G_σ x|, the blur taken inside the brain alone."""
        assert isinstance(self.config, BlurConfig)
        voxels, brain = prepared.scan.voxels, prepared.inside.mask
        return np.abs(voxels - smooth_inside(voxels, brain, self.config.blur_voxels)), brain


class Gradient(_Deviation):
    """B8: how steep the image is."""

    config_type: ClassVar[type[Config]] = MapConfig

    def measure(self, prepared: Prepared) -> tuple[FloatMap, Mask]:
        """|∇x| by central differences, per mm; known where all six neighbours are brain."""
        voxels, brain = prepared.scan.voxels, prepared.inside.mask
        # A single slice has no slope across it.
        axes = [axis for axis, n in enumerate(voxels.shape) if n > 1]
        spacing = [prepared.scan.geometry.spacing_mm[axis] for axis in axes]
        slopes = np.gradient(voxels, *spacing, axis=axes)
        steepness = np.sqrt(np.sum([np.square(s) for s in slopes], axis=0)).astype(np.float32)
        known = brain
        for axis in axes:
            line = np.ones([3 if a == axis else 1 for a in range(3)], dtype=bool)
            known = known & ndimage.binary_erosion(brain, line)
        return steepness, known


# Presets


def _preset(config: Config, what: str) -> Preset:
    return Preset(config, "brain-t1", f"{what}; baseline, seconds on one core")


PRESETS: dict[str, Preset] = {
    "baseline-constant": _preset(ConstantConfig(), "score 0 for every scan"),
    "baseline-random": _preset(ConstantConfig(random=True), "a random score"),
    "baseline-volume": _preset(VolumeConfig(), "size and shape of the mask"),
    "baseline-intensity": _preset(IntensityConfig(), "mean, spread and quantiles of the intensities"),
    "baseline-sharpness": _preset(SharpnessConfig(), "noise, sharpness and entropy"),
    "baseline-position": _preset(PositionConfig(), "position of a slice in its stack"),
    "baseline-asymmetry": _preset(MapConfig(), "left–right differences"),
    "baseline-blur": _preset(BlurConfig(), "residual of a blur of 2 voxels"),
    "baseline-blur-4": _preset(BlurConfig(blur_voxels=4.0), "residual of a blur of 4 voxels"),
    "baseline-gradient": _preset(MapConfig(), "size of the gradient"),
}
