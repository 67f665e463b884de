"""Stage 1 of the token system: a residual vector-quantised autoencoder of slices.

    slice → patch embedding → transformer → two residual codebooks → convolutional decoder → slice

The codes move by moving averages alone; the encoder's gradient passes straight through them. A tokenizer in use is
frozen: no ``train()`` of a network around it can wake its dropout or move its codes.

References
----------
Kadhim et al., 2026 (arXiv 2605.24609) and its supplement: layers, sizes and constants. van den Oord et al., NeurIPS
2017 (vector quantisation); Zeghidour et al., IEEE TASLP 30, 2022 (residual levels, k-means start, revival of dead
codes).

Shapes: B slices, H × W pixels, P side of a patch, S = (H / P) (W / P) tokens in rows, D width, K codes a level,
Q levels, n vectors.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Quantised", "ResidualQuantiser", "Tokenizer", "TokenizerShape", "nearest", "orthogonality", "turned_apart"]

_EPSILON = 1e-5
_KMEANS_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class TokenizerShape:
    """Sizes of a `Tokenizer`; the defaults are the published ones (brain).

    Parameters
    ----------
    image : (H, W) pixels, multiples of `patch`.
    channels : of the input; the middle one is reconstructed where there are neighbours (2.5D).
    patch : side of a token, pixels; a power of two.
    width, depth, heads, hidden : of the encoder's transformer.
    codes, levels : entries of a codebook, and how many residual levels there are.
    stem : channels of the decoder's trunk, a multiple of 8 and of `patch`; each enlargement then halves them.
    dropout : of the encoder, in training.
    window : the output is clamped to ±window when scoring; None for no clamp.
    """

    image: tuple[int, int] = (256, 256)
    channels: int = 1
    patch: int = 8
    width: int = 256
    depth: int = 8
    heads: int = 8
    hidden: int = 1024
    codes: int = 256
    levels: int = 2
    stem: int = 512
    dropout: float = 0.1
    window: float | None = 3.0

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens."""
        return self.image[0] // self.patch, self.image[1] // self.patch


class Quantised(NamedTuple):
    """What a quantiser makes of vectors.

    Parameters
    ----------
    vectors : (B, S, D) sums of the chosen codes; in training the gradient passes straight through.
    indices : (B, S, Q) chosen codes.
    commitment : mean squared distance of each level's input to its code, summed over levels.
    """

    vectors: Tensor
    indices: Tensor
    commitment: Tensor


