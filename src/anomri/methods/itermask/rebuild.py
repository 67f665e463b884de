"""One pass: some voxels of the brain are hidden, the network fills them in, and is compared with the scan."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

__all__ = ["Rebuilder"]

FloatMap = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Rebuilder:
    """Squared errors of the brain's voxels when some are hidden under noise.

    The noise of a step is keyed by `key` and the number of the step alone. The pass of step 1 with the whole brain
    hidden, which both phases begin with, is made once.

    Parameters
    ----------
    network : (1, 2, S*) → (1, 1, S*), in evaluation mode.
    clean, guide : S* what is to be rebuilt, and the image that guides.
    brain : S* with V voxels.
    key : of the noise.

    Attributes
    ----------
    last : S* what the network made in the last call.
    count : passes of the network so far.
    """

    def __init__(self, network: nn.Module, clean: FloatMap, guide: FloatMap, brain: Mask, key: tuple[int, ...]) -> None:
        self._network, self._key = network, key
        self._device = next(network.parameters()).device
        self._clean, self._guide, self._inside = (torch.from_numpy(a).to(self._device) for a in (clean, guide, brain))
        self._true = self._clean[self._inside]
        self._first: tuple[FloatMap, FloatMap] | None = None
        self.last: FloatMap = np.zeros(brain.shape, dtype=np.float32)
        self.count = 0

    def __call__(self, hidden: Mask, step: int) -> FloatMap:
        """(V,) squared errors; `hidden` (V,)."""
        begins = step == 1 and bool(hidden.all())
        if begins and self._first is not None:
            errors, self.last = self._first
            return errors
        errors, self.last = self._pass(hidden, step)
        self.count += 1
        if begins:
            self._first = errors, self.last
        return errors

    def _pass(self, hidden: Mask, step: int) -> tuple[FloatMap, FloatMap]:
        noise = np.random.default_rng([*self._key, step]).standard_normal(self._true.shape[0], dtype=np.float32)
        filled = torch.where(
            torch.from_numpy(hidden).to(self._device), torch.from_numpy(noise).to(self._device), self._true
        )
        image = self._clean.clone()
        image[self._inside] = filled
        with torch.inference_mode():
            rebuilt = self._network(torch.stack([image, self._guide])[None])[0, 0]
        errors: FloatMap = ((self._true - rebuilt[self._inside]) ** 2).cpu().numpy()
        return errors, rebuilt.cpu().numpy()
