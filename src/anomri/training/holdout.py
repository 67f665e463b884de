"""Which training scans are kept out of training, whole subjects chosen by the seed, and the loss on them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from torch import Tensor, nn

from anomri.core.prepared import Prepared
from anomri.core.reading import Reading
from anomri.errors import InputError
from anomri.training.loop import Batch

__all__ = ["fingerprints", "held_out_loss", "hold_out", "read_by_the_others", "set_apart"]

Seen = TypeVar("Seen")


def hold_out(subjects: Sequence[str], share: float, *, seed: int) -> tuple[list[int], list[int]]:
    """Split scans in two; the second part has about `share` of the subjects, at least three, with all their scans.

    Three, so that each of them can be read by statistics of the others (`read_by_the_others`).

    Parameters
    ----------
    subjects : whose each scan is; the choice does not hang on their order.

    Returns
    -------
    Indices of the scans to train on, and of those held out, each ascending.

    Raises
    ------
    InputError : fewer than two subjects would be left to train on.
    """
    distinct = sorted(set(subjects))
    count = max(3, round(share * len(distinct)))
    if len(distinct) - count < 2:
        raise InputError(
            f"{len(distinct)} subjects are too few to train on some and hold out {count}",
            remedy="Give at least five normal subjects.",
            code="too_few",
        )
    chosen = {distinct[i] for i in np.random.default_rng([seed, count]).permutation(len(distinct))[:count]}
    kept = [index for index, subject in enumerate(subjects) if subject not in chosen]
    return kept, [index for index, subject in enumerate(subjects) if subject in chosen]


def set_apart(prepared: Sequence[Prepared], share: float, *, seed: int) -> tuple[list[Prepared], list[Prepared]]:
    """Scans to train on, and those of about `share` of the subjects, held out; see `hold_out`.

    Returns
    -------
    Both sorted by their ids, so that the order in which scans are given decides nothing.
    """
    ordered = sorted(prepared, key=lambda each: each.scan.scan_id)
    kept, left_out = hold_out([each.subject or each.scan.scan_id for each in ordered], share, seed=seed)
    return [ordered[n] for n in kept], [ordered[n] for n in left_out]


def fingerprints(prepared: Sequence[Prepared]) -> list[str]:
    """SHA-256 of what a network sees of each scan, voxels and masks, sorted by the scans' ids.

    A training that was ended goes on with these scans and no others.
    """
    ordered = sorted(prepared, key=lambda each: each.scan.scan_id)
    parts = [(p.scan.voxels, p.region.mask, p.inside.mask) for p in ordered]
    return [hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest() for arrays in parts]


def read_by_the_others(
    held_out: Sequence[Prepared],
    seen: Sequence[Seen],
    measure: Callable[[Sequence[Prepared], Sequence[Seen]], None],
    read: Callable[[Prepared, Seen], Reading],
) -> tuple[Reading, ...]:
    """What a method says of normals that trained no weight of it; at the end it has the statistics of all of them.

    No scan may be read by statistics that it is in, so each is read by those of the other subjects.

    Parameters
    ----------
    seen : what the network makes of each held-out scan.
    measure : sets the method's statistics from some of them.
    read : the reading of one of them, by the statistics that are set.

    Returns
    -------
    A reading a scan.
    """
    subjects = [each.subject or each.scan.scan_id for each in held_out]
    readings = []
    for each, what, subject in zip(held_out, seen, subjects, strict=True):
        others = [n for n, other in enumerate(subjects) if other != subject]
        measure([held_out[n] for n in others], [seen[n] for n in others])
        readings.append(read(each, what))
    measure(held_out, seen)
    return tuple(readings)


def held_out_loss(module: nn.Module, loss: Callable[[nn.Module, Batch], Tensor], batches: Iterable[Batch]) -> float:
    """Mean loss over batches of held-out samples, on the device of the module; the caller sets the mode."""
    device = next(module.parameters()).device
    return float(np.mean([float(loss(module, tuple(part.to(device) for part in batch))) for batch in batches]))
