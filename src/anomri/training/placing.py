"""Cropping or padding to the grid that a network sees, about the common centre."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomri.core.prepared import Prepared
from anomri.errors import ModelError

__all__ = ["network_sides", "place_centred", "require_grid"]


def place_centred(source: NDArray[Any], target: NDArray[Any]) -> None:
    """Write `source` into the middle of `target`: cut where it is larger, `target` left as it is where it is smaller.

    Placing there and back returns what was not cut to where it came from, for odd differences too.

    Parameters
    ----------
    source, target : arrays with the same number of axes; `target` is changed.
    """
    cut, put = [], []
    for have, want in zip(source.shape, target.shape, strict=True):
        size, cut_at, put_at = min(have, want), max(have - want, 0) // 2, max(want - have, 0) // 2
        cut.append(slice(cut_at, cut_at + size))
        put.append(slice(put_at, put_at + size))
    target[tuple(put)] = source[tuple(cut)]


def network_sides(
    shape: tuple[int, int, int], grid: tuple[int, int, int] | None, *, dimensions: int, multiple: int
) -> tuple[int, ...]:
    """Sides of the grid that a network sees: those set, or the prepared ones padded to multiples of `multiple`."""
    padded = tuple(-(-n // multiple) * multiple for n in shape)
    return (padded if grid is None else grid)[:dimensions]


def require_grid(prepared: Prepared, shape: tuple[int, int, int], sides: tuple[int, ...], *, method: str) -> None:
    """The scan is on the grid of the training, and no part of its region is cropped away.

    Raises
    ------
    ModelError : it is not.
    """
    remedy, scan = "Prepare it with the model's own recipe.", prepared.scan.scan_id
    found = prepared.scan.geometry.shape
    if found != shape:
        raise ModelError(
            f"a scan of shape {found} for {method} trained on {shape}", remedy=remedy, code="grid", scan=scan
        )
    seen = np.zeros(shape, dtype=bool)
    place_centred(np.ones((*sides, *shape[len(sides) :]), dtype=bool), seen)
    if (prepared.region.mask & ~seen).any():
        raise ModelError(
            f"part of the region lies outside the {sides} voxels {method} sees", remedy=remedy, code="grid", scan=scan
        )
