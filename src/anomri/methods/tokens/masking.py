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

__all__ = ["Blocks", "Rates", "training_mask"]

Rates = Literal["paper", "code", "wide"]
Blocks = Literal["squares", "rectangles", "none"]

_SQUARES, _LONGEST = (2, 4), 15


def training_mask(
    grid: tuple[int, int], rng: np.random.Generator, *, rates: Rates, level: int, blocks: Blocks
) -> NDArray[np.bool_]:
    """A mask of one slice for one level.

    Parameters
    ----------
    rates : ``paper`` Beta(4, 4) in 0.15–0.75 for both levels; ``code`` mostly 0.5–0.75 for L1 and Beta(4, 4) in
        0.15–0.55 for L2; ``wide`` uniform in 0.15–0.95 for both.
    level : 0 for L1, 1 for L2.
    blocks : half of the masks are unions of ``squares`` of 2 or 4 tokens a side (paper) or of ``rectangles`` of 2 to 15
        (code); the other half, or with ``none`` all of them, draw each token alone.

    Returns
    -------
    (S,) bool, True where hidden; at least one token is.
    """
    rate = _rate(rng, rates, level)
    in_blocks = blocks != "none" and rng.random() < 0.5
    mask = _covered(grid, rate, rng, squares=blocks == "squares") if in_blocks else rng.random(grid) < rate
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


def _covered(grid: tuple[int, int], rate: float, rng: np.random.Generator, *, squares: bool) -> NDArray[np.bool_]:
    """Blocks are added until at least `rate` of the tokens is covered."""
    mask = np.zeros(grid, dtype=bool)
    side = int(rng.choice(_SQUARES))
    while mask.mean() < rate:
        sides = [min(side, n) if squares else int(rng.integers(min(2, n), min(_LONGEST, n) + 1)) for n in grid]
        corner = [int(rng.integers(0, n - length + 1)) for n, length in zip(grid, sides, strict=True)]
        mask[corner[0] : corner[0] + sides[0], corner[1] : corner[1] + sides[1]] = True
    return mask