class ResidualQuantiser(nn.Module):
    """Nearest codes, level by level of what the levels before left over.

    Parameters
    ----------
    decay : of the moving averages of counts and sums.
    apart : how far every update turns the codes away from one another, see `turned_apart`.
    dead_below : a code whose average count is lower is replaced by a vector of the batch.
    """

    codebooks: Tensor
    counts: Tensor
    sums: Tensor
    started: Tensor

    def __init__(
        self,
        levels: int,
        codes: int,
        width: int,
        *,
        decay: float = 0.85,
        dead_below: float = 0.1,
        apart: float = 0.0,
    ) -> None:
        super().__init__()
        self.decay, self.dead_below, self.apart = decay, dead_below, apart
        self.register_buffer("codebooks", torch.zeros(levels, codes, width))
        self.register_buffer("counts", torch.ones(levels, codes))
        self.register_buffer("sums", torch.zeros(levels, codes, width))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def forward(self, vectors: Tensor) -> Quantised:
        """(B, S, D) → their codes; in training the codes follow the vectors."""
        # Distances to codes are small differences of large numbers: never in half precision.
        with torch.autocast(vectors.device.type, enabled=False):
            return self._quantised(vectors.float())

    def _quantised(self, vectors: Tensor) -> Quantised:
        flat = vectors.reshape(-1, vectors.shape[-1])
        if self.training and not bool(self.started):
            self._start(flat.detach())
        rest, total = flat, torch.zeros_like(flat)
        commitment = flat.new_zeros(())
        chosen = []
        for level in range(len(self.codebooks)):
            book = self.codebooks[level]
            index = nearest(rest.detach(), book)
            code = book[index]
            commitment = commitment + functional.mse_loss(rest, code)
            if self.training:
                self._follow(level, rest.detach(), index)
            total, rest = total + code, rest - code
            chosen.append(index)
        through = flat + (total - flat).detach()
        indices = torch.stack(chosen, dim=-1).reshape(*vectors.shape[:-1], len(self.codebooks))
        return Quantised(through.reshape(vectors.shape), indices, commitment)

    def vectors_of(self, indices: Tensor) -> Tensor:
        """(…, Q) codes → (…, D) sum of their vectors."""
        parts = [self.codebooks[level][indices[..., level]] for level in range(len(self.codebooks))]
        return torch.stack(parts).sum(dim=0)

    @torch.no_grad()
    def _start(self, flat: Tensor) -> None:
        """k-means on the first training batch, level by level."""
        rest = flat
        for level in range(len(self.codebooks)):
            book = _some(rest, len(self.codebooks[level]))
            for _ in range(_KMEANS_ROUNDS):
                index = nearest(rest, book)
                counts, sums = _tally(rest, index, len(book))
                book = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], book)
            index = nearest(rest, book)
            counts, sums = _tally(rest, index, len(book))
            self.codebooks[level], self.counts[level], self.sums[level] = book, counts, sums
            rest = rest - book[index]
        self.started.fill_(True)

    @torch.no_grad()
    def _follow(self, level: int, vectors: Tensor, index: Tensor) -> None:
        counts, sums = _tally(vectors, index, self.codebooks.shape[1])
        self.counts[level].lerp_(counts, 1.0 - self.decay)
        self.sums[level].lerp_(sums, 1.0 - self.decay)
        total = self.counts[level].sum()
        smoothed = (self.counts[level] + _EPSILON) / (total + len(counts) * _EPSILON) * total
        self.codebooks[level] = self.sums[level] / smoothed[:, None]
        dead = self.counts[level] < self.dead_below
        fresh = _some(vectors, len(counts))
        self.codebooks[level] = torch.where(dead[:, None], fresh, self.codebooks[level])
        self.counts[level] = torch.where(dead, self.dead_below, self.counts[level])
        self.sums[level] = torch.where(dead[:, None], fresh * self.dead_below, self.sums[level])
        if self.apart:
            self.codebooks[level] = turned_apart(self.codebooks[level], self.apart)


def orthogonality(book: Tensor) -> Tensor:
    """Mean squared cosine of different codes, (K, D) → scalar: 0 where all are orthogonal."""
    unit = functional.normalize(book, dim=-1)
    n = len(book)
    return ((unit @ unit.T).square().sum() - n) / (n * (n - 1))


def turned_apart(book: Tensor, weight: float) -> Tensor:
    """Codes (K, D) after a step of K · `weight` down the slope of `orthogonality`, their lengths kept."""
    unit = functional.normalize(book, dim=-1)
    n = len(book)
    cosine = unit @ unit.T
    # d/du of the mean over pairs, without its part along u, which does not turn.
    slope = 4.0 / (n * (n - 1)) * (cosine @ unit - cosine.square().sum(dim=1, keepdim=True) * unit)
    return functional.normalize(unit - weight * n * slope, dim=-1) * book.square().sum(dim=-1, keepdim=True).sqrt()


def nearest(vectors: Tensor, book: Tensor) -> Tensor:
    """(n, D) vectors, (K, D) codes → (n,) index of the nearest code."""
    return torch.addmm(book.square().sum(1), vectors, book.T, alpha=-2.0).argmin(dim=1)


def _tally(vectors: Tensor, index: Tensor, codes: int) -> tuple[Tensor, Tensor]:
    """How many vectors fell to each code, and their sum."""
    counts = torch.bincount(index, minlength=codes).to(vectors.dtype)
    return counts, vectors.new_zeros(codes, vectors.shape[1]).index_add_(0, index, vectors)


