"""Cropping or padding an array to another shape about the common centre."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

__all__ = ["place_centred"]


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
