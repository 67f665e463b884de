"""Iterative mask refinement: hide the whole brain, and let what can be predicted come back.

A network fills hidden voxels in, guided by the high spatial frequencies of the scan. At test time the mask starts as
the
whole brain and shrinks: where the filled-in values agree with the scan it is normal and is shown to the network,
which then
predicts the rest better. What stays hidden at the end is what could not be predicted from normal surroundings.

References
----------
Liang et al., Medical Image Analysis 107, 103763, 2026 (arXiv 2504.04911; 3D); Liang et al., MICCAI 2024 (arXiv
2406.02422; 2D), and their published code. Departures are listed in the documentation.

Files: `networks`, `masks` (what is hidden in training, the guiding image), `refine` (how the mask shrinks). Shapes:
B samples, S* the sides of the grid the network sees, V voxels of the brain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn

from anomri.core.prepared import Prepared
from anomri.core.reading import Reading
from anomri.core.score import mean_of_top_fraction
from anomri.errors import ModelError
from anomri.methods.itermask.masks import gaussian_cloud, high_frequency
from anomri.methods.itermask.networks import DiffusionUNet, ResidualUNet
from anomri.methods.itermask.refine import Rule, Shrinking, pick_threshold, refine, shrink, shrink_fast
from anomri.methods.method import Config, FitReport, Preset, require_normals
from anomri.training.fabric import make_fabric
from anomri.training.holdout import held_out_loss, hold_out
from anomri.training.loop import Batch, Batches, train
from anomri.training.placing import place_centred
from anomri.training.seeding import generator, seeded_torch

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["PRESETS", "IterMask", "IterMaskConfig"]

FloatMap = NDArray[np.float32]
Mask = NDArray[np.bool_]
MULTIPLE = 16


class IterMaskConfig(Config):
    """Settings of `IterMask`; the defaults are the published ones in 3D, but for the path.

    Parameters
    ----------
    dimensions : 3 for whole volumes; 2 for axial slices, one at a time.
    grid : voxels the network sees, cropped or padded about the centre; multiples of 16. None: the prepared grid,
    padded.
    width : channels of the first stage.
    window : values are standardised within the brain and clipped to ±window; air is −window.
    guide : high frequencies with the amplitudes of the low ones set to 1 (``published``) or removed (``highpass``).
    full_mask : share of the training samples whose whole brain is hidden, as it is when a test begins.
    loss : mean squared error over ``all`` voxels, as published, or over the hidden ones (``hidden``).
    flip : mirror each training sample left–right with probability ½.
    epochs, batch_size, learning_rate, drop_at, dropped_rate : of the training; from the share `drop_at` of the
    epochs on
        the rate is `dropped_rate`.
    path : ``published`` takes `steps` equal steps and fits the curve; ``fast`` goes by five at a time until the slope
        begins to rise, then by one, and ends where the slope has risen.
    steps : n of phase A.
    limit, least_r2 : of the fit; see `Rule`.
    normal_share : γ is such that on held-out normals the mask shrinks below this share of the brain before it stops,
    normal_quantile : in this share of them.
    most_passes : of phase B.
    score : ``final_mask_size`` as a share of the brain, ``mean_error`` inside the brain, or ``top``: the mean of the
        `top_fraction` of the largest errors of the last pass.
    top_fraction : see above.
    holdout : share of the subjects kept out of training; they choose the epoch and give γ.
    least_normals : fewer are refused.
    """

    dimensions: Literal[2, 3] = 3
    grid: tuple[int, int, int] | None = (192, 192, 192)
    width: int = Field(default=16, ge=2)
    window: float = Field(default=3.0, gt=0.0)
    guide: Literal["published", "highpass"] = "published"
    full_mask: float = Field(default=0.0, ge=0.0, le=1.0)
    loss: Literal["all", "hidden"] = "all"
    flip: bool = False
    epochs: int = Field(default=500, ge=1)
    batch_size: int = Field(default=2, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0.0)
    drop_at: float = Field(default=0.6, ge=0.0, le=1.0)
    dropped_rate: float = Field(default=1e-4, gt=0.0)
    path: Literal["published", "fast"] = "fast"
    steps: int = Field(default=100, ge=10)
    limit: float = Field(default=10.0, gt=0.0)
    least_r2: float = Field(default=0.85, le=1.0)
    normal_share: float = Field(default=0.02, gt=0.0, lt=1.0)
    normal_quantile: float = Field(default=0.9, gt=0.0, lt=1.0)
    most_passes: int = Field(default=50, ge=1)
    score: Literal["final_mask_size", "mean_error", "top"] = "final_mask_size"
    top_fraction: float = Field(default=0.002, gt=0.0, le=1.0)
    holdout: float = Field(default=0.2, gt=0.0, lt=1.0)
    least_normals: int = Field(default=4, ge=4)

    @model_validator(mode="after")
    def _sides_can_be_halved(self) -> IterMaskConfig:
        if self.grid is not None and any(n % MULTIPLE or n < MULTIPLE for n in self.grid[: self.dimensions]):
            raise ValueError(f"grid {self.grid}: a side is not a multiple of {MULTIPLE}")
        return self


@dataclass(frozen=True, eq=False, slots=True)
class Refined:
    """One volume or slice after both phases.

    Parameters
    ----------
    errors, rebuilt : S* squared error of the last pass and what the network filled in, in standardised intensities.
    mask : S* what stayed hidden.
    left_at : S* share of phase B's passes after which a voxel was shown for good; 1 for those that stayed hidden.
    shrinking : what the rule made of the curve.
    """

    errors: FloatMap
    rebuilt: FloatMap
    mask: Mask
    left_at: FloatMap
    shrinking: Shrinking
    passes: int


class IterMask:
    """The method; see `anomri.methods.method.Method`.

    The noise under the mask is keyed by seed and pass alone, so a reading is repeatable and does not hang on the scans
    beside it; it is the same for any number of threads within 1e-4 of the map's largest value, but for voxels at the
    threshold.
    """

    version: ClassVar[int] = 1
    config_type: ClassVar[type[Config]] = IterMaskConfig
    localises: ClassVar[bool] = True

    def __init__(self, config: Config) -> None:
        if not isinstance(config, IterMaskConfig):
            raise ModelError("settings of another method", remedy="Give an IterMaskConfig.", code="config")
        self._config = config
        self._network: nn.Module | None = None
        self._shape: tuple[int, int, int] = (0, 0, 0)
        self._spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
        self._gamma = float("inf")

    # Fit

    def fit(self, prepared: Sequence[Prepared], *, seed: int, fabric: Fabric | None, resume: Path | None) -> FitReport:
        """Train on about four fifths of the subjects; γ comes from the curves of the others."""
        config = self._config
        require_normals(len(prepared), config, "itermask")
        ordered = sorted(prepared, key=lambda each: each.scan.scan_id)
        kept, left_out = hold_out([each.subject or each.scan.scan_id for each in ordered], config.holdout, seed=seed)
        trained, held_out = [ordered[n] for n in kept], [ordered[n] for n in left_out]
        self._shape, self._spacing_mm = ordered[0].scan.geometry.shape, ordered[0].scan.geometry.spacing_mm
        for each in ordered:
            self._check(each)
        with seeded_torch(seed, 0):
            network = self._new_network()
        samples = [(each, z) for each in trained for z in self._levels(each)]
        held = [(each, z) for each in held_out for z in self._levels(each)]

        def make(indices: NDArray[np.intp], seed: int, epoch: int) -> Batch:
            return self._batch(
                [samples[n] for n in indices], [generator(seed, epoch, int(n)) for n in indices], config.flip
            )

        def validate(module: nn.Module) -> float:
            # The same masks and noise in every epoch, or the best epoch would be chosen by luck.
            keys = [generator(seed, config.epochs, n) for n in range(len(held))]
            size = config.batch_size
            parts = (self._batch(held[n : n + size], keys[n : n + size], False) for n in range(0, len(held), size))
            return held_out_loss(module, self._loss, parts)

        digests = [hashlib.sha256(p.scan.voxels.tobytes() + p.region.mask.tobytes()).hexdigest() for p in ordered]
        training = train(
            network,
            self._loss,
            Batches(len(samples), config.batch_size, make),
            optimizer=lambda weights: torch.optim.Adam(weights, config.learning_rate),
            epochs=config.epochs,
            seed=seed,
            fabric=make_fabric("cpu") if fabric is None else fabric,
            resume=resume,
            validate=validate,
            decay=lambda done: 1.0 if done < config.drop_at else config.dropped_rate / config.learning_rate,
            settings={"config": config.model_dump(mode="json"), "scans": digests},
        )
        self._network = network.eval()
        self._gamma = self._measured_gamma(held, seed)
        notes = (
            f"trained on {len(trained)} scans, γ = {self._gamma:.3g} from {len(held_out)}; "
            f"best epoch {training.best_epoch}",
        )
        return FitReport(training.curves, training.elapsed_s, notes + training.notes)

    def _measured_gamma(self, held: Sequence[tuple[Prepared, int | None]], seed: int) -> float:
        """The slope that normals do not exceed before all but `normal_share` of the brain is shown."""
        config = self._config
        steepest = []
        for each, z in held:
            rebuild, voxels = self._rebuilder(each, z, seed)
            # No early end: the whole curve of a normal is wanted.
            never = Rule(float("inf"), config.limit, config.least_r2)
            found = self._shrunk(rebuild, voxels, never)
            steepest.append(float(found.slope[: int(found.slope.size * (1.0 - config.normal_share))].max()))
        return float(np.quantile(steepest, config.normal_quantile))

    def _loss(self, network: nn.Module, batch: Batch) -> Tensor:
        seen, clean, hidden = batch
        square = (clean - network(seen)) ** 2
        total: Tensor = (
            square.mean() if self._config.loss == "all" else (square * hidden).sum() / hidden.sum().clamp(min=1)
        )
        return total

    # Examine

    def examine(self, prepared: Prepared, *, seed: int) -> Reading:
        """The error of the last pass as the map; final mask and the pass at which a voxel was shown are named maps."""
        self._check(prepared)
        config, region = self._config, prepared.region.mask
        maps: dict[str, FloatMap] = {
            name: np.zeros(self._shape, dtype=np.float32) for name in ("error", "mask", "shown")
        }
        healed = np.zeros(self._shape, dtype=np.float32)
        steps: list[int | None] = []
        passes = 0
        for z in self._levels(prepared):
            found = self._refined(prepared, z, seed)
            for name, values in (
                ("error", found.errors),
                ("mask", found.mask.astype(np.float32)),
                ("shown", found.left_at),
            ):
                place_centred(values, _at(maps[name], z))
            place_centred(found.rebuilt, _at(healed, z))
            steps.append(found.shrinking.step)
            passes += found.passes
        brain = prepared.inside.mask
        size = float(maps["mask"][brain].mean(dtype=np.float64))
        error = float(maps["error"][brain].mean(dtype=np.float64))
        score = {
            "final_mask_size": size,
            "mean_error": error,
            "top": mean_of_top_fraction(maps["error"][region], config.top_fraction),
        }[config.score]
        nan = np.float32(np.nan)
        crossed = [s for s in steps if s is not None]
        return Reading(
            score,
            map=np.where(region, maps["error"], nan),
            expected=self._in_intensities(healed, prepared),
            maps={name: np.where(region, maps[name], nan) for name in ("mask", "shown")},
            values={
                "final_mask_size": size,
                "mean_error": error,
                "step": float(np.mean(crossed)) if crossed else float(config.steps),
                "passes": float(passes),
            },
        )

    def to(self, device: str) -> None:
        """Move the network to ``cpu`` or ``cuda``."""
        self._fitted().to(device)

    def _refined(self, prepared: Prepared, z: int | None, seed: int) -> Refined:
        config = self._config
        rebuild, voxels = self._rebuilder(prepared, z, seed)
        brain = self._brain(prepared, z)
        rule = Rule(self._gamma, config.limit, config.least_r2)
        shrinking = self._shrunk(rebuild, voxels, rule)
        empty = np.zeros(voxels, dtype=bool)
        if shrinking.threshold is None:
            # Nothing rises: nothing is abnormal, and what the network makes of the whole brain shown is what it
            # expects.
            masks: list[Mask] = [empty]
            errors = rebuild(empty, 0)
        else:
            masks, errors, _ = refine(rebuild, voxels, shrinking.threshold, most=config.most_passes)
        hidden = np.stack([np.ones(voxels, dtype=bool), *masks])
        last = hidden.shape[0] - 1 - np.argmax(hidden[::-1], axis=0)
        return Refined(
            errors=_placed(errors, brain),
            rebuilt=rebuild.last,
            mask=_placed(masks[-1] if masks else empty, brain),
            left_at=_placed((last / max(len(masks), 1)).astype(np.float32), brain),
            shrinking=shrinking,
            passes=rebuild.count,
        )

    def _shrunk(self, rebuild: _Rebuilder, voxels: int, rule: Rule) -> Shrinking:
        if self._config.path == "fast":
            return shrink_fast(rebuild, voxels, rule, steps=self._config.steps)
        taus, _ = shrink(rebuild, voxels, steps=self._config.steps)
        return pick_threshold(taus, rule)

    def _rebuilder(self, prepared: Prepared, z: int | None, seed: int) -> tuple[_Rebuilder, int]:
        clean, guide, brain = self._seen(prepared, z)
        network = self._fitted()
        return _Rebuilder(network, clean, guide, brain, seed, 0 if z is None else z), int(brain.sum())

    # What the network sees

    def _new_network(self) -> nn.Module:
        if self._config.dimensions == 3:
            return ResidualUNet(width=self._config.width)
        return DiffusionUNet(width=self._config.width)

    def _fitted(self) -> nn.Module:
        if self._network is None:
            raise ModelError("itermask is not fitted", remedy="Fit it or load a model first.", code="not_fitted")
        return self._network

    def _sides(self) -> tuple[int, ...]:
        padded: tuple[int, ...] = tuple(-(-n // MULTIPLE) * MULTIPLE for n in self._shape)
        return (padded if self._config.grid is None else self._config.grid)[: self._config.dimensions]

    def _levels(self, prepared: Prepared) -> list[int | None]:
        if self._config.dimensions == 3:
            return [None]
        return [int(z) for z in np.flatnonzero(prepared.inside.mask.any(axis=(0, 1)))]

    def _brain(self, prepared: Prepared, z: int | None) -> Mask:
        brain = np.zeros(self._sides(), dtype=bool)
        place_centred(_at(prepared.inside.mask, z), brain)
        return brain

    def _seen(self, prepared: Prepared, z: int | None) -> tuple[FloatMap, FloatMap, Mask]:
        """Standardised values, guiding image and brain, S* each; one path for normal and for any other scan."""
        window = self._config.window
        mean, sd = _mean_sd(prepared)
        brain = self._brain(prepared, z)
        values = np.zeros(self._sides(), dtype=np.float32)
        place_centred(_at(prepared.scan.voxels, z), values)
        clean = np.where(brain, np.clip((values - mean) / sd, -window, window), np.float32(-window)).astype(np.float32)
        spacing = self._spacing_mm[: self._config.dimensions]
        return clean, high_frequency(clean, spacing_mm=spacing, kind=self._config.guide), brain

    def _in_intensities(self, values: FloatMap, prepared: Prepared) -> FloatMap:
        mean, sd = _mean_sd(prepared)
        return np.where(prepared.inside.mask, values * sd + mean, np.float32(0.0)).astype(np.float32)

    def _batch(
        self, samples: Sequence[tuple[Prepared, int | None]], keys: Sequence[np.random.Generator], flip: bool
    ) -> Batch:
        """Input (B, 2, S*), target and hidden voxels (B, 1, S*)."""
        seen, target, hidden = [], [], []
        for (each, z), rng in zip(samples, keys, strict=True):
            clean, guide, brain = self._seen(each, z)
            whole = rng.random() < self._config.full_mask
            mask = brain if whole else gaussian_cloud(brain, spacing_mm=self._spacing_mm[0], rng=rng)
            noise = rng.standard_normal(clean.shape, dtype=np.float32)
            arrays = [np.where(mask, noise, clean), guide, clean, mask.astype(np.float32)]
            if flip and rng.random() < 0.5:
                arrays = [a[::-1] for a in arrays]
            seen.append(np.stack(arrays[:2]))
            target.append(arrays[2][None])
            hidden.append(arrays[3][None])
        stacked = (np.ascontiguousarray(np.stack(part)) for part in (seen, target, hidden))
        return tuple(torch.from_numpy(part) for part in stacked)

    def _check(self, prepared: Prepared) -> None:
        shape, sides = prepared.scan.geometry.shape, self._sides()
        remedy, scan = "Prepare it with the model's own recipe.", prepared.scan.scan_id
        if shape != self._shape:
            cause = f"a scan of shape {shape} for a network trained on {self._shape}"
            raise ModelError(cause, remedy=remedy, code="grid", scan=scan)
        seen = np.zeros(shape, dtype=bool)
        place_centred(np.ones((*sides, *shape[len(sides) :]), dtype=bool), seen)
        if (prepared.region.mask & ~seen).any():
            cause = f"part of the region lies outside the {sides} voxels the network sees"
            raise ModelError(cause, remedy=remedy, code="grid", scan=scan)

    # State

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Weights and running statistics (``network.*``), shape and spacing of the prepared grid, γ."""
        weights = self._fitted().state_dict().items()
        state: dict[str, NDArray[np.generic]] = {f"network.{name}": t.cpu().numpy().copy() for name, t in weights}
        return state | {
            "shape": np.array(self._shape),
            "spacing_mm": np.array(self._spacing_mm, dtype=np.float32),
            "gamma": np.array([self._gamma], dtype=np.float32),
        }

    @classmethod
    def restore(cls, config: Config, state: Mapping[str, NDArray[np.generic]]) -> Self:
        """A fitted method; float16 arrays are widened."""
        method = cls(config)
        try:
            x, y, z = (int(n) for n in state["shape"])
            method._shape = (x, y, z)
            a, b, c = (float(n) for n in state["spacing_mm"])
            method._spacing_mm = (a, b, c)
            method._gamma = float(state["gamma"].item())
            network = method._new_network()
            weights = {n[8:]: torch.from_numpy(np.array(v)) for n, v in state.items() if n.startswith("network.")}
            network.load_state_dict(weights)
        except (KeyError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"the state does not fit the settings of itermask ({str(error).splitlines()[0]})",
                remedy="Load the state with the settings it was made with.",
                code="state",
            ) from error
        method._network = network.eval()
        return method


