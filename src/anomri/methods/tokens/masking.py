"""Which tokens are hidden while the transformer learns.

References
----------
Kadhim et al., 2026 (arXiv 2605.24609): the supplement's rates (Beta(4, 4) in 0.15–0.75) and those of its code.
Neither ever hides as many tokens as its scoring does (0.80–0.90); ``wide`` does.

Shapes: B slices, S = R · C tokens in rows.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rates", "training_mask"]

Rates = Literal["paper", "code", "wide"]

_BLOCK_SIDES = (2, 15)


def training_mask(
    grid: tuple[int, int], rng: np.random.Generator, *, rates: Rates, level: int, blocks: bool
) -> NDArray[np.bool_]:
    """A mask of one slice for one level.

    Parameters
    ----------
    rates : ``paper`` Beta(4, 4) in 0.15–0.75 for both levels; ``code`` mostly 0.5–0.75 for L1 and Beta(4, 4) in
        0.15–0.55 for L2; ``wide`` uniform in 0.15–0.95 for both.
    level : 0 for L1, 1 for L2.
    blocks : half of the masks are unions of rectangles of 2 to 15 tokens a side; otherwise each token is drawn alone.

    Returns
    -------
    (S,) bool, True where hidden; at least one token is.
    """
    rate = _rate(rng, rates, level)
    mask = _rectangles(grid, rate, rng) if blocks and rng.random() < 0.5 else rng.random(grid) < rate
    if not mask.any():
        mask[int(rng.integers(grid[0])), int(rng.integers(grid[1]))] = True
    return mask.ravel()


def _rate(rng: np.random.Generator, rates: Rates, level: int) -> float:
    if rates == "wide":
        return float(rng.uniform(0.15, 0.95))
    if rates == "paper":
        return float(np.clip(rng.beta(4, 4), 0.15, 0.75))
    if level == 1:
        return float(np.clip(rng.beta(4, 4), 0.15, 0.55))
    return float(rng.uniform(0.5, 0.75)) if rng.random() < 0.7 else float(np.clip(rng.beta(4, 4), 0.2, 0.5))


def _rectangles(grid: tuple[int, int], rate: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Rectangles are added until at least `rate` of the tokens is covered."""
    mask = np.zeros(grid, dtype=bool)
    while mask.mean() < rate:
        sides = [int(rng.integers(_BLOCK_SIDES[0], min(_BLOCK_SIDES[1], n) + 1)) for n in grid]
        corner = [int(rng.integers(0, n - side + 1)) for n, side in zip(grid, sides, strict=True)]
        mask[corner[0] : corner[0] + sides[0], corner[1] : corner[1] + sides[1]] = True
    return mask
