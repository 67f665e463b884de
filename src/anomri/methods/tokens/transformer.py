"""Stage 2 of the token system: how probable is each token, given those around it?

    p(L1) · p(L2 | L1):  one bidirectional transformer, two tasks, two heads
    task 0 sees L1 with some tokens masked and L2 all masked, and predicts L1
    task 1 sees all of L1 and L2 with some tokens masked, and predicts L2

The published model tells the transformer where a slice lies by a rotation of queries and keys that is the same for all
tokens of the slice, so it cancels in their product and nothing is told. Here the slice's position enters as a
vector added to every token.

References
----------
Kadhim et al., 2026 (arXiv 2605.24609) and its supplement. Chang et al., CVPR 2022 (masked token modelling); Su et al.,
2021 (rotary positions, arXiv 2104.09864); Shazeer, 2020 (SwiGLU, arXiv 2002.05202); Zhang and Sennrich, NeurIPS 2019
(RMSNorm).

Shapes: B slices, S = R · C tokens in rows, D width, K codes a level, h heads, d = D / h.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Block", "TokenTransformer", "TransformerShape", "rotary_table", "rotated", "waves"]

# Values of a hidden layer that a CPU reads at a time: a tenth sooner at the published size than all of them at once.
_AT_ONCE = 2**19


@dataclass(frozen=True, slots=True)
class TransformerShape:
    """Sizes of a `TokenTransformer`; the defaults are the published ones (brain).

    Parameters
    ----------
    grid : (R, C) rows and columns of tokens.
    codes : entries of a codebook; code K is the mask.
    width, depth, heads, hidden : of the transformer.
    rotary_base : of the rotary positions; half of a head's channels turn with the row, half with the column.
    sliced : whether the slice's position is told; False gives the published parameter count.
    """

    grid: tuple[int, int] = (32, 32)
    codes: int = 256
    width: int = 256
    depth: int = 8
    heads: int = 8
    hidden: int = 1024
    rotary_base: float = 25_000.0
    sliced: bool = True

    @property
    def mask(self) -> int:
        """The index that stands for a hidden token."""
        return self.codes


def rotary_table(shape: TransformerShape) -> tuple[Tensor, Tensor]:
    """Cosine and signed sine (S, d) of each position's rotation, "rotate half" convention.

    x cos θ + (−x₂, x₁) sin θ = x cos θ + (x₂, x₁) (−sin θ, sin θ): the sign stands in the table, so that turning a head
    is one exchange of its halves and no more passes over memory than it needs.
    """
    rows, columns = shape.grid
    head = shape.width // shape.heads
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    angles = []
    for position in (row.flatten(), column.flatten()):
        # A quarter of the head's channels are frequencies of each axis; the other half repeats them.
        count = head // 4
        frequency = shape.rotary_base ** (-torch.arange(count, dtype=torch.float32) / count)
        angles.append(position[:, None].float() * frequency)
    half = torch.cat(angles, dim=1)
    return torch.cat([half.cos(), half.cos()], dim=1), torch.cat([-half.sin(), half.sin()], dim=1)


def rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """(…, S, d) turned by its positions; `sine` is negative in the first half of d, see `rotary_table`."""
    half = x.shape[-1] // 2
    turned = x * cosine
    turned[..., :half].addcmul_(x[..., half:], sine[..., :half])
    turned[..., half:].addcmul_(x[..., :half], sine[..., half:])
    return turned


class Block(nn.Module):
    """x + attention(norm x), then x + SwiGLU(norm x)."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        width, hidden = shape.width, shape.hidden
        self.heads = shape.heads
        self.before_attention = nn.RMSNorm(width, eps=1e-6)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.before_mlp = nn.RMSNorm(width, eps=1e-6)
        self.gate, self.up, self.down = nn.Linear(width, hidden), nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor, *, causal: bool = False) -> Tensor:
        """(B, S, D) → (B, S, D); with `causal` a token sees those before it and itself alone."""
        q, k, v = self._heads(x)
        q, k = rotated(q, cosine, sine), rotated(k, cosine, sine)
        return self._after(x, functional.scaled_dot_product_attention(q, k, v, is_causal=causal))

    def next(self, x: Tensor, cosine: Tensor, sine: Tensor, seen: list[Tensor]) -> Tensor:
        """(B, 1, D), the next token of a causal pass → (B, 1, D); `seen` holds keys and values and grows."""
        q, k, v = self._heads(x)
        now = [rotated(k, cosine, sine), v]
        seen[:] = [torch.cat(pair, dim=2) for pair in zip(seen, now, strict=True)] if seen else now
        return self._after(x, functional.scaled_dot_product_attention(rotated(q, cosine, sine), seen[0], seen[1]))

    def _heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, S, D) → queries, keys and values, (B, h, S, d) each."""
        b, s, width = x.shape
        qkv = self.qkv(self.before_attention(x)).view(b, s, 3, self.heads, width // self.heads)
        # A copy costs less than attention over heads that lie interleaved.
        q, k, v = qkv.permute(2, 0, 3, 1, 4).contiguous()
        return q, k, v

    def _after(self, x: Tensor, mixed: Tensor) -> Tensor:
        # In one piece, so that what is added to its parts is added to it.
        x = (x + self.out(mixed.transpose(1, 2).reshape(x.shape))).contiguous()
        if x.device.type != "cpu" or torch.is_grad_enabled():
            return x + self._mlp(x)
        for part in torch.split(x.flatten(0, -2), max(1, _AT_ONCE // self.gate.out_features)):
            part.add_(self._mlp(part))
        return x

    def _mlp(self, x: Tensor) -> Tensor:
        y = self.before_mlp(x)
        gated: Tensor = self.down(functional.silu(self.gate(y)) * self.up(y))
        return gated


class TokenTransformer(nn.Module):
    """See the module."""

    cosine: Tensor
    sine: Tensor

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.shape = shape
        self.first = nn.Embedding(shape.codes + 1, shape.width)
        self.second = nn.Embedding(shape.codes + 1, shape.width)
        self.task = nn.Embedding(2, shape.width)
        self.slice = nn.Linear(shape.width, shape.width) if shape.sliced else None
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.depth))
        self.norm = nn.RMSNorm(shape.width, eps=1e-6)
        self.heads = nn.ModuleList(nn.Linear(shape.width, shape.codes) for _ in range(2))
        cosine, sine = rotary_table(shape)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)

    def forward(self, first: Tensor, second: Tensor, task: int, position: Tensor) -> Tensor:
        """Logits of the tokens of one level.

        Parameters
        ----------
        first, second : (B, S) codes of L1 and L2; K where hidden.
        task : 0 predicts L1, 1 predicts L2.
        position : (B,) of the slice in the head, 0 (lowest) to 1 (highest).

        Returns
        -------
        (B, S, K).
        """
        x = self.first(first) + self.second(second) + self.task.weight[task]
        if self.slice is not None:
            x = x + self.slice(waves(position, self.shape.width))[:, None]
        for block in self.blocks:
            x = block(x, self.cosine, self.sine)
        logits: Tensor = self.heads[task](self.norm(x))
        return logits


def waves(position: Tensor, width: int) -> Tensor:
    """(B,) in [0, 1] → (B, width) sines and cosines of 1 to 100 half-turns."""
    count = width // 2
    frequency = math.pi * 100.0 ** (torch.arange(count, device=position.device) / max(count - 1, 1))
    angle = position[:, None].float() * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)[:, :width]
