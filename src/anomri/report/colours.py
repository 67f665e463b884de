"""Colour scales: a sequential one for abnormality, readable with every common colour vision and in grey, and one of two
hues for signed maps, blue below 0 and orange above, dark in the middle so that both ends stand out from tissue.

References
----------
van der Walt and Smith, *plasma* (CC0), 2015: perceptually uniform, lightness grows all the way. Only its upper 85 %
is used, so that the lowest colour still stands out from dark tissue.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["CUT", "colour_table", "signed_table"]

CUT = 0.15

# plasma at CUT, CUT + 0.05, ... 1 (8-bit sRGB); linear in between.
_ANCHORS = (
    (86, 1, 164),
    (106, 0, 168),
    (126, 3, 168),
    (143, 13, 164),
    (161, 27, 155),
    (177, 42, 144),
    (191, 57, 132),
    (204, 71, 120),
    (214, 85, 109),
    (225, 100, 98),
    (234, 116, 87),
    (242, 132, 75),
    (248, 149, 64),
    (252, 166, 54),
    (254, 186, 44),
    (252, 206, 37),
    (247, 228, 37),
    (240, 249, 33),
)


# From −1 to 1, linear in between.
_SIGNED = (
    (178, 230, 255),
    (84, 164, 240),
    (38, 84, 160),
    (48, 44, 56),
    (150, 66, 26),
    (236, 132, 44),
    (255, 224, 150),
)


def colour_table() -> NDArray[np.uint8]:
    """(256, 3) sRGB, from least to most abnormal."""
    return _table(_ANCHORS)


def signed_table() -> NDArray[np.uint8]:
    """(256, 3) sRGB for signed values; index 128 is 0, index 0 is not used."""
    return np.concatenate([_table(_SIGNED, 255)[:1], _table(_SIGNED, 255)])


def _table(colours: tuple[tuple[int, int, int], ...], count: int = 256) -> NDArray[np.uint8]:
    anchors = np.array(colours, dtype=np.float64)
    at = np.linspace(0.0, len(anchors) - 1.0, count)
    channels = [np.interp(at, np.arange(len(anchors)), anchors[:, c]) for c in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)
