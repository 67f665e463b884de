"""One sequential colour scale for abnormality: readable with every common colour vision and in grey.

References
----------
van der Walt and Smith, *plasma* (CC0), 2015: perceptually uniform, lightness grows all the way. Only its upper 85 %
is used, so that the lowest colour still stands out from dark tissue.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["CUT", "colour_table"]

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


def colour_table() -> NDArray[np.uint8]:
    """(256, 3) sRGB, from least to most abnormal."""
    anchors = np.array(_ANCHORS, dtype=np.float64)
    at = np.linspace(0.0, len(anchors) - 1.0, 256)
    channels = [np.interp(at, np.arange(len(anchors)), anchors[:, c]) for c in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)
