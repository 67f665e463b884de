"""What the networks see of a prepared scan, and the way back onto its grid.

Shapes: (X, Y, Z) the prepared grid, (H, W) pixels of a slice, (R, C) its tokens; axial slices, X is left–right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from anomri.core.prepared import Prepared
from anomri.methods.tokens.config import SMALLEST_STEP, TokensConfig
from anomri.training.placing import place_centred

__all__ = ["Slices", "Slicing"]

FloatMap = NDArray[np.float32]


@dataclass(frozen=True, eq=False, slots=True)
class Slices:
    """Slices of several scans.

    Parameters
    ----------
    pixels : (n, channels, H, W) float32, the middle channel being the slice itself.
    positions : (n,) in [0, 1], where in the prepared volume each lies.
    """

    pixels: FloatMap
    positions: FloatMap

    @property
    def own(self) -> FloatMap:
        """(n, 1, H, W): the slices without their neighbours."""
        middle = self.pixels.shape[1] // 2
        return self.pixels[:, middle : middle + 1]


@dataclass(frozen=True, slots=True)
class Slicing:
    """How volumes of one shape become slices.

    Parameters
    ----------
    shape : (X, Y, Z).
    image : (H, W), X and Y cropped or padded about their centre.
    patch : side of a token, pixels.
    neighbours : slices above and below that are further channels; beyond the ends the last slice is repeated.
    window : values are standardised within the brain and clipped to ±window; air is −window.
    """

    shape: tuple[int, int, int]
    image: tuple[int, int]
    patch: int
    neighbours: int
    window: float

    @classmethod
    def of(cls, config: TokensConfig, shape: tuple[int, int, int]) -> Slicing:
        """The slicing that settings ask for."""
        step = max(config.patch, SMALLEST_STEP)
        x, y = (-(-n // step) * step for n in shape[:2])
        image = (x, y) if config.image is None else config.image
        return cls(shape, image, config.patch, config.neighbours, config.window)

    @property
    def grid(self) -> tuple[int, int]:
        """(R, C)."""
        return self.image[0] // self.patch, self.image[1] // self.patch

    def holds(self, prepared: Prepared) -> bool:
        """Whether no brain lies beyond the edges of the slices."""
        across = np.asarray(prepared.inside.mask.any(axis=2))
        seen = np.zeros(self.image, dtype=bool)
        place_centred(across, seen)
        return bool(seen.sum() == across.sum())

    def levels(self, prepared: Prepared) -> list[int]:
        """Indices along Z of the slices with brain."""
        return [int(z) for z in np.flatnonzero(prepared.inside.mask.any(axis=(0, 1)))]

    def cut(self, prepared: Prepared, levels: Sequence[int]) -> Slices:
        """Slices of one scan."""
        mean, sd = _mean_sd(prepared)
        volume = np.clip((prepared.scan.voxels - mean) / sd, -self.window, self.window)
        volume = np.where(prepared.inside.mask, volume, -self.window).astype(np.float32)
        channels, depth = 1 + 2 * self.neighbours, self.shape[2]
        pixels = np.full((len(levels), channels, *self.image), -self.window, dtype=np.float32)
        for row, z in enumerate(levels):
            for channel in range(channels):
                seen = min(max(z + channel - self.neighbours, 0), depth - 1)
                place_centred(volume[:, :, seen], pixels[row, channel])
        return Slices(pixels, np.array(levels, dtype=np.float32) / np.float32(max(depth - 1, 1)))

    def gather(self, scans: Sequence[Prepared]) -> Slices:
        """All slices with brain of several scans."""
        parts = [self.cut(each, self.levels(each)) for each in scans]
        return Slices(np.concatenate([p.pixels for p in parts]), np.concatenate([p.positions for p in parts]))

    def stacked(self, images: FloatMap, levels: Sequence[int]) -> FloatMap:
        """(n, H, W) images of some levels → (X, Y, Z), 0 at all others."""
        out = np.zeros(self.shape, dtype=np.float32)
        for image, z in zip(images, levels, strict=True):
            place_centred(image, out[:, :, z])
        return out

    def touched(self, mask: NDArray[np.bool_], levels: Sequence[int]) -> NDArray[np.bool_]:
        """(X, Y, Z) mask → (n, S): whether it holds any pixel of each token of some levels."""
        padded = np.zeros((len(levels), *self.image), dtype=bool)
        for row, z in enumerate(levels):
            place_centred(mask[:, :, z], padded[row])
        rows, columns = self.grid
        tokens = np.any(padded.reshape(-1, rows, self.patch, columns, self.patch), axis=(2, 4))
        return np.asarray(tokens.reshape(len(levels), -1))

    def repeated(self, tokens: FloatMap) -> FloatMap:
        """(n, R, C) → (n, H, W), each token over all its pixels."""
        return tokens.repeat(self.patch, axis=1).repeat(self.patch, axis=2)

    def upsampled(self, tokens: FloatMap) -> FloatMap:
        """(n, R, C) → (n, H, W), bilinear."""
        stack = torch.from_numpy(tokens)[:, None]
        fine: FloatMap = functional.interpolate(stack, size=self.image, mode="bilinear", align_corners=False)[
            :, 0
        ].numpy()
        return fine

    def in_intensities(self, values: FloatMap, prepared: Prepared) -> FloatMap:
        """Standardised values (X, Y, Z) in the scan's own intensities, 0 in air."""
        mean, sd = _mean_sd(prepared)
        return np.where(prepared.inside.mask, values * sd + mean, np.float32(0.0)).astype(np.float32)


def _mean_sd(prepared: Prepared) -> tuple[np.float32, np.float32]:
    inside = prepared.scan.voxels[prepared.inside.mask]
    return np.float32(inside.mean(dtype=np.float64)), np.float32(max(inside.std(dtype=np.float64), 1e-6))
