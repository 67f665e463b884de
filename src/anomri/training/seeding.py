"""Randomness as a function of where it is used, so that a training that was killed needs no random state to go on.

Every draw is keyed by the seed and by its place (epoch, step, index). Two runs that reach the same place draw
the same numbers, whatever happened before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["epoch_order", "generator", "seeded_torch"]

# Keeps the draws of different purposes apart where their keys would be equal.
_ORDER, _SAMPLE, _TORCH = 0, 1, 2


def generator(seed: int, *place: int) -> np.random.Generator:
    """The random generator of one place, e.g. ``generator(seed, epoch, index)`` for the noise of one sample."""
    return np.random.default_rng([_SAMPLE, seed, *place])


def epoch_order(count: int, *, seed: int, epoch: int) -> NDArray[np.intp]:
    """The order in which `count` samples are visited in an epoch: a permutation that hangs on seed and epoch alone."""
    return np.random.default_rng([_ORDER, seed, epoch]).permutation(count)


@contextmanager
def seeded_torch(seed: int, *place: int, device: torch.device | None = None) -> Iterator[None]:
    """Run a block with torch's generators seeded for one place; they are put back as they were afterwards.

    Parameters
    ----------
    device : an accelerator whose generator is seeded besides the CPU's; None or the CPU for the CPU alone.
    """
    accelerators = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=accelerators):
        torch.manual_seed(int(np.random.SeedSequence([_TORCH, seed, *place]).generate_state(1)[0]))
        yield