class _Rebuilder:
    """Squared errors of the brain's voxels when some are hidden; counts its passes and keeps the last image."""

    def __init__(
        self, network: nn.Module, clean: FloatMap, guide: FloatMap, brain: Mask, seed: int, level: int
    ) -> None:
        self._network, self._brain, self._key = network, brain, (seed, level)
        self._device = next(network.parameters()).device
        self._clean, self._guide = (torch.from_numpy(a).to(self._device) for a in (clean, guide))
        self._inside = torch.from_numpy(brain).to(self._device)
        self._true = self._clean[self._inside]
        self.last: FloatMap = np.zeros(brain.shape, dtype=np.float32)
        self.count = 0

    def __call__(self, hidden: Mask, number: int) -> NDArray[np.float32]:
        noise = np.random.default_rng([*self._key, number]).standard_normal(self._true.shape[0], dtype=np.float32)
        filled = torch.where(
            torch.from_numpy(hidden).to(self._device), torch.from_numpy(noise).to(self._device), self._true
        )
        image = self._clean.clone()
        image[self._inside] = filled
        with torch.inference_mode():
            rebuilt = self._network(torch.stack([image, self._guide])[None])[0, 0]
        self.count += 1
        self.last = rebuilt.cpu().numpy()
        errors: NDArray[np.float32] = ((self._true - rebuilt[self._inside]) ** 2).cpu().numpy()
        return errors


