"""A residual autoencoder with a narrow code: what it cannot reproduce is abnormal.

References
----------
Luo, Xie, Gao, Zheng, Chen, Sun, "Unsupervised anomaly detection in brain MRI: Learning abstract distribution from
massive healthy brains". Layers, loss and training follow it and its published code. The kernel of the spatial
bottleneck, the weight of the background, the spread of healthy errors and the numbers of the post-processing, which the
paper leaves open, are anomri's own.

Shapes: B scans or slices, C channels, S* the sides of the grid (X Y Z in 3D, X Y in 2D), L the code.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy import ndimage
from torch import Tensor, nn

from anomri.core.prepared import Prepared
from anomri.core.reading import Reading
from anomri.core.score import mean_of_top_fraction
from anomri.errors import ModelError
from anomri.methods.method import Config, FitReport, Preset, require_normals
from anomri.training.fabric import make_fabric
from anomri.training.holdout import fingerprints, held_out_loss, read_by_the_others, set_apart
from anomri.training.loop import Batch, Batches, cosine_decay, train
from anomri.training.placing import network_sides, place_centred, require_grid
from anomri.training.seeding import generator, seeded_torch
from anomri.training.spread import position_wise_spread

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["PRESETS", "Autoencoder", "AutoencoderConfig", "Network", "slice_scores_published"]

FloatMap = NDArray[np.float32]
HALVINGS = 4
MULTIPLE = 2**HALVINGS


class AutoencoderConfig(Config):
    """Settings of an `Autoencoder`.

    Parameters
    ----------
    dimensions : 3 for whole volumes; 2 for axial slices, one at a time.
    grid : voxels the network sees; scans are cropped or padded to it about their centre. Each side (X and Y in 2D) a
        multiple of 16. None: the grid of the training scans, padded to multiples of 16.
    width : channels of the first layer; they double with each of the four halvings.
    bottleneck, latent : ``dense``, a code of `latent` numbers; ``spatial``, `latent` channels on the 16th of each side.
    weight_decay : Adam's own, added to the gradient of every parameter, as in the published code.
    decay : of the learning rate over the training.
    background_weight : weight of a squared error outside the brain; 1 is the published loss.
    flip : mirror each training sample left–right with probability ½.
    holdout : share of the subjects kept out of training; they choose the epoch and give threshold and spread.
    median_voxels : side of the median filter of the error, voxels; 1 for none.
    erosion_voxels : 6-neighbour erosions of the examined region; the error of the rim is set to 0.
    threshold_quantile : smaller errors than this quantile of the held-out scans' errors are set to 0; None for none.
    smallest_mm3 : 26-connected parts above the threshold that are smaller are set to 0.
    spread : whether the map is (error − mean) / standard deviation of the held-out scans' errors at the same voxel.
    spread_sigma_voxels : Gaussian smoothing of that mean and variance.
    score, top_fraction : ``mean`` of the map over the region, or of its ``top`` share.
    """

    reading_only: ClassVar[frozenset[str]] = frozenset({"erosion_voxels", "smallest_mm3", "score", "top_fraction"})

    dimensions: Literal[2, 3] = 3
    grid: tuple[int, int, int] | None = (160, 192, 96)
    width: int = Field(default=16, ge=1)
    bottleneck: Literal["dense", "spatial"] = "dense"
    latent: int = Field(default=512, ge=1)
    epochs: int = Field(default=200, ge=1)
    batch_size: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0.0, le=1.0)
    weight_decay: float = Field(default=1e-5, ge=0.0, le=1.0)
    decay: Literal["constant", "cosine"] = "constant"
    background_weight: float = Field(default=1.0, ge=0.0, le=1.0)
    flip: bool = False
    holdout: float = Field(default=0.2, gt=0.0, le=0.5)
    median_voxels: int = Field(default=5, ge=1, le=25)
    erosion_voxels: int = Field(default=3, ge=0, le=25)
    threshold_quantile: Annotated[float, Field(ge=0.0, le=1.0)] | None = 0.95
    smallest_mm3: float = Field(default=100.0, ge=0.0)
    spread: bool = False
    spread_sigma_voxels: float = Field(default=2.0, ge=0.0, le=50.0)
    score: Literal["mean", "top"] = "mean"
    top_fraction: float = Field(default=0.01, gt=0.0, le=1.0)
    least_normals: int = Field(default=5, ge=5)

    @model_validator(mode="after")
    def _sides_can_be_halved(self) -> AutoencoderConfig:
        if self.grid is not None and any(n % MULTIPLE or n < MULTIPLE for n in self.grid[: self.dimensions]):
            raise ValueError(f"grid {self.grid}: a side is not a multiple of {MULTIPLE}")
        return self


# Layers


def _convolve(dimensions: int, cin: int, cout: int, stride: int) -> nn.Sequential:
    """3³ convolution → LeakyReLU → batch norm; the activation comes first."""
    conv = (nn.Conv2d, nn.Conv3d)[dimensions - 2](cin, cout, 3, stride=stride, padding=1)
    return nn.Sequential(conv, nn.LeakyReLU(0.2), (nn.BatchNorm2d, nn.BatchNorm3d)[dimensions - 2](cout))


def _enlarge(dimensions: int, cin: int, cout: int) -> nn.Sequential:
    """4³ transposed convolution that doubles each side → LeakyReLU → batch norm."""
    conv = (nn.ConvTranspose2d, nn.ConvTranspose3d)[dimensions - 2](cin, cout, 4, stride=2, padding=1)
    return nn.Sequential(conv, nn.LeakyReLU(0.2), (nn.BatchNorm2d, nn.BatchNorm3d)[dimensions - 2](cout))


class Residual(nn.Module):
    """Two groups beside a shortcut of one, summed; nothing after the sum."""

    def __init__(self, first: nn.Module, second: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.main, self.shortcut = nn.Sequential(first, second), shortcut

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.main(x) + self.shortcut(x)
        return total


def _down(d: int, cin: int, cout: int) -> Residual:
    """(B, cin, S*) → (B, cout, ⌈S/2⌉*)."""
    return Residual(_convolve(d, cin, cin, 1), _convolve(d, cin, cout, 2), _convolve(d, cin, cout, 2))


def _up(d: int, cin: int, cout: int) -> Residual:
    """(B, cin, S*) → (B, cout, 2S*)."""
    return Residual(_enlarge(d, cin, cout), _convolve(d, cout, cout, 1), _enlarge(d, cin, cout))


# Model


class Network(nn.Module):
    """(B, 1, S*) → (B, 1, 16·⌈S/16⌉*), values of any sign: there is no activation at the output."""

    def __init__(self, sides: Sequence[int], *, width: int, bottleneck: str, latent: int) -> None:
        super().__init__()
        d, deepest = len(sides), tuple(-(-n // MULTIPLE) for n in sides)
        conv = (nn.Conv2d, nn.Conv3d)[d - 2]
        channels = [width * 2**level for level in range(HALVINGS + 1)]
        steps = list(itertools.pairwise(channels))
        encoder = [_convolve(d, 1, width, 1), *(_down(d, low, high) for low, high in steps)]
        decoder = [*(_up(d, high, low) for low, high in reversed(steps)), conv(width, 1, 1)]
        if bottleneck == "dense":
            flat = channels[-1] * int(np.prod(deepest))
            narrow = nn.Sequential(nn.Flatten(), nn.Linear(flat, latent))
            widen = nn.Sequential(nn.Linear(latent, flat), nn.Unflatten(1, (channels[-1], *deepest)))
        else:
            narrow, widen = nn.Sequential(conv(channels[-1], latent, 1)), nn.Sequential(conv(latent, channels[-1], 1))
        self.encoder = nn.Sequential(*encoder, *narrow)
        self.decoder = nn.Sequential(*widen, *decoder)

    def forward(self, x: Tensor) -> Tensor:
        expected: Tensor = self.decoder(self.encoder(x))
        return expected


# Loss


def weighted_squared_error(network: nn.Module, batch: Batch) -> Tensor:
    """Σ w (x − x̂)² / Σ w of a batch (x, w); the published mean squared error where w is 1 everywhere."""
    x, weight = batch
    total: Tensor = (weight * (x - network(x)) ** 2).sum() / weight.sum()
    return total


# Post-processing: the paper's order is median, mask, threshold, connected parts


def median_error(scan: FloatMap, expected: FloatMap, size: int) -> FloatMap:
    """|x − x̂| after a median filter of `size` voxels a side; the border is repeated outwards."""
    error: FloatMap = np.abs(scan - expected)
    if size == 1:
        return error
    # Only where the error is not 0 can the median differ from 0: the air around the head is left out.
    box = ndimage.find_objects(ndimage.binary_dilation(error > 0, iterations=size).astype(np.int8))
    if box:
        error[box[0]] = ndimage.median_filter(error[box[0]], size=size, mode="nearest")
    return error


def keep_large_parts(values: FloatMap, threshold: float, *, smallest_mm3: float, voxel_mm3: float) -> FloatMap:
    """Values below `threshold` and 26-connected parts smaller than `smallest_mm3` set to 0."""
    labels, _ = ndimage.label(values >= threshold, structure=np.ones((3, 3, 3)))
    large = np.bincount(labels.ravel()) * voxel_mm3 >= smallest_mm3
    large[0] = False
    kept: FloatMap = np.where(large[labels], values, np.float32(0.0))
    return kept


def slice_scores_published(
    error: NDArray[np.floating], mask: NDArray[np.bool_], *, as_published: bool = False
) -> NDArray[np.float64]:
    """Score of each axial slice, (Z,), from a volume of errors.

    Parameters
    ----------
    error, mask : (X, Y, Z); errors outside the mask are not used.
    as_published : False: the mean error over the slice's brain, higher is more abnormal, `nan` without brain. True:
        the paper's s(u) = 1 − (e(u) − min e) / (max e − min e) with e(u) the sum over the slice (appendix E1), so that
        1 is the most **normal** slice of this scan and 0 the least, in healthy scans too; a constant e is all normal.
    """
    total = np.where(mask, error, 0.0).sum(axis=(0, 1), dtype=np.float64)
    if as_published:
        span = float(np.ptp(total))
        return 1.0 - (total - total.min()) / span if span > 0 else np.ones_like(total)
    area = mask.sum(axis=(0, 1))
    means: NDArray[np.float64] = np.divide(total, area, out=np.full(total.shape, np.nan), where=area > 0)
    return means


class Autoencoder:
    """The method; see `anomri.methods.method.Method`.

    All statistics (weights, threshold, spread) come from the scans given to `fit`. A reading depends on the scan alone:
    batch norm uses the running statistics of training. It is the same for any number of threads within 1e-4 of the
    map's largest value.
    """

    version: ClassVar[int] = 2
    config_type: ClassVar[type[Config]] = AutoencoderConfig
    localises: ClassVar[bool] = True

    def __init__(self, config: Config) -> None:
        if not isinstance(config, AutoencoderConfig):
            raise ModelError("settings of another method", remedy="Give an AutoencoderConfig.", code="config")
        self._config = config
        self._network: Network | None = None
        self._shape: tuple[int, int, int] = (0, 0, 0)
        self._threshold: float = 0.0
        self._spread: tuple[FloatMap, FloatMap] | None = None

    # Fit

    def fit(self, prepared: Sequence[Prepared], *, seed: int, fabric: Fabric | None, resume: Path | None) -> FitReport:
        """Train on about four fifths of the subjects, then measure the errors of the others."""
        config = self._config
        require_normals(len(prepared), config, "an autoencoder")
        trained, held_out = set_apart(prepared, config.holdout, seed=seed)
        self._shape = trained[0].scan.geometry.shape
        for each in prepared:
            require_grid(each, self._shape, self._sides(), method="the autoencoder")
        with seeded_torch(seed, 0):
            network = self._new_network()
        samples = [(each, z) for each in trained for z in self._slices(each)]
        held = [(each, z) for each in held_out for z in self._slices(each)]

        def make(indices: NDArray[np.intp], seed: int, epoch: int) -> Batch:
            flips = [config.flip and generator(seed, epoch, int(n)).random() < 0.5 for n in indices]
            return self._tensors([samples[n] for n in indices], flips)

        def validate(module: nn.Module) -> float:
            parts = (held[n : n + config.batch_size] for n in range(0, len(held), config.batch_size))
            return held_out_loss(module, weighted_squared_error, (self._tensors(p, [False] * len(p)) for p in parts))

        training = train(
            network,
            weighted_squared_error,
            Batches(len(samples), config.batch_size, make),
            optimizer=lambda weights: torch.optim.Adam(weights, config.learning_rate, weight_decay=config.weight_decay),
            epochs=config.epochs,
            seed=seed,
            fabric=make_fabric("cpu") if fabric is None else fabric,
            resume=resume,
            validate=validate,
            decay=cosine_decay if config.decay == "cosine" else None,
            settings={"config": config.of_fit(), "scans": fingerprints(prepared)},
        )
        self._network = network
        expected = [self._expect(each) for each in held_out]
        readings = read_by_the_others(held_out, expected, self._measure, self._reading)
        notes = (f"trained on {len(trained)} scans, measured on {len(held_out)}; best epoch {training.best_epoch}",)
        return FitReport(training.curves, training.elapsed_s, notes + training.notes, readings)

    def _measure(self, held_out: Sequence[Prepared], expected: Sequence[FloatMap]) -> None:
        """Threshold and spread, from scans that trained no weight."""
        config, pairs = self._config, zip(held_out, expected, strict=True)
        errors = [median_error(each.scan.voxels, own, config.median_voxels) for each, own in pairs]
        regions = [each.region.mask for each in held_out]
        if config.spread:
            self._spread = position_wise_spread(errors, regions, sigma_voxels=config.spread_sigma_voxels)
        if config.threshold_quantile is not None:
            values = np.concatenate([self._standardise(e)[mask] for e, mask in zip(errors, regions, strict=True)])
            self._threshold = float(np.float32(np.quantile(values, config.threshold_quantile)))

    # Examine

    def examine(self, prepared: Prepared, *, seed: int) -> Reading:  # noqa: ARG002 - nothing here is random
        """The post-processed error of one scan; `expected` is what the network reproduced."""
        self._fitted()
        require_grid(prepared, self._shape, self._sides(), method="the autoencoder")
        return self._reading(prepared, self._expect(prepared))

    def _reading(self, prepared: Prepared, expected: FloatMap) -> Reading:
        config, region = self._config, prepared.region.mask
        values = self._standardise(median_error(prepared.scan.voxels, expected, config.median_voxels))
        if config.erosion_voxels:
            inner = ndimage.binary_erosion(region, iterations=config.erosion_voxels)
            values = np.where(inner, values, np.float32(0.0))
        if config.threshold_quantile is not None:
            voxel_mm3 = prepared.scan.geometry.voxel_ml * 1000.0
            values = keep_large_parts(values, self._threshold, smallest_mm3=config.smallest_mm3, voxel_mm3=voxel_mm3)
        inside = values[region]
        mean = float(inside.mean(dtype=np.float64))
        score = mean if config.score == "mean" else mean_of_top_fraction(inside, config.top_fraction)
        error = np.where(region, np.abs(prepared.scan.voxels - expected), np.float32(np.nan))
        return Reading(
            score, map=np.where(region, values, np.float32(np.nan)), expected=expected, maps={"error": error}
        )

    def to(self, device: str) -> None:
        """Move the network to ``cpu`` or ``cuda``."""
        self._fitted().to(device)

    def _expect(self, prepared: Prepared) -> FloatMap:
        """(X, Y, Z) float32: the scan as the network reproduces it, 0 outside the brain."""
        network = self._fitted()
        device = next(network.parameters()).device
        out = np.zeros(self._shape, dtype=np.float32)
        with torch.inference_mode():
            for z in self._slices(prepared):
                x, _ = self._tensors([(prepared, z)], [False])
                place_centred(network(x.to(device))[0, 0].cpu().numpy(), _at(out, z))
        return np.where(prepared.inside.mask, out, np.float32(0.0))

    def _standardise(self, error: FloatMap) -> FloatMap:
        if self._spread is None:
            return error
        mean, spread = self._spread
        return (error - mean) / spread

    def _fitted(self) -> Network:
        if self._network is None:
            raise ModelError("the autoencoder is not fitted", remedy="Fit it or load a model first.", code="not_fitted")
        return self._network

    # Grid

    def _sides(self) -> tuple[int, ...]:
        """Sides of the grid that the network sees."""
        c = self._config
        return network_sides(self._shape, c.grid, dimensions=c.dimensions, multiple=MULTIPLE)

    def _new_network(self) -> Network:
        c = self._config
        network = Network(self._sides(), width=c.width, bottleneck=c.bottleneck, latent=c.latent)
        # Channels last: with few channels, a CPU trains a volume in little more than half the time.
        last = (torch.channels_last, torch.channels_last_3d)[c.dimensions - 2]
        for weights in network.parameters():
            if weights.dim() == c.dimensions + 2:
                weights.data = weights.data.contiguous(memory_format=last)
        return network

    def _slices(self, prepared: Prepared) -> list[int | None]:
        """Axial slices with brain in them; the one entry None stands for the whole volume in 3D."""
        if self._config.dimensions == 3:
            return [None]
        return [int(z) for z in np.flatnonzero(prepared.inside.mask.any(axis=(0, 1)))]

    def _tensors(self, samples: Sequence[tuple[Prepared, int | None]], flips: Sequence[bool]) -> Batch:
        """Values and weights of the loss, both (B, 1, S*)."""
        sides = self._sides()
        x, weight = np.zeros((2, len(samples), 1, *sides), dtype=np.float32)
        weight[:] = self._config.background_weight
        for n, ((each, z), flip) in enumerate(zip(samples, flips, strict=True)):
            step = -1 if flip else 1
            place_centred(_at(each.scan.voxels, z)[::step], x[n, 0])
            inside = np.where(each.inside.mask, np.float32(1.0), np.float32(self._config.background_weight))
            place_centred(_at(inside, z)[::step], weight[n, 0])
        return torch.from_numpy(x), torch.from_numpy(weight)

    # State

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Weights and running statistics (``network.*``), shape of the prepared grid, threshold, spread."""
        weights = self._fitted().state_dict().items()
        state: dict[str, NDArray[np.generic]] = {f"network.{name}": t.cpu().numpy().copy() for name, t in weights}
        state |= {"shape": np.array(self._shape), "threshold": np.array([self._threshold], dtype=np.float32)}
        if self._spread is not None:
            state |= {"spread.mean": self._spread[0], "spread.sd": self._spread[1]}
        return state

    @classmethod
    def restore(cls, config: Config, state: Mapping[str, NDArray[np.generic]]) -> Self:
        """A fitted method; float16 arrays are widened."""
        method = cls(config)
        try:
            x, y, z = (int(n) for n in state["shape"])
            method._shape = (x, y, z)
            method._threshold = float(state["threshold"].item())
            network = method._new_network()
            weights = {n[8:]: torch.from_numpy(np.array(a)) for n, a in state.items() if n.startswith("network.")}
            network.load_state_dict(weights)
            if method._config.spread:
                mean, sd = (state[f"spread.{n}"].astype(np.float32).reshape(method._shape) for n in ("mean", "sd"))
                method._spread = (mean, sd)
        except (KeyError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"the state does not fit the settings of the autoencoder ({str(error).splitlines()[0]})",
                remedy="Load the state with the settings it was made with.",
                code="state",
            ) from error
        method._network = network.eval()
        return method