def _some(vectors: Tensor, count: int) -> Tensor:
    """`count` of the vectors in random order; all of them over again where there are fewer."""
    order = torch.randperm(len(vectors), device=vectors.device)[:count]
    return vectors[order.repeat(-(-count // len(order)))[:count]]


class _Trunk(nn.Module):
    """h + f(h), f three convolutions; one skip around all three, as in the published code."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(
                layer
                for _ in range(3)
                for layer in (nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(8, width), nn.SiLU())
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = x + self.layers(x)
        return total


class _EncoderLayer(nn.TransformerEncoderLayer):
    """PyTorch's layer; in use it keeps the attention of training, where PyTorch takes another, slower on a CPU."""

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """(B, S, D) → (B, S, D)."""
        if self.training or src_mask is not None or src_key_padding_mask is not None or is_causal:
            whole: Tensor = super().forward(src, src_mask, src_key_padding_mask, is_causal)
            return whole
        attention = self.self_attn
        qkv = functional.linear(src, attention.in_proj_weight, attention.in_proj_bias)
        heads = qkv.view(*src.shape[:2], 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4).contiguous()
        mixed = functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        x = self.norm1(src + attention.out_proj(mixed))
        read: Tensor = self.norm2(x + self.linear2(self.activation(self.linear1(x))))
        return read


class Tokenizer(nn.Module):
    """See the module."""

    def __init__(self, shape: TokenizerShape) -> None:
        super().__init__()
        self.shape, self._frozen = shape, False
        rows, columns = shape.grid
        self.embed = nn.Conv2d(shape.channels, shape.width, shape.patch, stride=shape.patch)
        self.position = nn.Parameter(torch.empty(1, rows * columns, shape.width))
        layer = _EncoderLayer(
            shape.width, shape.heads, shape.hidden, shape.dropout, activation="gelu", batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, shape.depth, enable_nested_tensor=False)
        self.quantiser = ResidualQuantiser(shape.levels, shape.codes, shape.width)
        widths = [shape.stem >> n for n in range(shape.patch.bit_length())]
        self.decoder = nn.Sequential(
            nn.Conv2d(shape.width, shape.stem, 3, padding=1),
            nn.SiLU(),
            _Trunk(shape.stem),
            *(
                layer
                for wide, narrow in itertools.pairwise(widths)
                for layer in (nn.Conv2d(wide, 4 * narrow, 3, padding=1), nn.PixelShuffle(2), nn.SiLU())
            ),
            nn.Conv2d(widths[-1], 1, 3, padding=1),
        )
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.position, std=0.02)

    def freeze(self) -> Self:
        """Evaluation mode for good, without gradients."""
        self._frozen = True
        self.requires_grad_(False)
        return self.train(False)

    def train(self, mode: bool = True) -> Self:
        """As `torch.nn.Module.train`, but a frozen tokenizer stays in evaluation mode."""
        super().train(mode and not self._frozen)
        return self

    def encode(self, slices: Tensor) -> Quantised:
        """(B, C, H, W) → codes of S tokens."""
        tokens = self.embed(slices).flatten(2).transpose(1, 2)
        quantised: Quantised = self.quantiser(self.encoder(tokens + self.position))
        return quantised

    def decode(self, vectors: Tensor) -> Tensor:
        """(B, S, D) code vectors → (B, 1, H, W)."""
        rows, columns = self.shape.grid
        image: Tensor = self.decoder(vectors.transpose(1, 2).reshape(len(vectors), -1, rows, columns))
        if self.shape.window is not None and not self.training:
            image = image.clamp(-self.shape.window, self.shape.window)
        return image

    def decode_codes(self, indices: Tensor) -> Tensor:
        """(B, S, Q) codes → (B, 1, H, W)."""
        return self.decode(self.quantiser.vectors_of(indices))

    def forward(self, slices: Tensor) -> tuple[Tensor, Quantised]:
        """(B, C, H, W) → reconstruction (B, 1, H, W), and the codes it was made from."""
        quantised = self.encode(slices)
        return self.decode(quantised.vectors), quantised
