"""A denoising autoencoder: it takes coarse noise away, and takes lesions for coarse noise.

A U-Net sees an axial slice between its neighbours, all with coarse noise inside the brain, and learns to give back the
slice without it. A scan to be examined is given without noise: what the network changes is abnormal.

References
----------
Kascenas, Pugeault, O'Neil, "Denoising autoencoders for unsupervised anomaly detection in brain MRI", MIDL 2022;
Kascenas et al., "The role of noise in denoising models for anomaly detection in medical images", Medical Image Analysis
2023. Depth, layers, loss and noise follow them. Neighbouring slices, noise with a grain along Z and of several sizes, a
network that predicts the change instead of the slice, and the way from residual to map and score are anomri's own.

Shapes: B slices, C channels, X Y Z voxels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from anomri.core.prepared import Prepared
from anomri.core.reading import Reading
from anomri.core.score import MAD_TO_SD, mean_of_top_voxels
from anomri.errors import ModelError
from anomri.methods.method import Config, FitReport, Preset, require_normals
from anomri.training.fabric import make_fabric
from anomri.training.holdout import fingerprints, held_out_loss, read_by_the_others, set_apart
from anomri.training.loop import Batch, Batches, cosine_decay, train
from anomri.training.moving import moved_centre, moved_spread
from anomri.training.placing import network_sides, place_centred, require_grid
from anomri.training.seeding import generator, seeded_torch
from anomri.training.spread import position_wise_spread

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["DAE", "PRESETS", "DAEConfig", "Network", "coarse_noise", "masked_squared_error", "neighbours"]

FloatMap = NDArray[np.float32]
LEVELS = 4
MULTIPLE = 2 ** (LEVELS - 1)
# Slices of held-out scans that the loss is measured on after each epoch: enough to see it turn, and cheap.
MEASURED = 128
# Slices a pass when a scan is examined.
EXAMINED = 16
# Least unrest that a scan is measured by: a quieter one is not enlarged further.
SMALLEST_UNREST = 0.25


class DAEConfig(Config):
    """Settings of a `DAE`.

    Parameters
    ----------
    context : slices seen on each side of the one that is denoised; 0 for that slice alone.
    width : channels of the first level; they double with each of the three halvings.
    epochs, steps_per_epoch, batch_size : of slices drawn at random, so that a training takes equally long whatever the
        number of scans.
    learning_rate : at the start; it falls to 0 over half a cosine.
    weight_decay : Adam's own, added to the gradient of every parameter.
    noise_sd : standard deviation of the noise at the nodes of its grid, in prepared intensities.
    noise_grain_voxels : distance of these nodes; the noise is linear in between.
    varied : share of the training samples whose noise has half to one and a half times that standard deviation, and
        half, once or twice that grain.
    flip : mirror each training sample left–right with probability ½.
    holdout : share of the subjects kept out of training; they choose the epoch and give the spread.
    spread_sigma_voxels : Gaussian smoothing of mean and variance of the held-out residuals.
    top_voxels : the score is the mean of that many largest values of the map.
    """

    reading_only: ClassVar[frozenset[str]] = frozenset({"top_voxels"})

    context: int = Field(default=1, ge=0, le=10)
    width: int = Field(default=64, ge=1)
    epochs: int = Field(default=672, ge=1)
    steps_per_epoch: int = Field(default=100, ge=1)
    batch_size: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0.0, le=1.0)
    weight_decay: float = Field(default=1e-5, ge=0.0, le=1.0)
    noise_sd: float = Field(default=0.2, gt=0.0, le=10.0)
    noise_grain_voxels: float = Field(default=8.0, ge=1.0, le=1000.0)
    varied: float = Field(default=0.5, ge=0.0, le=1.0)
    flip: bool = True
    holdout: float = Field(default=0.2, gt=0.0, le=0.5)
    spread_sigma_voxels: float = Field(default=2.0, ge=0.0, le=50.0)
    top_voxels: int = Field(default=100, ge=1)
    least_normals: int = Field(default=5, ge=5)


# Noise


def coarse_noise(shape: Sequence[int], grain: float, rng: np.random.Generator) -> FloatMap:
    """Standard normal numbers on a grid of nodes, linear in between.

    The grid begins at a random place, so that its nodes lie anywhere among the voxels.

    Parameters
    ----------
    shape : of the noise; along an axis of one voxel nothing is in between.
    grain : distance of the nodes, voxels, ≥ 1.

    Returns
    -------
    Float32 of that shape; mean 0. The standard deviation is 1 at a node and (⅔)^(d/2) on average over d axes.
    """
    between = [_hats(n, grain, rng) for n in shape]
    noise = rng.standard_normal([hats.shape[1] for hats in between], dtype=np.float32)
    for hats in between:
        noise = np.tensordot(noise, hats, axes=(0, 1))  # the first axis of nodes becomes the last one of voxels
    return noise


def _hats(n: int, grain: float, rng: np.random.Generator) -> FloatMap:
    """(n, nodes): what each node along an axis contributes to each voxel; the rows sum to 1."""
    if n == 1:
        return np.ones((1, 1), dtype=np.float32)
    at = rng.uniform() + np.arange(n) / grain
    nodes = np.arange(int(at[-1]) + 2)
    hats: FloatMap = np.maximum(0.0, 1.0 - np.abs(at[:, None] - nodes)).astype(np.float32)
    return hats


# Layers


class StandardisedConv(nn.Conv2d):
    """A convolution whose weights have mean 0 and variance 1/fan-in for every channel that comes out.

    (Qiao et al., "Micro-batch training with batch-channel normalization and weight standardization", 2019.)
    """

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), correction=0, keepdim=True)
        scale = torch.rsqrt((variance + 1e-6) * self.weight[0].numel())
        return functional.conv2d(x, (self.weight - mean) * scale, self.bias, padding=1)


class FullPrecisionGroupNorm(nn.GroupNorm):
    """A group norm in float32, whatever comes in: on a CPU its backward pass takes three times as long in bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float()).to(x.dtype)