def _at(volume: NDArray[Any], z: int | None) -> NDArray[Any]:
    return volume if z is None else volume[:, :, z]


# Presets

_SMALL = AutoencoderConfig(
    grid=(80, 96, 80), width=4, latent=128, epochs=24, batch_size=2, learning_rate=1e-3, decay="cosine",
    background_weight=0.1, flip=True, median_voxels=5, erosion_voxels=0, threshold_quantile=None, spread=True,
    score="top", top_fraction=0.002,
)  # fmt: skip
_SLICEWISE = _SMALL.model_copy(update={"dimensions": 2, "grid": None, "width": 8, "batch_size": 32, "epochs": 20})
# One slice a subject: many more epochs make as many steps.
_SLICES = _SLICEWISE.model_copy(update={"batch_size": 16, "epochs": 60})
_SPATIAL = AutoencoderConfig(bottleneck="spatial", latent=16)
_TINY = _SMALL.model_copy(update={"grid": None, "width": 2, "latent": 16, "epochs": 6})

PRESETS: dict[str, Preset] = {
    "autoencoder-small": Preset(_SMALL, "brain-t1", "3D at 2 mm; about 1 s a scan and epoch on one busy CPU core"),
    "autoencoder": Preset(AutoencoderConfig(), "autoencoder-published", "as published, on two 32 GB GPUs; not trained"),
    "autoencoder-spatial": Preset(_SPATIAL, "autoencoder-published", "the published spatial code; not trained"),
    "autoencoder2d-small": Preset(_SLICEWISE, "brain-t1", "autoencoder-small slice by slice; not measured"),
    "autoencoder-slices": Preset(_SLICES, "slices-2d", "of single slices; minutes on one core"),
    "autoencoder-tiny": Preset(_TINY, "brain-t1", "for tests: seconds"),
}
