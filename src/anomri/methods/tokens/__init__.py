"""Discrete tokens of normal slices, and how improbable those of a scan are.

A tokenizer turns a slice into a grid of discrete codes; a masked transformer says how probable each code is, given
those
around it. Two maps come from it: the surprisal of the codes, and how different the slice looks from one in which the
transformer has replaced all codes by probable ones ("healing").

References
----------
Kadhim et al., 2026 (arXiv 2605.24609), its supplement and its published code. Departures are listed in the
documentation; the default estimator hides every token equally often and has no seed.

Files: `tokenizer` (stage 1), `transformer` (stage 2), `masking` and `fitting` (training), `surprisal` (estimators and
healing), `perceptual` (how different two slices look), `config`. Shapes: (X, Y, Z) the prepared grid, H × W a slice,
S tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from anomri.core.prepared import Prepared
from anomri.core.reading import Reading
from anomri.core.score import mean_of_top_fraction
from anomri.errors import ModelError
from anomri.methods.method import Config, FitReport, Preset, require_normals
from anomri.methods.tokens.config import TokensConfig
from anomri.methods.tokens.fitting import Course, Slices, fit_features, fit_tokenizer, fit_transformer
from anomri.methods.tokens.perceptual import Denoiser, Lpips, Perceptual, perceptual_map
from anomri.methods.tokens.surprisal import (
    Predict,
    checkerboard,
    cover_masks,
    heal,
    masked_surprisal,
    monte_carlo_masks,
)
from anomri.methods.tokens.tokenizer import Tokenizer
from anomri.methods.tokens.transformer import TokenTransformer
from anomri.training.fabric import make_fabric
from anomri.training.holdout import hold_out
from anomri.training.placing import place_centred
from anomri.training.spread import position_wise_spread

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["PRESETS", "Tokens", "TokensConfig"]

FloatMap = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Rows of one forward pass of the transformer, and slices of one of the other networks: memory alone hangs on them.
_ROWS, _SLICES = 16, 8
# A token counts as brain where a quarter of its pixels are.
_LEAST_BRAIN = 0.25
_POOL = 7
_NETWORKS = ("features", "tokenizer", "transformer")
_STATISTICS = ("surprisal", "perceptual")


@dataclass(frozen=True, eq=False, slots=True)
class Raw:
    """Both maps of a scan before any normal has a say.

    Parameters
    ----------
    surprisal : (R, C, Z) nats a token; `known` where it is brain.
    perceptual, healed : (X, Y, Z); `healed` in standardised intensities. None without healing.
    """

    surprisal: FloatMap
    known: Mask
    perceptual: FloatMap | None
    healed: FloatMap | None


class Tokens:
    """The method; see `anomri.methods.method.Method`.

    A reading depends on the scan alone, and on the seed only with the published Monte Carlo. It is the same for any
    number of slices a pass and of threads within 1e-4 of the map's largest value.
    """

    version: ClassVar[int] = 1
    config_type: ClassVar[type[Config]] = TokensConfig
    localises: ClassVar[bool] = True

    def __init__(self, config: Config) -> None:
        if not isinstance(config, TokensConfig):
            raise ModelError("settings of another method", remedy="Give a TokensConfig.", code="config")
        self._config = config
        self._shape: tuple[int, int, int] = (0, 0, 0)
        self._networks: tuple[Perceptual, Tokenizer, TokenTransformer] | None = None
        self._spread: dict[str, tuple[FloatMap, FloatMap]] = {}
        self._cuts: tuple[float, float, float] = (np.inf, np.inf, np.inf)

    # Fit

    def fit(self, prepared: Sequence[Prepared], *, seed: int, fabric: Fabric | None, resume: Path | None) -> FitReport:
        """Train three networks on about four fifths of the subjects, then measure both maps of the others."""
        config = self._config
        require_normals(len(prepared), config, "tokens")
        fabric = make_fabric("cpu") if fabric is None else fabric
        ordered = sorted(prepared, key=lambda each: each.scan.scan_id)
        self._shape = ordered[0].scan.geometry.shape
        for each in ordered:
            self._check(each)
        kept, left_out = hold_out([each.subject or each.scan.scan_id for each in ordered], config.holdout, seed=seed)
        trained, held_out = [ordered[n] for n in kept], [ordered[n] for n in left_out]
        slices, held = self._gathered(trained), self._gathered(held_out)
        digests = [hashlib.sha256(p.scan.voxels.tobytes() + p.region.mask.tobytes()).hexdigest() for p in ordered]
        common = Course(seed, fabric, resume, {"config": config.model_dump(mode="json"), "scans": digests})
        features, first = fit_features(slices, config, common)
        tokenizer, second = fit_tokenizer(slices, held, features, config, common)
        transformer, third = fit_transformer(slices, held, tokenizer, config, common)
        self._networks = (features.to("cpu"), tokenizer.to("cpu"), transformer.to("cpu"))
        self.to(str(fabric.device))
        self._measure(held_out, seed)
        self.to("cpu")
        curves: dict[str, Sequence[float]] = {}
        for name, training in zip(_NETWORKS, (first, second, third), strict=True):
            if training is not None:
                curves |= {f"{name} {curve}": values for curve, values in training.curves.items()}
        elapsed = sum(t.elapsed_s for t in (first, second, third) if t is not None)
        notes = (f"trained on {len(trained)} scans, measured on {len(held_out)}",)
        return FitReport(curves, elapsed, notes + second.notes + third.notes)

    def _measure(self, held_out: Sequence[Prepared], seed: int) -> None:
        """Usual size of both maps at every position, and the cuts of the union, from scans that trained no weight."""
        config = self._config
        raw = [self._raw(each, seed) for each in held_out]
        sigma = config.spread_sigma_voxels
        coarse = [r.surprisal for r in raw]
        known = [r.known for r in raw]
        self._spread = {"surprisal": position_wise_spread(coarse, known, sigma_voxels=sigma / config.patch)}
        surprisal = np.concatenate([values[mask] for values, mask in zip(coarse, known, strict=True)])
        cuts = [_or(config.cut_surprisal, surprisal, config.cut_quantile), np.inf, np.inf]
        if config.healing:
            regions = [each.region.mask for each in held_out]
            maps = [r.perceptual for r in raw if r.perceptual is not None]
            self._spread["perceptual"] = position_wise_spread(maps, regions, sigma_voxels=sigma)
            pooled = [self._z("perceptual", _pooled(values))[mask] for values, mask in zip(maps, regions, strict=True)]
            cuts[1] = _or(config.cut_z, np.concatenate(pooled), config.cut_quantile)
            values = np.concatenate([v[mask] for v, mask in zip(maps, regions, strict=True)])
            cuts[2] = _or(config.cut_perceptual, values, config.cut_quantile)
        self._cuts = (cuts[0], cuts[1], cuts[2])

    # Examine

    def examine(self, prepared: Prepared, *, seed: int) -> Reading:
        """The fused map; surprisal and perceptual difference are named maps, the healed scan is what was expected."""
        self._check(prepared)
        config, region = self._config, prepared.region.mask
        raw = self._raw(prepared, seed)
        surprisal = self._upsampled(raw.surprisal)
        named = {"surprisal": surprisal}
        if raw.perceptual is not None:
            named["healing"] = raw.perceptual
        fused = self._union(raw, surprisal) if config.fused == "union" else self._continuous(raw)
        inside = fused[region]
        score = {
            "top": lambda: mean_of_top_fraction(inside, config.top_fraction),
            "area": lambda: float(inside.mean(dtype=np.float64)),
            "sum": lambda: float(inside.sum(dtype=np.float64)),
        }[config.score]()
        nan = np.float32(np.nan)
        return Reading(
            score,
            map=np.where(region, fused, nan).astype(np.float32),
            map_scale="z" if config.fused == "continuous" else "raw",
            expected=None if raw.healed is None else self._in_intensities(raw.healed, prepared),
            maps={name: np.where(region, values, nan).astype(np.float32) for name, values in named.items()},
        )

    def to(self, device: str) -> None:
        """Move the networks to ``cpu`` or ``cuda``."""
        for network in self._fitted():
            network.to(device)

    def _continuous(self, raw: Raw) -> FloatMap:
        """Mean of both maps, each in spreads of the normals at the same position."""
        z = self._upsampled(self._z("surprisal", raw.surprisal))
        return z if raw.perceptual is None else (z + self._z("perceptual", raw.perceptual)) / np.float32(2.0)

    def _union(self, raw: Raw, surprisal: FloatMap) -> FloatMap:
        """1 where either map exceeds its cut: surprisal, or the pooled perceptual map and the perceptual map itself."""
        marked = surprisal > self._cuts[0]
        if raw.perceptual is not None:
            mask = self._z("perceptual", _pooled(raw.perceptual)) > self._cuts[1]
            mask = _large_parts(mask, self._config.smallest_px) & (raw.perceptual > self._cuts[2])
            marked = marked | mask
        return marked.astype(np.float32)

    def _raw(self, prepared: Prepared, seed: int) -> Raw:
        config = self._config
        features, tokenizer, transformer = self._fitted()
        device = tokenizer.position.device
        z = self._levels(prepared)
        slices = self._slices(prepared, z)
        grid = tokenizer.shape.grid
        hidden = transformer.shape.mask
        masks = self._masks(grid, seed)
        surprisal = np.zeros((*grid, self._shape[2]), dtype=np.float32)
        perceptual, healed = np.zeros((2, *self._shape), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(z), _SLICES):
                part = slice(start, start + _SLICES)
                pixels = torch.from_numpy(slices.pixels[part]).to(device)
                at = torch.from_numpy(slices.positions[part]).to(device)
                codes = tokenizer.encode(pixels).indices

                def predict(one: Tensor, other: Tensor, task: int, rows: Tensor, at: Tensor = at) -> Tensor:
                    logits: Tensor = transformer(one.to(device), other.to(device), task, at[rows.to(device)])
                    return logits

                nll, _ = masked_surprisal(predict, codes[..., 0].cpu(), masks, hidden=hidden, rows_at_once=_ROWS)
                for row, level in enumerate(z[part]):
                    surprisal[:, :, level] = nll[row].view(grid).numpy()
                if not config.healing:
                    continue
                image, difference = self._healed(pixels, codes, predict, features, tokenizer)
                if config.mirrored:
                    mirror = pixels.flip(2)
                    _, other = self._healed(mirror, tokenizer.encode(mirror).indices, predict, features, tokenizer)
                    difference = (difference + other.flip(2)) / 2.0
                for row, level in enumerate(z[part]):
                    place_centred(difference[row, 0].cpu().numpy(), perceptual[:, :, level])
                    place_centred(image[row, 0].cpu().numpy(), healed[:, :, level])
        brain = self._token_share(prepared) >= _LEAST_BRAIN
        return Raw(surprisal, brain, *((perceptual, healed) if config.healing else (None, None)))

    def _healed(
        self, pixels: Tensor, codes: Tensor, predict: Predict, features: Perceptual, tokenizer: Tokenizer
    ) -> tuple[Tensor, Tensor]:
        """Healed slices, and how different they look: both halves of each checkerboard, merged and decoded once."""
        config = self._config
        hidden = config.codes
        middle = config.neighbours
        own = pixels[:, middle : middle + 1]
        first, second = codes[..., 0], codes[..., 1]
        images = []
        for side in config.patterns:
            even = checkerboard(tokenizer.shape.grid, side, odd=False).to(codes.device)
            halves = [
                heal(predict, first, second, mask.expand(len(codes), -1), hidden=hidden, steps=config.steps)
                for mask in (even, ~even)
            ]
            merged = torch.stack([torch.where(even, one, other) for one, other in zip(*halves, strict=True)], dim=-1)
            images.append(tokenizer.decode(tokenizer.quantiser.vectors_of(merged)))
        image = torch.stack(images).mean(dim=0)
        reference = own if config.reference == "input" else tokenizer.decode(tokenizer.quantiser.vectors_of(codes))
        return image, perceptual_map(features, reference / config.window, image / config.window)

    # What the networks see

    def _check(self, prepared: Prepared) -> None:
        shape = prepared.scan.geometry.shape
        if shape != self._shape:
            raise ModelError(
                f"a scan of shape {shape} for tokens trained on {self._shape}",
                remedy="Prepare it with the model's own recipe.",
                code="grid",
                scan=prepared.scan.scan_id,
            )

    def _image(self) -> tuple[int, int]:
        if self._config.image is not None:
            return self._config.image
        step = max(self._config.patch, 8)
        x, y = (-(-n // step) * step for n in self._shape[:2])
        return x, y

    def _levels(self, prepared: Prepared) -> list[int]:
        return [int(z) for z in np.flatnonzero(prepared.inside.mask.any(axis=(0, 1)))]

    def _standardised(self, prepared: Prepared) -> FloatMap:
        """Standard scores within the brain, clipped to ±window; air is −window."""
        mean, sd = _mean_sd(prepared)
        window = self._config.window
        values = np.clip((prepared.scan.voxels - mean) / sd, -window, window)
        return np.where(prepared.inside.mask, values, np.float32(-window)).astype(np.float32)

    def _in_intensities(self, values: FloatMap, prepared: Prepared) -> FloatMap:
        mean, sd = _mean_sd(prepared)
        return np.where(prepared.inside.mask, values * sd + mean, np.float32(0.0)).astype(np.float32)

    def _slices(self, prepared: Prepared, levels: Sequence[int]) -> Slices:
        config, image = self._config, self._image()
        volume = self._standardised(prepared)
        channels = 1 + 2 * config.neighbours
        pixels = np.full((len(levels), channels, *image), -config.window, dtype=np.float32)
        depth = self._shape[2]
        for row, z in enumerate(levels):
            for channel in range(channels):
                place_centred(
                    volume[:, :, min(max(z + channel - config.neighbours, 0), depth - 1)], pixels[row, channel]
                )
        positions = np.array(levels, dtype=np.float32) / np.float32(max(depth - 1, 1))
        return Slices(pixels, positions)

    def _gathered(self, scans: Sequence[Prepared]) -> Slices:
        parts = [self._slices(each, self._levels(each)) for each in scans]
        return Slices(np.concatenate([p.pixels for p in parts]), np.concatenate([p.positions for p in parts]))

    def _masks(self, grid: tuple[int, int], seed: int) -> Tensor:
        config = self._config
        if config.surprisal == "cover":
            return cover_masks(grid, groups=config.groups, sets=config.sets)
        drawn = torch.Generator().manual_seed(seed)
        return monte_carlo_masks(grid[0] * grid[1], passes=config.passes, rate=config.rate, generator=drawn)

    def _token_share(self, prepared: Prepared) -> FloatMap:
        """(R, C, Z): the share of each token's pixels that are brain."""
        image, patch = self._image(), self._config.patch
        padded = np.zeros((*image, self._shape[2]), dtype=np.float32)
        for z in range(self._shape[2]):
            place_centred(prepared.inside.mask[:, :, z].astype(np.float32), padded[:, :, z])
        rows, columns = image[0] // patch, image[1] // patch
        share: FloatMap = padded.reshape(rows, patch, columns, patch, -1).mean(axis=(1, 3))
        return share

    def _upsampled(self, tokens: FloatMap) -> FloatMap:
        """(R, C, Z) → (X, Y, Z), bilinear within a slice."""
        image = self._image()
        stack = torch.from_numpy(np.ascontiguousarray(tokens.transpose(2, 0, 1)))[:, None]
        fine = functional.interpolate(stack, size=image, mode="bilinear", align_corners=False)[:, 0].numpy()
        out = np.zeros(self._shape, dtype=np.float32)
        for z in range(self._shape[2]):
            place_centred(fine[z], out[:, :, z])
        return out

    def _z(self, name: str, values: FloatMap) -> FloatMap:
        mean, sd = self._spread[name]
        z: FloatMap = (values - mean) / sd
        return z

    def _fitted(self) -> tuple[Perceptual, Tokenizer, TokenTransformer]:
        if self._networks is None:
            raise ModelError("tokens is not fitted", remedy="Fit it or load a model first.", code="not_fitted")
        return self._networks

    # State

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Weights (``features.*``, ``tokenizer.*``, ``transformer.*``), shape of the prepared grid, spreads, cuts."""
        state: dict[str, NDArray[np.generic]] = {"shape": np.array(self._shape), "cuts": np.array(self._cuts)}
        for prefix, network in zip(_NETWORKS, self._fitted(), strict=True):
            for name, tensor in network.state_dict().items():
                array = tensor.cpu().numpy().copy()
                state[f"{prefix}.{name}"] = array.astype(np.uint8) if array.dtype == bool else array
        for name, (mean, sd) in self._spread.items():
            state |= {f"spread.{name}.mean": mean, f"spread.{name}.sd": sd}
        return state

    @classmethod
    def restore(cls, config: Config, state: Mapping[str, NDArray[np.generic]]) -> Self:
        """A fitted method; float16 arrays are widened."""
        method = cls(config)
        own = method._config
        try:
            x, y, z = (int(n) for n in state["shape"])
            method._shape = (x, y, z)
            first, second, third = (float(c) for c in state["cuts"])
            method._cuts = (first, second, third)
            image = method._image()
            features = Denoiser(own.feature_width) if own.perceptual_file is None else Lpips()
            networks: tuple[Perceptual, Tokenizer, TokenTransformer] = (
                features,
                Tokenizer(own.tokenizer(image)),
                TokenTransformer(own.transformer(image)),
            )
            for prefix, network in zip(_NETWORKS, networks, strict=True):
                _load(network, prefix, state)
            networks[1].freeze()
            for name in _STATISTICS if own.healing else _STATISTICS[:1]:
                mean, sd = (state[f"spread.{name}.{part}"].astype(np.float32) for part in ("mean", "sd"))
                method._spread[name] = (mean, sd)
        except (KeyError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"the state does not fit the settings of tokens ({str(error).splitlines()[0]})",
                remedy="Load the state with the settings it was made with.",
                code="state",
            ) from error
        method._networks = networks
        return method


def _load(network: nn.Module, prefix: str, state: Mapping[str, NDArray[np.generic]]) -> None:
    wanted = network.state_dict()
    found = {n[len(prefix) + 1 :]: np.array(a) for n, a in state.items() if n.startswith(f"{prefix}.")}
    network.load_state_dict(
        {n: torch.from_numpy(a).to(wanted[n].dtype) if n in wanted else torch.from_numpy(a) for n, a in found.items()}
    )
    network.requires_grad_(False).eval()


def _mean_sd(prepared: Prepared) -> tuple[np.float32, np.float32]:
    inside = prepared.scan.voxels[prepared.inside.mask]
    return np.float32(inside.mean(dtype=np.float64)), np.float32(max(inside.std(dtype=np.float64), 1e-6))


def _or(given: float | None, normal: NDArray[np.floating], quantile: float) -> float:
    return float(np.quantile(normal, quantile)) if given is None else given


def _pooled(values: FloatMap) -> FloatMap:
    """Mean over 7 × 7 pixels of a slice, air counted as 0."""
    pooled: FloatMap = ndimage.uniform_filter(values, size=(_POOL, _POOL, 1), mode="constant")
    return pooled


def _large_parts(mask: Mask, smallest_px: int) -> Mask:
    """4-connected parts of each slice with at least so many pixels."""
    within = np.zeros((3, 3, 3), dtype=bool)
    within[1, :, 1] = within[:, 1, 1] = True
    labels, _ = ndimage.label(mask, structure=within)
    large = np.bincount(labels.ravel()) >= smallest_px
    large[0] = False
    kept: Mask = large[labels]
    return kept


# Presets

_BRAIN = TokensConfig(cut_surprisal=5.0, cut_z=6.0, cut_perceptual=0.6)
_PELVIS = TokensConfig(
    codes=192, perceptual_weight=0.9, first_batch=128, first_rate=1e-4, second_batch=128, second_rate=1e-4, groups=10,
    sets=1, passes=50, rate=0.9, patterns=(2,), reference="input", cut_surprisal=8.0, cut_z=2.0, cut_perceptual=0.6,
)  # fmt: skip
_SMALL = TokensConfig(
    image=None, patch=4, width=64, depth=2, heads=4, hidden=128, codes=128, stem=64, dropout=0.0, neighbours=1,
    feature_width=8, feature_epochs=3, first_epochs=10, first_batch=16, first_rate=1e-3, second_width=64,
    second_depth=3, second_heads=4, second_hidden=128, second_epochs=12, second_batch=16, second_rate=1e-3, every=2,
)  # fmt: skip
_TINY = _SMALL.model_copy(
    update={
        "width": 16, "depth": 1, "heads": 2, "hidden": 16, "codes": 16, "stem": 16, "second_width": 16,
        "second_depth": 1, "second_heads": 2, "second_hidden": 16, "feature_width": 2, "feature_epochs": 1,
        "first_epochs": 3, "second_epochs": 3, "every": 1, "neighbours": 0, "groups": 3, "sets": 1, "steps": 2,
    }
)  # fmt: skip

PRESETS: dict[str, Preset] = {
    "tokens-small": Preset(_SMALL, "brain-t1", "2.5D at 2 mm"),
    "tokens-brain": Preset(_BRAIN, "brain-t1", "published sizes; needs a GPU"),
    "tokens-pelvis": Preset(_PELVIS, "brain-t1", "published sizes; needs a GPU"),
    "tokens-tiny": Preset(_TINY, "brain-t1", "for tests: seconds"),
}
