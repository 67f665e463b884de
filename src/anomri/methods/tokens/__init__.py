"""Discrete tokens of normal slices, and how improbable those of a scan are.

A tokenizer turns a slice into a grid of discrete codes; a masked transformer says how probable each code is, given
those around it. Two maps come from it: the surprisal of the codes, and how different the slice looks from one in which
the transformer has replaced all codes by probable ones ("healing").

References
----------
Kadhim et al., 2026 (arXiv 2605.24609), its supplement and its published code. Departures are listed in the
documentation; the default estimator hides every token equally often and has no seed.

Files: `slices` (what the networks see), `tokenizer` (stage 1), `transformer` (stage 2), `ordered` (an autoregressive
stage 2 with its estimator and healing), `masking` and `fitting` (training), `surprisal` (estimators and healing),
`perceptual` (how different two slices look), `scoring` (both maps), `marks` (post-processing), `config`. Shapes:
(X, Y, Z) the prepared grid, (R, C) tokens of a slice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from anomri.core.prepared import Prepared
from anomri.core.reading import Reading
from anomri.core.score import mean_of_top_fraction
from anomri.errors import ModelError
from anomri.methods.method import Config, FitReport, Preset, require_normals
from anomri.methods.tokens.config import TokensConfig
from anomri.methods.tokens.fitting import Course, fit_features, fit_tokenizer, fit_transformer
from anomri.methods.tokens.marks import dilated, eroded_edge, large_parts, pooled
from anomri.methods.tokens.ordered import OrderedTransformer
from anomri.methods.tokens.perceptual import Denoiser, Lpips
from anomri.methods.tokens.scoring import Networks, inpainted_difference, read_slices
from anomri.methods.tokens.slices import Slicing
from anomri.methods.tokens.tokenizer import Tokenizer
from anomri.methods.tokens.transformer import TokenTransformer
from anomri.training.fabric import make_fabric
from anomri.training.holdout import fingerprints, read_by_the_others, set_apart
from anomri.training.spread import position_wise_spread

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["PRESETS", "Tokens", "TokensConfig"]

FloatMap = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False, slots=True)
class Raw:
    """Both maps of a scan before any normal has a say.

    Parameters
    ----------
    tokens : (X, Y, Z) nats, each token's over all its pixels.
    surprisal : (X, Y, Z) nats, between the centres of tokens bilinear.
    perceptual, healed : (X, Y, Z); `healed` in standardised intensities. None without healing.
    """

    tokens: FloatMap
    surprisal: FloatMap
    perceptual: FloatMap | None
    healed: FloatMap | None


class Cuts(NamedTuple):
    """What a token and the surprisal (nats), and the perceptual map (spreads, its own units), must exceed."""

    tokens: float
    surprisal: float
    z: float
    perceptual: float


class Tokens:
    """The method; see `anomri.methods.method.Method`.

    A reading depends on the scan alone, and on the seed only with the published Monte Carlo. For any number of slices a
    pass and of threads the surprisal is the same within 1e-4 of its largest value; so is the perceptual map but for
    tokens whose healing hangs on two equal confidences, see `read_slices`.
    """

    version: ClassVar[int] = 3
    config_type: ClassVar[type[Config]] = TokensConfig
    localises: ClassVar[bool] = True

    def __init__(self, config: Config) -> None:
        if not isinstance(config, TokensConfig):
            raise ModelError("settings of another method", remedy="Give a TokensConfig.", code="config")
        self._config = config
        self._slicing: Slicing | None = None
        self._networks: Networks | None = None
        self._spread: dict[str, tuple[FloatMap, FloatMap]] = {}
        self._cuts = Cuts(np.inf, np.inf, np.inf, np.inf)

    # Fit

    def fit(self, prepared: Sequence[Prepared], *, seed: int, fabric: Fabric | None, resume: Path | None) -> FitReport:
        """Train three networks on about four fifths of the subjects, then measure both maps of the others."""
        config = self._config
        require_normals(len(prepared), config, "tokens")
        fabric = make_fabric("cpu") if fabric is None else fabric
        trained, held_out = set_apart(prepared, config.holdout, seed=seed)
        self._slicing = slicing = Slicing.of(config, trained[0].scan.geometry.shape)
        for each in prepared:
            self._check(each)
        slices, held = slicing.gather(trained), slicing.gather(held_out)
        course = Course(seed, fabric, resume, {"config": config.of_fit(), "scans": fingerprints(prepared)})
        features, first = fit_features(slices, config, course)
        tokenizer, second = fit_tokenizer(slices, held, features, config, course)
        transformer, third = fit_transformer(slices, held, tokenizer, config, course)
        self._networks = Networks(features, tokenizer, transformer)
        self.to(str(fabric.device))
        raw = [self._raw(each, seed) for each in held_out]
        readings = read_by_the_others(held_out, raw, self._measure, self._reading)
        self.to("cpu")
        trainings = {"features": first, "tokenizer": second, "transformer": third}
        done = {name: training for name, training in trainings.items() if training is not None}
        return FitReport(
            {f"{name} {curve}": values for name, t in done.items() for curve, values in t.curves.items()},
            sum(t.elapsed_s for t in done.values()),
            (
                f"trained on {len(trained)} scans, measured on {len(held_out)}",
                *(f"{name}: {note}" for name, t in done.items() for note in t.notes),
            ),
            readings,
        )

    def _measure(self, held_out: Sequence[Prepared], raw: Sequence[Raw]) -> None:
        """Usual size of both maps at every position, and the cuts, from scans that trained no weight."""
        config, sigma = self._config, self._config.spread_sigma_voxels
        regions = [each.region.mask for each in held_out]
        nats = [r.surprisal for r in raw]
        self._spread = {"surprisal": position_wise_spread(nats, regions, sigma_voxels=sigma)}
        tokens = _or_quantile(config.cut_surprisal, [r.tokens for r in raw], regions, config.cut_quantile)
        surprisal = _or_quantile(config.cut_surprisal, nats, regions, config.cut_quantile)
        self._cuts = Cuts(tokens, surprisal, np.inf, np.inf)
        if config.healing:
            maps = [r.perceptual for r in raw if r.perceptual is not None]
            smooth = [pooled(values, config.pool) for values in maps]
            self._spread["perceptual"] = position_wise_spread(smooth, regions, sigma_voxels=sigma)
            z = [self._z("perceptual", values) for values in smooth]
            self._cuts = self._cuts._replace(
                z=_or_quantile(config.cut_z, z, regions, config.cut_quantile),
                perceptual=_or_quantile(config.cut_perceptual, maps, regions, config.cut_quantile),
            )

    # Examine

    def examine(self, prepared: Prepared, *, seed: int) -> Reading:
        """The fused map; surprisal and perceptual difference are named maps, the healed scan is what was expected."""
        self._fitted()
        self._check(prepared)
        return self._reading(prepared, self._raw(prepared, seed))

    def _reading(self, prepared: Prepared, raw: Raw) -> Reading:
        _, slicing = self._fitted()
        config, region = self._config, prepared.region.mask
        named = {"surprisal": raw.surprisal}
        if raw.perceptual is not None:
            named["healing"] = raw.perceptual
        fused = self._union(raw, prepared) if config.fused == "union" else self._continuous(raw)
        nan = np.float32(np.nan)
        return Reading(
            self._score(fused[region], raw.tokens[region]),
            map=np.where(region, fused, nan).astype(np.float32),
            map_scale="z" if config.fused == "continuous" else "raw",
            expected=None if raw.healed is None else slicing.in_intensities(raw.healed, prepared),
            maps={name: np.where(region, values, nan).astype(np.float32) for name, values in named.items()},
        )

    def to(self, device: str) -> None:
        """Move the networks to another device."""
        networks, _ = self._fitted()
        for network in networks:
            network.to(device)

    def _score(self, inside: FloatMap, tokens: FloatMap) -> float:
        if self._config.score == "clamped":
            return float(np.where(tokens > self._cuts.tokens, tokens, 0.0).mean(dtype=np.float64))
        if self._config.score == "top":
            return mean_of_top_fraction(inside, self._config.top_fraction)
        if self._config.score == "area":
            return float(inside.mean(dtype=np.float64))
        return float(inside.sum(dtype=np.float64))

    def _continuous(self, raw: Raw) -> FloatMap:
        """Mean of both maps in spreads of the normals."""
        z = self._z("surprisal", raw.surprisal)
        if raw.perceptual is None:
            return z
        return (z + self._z("perceptual", pooled(raw.perceptual, self._config.pool))) / np.float32(2.0)

    def _union(self, raw: Raw, prepared: Prepared) -> FloatMap:
        """1 where a map exceeds its cut: surprisal, the perceptual map under its mask, or that of the inpainting."""
        config, cuts = self._config, self._cuts
        marked = raw.surprisal > cuts.surprisal
        if raw.perceptual is not None:
            mask = dilated(self._z("perceptual", pooled(raw.perceptual, config.pool)) > cuts.z, config.dilation_px)
            mask = large_parts(mask, config.smallest_px)
            marked = marked | (mask & (raw.perceptual > cuts.perceptual))
            if config.backflow:
                marked = marked | (self._inpainted(mask, prepared) > cuts.perceptual)
        return eroded_edge(marked, config.edge_erosion).astype(np.float32)

    def _inpainted(self, mask: Mask, prepared: Prepared) -> FloatMap:
        """Perceptual difference of the scan and what it becomes where tokens touched by a mask are healed."""
        networks, slicing = self._fitted()
        levels = [z for z in slicing.levels(prepared) if mask[:, :, z].any()]
        if not levels:
            return np.zeros(slicing.shape, dtype=np.float32)
        touched = slicing.touched(mask, levels)
        different = inpainted_difference(networks, slicing.cut(prepared, levels), touched, self._config)
        return slicing.stacked(different, levels)

    def _raw(self, prepared: Prepared, seed: int) -> Raw:
        networks, slicing = self._fitted()
        levels = slicing.levels(prepared)
        read = read_slices(networks, slicing.cut(prepared, levels), self._config, seed=seed)
        return Raw(
            slicing.stacked(slicing.repeated(read.surprisal), levels),
            slicing.stacked(slicing.upsampled(read.surprisal), levels),
            None if read.difference is None else slicing.stacked(read.difference, levels),
            None if read.healed is None else slicing.stacked(read.healed, levels),
        )

    def _z(self, name: str, values: FloatMap) -> FloatMap:
        mean, sd = self._spread[name]
        z: FloatMap = (values - mean) / sd
        return z

    def _check(self, prepared: Prepared) -> None:
        assert self._slicing is not None
        shape, expected = prepared.scan.geometry.shape, self._slicing.shape
        if shape != expected:
            raise ModelError(
                f"a scan of shape {shape} for tokens trained on {expected}",
                remedy="Prepare it with the model's own recipe.",
                code="grid",
                scan=prepared.scan.scan_id,
            )
        if not self._slicing.holds(prepared):
            raise ModelError(
                f"brain outside the {self._slicing.image} pixels of a slice",
                remedy="Use a preset whose slices are as large as the recipe's.",
                code="grid",
                scan=prepared.scan.scan_id,
            )

    def _fitted(self) -> tuple[Networks, Slicing]:
        if self._networks is None or self._slicing is None:
            raise ModelError("tokens is not fitted", remedy="Fit it or load a model first.", code="not_fitted")
        return self._networks, self._slicing

    # State

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Weights (``features.*``, ``tokenizer.*``, ``transformer.*``), shape of the prepared grid, spreads, cuts."""
        networks, slicing = self._fitted()
        state: dict[str, NDArray[np.generic]] = {"shape": np.array(slicing.shape), "cuts": np.array(self._cuts)}
        for prefix, network in networks._asdict().items():
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
            method._slicing = slicing = Slicing.of(own, (x, y, z))
            tokens, surprisal, z_cut, perceptual = (float(c) for c in state["cuts"])
            method._cuts = Cuts(tokens, surprisal, z_cut, perceptual)
            kind = OrderedTransformer if own.surprisal == "autoregressive" else TokenTransformer
            method._networks = networks = Networks(
                Lpips() if own.perceptual_sha256 else Denoiser(own.feature_width),
                Tokenizer(own.tokenizer(slicing.image)),
                kind(own.transformer(slicing.image)),
            )
            for prefix, network in networks._asdict().items():
                _load(network, prefix, state)
            networks.tokenizer.freeze()
            for name in ("surprisal", "perceptual") if own.healing else ("surprisal",):
                mean, sd = (_on_grid(state[f"spread.{name}.{part}"], slicing) for part in ("mean", "sd"))
                method._spread[name] = (mean, sd)
        except (KeyError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"the state does not fit the settings of tokens ({str(error).splitlines()[0]})",
                remedy="Load the state with the settings it was made with.",
                code="state",
            ) from error
        return method


