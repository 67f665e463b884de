"""What the network is trained on: random clouds of hidden voxels, and the high-frequency image that guides it.

References
----------
Liang et al., Medical Image Analysis 107, 103763, 2026 (arXiv 2504.04911) and its published code: the Gaussian cloud
with its sizes, and the ball of low frequencies. The published cut-off, 15 bins of a grid of 192 mm (in 2D, Liang et
al., MICCAI 2024, of 240 mm), is given per mm here, and so keeps its meaning on any grid.

Shapes: S* the sides of the grid.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import fft, stats

__all__ = ["CUT_OFF_PER_MM", "gaussian_cloud", "high_frequency"]

Mask = NDArray[np.bool_]
FloatMap = NDArray[np.float32]

CUT_OFF_PER_MM = {2: 15.0 / 240.0, 3: 15.0 / 192.0}
_COARSENINGS = (4, 4, 2, 8)
_VARIANCES = (0.3, 10.0)
_POINTS = 100_000


def gaussian_cloud(brain: Mask, *, spacing_mm: float, rng: np.random.Generator) -> Mask:
    """A random part of the brain: the coarse voxels that 100 000 points of a Gaussian hit.

    Parameters
    ----------
    brain : S* bool, at least one voxel, on an isotropic grid.
    spacing_mm : of the grid; the published sizes are in voxels of 1 mm and are kept in mm.

    Returns
    -------
    S* bool inside the brain, at least one voxel. Points beyond the grid count for its outermost cells, on both sides
    (the published code lets those below 0 wrap around to the far side).
    """
    k = _COARSENINGS[int(rng.integers(len(_COARSENINGS)))]
    n = brain.ndim
    spread = np.sqrt(rng.uniform(*_VARIANCES, size=n)) * (k / spacing_mm)
    axes = stats.special_ortho_group.rvs(n, random_state=rng)
    inside = np.argwhere(brain)
    centre = inside[int(rng.integers(len(inside)))].astype(np.float64)
    points = rng.standard_normal((_POINTS, n)) * spread @ axes.T + centre
    coarse = max(1, round(k / spacing_mm))
    cells = [-(-side // coarse) for side in brain.shape]
    index = np.clip(np.floor(points / coarse).astype(np.intp), 0, np.array(cells) - 1)
    hit = np.zeros(cells, dtype=bool)
    hit[tuple(index.T)] = True
    for axis, side in enumerate(brain.shape):
        hit = np.repeat(hit, coarse, axis=axis).take(range(side), axis=axis)
    cloud: Mask = hit & brain
    return cloud


def high_frequency(
    image: FloatMap,
    *,
    spacing_mm: tuple[float, ...],
    kind: Literal["published", "highpass"] = "published",
) -> FloatMap:
    """The image without its low spatial frequencies.

    Parameters
    ----------
    image : S*, the scan as the network sees it, corrupted or not: there is one path for both.
    kind : ``published`` sets the amplitude of every lower frequency to 1 and keeps its phase, as the code does;
        ``highpass`` removes them.

    Returns
    -------
    S* float32.
    """
    axes = [fft.fftfreq(n, d=s) for n, s in zip(image.shape, spacing_mm, strict=True)]
    axes[-1] = np.abs(fft.rfftfreq(image.shape[-1], d=spacing_mm[-1]))
    square = np.zeros((1,) * image.ndim)
    for axis, frequency in enumerate(axes):
        square = square + np.expand_dims(frequency**2, [a for a in range(image.ndim) if a != axis])
    spectrum = fft.rfftn(image)
    # A bin that lies on the cut-off is kept, whatever its sum was rounded to.
    low = square < CUT_OFF_PER_MM[image.ndim] ** 2 * (1.0 - 1e-9)
    if kind == "published":
        spectrum[low] = np.exp(1j * np.angle(spectrum[low]))
    else:
        spectrum[low] = 0.0
    result: FloatMap = fft.irfftn(spectrum, s=image.shape).astype(np.float32)
    return result
