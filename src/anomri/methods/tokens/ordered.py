"""Stage 2, autoregressive: how probable is each token, given all that come before it in some ordering?

    p(tokens) = Π_i p(L1_i | before i) · p(L2_i | L1_i, before i)

One pass gives the exact likelihood of every token. The first tokens of an ordering see next to nothing, which the
others repair: the eight are the raster scan after reflections and transposition. One network learns all of them and is
told which one it is in.

References
----------
Pinaya et al., MIDL 2021 and Medical Image Analysis 79, 2022 (transformers over codes, orderings, healing of unlikely
tokens in sequence); Marimont and Tarroni, ISBI 2021 (autoregressive codes, resampling, clamped sum).

Shapes: B slices, S = R · C tokens in rows, D width, K codes a level, O orderings.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from anomri.methods.tokens.transformer import Block, TransformerShape, rotary_table, waves

__all__ = ["OrderedTransformer", "heal_unlikely", "ordered_surprisal", "orderings"]


def orderings(grid: tuple[int, int]) -> Tensor:
    """(8, S): the places of a raster scan after each reflection, without and with transposition."""
    places = torch.arange(grid[0] * grid[1]).view(grid)
    scans = [places.flip(axes) for axes in ((), (0,), (1,), (0, 1))]
    return torch.stack([scan.flatten() for scan in scans] + [scan.T.flatten() for scan in scans])


class OrderedTransformer(nn.Module):
    """See the module; index K stands for what comes before the first token."""

    cosine: Tensor
    sine: Tensor
    orders: Tensor

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.shape = shape
        orders = orderings(shape.grid)
        self.first = nn.Embedding(shape.codes + 1, shape.width)
        self.second = nn.Embedding(shape.codes + 1, shape.width)
        self.place = nn.Embedding(orders.shape[1], shape.width)
        self.order = nn.Embedding(len(orders), shape.width)
        self.slice = nn.Linear(shape.width, shape.width) if shape.sliced else None
        self.told = nn.Embedding(shape.codes, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.depth))
        self.norm = nn.RMSNorm(shape.width, eps=1e-6)
        self.heads = nn.ModuleList(nn.Linear(shape.width, shape.codes) for _ in range(2))
        cosine, sine = rotary_table(shape)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)
        self.register_buffer("orders", orders, persistent=False)

    def forward(self, codes: Tensor, order: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of every token given those before it.

        Parameters
        ----------
        codes : (B, S, 2) in rows.
        order : (B,) which ordering.
        position : (B,) of the slice, 0 to 1.

        Returns
        -------
        (B, S, K) of L1 and of L2 given L1, in rows.
        """
        places = self.orders[order]
        seen = torch.take_along_dim(codes, places[..., None], dim=1)
        before = functional.pad(seen[:, :-1], (0, 0, 1, 0), value=self.shape.codes)
        x = self._entered(before, places, order, position)
        cosine, sine = self.cosine[places][:, None], self.sine[places][:, None]
        for block in self.blocks:
            x = block(x, cosine, sine, causal=True)
        one, two = self._heads(x, seen[..., 0])
        back = places.argsort(dim=1)[..., None]
        return torch.take_along_dim(one, back, dim=1), torch.take_along_dim(two, back, dim=1)

    def _entered(self, before: Tensor, places: Tensor, order: Tensor, position: Tensor) -> Tensor:
        x: Tensor = self.first(before[..., 0]) + self.second(before[..., 1]) + self.place(places)
        x = x + self.order(order)[:, None]
        return x if self.slice is None else x + self.slice(waves(position, self.shape.width))[:, None]

    def _heads(self, x: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        x = self.norm(x)
        return self.heads[0](x), self.heads[1](x + self.told(first))


def ordered_surprisal(network: OrderedTransformer, codes: Tensor, position: Tensor, *, orders: int) -> Tensor:
    """Exact −log p of each token of L1, averaged over the first `orders` orderings; (B, S, 2) codes → (B, S) nats."""
    total = torch.zeros(codes.shape[:2], dtype=torch.float64, device=codes.device)
    for number in range(orders):
        order = torch.full((len(codes),), number, device=codes.device)
        logits, _ = network(codes, order, position)
        nll = functional.cross_entropy(logits.float().transpose(1, 2), codes[..., 0], reduction="none")
        total += nll.double()
    return (total / orders).float()


def heal_unlikely(
    network: OrderedTransformer, codes: Tensor, unlikely: Tensor, position: Tensor, *, order: int
) -> Tensor:
    """Replace unlikely tokens, one after the other, by the most probable ones given the healed tokens before them.

    Parameters
    ----------
    codes : (B, S, 2).
    unlikely : (B, S) bool.
    order : which ordering.

    Returns
    -------
    (B, S, 2); all other tokens are as they were.
    """
    rows = torch.full((len(codes),), order, device=codes.device)
    places = network.orders[order]
    healed = codes.clone()
    before = torch.full_like(codes[:, :1], network.shape.codes)
    caches: list[list[Tensor]] = [[] for _ in network.blocks]
    for place in places:
        at = place.expand(len(codes), 1)
        x = network._entered(before, at, rows, position)
        for block, cache in zip(network.blocks, caches, strict=True):
            assert isinstance(block, Block)
            x = block.next(x, network.cosine[place], network.sine[place], cache)
        x = network.norm(x)[:, 0]
        own = healed[:, place]
        first = torch.where(unlikely[:, place], network.heads[0](x).argmax(dim=-1), own[:, 0])
        second = network.heads[1](x + network.told(first)).argmax(dim=-1)
        healed[:, place, 0] = first
        healed[:, place, 1] = torch.where(unlikely[:, place], second, own[:, 1])
        before = healed[:, place][:, None]
    return healed
