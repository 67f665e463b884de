"""Iterative mask refinement: hide the whole brain, and let what can be predicted come back.

A network fills hidden voxels in, guided by the high spatial frequencies of the scan. At test time the mask starts as
the whole brain and shrinks: where the filled-in values agree with the scan it is normal and is shown to the network,
which then predicts the rest better. What stays hidden at the end could not be predicted from normal surroundings.

References
----------
Liang et al., Medical Image Analysis 107, 103763, 2026 (arXiv 2504.04911; 3D); Liang et al., MICCAI 2024 (arXiv
2406.02422; 2D), and their published code. Departures are listed in the documentation.

Files: `config`, `networks`, `masks` (what is hidden in training, the guiding image), `rebuild` (one pass), `refine`
(how the mask shrinks). Shapes: B samples, S* the sides of the grid the network sees, V voxels of the brain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from anomri.core.prepared import Prepared
from anomri.core.reading import Reading
from anomri.core.score import mean_of_top_fraction
from anomri.errors import ModelError
from anomri.methods.itermask.config import MULTIPLE, PRESETS, IterMaskConfig
from anomri.methods.itermask.masks import gaussian_cloud, high_frequency
from anomri.methods.itermask.networks import DiffusionUNet, ResidualUNet, folded
from anomri.methods.itermask.rebuild import Rebuilder
from anomri.methods.itermask.refine import Shrunk, coarse_to_fine, refine, shrink
from anomri.methods.method import Config, FitReport, require_normals
from anomri.metrics.slope import Found, SlopeRule, normal_slope, pick_threshold
from anomri.training.fabric import make_fabric
from anomri.training.holdout import fingerprints, held_out_loss, read_by_the_others, set_apart
from anomri.training.loop import Batch, Batches, train
from anomri.training.placing import network_sides, place_centred, require_grid
from anomri.training.seeding import generator, seeded_torch

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["PRESETS", "IterMask", "IterMaskConfig", "Refined"]

FloatMap = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False, slots=True)
class Refined:
    """One volume or slice after both phases.

    Parameters
    ----------
    errors, rebuilt : S* squared error of the last pass and what the network filled in, in standardised intensities.
    mask : S* what stayed hidden; empty where the slope never exceeds γ.
    shown : S* share of the brain that was shown when a voxel was hidden for the last time in phase A.
    taus, found : the curve of phase A and what the rule made of it.
    grew : whether phase B ended because the mask grew.
    passes : of the network, in both phases.
    """

    errors: FloatMap
    rebuilt: FloatMap
    mask: Mask
    shown: FloatMap
    taus: NDArray[np.float64]
    found: Found
    grew: bool
    passes: int


class _PhaseA(NamedTuple):
    """Phase A of a volume or slice of V voxels, which γ has no part in."""

    rebuild: Rebuilder
    voxels: int
    shrunk: Shrunk


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
        self._reader: nn.Module | None = None
        self._shape: tuple[int, int, int] = (0, 0, 0)
        self._spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
        self._gamma = float("inf")

    # Fit

    def fit(self, prepared: Sequence[Prepared], *, seed: int, fabric: Fabric | None, resume: Path | None) -> FitReport:
        """Train on about four fifths of the subjects; γ comes from the curves of the others."""
        config = self._config
        require_normals(len(prepared), config, "itermask")
        trained, held_out = set_apart(prepared, config.holdout, seed=seed)
        self._shape, self._spacing_mm = trained[0].scan.geometry.shape, trained[0].scan.geometry.spacing_mm
        for each in prepared:
            require_grid(each, self._shape, self._sides(), method="itermask")
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
            settings={"config": config.of_fit(), "scans": fingerprints(prepared)},
        )
        self._network, self._reader = network.eval(), None
        shrunk = [[self._shrunk(each, z, seed) for z in self._levels(each)] for each in held_out]
        readings = read_by_the_others(held_out, shrunk, self._measure, self._reading)
        notes = (
            f"trained on {len(trained)} scans, γ = {self._gamma:.3g} from {len(held_out)}; "
            f"best epoch {training.best_epoch}",
        )
        return FitReport(training.curves, training.elapsed_s, notes + training.notes, readings)

    def _measure(self, _held_out: Sequence[Prepared], shrunk: Sequence[Sequence[_PhaseA]]) -> None:
        """γ, from the curves of scans that trained no weight."""
        config, curves = self._config, [part.shrunk.taus for own in shrunk for part in own]
        gamma = normal_slope(curves, self._rule(), share=config.normal_share, quantile=config.normal_quantile)
        self._gamma = float(np.float32(gamma))

    def _loss(self, network: nn.Module, batch: Batch) -> Tensor:
        seen, clean, hidden = batch
        square = (clean - network(seen)) ** 2
        total: Tensor = (
            square.mean() if self._config.loss == "all" else (square * hidden).sum() / hidden.sum().clamp(min=1)
        )
        return total

    # Examine

    def examine(self, prepared: Prepared, *, seed: int) -> Reading:
        """The error of the last pass as the map; ``mask`` (the final one) and ``shown`` are named maps."""
        require_grid(prepared, self._shape, self._sides(), method="itermask")
        return self._reading(prepared, [self._shrunk(prepared, z, seed) for z in self._levels(prepared)])

    def _reading(self, prepared: Prepared, shrunk: Sequence[_PhaseA]) -> Reading:
        config, region, brain = self._config, prepared.region.mask, prepared.inside.mask
        error, mask, shown, healed = (np.zeros(self._shape, dtype=np.float32) for _ in range(4))
        parts = []
        for z, phase_a in zip(self._levels(prepared), shrunk, strict=True):
            part = self._refined(prepared, z, phase_a)
            for values, whole in ((part.errors, error), (part.mask, mask), (part.shown, shown), (part.rebuilt, healed)):
                place_centred(values.astype(np.float32), _at(whole, z))
            parts.append(part)
        scores = {
            "final_mask_size": float(mask[brain].mean(dtype=np.float64)),
            "mean_error": float(error[brain].mean(dtype=np.float64)),
            "top": mean_of_top_fraction(error[region], config.top_fraction),
        }
        # A slope that never exceeds γ does so after the last step.
        steps = [config.steps + 1 if part.found.step is None else part.found.step for part in parts]
        return Reading(
            scores[config.score],
            map=_known(error, region),
            expected=self._in_intensities(healed, prepared),
            maps={"mask": _known(mask, region), "shown": _known(shown, region)},
            values=scores
            | {
                "step": float(np.mean(steps)),
                "crossed": float(np.mean([part.found.step is not None for part in parts])),
                "grew": float(np.mean([part.grew for part in parts])),
                "passes": float(sum(part.passes for part in parts)),
            },
        )

    def to(self, device: str) -> None:
        """Move the network to ``cpu`` or ``cuda``."""
        self._fitted().to(device)
        self._reader = None

    def refined(self, prepared: Prepared, z: int | None, *, seed: int) -> Refined:
        """Both phases of a volume (`z` None) or of one axial slice: what `examine` makes its reading of."""
        return self._refined(prepared, z, self._shrunk(prepared, z, seed))

    def _refined(self, prepared: Prepared, z: int | None, phase_a: _PhaseA) -> Refined:
        rebuild, voxels, shrunk = phase_a
        brain = self._brain(prepared, z)
        found = pick_threshold(shrunk.taus, self._rule())
        mask, grew = np.zeros(voxels, dtype=bool), False
        if found.threshold is None:
            # Nothing rises, nothing is abnormal: the scan is compared with what the network makes of all of it.
            errors = rebuild(mask, self._config.steps + 1)
        else:
            mask, errors, grew = refine(rebuild, voxels, found.threshold, most=self._config.most_passes)
        return Refined(
            errors=_placed(errors, brain),
            rebuilt=rebuild.last,
            mask=_placed(mask, brain),
            shown=_placed(shrunk.shown, brain),
            taus=shrunk.taus,
            found=found,
            grew=grew,
            passes=rebuild.count,
        )

    def _shrunk(self, prepared: Prepared, z: int | None, seed: int) -> _PhaseA:
        """What needs no γ."""
        rebuild, voxels = self._rebuilder(prepared, z, seed)
        steps = self._config.steps
        passes = coarse_to_fine(steps) if self._config.path == "fast" else None
        return _PhaseA(rebuild, voxels, shrink(rebuild, voxels, steps=steps, passes=passes))

    def _rule(self) -> SlopeRule:
        return SlopeRule(self._gamma, self._config.limit, self._config.least_r2)

    def _rebuilder(self, prepared: Prepared, z: int | None, seed: int) -> tuple[Rebuilder, int]:
        clean, guide, brain = self._seen(prepared, z)
        if self._reader is None:
            self._reader = folded(self._fitted())
        return Rebuilder(self._reader, clean, guide, brain, (seed, 0 if z is None else z)), int(brain.sum())

    # What the network sees

    def _new_network(self) -> nn.Module:
        if self._config.dimensions == 3:
            return ResidualUNet(width=self._config.width, dropout=self._config.dropout)
        return DiffusionUNet(width=self._config.width)

    def _fitted(self) -> nn.Module:
        if self._network is None:
            raise ModelError("itermask is not fitted", remedy="Fit it or load a model first.", code="not_fitted")
        return self._network

    def _sides(self) -> tuple[int, ...]:
        c = self._config
        return network_sides(self._shape, c.grid, dimensions=c.dimensions, multiple=MULTIPLE)

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


def _placed(values: NDArray[Any], brain: Mask) -> NDArray[Any]:
    out = np.zeros(brain.shape, dtype=values.dtype)
    out[brain] = values
    return out


def _mean_sd(prepared: Prepared) -> tuple[np.float32, np.float32]:
    inside = prepared.scan.voxels[prepared.inside.mask]
    return np.float32(inside.mean(dtype=np.float64)), np.float32(max(inside.std(dtype=np.float64), 1e-6))


def _at(volume: NDArray[Any], z: int | None) -> NDArray[Any]:
    return volume if z is None else volume[:, :, z]


def _known(values: FloatMap, region: Mask) -> FloatMap:
    return np.where(region, values, np.float32(np.nan))
