"""Which training scans are kept out of training, whole subjects chosen by the seed, and the loss on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from torch import Tensor, nn

from anomri.errors import InputError
from anomri.training.loop import Batch

__all__ = ["held_out_loss", "hold_out"]


def hold_out(subjects: Sequence[str], share: float, *, seed: int) -> tuple[list[int], list[int]]:
    """Split scans in two; the second part has about `share` of the subjects, at least two, with all their scans.

    Parameters
    ----------
    subjects : whose each scan is; the choice does not hang on their order.

    Returns
    -------
    Indices of the scans to train on, and of those held out, each ascending.

    Raises
    ------
    InputError : fewer than two subjects would be left for either part.
    """
    distinct = sorted(set(subjects))
    count = max(2, round(share * len(distinct)))
    if len(distinct) - count < 2:
        raise InputError(
            f"{len(distinct)} subjects are too few to train on some and hold out {count}",
            remedy="Give at least four normal subjects.",
            code="too_few",
        )
    chosen = {distinct[i] for i in np.random.default_rng([seed, count]).permutation(len(distinct))[:count]}
    kept = [index for index, subject in enumerate(subjects) if subject not in chosen]
    return kept, [index for index, subject in enumerate(subjects) if subject in chosen]


def held_out_loss(module: nn.Module, loss: Callable[[nn.Module, Batch], Tensor], batches: Iterable[Batch]) -> float:
    """Mean loss over batches of held-out samples, on the device of the module; the caller sets the mode."""
    device = next(module.parameters()).device
    return float(np.mean([float(loss(module, tuple(part.to(device) for part in batch))) for batch in batches]))
