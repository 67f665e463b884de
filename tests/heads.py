"""Made brains in made heads, coarse so that they are quick."""

from __future__ import annotations

from functools import lru_cache

from anomri.simulate.head import Contrast, Head, head_around
from brains import made_brain

__all__ = ["made_head"]


@lru_cache(maxsize=4)
def made_head(seed: int, contrast: Contrast = "T1w") -> Head:
    """A made brain at 3 mm in a head."""
    brain = made_brain(seed)
    return head_around(brain.scan, brain.brain, seed=seed, contrast=contrast)