def _block(cin: int, cout: int) -> nn.Sequential:
    """(B, cin, X, Y) → (B, cout, X, Y): twice a 3² convolution → SiLU → group norm."""
    groups = math.gcd(8, cout)
    layers: list[nn.Module] = []
    for inputs in (cin, cout):
        layers += [StandardisedConv(inputs, cout, 3, padding=1), nn.SiLU(), FullPrecisionGroupNorm(groups, cout)]
    return nn.Sequential(*layers)


# Model


class Network(nn.Module):
    """A U-Net: (B, C, X, Y) neighbouring slices → (B, 1, X, Y) the middle one without noise. 8 divides X and Y.

    What it computes is added to the middle slice: a network that has learnt nothing changes nothing.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(LEVELS)]
        steps = list(itertools.pairwise(widths))
        self.down = nn.ModuleList([_block(channels, width), *(_block(high, low) for high, low in steps)])
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(low, high, 2, stride=2) for high, low in reversed(steps))
        self.up = nn.ModuleList(_block(2 * high, high) for high, _ in reversed(steps))
        self.change = nn.Conv2d(width, 1, 1)
        nn.init.zeros_(self.change.weight)
        assert self.change.bias is not None
        nn.init.zeros_(self.change.bias)

    def forward(self, x: Tensor) -> Tensor:
        middle = x.shape[1] // 2
        here, levels = x, []
        for number, block in enumerate(self.down):
            here = block(here if number == 0 else functional.max_pool2d(here, 2))
            levels.append(here)
        for enlarge, block, beside in zip(self.enlarge, self.up, reversed(levels[:-1]), strict=True):
            here = block(torch.cat([beside, enlarge(here)], dim=1))
        expected: Tensor = x[:, middle : middle + 1] + self.change(here)
        return expected


# Loss


def masked_squared_error(network: nn.Module, batch: Batch) -> Tensor:
    """Σ w (y − ŷ)² / Σ w of a batch (noisy slices with their neighbours, clean slices y, brain w)."""
    noisy, clean, inside = batch
    total: Tensor = (inside * (clean - network(noisy).float()) ** 2).sum() / inside.sum()
    return total


class DAE:
    """The method; see `anomri.methods.method.Method`.

    All statistics of normals (weights, spread) come from the scans given to `fit`. A reading is the same for any number
    of threads within 1e-4 of the map's largest value.
    """

    version: ClassVar[int] = 3
    config_type: ClassVar[type[Config]] = DAEConfig
    localises: ClassVar[bool] = True

    def __init__(self, config: Config) -> None:
        if not isinstance(config, DAEConfig):
            raise ModelError("settings of another method", remedy="Give a DAEConfig.", code="config")
        self._config = config
        self._network: Network | None = None
        self._shape: tuple[int, int, int] = (0, 0, 0)
        self._spread: tuple[FloatMap, FloatMap] | None = None

    # Fit

    def fit(self, prepared: Sequence[Prepared], *, seed: int, fabric: Fabric | None, resume: Path | None) -> FitReport:
        """Train on about four fifths of the subjects, then measure the residuals of the others."""
        config = self._config
        require_normals(len(prepared), config, "a denoising autoencoder")
        trained, held_out = set_apart(prepared, config.holdout, seed=seed)
        self._shape = trained[0].scan.geometry.shape
        for each in prepared:
            require_grid(each, self._shape, self._sides(), method="the denoising autoencoder")
        with seeded_torch(seed, 0):
            network = self._new_network()
        samples = [(each, z) for each in trained for z in _slices(each)]
        held = [(each, z) for each in held_out for z in _slices(each)]
        held = held[:: max(1, len(held) // MEASURED)]

        def make(indices: NDArray[np.intp], seed: int, epoch: int) -> Batch:
            draws = [generator(seed, epoch, int(n)) for n in indices]
            return self._noisy([samples[rng.integers(len(samples))] for rng in draws], draws, flip=config.flip)

        def validate(module: nn.Module) -> float:
            # No epoch has this number, and the noise is the same after each of them.
            draws = [generator(seed, config.epochs, n) for n in range(len(held))]
            starts = range(0, len(held), config.batch_size)
            parts = [(held[n : n + config.batch_size], draws[n : n + config.batch_size]) for n in starts]
            return held_out_loss(module, masked_squared_error, (self._noisy(*part, flip=False) for part in parts))

        training = train(
            network,
            masked_squared_error,
            Batches(config.steps_per_epoch * config.batch_size, config.batch_size, make),
            optimizer=lambda weights: torch.optim.Adam(
                weights, config.learning_rate, weight_decay=config.weight_decay, amsgrad=True
            ),
            epochs=config.epochs,
            seed=seed,
            fabric=make_fabric("cpu") if fabric is None else fabric,
            resume=resume,
            validate=validate,
            decay=cosine_decay,
            settings={"config": config.of_fit(), "scans": fingerprints(prepared)},
        )
        self._network = network
        expected = [self._expect(each) for each in held_out]
        readings = read_by_the_others(held_out, expected, self._measure, self._reading)
        notes = (f"trained on {len(trained)} scans, measured on {len(held_out)}; best epoch {training.best_epoch}",)
        return FitReport(training.curves, training.elapsed_s, notes + training.notes, readings)

    def _measure(self, held_out: Sequence[Prepared], expected: Sequence[FloatMap]) -> None:
        """How large a residual is usual at each voxel, from scans that trained no weight."""
        residuals = [each.scan.voxels - own for each, own in zip(held_out, expected, strict=True)]
        regions = [each.region.mask for each in held_out]
        self._spread = position_wise_spread(residuals, regions, sigma_voxels=self._config.spread_sigma_voxels)

    def _noisy(
        self, samples: Sequence[tuple[Prepared, int]], draws: Sequence[np.random.Generator], *, flip: bool
    ) -> Batch:
        """Slices with noise and their neighbours (B, C, X, Y), the slices without it and their brains (B, 1, X, Y)."""
        config = self._config
        clean, inside = self._stacks(samples)
        for n, rng in enumerate(draws):
            if flip and rng.random() < 0.5:
                clean[n], inside[n] = clean[n, ::-1].copy(), inside[n, ::-1].copy()
        noisy = clean.copy()
        for n, rng in enumerate(draws):
            sd, grain = config.noise_sd, config.noise_grain_voxels
            if rng.random() < config.varied:
                sd, grain = sd * rng.uniform(0.5, 1.5), max(1.0, grain * rng.choice([0.5, 1.0, 2.0]))
            noisy[n] += inside[n] * (np.float32(sd) * coarse_noise(noisy[n].shape, grain, rng))
        middle = slice(config.context, config.context + 1)
        return _channels_first(noisy), _channels_first(clean[..., middle]), _channels_first(inside[..., middle])

    def adapted(self, prepared: Sequence[Prepared]) -> Self:
        """Mean and spread of the residuals moved to a site, where two of its scans are examined; the weights stay."""
        assert self._spread is not None
        residuals = [each.scan.voxels - self._expect(each) for each in prepared]
        regions = [each.region.mask for each in prepared]
        here, around = position_wise_spread(residuals, regions, sigma_voxels=self._config.spread_sigma_voxels)
        # Beyond stand the values of the nearest voxel, which must not count as often as there is room around a brain.
        known = np.sum(regions, axis=0) >= 2
        (mean, spread), count = (array.copy() for array in self._spread), len(prepared)
        mean[known] = moved_centre(mean[known], here[known], spread[known], count, together=True)
        spread[known] = moved_spread(spread[known], around[known], count)
        return type(self).restore(self._config, {**self.state(), "spread.mean": mean, "spread.sd": spread})

    # Examine

    def examine(self, prepared: Prepared, *, seed: int) -> Reading:  # noqa: ARG002 - nothing here is random
        """How far the residual of one scan lies from that of normals at each voxel, in either direction.

        `expected` is what the network made of the scan; the map ``residual`` is the scan minus that.
        """
        self._fitted()
        require_grid(prepared, self._shape, self._sides(), method="the denoising autoencoder")
        return self._reading(prepared, self._expect(prepared))

    def _reading(self, prepared: Prepared, expected: FloatMap) -> Reading:
        region = prepared.region.mask
        residual = prepared.scan.voxels - expected
        values = self._standardise(residual, region)
        score = mean_of_top_voxels(values[region], self._config.top_voxels)
        outside = np.float32(np.nan)
        return Reading(
            score,
            map=np.where(region, values, outside),
            expected=expected,
            map_scale="z",
            maps={"residual": np.where(region, residual, outside)},
        )

    def to(self, device: str) -> None:
        """Move the network to ``cpu`` or ``cuda``."""
        self._fitted().to(device)

    def _expect(self, prepared: Prepared) -> FloatMap:
        """(X, Y, Z) float32: the scan as the network leaves it; as it is in slices that are not examined."""
        network = self._fitted()
        device = next(network.parameters()).device
        out = prepared.scan.voxels.copy()
        slices = _slices(prepared)
        with torch.inference_mode():
            for start in range(0, len(slices), EXAMINED):
                part = slices[start : start + EXAMINED]
                stacks, _ = self._stacks([(prepared, z) for z in part])
                found = network(_channels_first(stacks).to(device))[:, 0].cpu().numpy()
                for z, plane in zip(part, found, strict=True):
                    place_centred(plane, out[:, :, z])
        return np.where(prepared.inside.mask, out, np.float32(0.0))

    def _standardise(self, residual: FloatMap, region: NDArray[np.bool_]) -> FloatMap:
        """|residual − mean| / standard deviation of the normals, divided by 1.4826 times its median in the region."""
        assert self._spread is not None
        away: FloatMap = np.abs(residual - self._spread[0]) / self._spread[1]
        return away / np.float32(max(MAD_TO_SD * float(np.median(away[region])), SMALLEST_UNREST))

    def _fitted(self) -> Network:
        if self._network is None:
            raise ModelError(
                "the denoising autoencoder is not fitted", remedy="Fit it or load a model first.", code="not_fitted"
            )
        return self._network

    # Grid

    def _sides(self) -> tuple[int, ...]:
        """Sides X and Y of the slices that the network sees: the prepared ones, padded."""
        return network_sides(self._shape, None, dimensions=2, multiple=MULTIPLE)

    def _new_network(self) -> Network:
        network = Network(2 * self._config.context + 1, self._config.width)
        # Convolutions of few channels are faster on a CPU where the channels of a voxel lie side by side.
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def _stacks(self, samples: Sequence[tuple[Prepared, int]]) -> tuple[FloatMap, FloatMap]:
        """Values, and 1 in the brain, of slices and their neighbours, each (B, X, Y, C)."""
        context = self._config.context
        values, inside = np.zeros((2, len(samples), *self._sides(), 2 * context + 1), dtype=np.float32)
        for n, (each, z) in enumerate(samples):
            place_centred(neighbours(each.scan.voxels, z, context), values[n])
            place_centred(neighbours(each.inside.mask, z, context), inside[n])
        return values, inside

    # State

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Weights (``network.*``), shape of the prepared grid, spread."""
        weights = self._fitted().state_dict().items()
        state: dict[str, NDArray[np.generic]] = {f"network.{name}": t.cpu().numpy().copy() for name, t in weights}
        assert self._spread is not None
        mean, sd = self._spread
        return state | {"shape": np.array(self._shape), "spread.mean": mean, "spread.sd": sd}

    @classmethod
    def restore(cls, config: Config, state: Mapping[str, NDArray[np.generic]]) -> Self:
        """A fitted method; float16 arrays are widened."""
        method = cls(config)
        try:
            x, y, z = (int(n) for n in state["shape"])
            method._shape = (x, y, z)
            network = method._new_network()
            weights = {n[8:]: torch.from_numpy(np.array(a)) for n, a in state.items() if n.startswith("network.")}
            network.load_state_dict(weights)
            mean, sd = (state[f"spread.{n}"].astype(np.float32).reshape(method._shape) for n in ("mean", "sd"))
        except (KeyError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"the state does not fit the settings of the denoising autoencoder ({str(error).splitlines()[0]})",
                remedy="Load the state with the settings it was made with.",
                code="state",
            ) from error
        method._spread, method._network = (mean, sd), network.eval()
        return method


