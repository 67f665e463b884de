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
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = [
    "Predict",
    "checkerboard",
    "cover_masks",
    "heal",
    "masked_surprisal",
    "monte_carlo_masks",
]

# (first, second, task, index of each row's slice) → logits; the position of the slice is the caller's business.
Predict = Callable[[Tensor, Tensor, int, Tensor], Tensor]


def checkerboard(grid: tuple[int, int], side: int, *, odd: bool) -> Tensor:
    """(S,) bool: every second square of `side` tokens; `odd` gives the other half."""
    rows = torch.arange(grid[0])[:, None] // side
    columns = torch.arange(grid[1])[None, :] // side
    return ((rows + columns + int(odd)) % 2 == 0).flatten()


def cover_masks(grid: tuple[int, int], *, groups: int, sets: int) -> Tensor:
    """Masks that hide every token equally often, at a rate of 1 − 1 / groups, without chance.

    Pass g of a set shows the tokens of coset g alone; cosets are spread by a lattice, shifted from set to set, so that
    neighbours fall into different ones.

    Returns
    -------
    (sets · groups, S) bool, True where hidden; every token is hidden sets · (groups − 1) times.
    """
    rows = torch.arange(grid[0])[:, None]
    columns = torch.arange(grid[1])[None, :]
    masks = []
    for number in range(sets):
        # A step coprime to the number of groups runs through all of them along a column, as 1 does along a row.
        step = _coprime(groups, 2 + number)
        coset = (columns + step * rows + number * (groups // 2)) % groups
        masks += [(coset != shown).flatten() for shown in range(groups)]
    return torch.stack(masks)


def _coprime(number: int, start: int) -> int:
    return next(n for n in range(start, start + number + 1) if math.gcd(n, number) == 1)


def monte_carlo_masks(tokens: int, *, passes: int, rate: float, generator: torch.Generator) -> Tensor:
    """The published estimator's masks: each token hidden with probability `rate` in each pass; (passes, S) bool."""
    return torch.rand(passes, tokens, generator=generator) < rate


def masked_surprisal(
    predict: Predict, first: Tensor, masks: Tensor, *, hidden: int, rows_at_once: int
) -> tuple[Tensor, Tensor]:
    """Mean −log p of each token of L1, over the masks that hide it.

    Parameters
    ----------
    first : (B, S) codes.
    masks : (n, S) bool; the same for every slice.
    hidden : the code of a hidden token.
    rows_at_once : rows of a forward pass; memory only, not the result, hangs on it.

    Returns
    -------
    (B, S) nats, `nan` for a token no mask hides; and (S,) how often each was hidden.
    """
    b, s = first.shape
    total = torch.zeros(b, s, dtype=torch.float64)
    pairs = [(i, j) for i in range(b) for j in range(len(masks))]
    second = torch.full_like(first[:1], hidden)
    for start in range(0, len(pairs), rows_at_once):
        part = pairs[start : start + rows_at_once]
        slices = torch.tensor([i for i, _ in part])
        chosen = masks[torch.tensor([j for _, j in part])]
        true = first[slices]
        logits = predict(true.masked_fill(chosen, hidden), second.expand(len(part), s), 0, slices)
        nll = -torch.log_softmax(logits.float(), dim=-1).gather(2, true[..., None])[..., 0]
        total.index_add_(0, slices, torch.where(chosen, nll, 0.0).double().cpu())
    count = masks.sum(dim=0)
    return torch.where(count > 0, total / count, torch.nan).float(), count


def heal(
    predict: Predict,
    first: Tensor,
    second: Tensor,
    masks: Tensor,
    *,
    hidden: int,
    steps: int,
) -> tuple[Tensor, Tensor]:
    """Replace hidden tokens by the most probable ones, the most confident first.

    L1 is healed while all of L2 is hidden, then L2 given the healed L1. A step commits an equal share of what is
    left, to the argmax; nothing is drawn, and a committed token stays.

    Parameters
    ----------
    first, second : (B, S) codes.
    masks : (B, S) bool, the tokens to heal.

    Returns
    -------
    (B, S) healed codes of L1 and of L2; tokens outside the mask are as they were.
    """
    rows = torch.arange(len(first))
    blank = torch.full_like(second, hidden)
    healed = _filled(lambda x: predict(x, blank, 0, rows), first, masks, hidden=hidden, steps=steps)
    return healed, _filled(lambda x: predict(healed, x, 1, rows), second, masks, hidden=hidden, steps=steps)


def _filled(logits_of: Callable[[Tensor], Tensor], codes: Tensor, masks: Tensor, *, hidden: int, steps: int) -> Tensor:
    current = codes.masked_fill(masks, hidden)
    for step in range(steps):
        open_ = current == hidden
        remaining = open_.sum(dim=1)
        if not bool(remaining.any()):
            break
        probability, best = torch.softmax(logits_of(current).float(), dim=-1).max(dim=-1)
        confidence = torch.where(open_, probability.to(current.device), -1.0)
        # Each slice commits its own share, so that its result does not hang on the slices beside it.
        count = -(-remaining // (steps - step))
        rank = confidence.argsort(dim=1, descending=True, stable=True).argsort(dim=1, stable=True)
        current = torch.where(open_ & (rank < count[:, None]), best.to(current.device), current)
    return current


def spread_masks(masks: Sequence[Tensor], slices: int) -> Tensor:
    """The same masks for every slice: n of (S,) → (slices · n, S), slice by slice."""
    return torch.stack(list(masks)).repeat(slices, 1)
