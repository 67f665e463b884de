"""Both maps of a scan's slices: one encoding, the surprisal of its codes, and the slice beside its healed self.

Shapes: n slices of H × W pixels, R × C = S tokens each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anomri.methods.tokens.config import TokensConfig
from anomri.methods.tokens.perceptual import Perceptual, perceptual_map
from anomri.methods.tokens.slices import Slices
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

__all__ = ["Maps", "Networks", "inpainted_difference", "read_slices"]

FloatMap = NDArray[np.float32]

# Tokens of one forward pass: what a core's cache holds, or enough for a GPU. Speed and memory alone hang on it.
_TOKENS_AT_ONCE = {"cpu": 4096, "cuda": 65_536}


class Networks(NamedTuple):
    """The three trained networks."""

    features: Perceptual
    tokenizer: Tokenizer
    transformer: TokenTransformer

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.tokenizer.position.device


@dataclass(frozen=True, eq=False, slots=True)
class Maps:
    """Of n slices, before any normal has a say.

    Parameters
    ----------
    surprisal : (n, R, C) nats a token.
    difference : (n, H, W) perceptual difference of slice and healed slice; None without healing.
    healed : (n, H, W) standardised intensities; None without healing.
    """

    surprisal: FloatMap
    difference: FloatMap | None
    healed: FloatMap | None


def read_slices(networks: Networks, slices: Slices, config: TokensConfig, *, seed: int) -> Maps:
    """Both maps of slices; the seed counts for the published Monte Carlo alone.

    Slices do not see one another: the maps are the same within rounding however many are read at once.
    """
    grid = networks.tokenizer.shape.grid
    masks = _masks(grid, config, seed)
    surprisal, difference, healed = [], [], []
    with torch.inference_mode():
        for pixels, at in _chunks(networks, slices):
            codes = networks.tokenizer.encode(pixels).indices
            predict = _predict(networks, at)
            rows = _rows_at_once(networks)
            nll, _ = masked_surprisal(predict, codes[..., 0], masks, hidden=config.codes, rows_at_once=rows)
            surprisal.append(nll.reshape(-1, *grid).cpu().numpy())
            if not config.healing:
                continue
            image, different = _healed(networks, pixels, codes, predict, config)
            if config.mirrored:
                mirror = pixels.flip(2)
                _, other = _healed(networks, mirror, networks.tokenizer.encode(mirror).indices, predict, config)
                different = (different + other.flip(2)) / 2.0
            difference.append(different[:, 0].cpu().numpy())
            healed.append(image[:, 0].cpu().numpy())
    if not config.healing:
        return Maps(np.concatenate(surprisal), None, None)
    return Maps(*(np.concatenate(parts) for parts in (surprisal, difference, healed)))


def inpainted_difference(
    networks: Networks, slices: Slices, marked: NDArray[np.bool_], config: TokensConfig
) -> FloatMap:
    """Perceptual difference of slices and what they become where marked tokens alone, (n, S), are healed; (n, H, W).

    Twice as many commits are made as for a checkerboard, as published.
    """
    out, done = [], 0
    with torch.inference_mode():
        for pixels, at in _chunks(networks, slices):
            masks = torch.from_numpy(marked[done : done + len(pixels)]).to(pixels.device)
            done += len(pixels)
            codes = networks.tokenizer.encode(pixels).indices
            healed = heal(_predict(networks, at), codes, masks, hidden=config.codes, steps=2 * config.steps)
            image = networks.tokenizer.decode_codes(healed)
            out.append(_difference(networks, pixels, codes, image, config)[:, 0].cpu().numpy())
    return np.concatenate(out)


def _healed(
    networks: Networks, pixels: Tensor, codes: Tensor, predict: Predict, config: TokensConfig
) -> tuple[Tensor, Tensor]:
    """Healed slices, and how different they look; both halves of each checkerboard are merged and decoded once."""
    images = []
    for side in config.patterns:
        even = checkerboard(networks.tokenizer.shape.grid, side).to(codes.device)
        one, other = (
            heal(predict, codes, mask.expand(len(codes), -1), hidden=config.codes, steps=config.steps)
            for mask in (even, ~even)
        )
        images.append(networks.tokenizer.decode_codes(torch.where(even[:, None], one, other)))
    image = torch.stack(images).mean(dim=0)
    return image, _difference(networks, pixels, codes, image, config)


def _difference(networks: Networks, pixels: Tensor, codes: Tensor, image: Tensor, config: TokensConfig) -> Tensor:
    middle = config.neighbours
    own = pixels[:, middle : middle + 1]
    reference = own if config.reference == "input" else networks.tokenizer.decode_codes(codes)
    return perceptual_map(networks.features, reference / config.window, image / config.window)


def _masks(grid: tuple[int, int], config: TokensConfig, seed: int) -> Tensor:
    if config.surprisal == "cover":
        return cover_masks(grid, groups=config.groups, sets=config.sets)
    drawn = torch.Generator().manual_seed(seed)
    return monte_carlo_masks(grid[0] * grid[1], passes=config.passes, rate=config.rate, generator=drawn)


def _predict(networks: Networks, at: Tensor) -> Predict:
    def predict(first: Tensor, second: Tensor, task: int, rows: Tensor) -> Tensor:
        logits: Tensor = networks.transformer(first, second, task, at[rows])
        return logits

    return predict


def _rows_at_once(networks: Networks) -> int:
    rows, columns = networks.tokenizer.shape.grid
    return max(1, _TOKENS_AT_ONCE[networks.device.type] // (rows * columns))


def _chunks(networks: Networks, slices: Slices) -> Iterator[tuple[Tensor, Tensor]]:
    size, device = _rows_at_once(networks), networks.device
    for start in range(0, len(slices.pixels), size):
        part = slice(start, start + size)
        yield torch.from_numpy(slices.pixels[part]).to(device), torch.from_numpy(slices.positions[part]).to(device)