def _slices(prepared: Prepared) -> list[int]:
    """Axial slices of which something is examined."""
    return [int(z) for z in np.flatnonzero(prepared.region.mask.any(axis=(0, 1)))]


def neighbours(volume: NDArray[Any], z: int, context: int) -> NDArray[Any]:
    """(X, Y, 2·context + 1): slice z between those below and above it, from low to high; 0 beyond the volume's ends."""
    stack = np.zeros((*volume.shape[:2], 2 * context + 1), dtype=volume.dtype)
    low, high = max(z - context, 0), min(z + context + 1, volume.shape[2])
    stack[:, :, low - z + context : high - z + context] = volume[:, :, low:high]
    return stack


def _channels_first(stacks: FloatMap) -> Tensor:
    """(B, X, Y, C) → (B, C, X, Y), the bytes left where they are: what torch calls channels last."""
    return torch.from_numpy(np.ascontiguousarray(stacks)).permute(0, 3, 1, 2)


# Presets

_SMALL = DAEConfig(width=16, epochs=30, learning_rate=1e-3)
_LARGE = DAEConfig(width=32, epochs=400)
_SLICES = _SMALL.model_copy(update={"context": 0})
_TINY = DAEConfig(width=4, epochs=2, steps_per_epoch=30, batch_size=8, learning_rate=3e-3, noise_grain_voxels=4.0)

PRESETS: dict[str, Preset] = {
    "dae-small": Preset(_SMALL, "brain-t1", "at 2 mm; 13 to 19 minutes on one core; see the benchmarks"),
    "dae": Preset(_LARGE, "brain-t1", "twice the width, 13 times the steps, for a GPU; not trained"),
    "dae-slices": Preset(_SLICES, "slices-2d", "of single slices; not measured"),
    "dae-tiny": Preset(_TINY, "brain-t1", "for tests: seconds"),
}
