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
from anomri.methods.tokens.ordered import OrderedTransformer, heal_unlikely, ordered_surprisal
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
    transformer: TokenTransformer | OrderedTransformer

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

    Slices do not see one another. However many are read at once, the surprisal is the same within rounding; where two
    codes or two confidences are as good as equal, rounding decides which one heals, and a healed token may differ.
    """
    grid = networks.tokenizer.shape.grid
    masks = _masks(grid, config, seed)
    surprisal, difference, healed = [], [], []
    with torch.inference_mode():
        for pixels, at in _chunks(networks, slices):
            codes = networks.tokenizer.encode(pixels).indices
            surprisal.append(_nats(networks, codes, at, masks, config).reshape(-1, *grid).cpu().numpy())
            if not config.healing:
                continue
            image, different = _healed(networks, pixels, codes, at, config)
            if config.mirrored:
                mirror = pixels.flip(2)
                _, other = _healed(networks, mirror, networks.tokenizer.encode(mirror).indices, at, config)
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
            if isinstance(networks.transformer, OrderedTransformer):
                grids = heal_unlikely(networks.transformer, codes, masks, at, order=0)
            else:
                grids = heal(
                    _predict(networks.transformer, at), codes, masks, hidden=config.codes, steps=2 * config.steps
                )
            image = networks.tokenizer.decode_codes(grids)
            out.append(_difference(networks, pixels, codes, image, config)[:, 0].cpu().numpy())
    return np.concatenate(out)


def _nats(networks: Networks, codes: Tensor, at: Tensor, masks: Tensor, config: TokensConfig) -> Tensor:
    """(B, S) surprisal of L1."""
    transformer = networks.transformer
    if isinstance(transformer, OrderedTransformer):
        return ordered_surprisal(transformer, codes, at, orders=config.orderings)
    rows = _rows_at_once(networks)
    return masked_surprisal(_predict(transformer, at), codes[..., 0], masks, hidden=config.codes, rows_at_once=rows)[0]


def _healed(
    networks: Networks, pixels: Tensor, codes: Tensor, at: Tensor, config: TokensConfig
) -> tuple[Tensor, Tensor]:
    """Healed slices, and how different they look, both averaged over checkerboards or orderings."""
    images = [networks.tokenizer.decode_codes(grids) for grids in _healed_codes(networks, codes, at, config)]
    different = [_difference(networks, pixels, codes, image, config) for image in images]
    return torch.stack(images).mean(dim=0), torch.stack(different).mean(dim=0)


def _healed_codes(networks: Networks, codes: Tensor, at: Tensor, config: TokensConfig) -> Iterator[Tensor]:
    transformer = networks.transformer
    if isinstance(transformer, OrderedTransformer):
        unlikely = ordered_surprisal(transformer, codes, at, orders=config.orderings) > config.unlikely
        for order in range(config.orderings):
            yield heal_unlikely(transformer, codes, unlikely, at, order=order)
        return
    for side in config.patterns:
        even = checkerboard(networks.tokenizer.shape.grid, side).to(codes.device)
        # Both halves are healed, merged, and decoded once.
        one, other = (
            heal(_predict(transformer, at), codes, mask.expand(len(codes), -1), hidden=config.codes, steps=config.steps)
            for mask in (even, ~even)
        )
        yield torch.where(even[:, None], one, other)


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


def _predict(transformer: TokenTransformer, at: Tensor) -> Predict:
    def predict(first: Tensor, second: Tensor, task: int, rows: Tensor) -> Tensor:
        logits: Tensor = transformer(first, second, task, at[rows])
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