def _placed(values: NDArray[Any], brain: Mask) -> NDArray[Any]:
    out = np.zeros(brain.shape, dtype=values.dtype)
    out[brain] = values
    return out


def _mean_sd(prepared: Prepared) -> tuple[np.float32, np.float32]:
    inside = prepared.scan.voxels[prepared.inside.mask]
    return np.float32(inside.mean(dtype=np.float64)), np.float32(max(inside.std(dtype=np.float64), 1e-6))


def _at(volume: NDArray[Any], z: int | None) -> NDArray[Any]:
    return volume if z is None else volume[:, :, z]


# Presets

_SMALL = IterMaskConfig(
    grid=None, width=6, full_mask=0.1, flip=True, epochs=30, batch_size=2, learning_rate=2e-3, dropped_rate=2e-4
)
_SLICES = IterMaskConfig(
    dimensions=2, grid=(128, 128, 1), width=32, epochs=200, batch_size=32, learning_rate=1e-4, dropped_rate=1e-5
)
_TINY = _SMALL.model_copy(update={"width": 2, "epochs": 4, "steps": 20, "score": "top"})

PRESETS: dict[str, Preset] = {
    "itermask-small": Preset(_SMALL, "brain-t1", "3D at 2 mm"),
    "itermask3d": Preset(IterMaskConfig(path="published"), "brain-t1", "published size; needs a GPU"),
    "itermask2d": Preset(_SLICES, "brain-t1", "published 2D network; needs a GPU"),
    "itermask-tiny": Preset(_TINY, "brain-t1", "for tests: seconds"),
}
