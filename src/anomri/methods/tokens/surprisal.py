"""How surprising each token is, and what it would be in a normal slice: masks, estimators and healing.

Everything here is a function of codes and a `Predict`: nothing depends on which slices are scored together.

References
----------
Kadhim et al., 2026 (arXiv 2605.24609) and its supplement: Monte-Carlo masking, checkerboard healing in the order of
confidence. The exact cover is anomri's own: the same expectation over contexts, without a random count and without a
seed.

Shapes: B slices, S = R · C tokens in rows, K codes a level, n masks.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "Predict",
    "checkerboard",
    "cover_masks",
    "heal",
    "masked_surprisal",
    "monte_carlo_masks",
    "slopes",
]

# (first, second, task, index of each row's slice) → logits; the position of the slice is the caller's business.
Predict = Callable[[Tensor, Tensor, int, Tensor], Tensor]


def checkerboard(grid: tuple[int, int], side: int) -> Tensor:
    """(S,) bool: every second square of `side` tokens, that in the first corner among them."""
    rows = torch.arange(grid[0])[:, None] // side
    columns = torch.arange(grid[1])[None, :] // side
    return ((rows + columns) % 2 == 0).flatten()


def cover_masks(grid: tuple[int, int], *, groups: int, sets: int) -> Tensor:
    """Masks that hide every token equally often, at a rate of 1 − 1 / groups, without chance.

    Pass g of a set shows the tokens of coset g alone. Cosets are lattices, of another slope in each set, so that
    neighbours fall into different ones.

    Parameters
    ----------
    groups : ≥ 2.
    sets : at most as many as there are slopes, see `slopes`.

    Returns
    -------
    (sets · groups, S) bool, True where hidden; every token is hidden sets · (groups − 1) times.
    """
    rows = torch.arange(grid[0])[:, None]
    columns = torch.arange(grid[1])[None, :]
    masks = []
    for slope in slopes(groups)[:sets]:
        coset = (columns + slope * rows) % groups
        masks += [(coset != shown).flatten() for shown in range(groups)]
    return torch.stack(masks)


def slopes(groups: int) -> list[int]:
    """Steps that run through all cosets along a column, as 1 does along a row; 2 and up first, 1 (diagonals) last."""
    return [n for n in range(2, groups + 2) if math.gcd(n, groups) == 1]


def monte_carlo_masks(tokens: int, *, passes: int, rate: float, generator: torch.Generator) -> Tensor:
    """The published estimator's masks: each token hidden with probability `rate` in each pass; (passes, S) bool."""
    return torch.rand(passes, tokens, generator=generator) < rate


def masked_surprisal(
    predict: Predict, first: Tensor, masks: Tensor, *, hidden: int, rows_at_once: int
) -> tuple[Tensor, Tensor]:
    """Mean −log p of each token of L1, over the masks that hide it; L2 is all hidden.

    Parameters
    ----------
    first : (B, S) codes.
    masks : (n, S) bool; the same for every slice.
    hidden : the code of a hidden token.
    rows_at_once : rows of a forward pass; memory only, not the result, hangs on it. Besides, each slice, mask and token
        takes 16 bytes.

    Returns
    -------
    (B, S) nats, `nan` for a token no mask hides; and (S,) how often each was hidden.
    """
    device = first.device
    masks = masks.to(device)
    nll = []
    slices = torch.arange(len(first), device=device).repeat_interleave(len(masks))
    chosen = torch.arange(len(masks), device=device).repeat(len(first))
    for start in range(0, len(slices), rows_at_once):
        rows = slices[start : start + rows_at_once]
        true, mask = first[rows], masks[chosen[start : start + rows_at_once]]
        logits = predict(true.masked_fill(mask, hidden), torch.full_like(true, hidden), 0, rows)
        every = functional.cross_entropy(logits.float().transpose(1, 2), true, reduction="none")
        nll.append(torch.where(mask, every, 0.0))
    total = torch.cat(nll).view(len(first), len(masks), -1).sum(dim=1, dtype=torch.float64)
    count = masks.sum(dim=0)
    return torch.where(count > 0, total / count, torch.nan).float(), count


def heal(predict: Predict, codes: Tensor, masks: Tensor, *, hidden: int, steps: int) -> Tensor:
    """Replace hidden tokens by the most probable ones, the most confident first.

    L1 is healed while all of L2 is hidden, then L2 given the healed L1. A step commits an equal share of what is
    left, to the argmax; nothing is drawn, and a committed token stays.

    Parameters
    ----------
    codes : (B, S, 2).
    masks : (B, S) bool, the tokens to heal.

    Returns
    -------
    (B, S, 2) healed codes; tokens outside the mask are as they were.
    """
    first, second = codes.unbind(dim=-1)
    rows = torch.arange(len(codes), device=codes.device)
    blank = torch.full_like(second, hidden)
    first = _filled(lambda x: predict(x, blank, 0, rows), first, masks, hidden=hidden, steps=steps)
    second = _filled(lambda x: predict(first, x, 1, rows), second, masks, hidden=hidden, steps=steps)
    return torch.stack([first, second], dim=-1)


def _filled(logits_of: Callable[[Tensor], Tensor], codes: Tensor, masks: Tensor, *, hidden: int, steps: int) -> Tensor:
    current = codes.masked_fill(masks, hidden)
    for step in range(steps):
        open_ = current == hidden
        remaining = open_.sum(dim=1)
        if not bool(remaining.any()):
            break
        probability, best = torch.softmax(logits_of(current).float(), dim=-1).max(dim=-1)
        confidence = torch.where(open_, probability, -1.0)
        # Each slice commits its own share, so that its result does not hang on the slices beside it.
        count = -(-remaining // (steps - step))
        rank = confidence.argsort(dim=1, descending=True, stable=True).argsort(dim=1, stable=True)
        current = torch.where(open_ & (rank < count[:, None]), best, current)
    return current