def _load(network: nn.Module, prefix: str, state: Mapping[str, NDArray[np.generic]]) -> None:
    wanted = network.state_dict()
    found = {n[len(prefix) + 1 :]: np.array(a) for n, a in state.items() if n.startswith(f"{prefix}.")}
    network.load_state_dict(
        {n: torch.from_numpy(a).to(wanted[n].dtype) if n in wanted else torch.from_numpy(a) for n, a in found.items()}
    )
    network.requires_grad_(False).eval()


def _on_grid(values: NDArray[np.generic], slicing: Slicing) -> FloatMap:
    if values.shape != slicing.shape:
        raise ValueError(f"a spread of shape {values.shape}")
    return values.astype(np.float32)


def _or_quantile(given: float | None, maps: Sequence[FloatMap], regions: Sequence[Mask], quantile: float) -> float:
    """The setting, or where there is none the quantile of normal maps within their regions."""
    if given is not None:
        return given
    return float(np.quantile(np.concatenate([m[region] for m, region in zip(maps, regions, strict=True)]), quantile))


# Presets

# The published cut of the perceptual map, 0.6, belongs to LPIPS: differences of the features learnt here are smaller.
_BRAIN = TokensConfig(cut_surprisal=5.0, cut_z=6.0)
_PELVIS = TokensConfig(
    codes=192, perceptual_weight=0.9, first_batch=128, first_rate=1e-4, second_batch=128, second_rate=1e-4, groups=10,
    sets=1, passes=50, rate=0.9, patterns=(2,), reference="input", pool=15, cut_surprisal=8.0, cut_z=2.0,
    dilation_px=3,
)  # fmt: skip
_SMALL = TokensConfig(
    image=None, patch=4, width=64, depth=2, heads=2, hidden=128, codes=128, stem=64, dropout=0.0, neighbours=1,
    feature_width=8, feature_epochs=3, first_epochs=10, first_batch=16, first_rate=1e-3, second_width=64,
    second_depth=3, second_heads=2, second_hidden=128, second_epochs=12, second_batch=16, second_rate=1e-3, every=2,
    sets=1, steps=4, mirrored=False, pool=3,
)  # fmt: skip
# One slice a subject: no neighbours, no position, many more epochs make as many steps.
_SLICES = _SMALL.model_copy(
    update={
        "patch": 8, "neighbours": 0, "sliced": False, "every": 1, "feature_epochs": 20, "first_epochs": 60,
        "second_epochs": 60, "pool": 7,
    }
)  # fmt: skip
_ORDERED = _SMALL.model_copy(update={"surprisal": "autoregressive"})
_TINY = _SMALL.model_copy(
    update={
        "width": 16, "depth": 1, "heads": 2, "hidden": 16, "codes": 16, "stem": 16, "second_width": 16,
        "second_depth": 1, "second_heads": 2, "second_hidden": 16, "feature_width": 2, "feature_epochs": 1,
        "first_epochs": 3, "second_epochs": 3, "every": 1, "neighbours": 0, "groups": 3, "steps": 2, "mirrored": True,
        "top_fraction": 0.02, "reference": "input",
    }
)  # fmt: skip

PRESETS: dict[str, Preset] = {
    "tokens-small": Preset(_SMALL, "brain-t1", "2.5D at 2 mm"),
    "tokens-autoregressive": Preset(_ORDERED, "brain-t1", "2.5D at 2 mm, tokens predicted in eight orderings"),
    "tokens-brain": Preset(_BRAIN, "autoencoder-published", "the published brain's sizes at 1 mm; needs a GPU"),
    "tokens-pelvis": Preset(_PELVIS, "pelvis-t2", "the published pelvis's sizes at 1.5 mm; needs a GPU"),
    "tokens-slices": Preset(_SLICES, "slices-2d", "single slices of 128²"),
    "tokens-tiny": Preset(_TINY, "brain-t1", "for tests: seconds"),
}
