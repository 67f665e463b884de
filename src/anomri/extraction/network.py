"""A small network that sees where a brain is in a head of any contrast, trained on synthetic heads alone.

A U-Net over 192 × 240 × 192 mm at 3 mm. It gives the share of each voxel that is brain, so that the outline, the level
0.5 once carried to the scan's grid, lies finer than its voxels.

References
----------
Ronneberger O. et al., "U-Net", MICCAI 2015. Milletari F. et al., "V-Net", 3DV 2016 (the overlap in the loss).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from anomri.core.geometry import Geometry, apply_affine, carry
from anomri.errors import ModelError
from anomri.extraction.locate import Location
from anomri.extraction.synthetic import MIDDLE_MM, SHAPE, SPACING_MM, synthetic_head
from anomri.training.loop import Batch
from anomri.training.seeding import generator

__all__ = [
    "BrainNet",
    "batch_of",
    "brain_loss",
    "brain_share",
    "bundled_network",
    "load_network",
    "save_network",
    "window",
]

FloatArray = NDArray[np.float32]

# Made by `python scripts/train_extraction.py WORK --heads 2000` on the code of commit 96b64b5.
_BUNDLED = Path(__file__).with_name("brain-net.safetensors")
# Channels from 3 mm to 48 mm.
_WIDTHS = (8, 24, 48, 96, 96)
_FORMAT = "anomri-extraction-1"
# Of the window's values; brighter is fat or a vessel, and as bright as this.
_BRIGHT_PERCENTILE = 99.0

# Shapes: B heads, C channels, X Y Z voxels


class BrainNet(nn.Module):
    """U-Net (B, 1, X, Y, Z) → logits (B, X, Y, Z) of the share of brain; X, Y, Z multiples of 16."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            nn.Sequential(_layer(before, after), _layer(after, after))
            for before, after in zip((1, *_WIDTHS), _WIDTHS, strict=False)
        )
        self.up = nn.ModuleList(
            _layer(deep + width, width) for deep, width in zip(_WIDTHS[:0:-1], _WIDTHS[-2::-1], strict=True)
        )
        self.out = nn.Conv3d(_WIDTHS[0], 1, 1)

    def forward(self, x_BCXYZ: Tensor) -> Tensor:
        """Logits of the share of brain, (B, X, Y, Z)."""
        seen: list[Tensor] = []
        for level, block in enumerate(self.down):
            x_BCXYZ = block(x_BCXYZ if level == 0 else functional.max_pool3d(x_BCXYZ, 2))
            seen.append(x_BCXYZ)
        for block, beside in zip(self.up, seen[-2::-1], strict=True):
            finer = functional.interpolate(x_BCXYZ, scale_factor=2.0, mode="nearest")
            x_BCXYZ = block(torch.cat([finer, beside], dim=1))
        logits: Tensor = self.out(x_BCXYZ)[:, 0]
        return logits


def _layer(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(before, after, 3, padding=1, bias=False), nn.InstanceNorm3d(after, affine=True), nn.LeakyReLU(0.05)
    )


def brain_loss(module: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy with shares of brain, and one minus the overlap with them."""
    values_BCXYZ, brain_BXYZ = batch
    logits = module(values_BCXYZ)
    share = torch.sigmoid(logits)
    both, all_of_them = (share * brain_BXYZ).sum((1, 2, 3)), (share**2 + brain_BXYZ**2).sum((1, 2, 3))
    overlap = (2.0 * both + 1.0) / (all_of_them + 1.0)
    return functional.binary_cross_entropy_with_logits(logits, brain_BXYZ) + (1.0 - overlap).mean()


def batch_of(indices: NDArray[np.intp], seed: int, epoch: int) -> Batch:
    """Synthetic heads (B, 1, X, Y, Z) and shares of brain (B, X, Y, Z), a function of (seed, epoch, index)."""
    heads = [synthetic_head(generator(seed, epoch, int(index))) for index in indices]
    values = np.stack([_as_input(head.values) for head in heads])
    return torch.from_numpy(values)[:, None], torch.from_numpy(np.stack([head.brain for head in heads]))


def brain_share(
    network: BrainNet, values: FloatArray, geometry: Geometry, location: Location
) -> tuple[FloatArray, Geometry]:
    """Share of brain in a window around the place where the brain was found.

    Parameters
    ----------
    values : (X, Y, Z) ≥ 0 on an isotropic grid along the world's axes, finer than the network's.

    Returns
    -------
    Shares 0–1 and their grid.
    """
    grid = window(location)
    sigma = 0.5 * np.sqrt(max(0.0, (SPACING_MM / geometry.spacing_mm[0]) ** 2 - 1.0))
    seen = carry(ndimage.gaussian_filter(values, sigma), geometry, grid)
    with torch.inference_mode():
        logits = network(torch.from_numpy(_as_input(seen))[None, None])
    share: FloatArray = torch.sigmoid(logits)[0].numpy()
    return share, grid


def window(location: Location) -> Geometry:
    """The network's grid, its middle on that of the brain."""
    middle = apply_affine(location.world, np.array([MIDDLE_MM]))[0]
    affine = np.diag([SPACING_MM] * 3 + [1.0])
    affine[:3, 3] = middle - SPACING_MM * (np.array(SHAPE) - 1) / 2.0
    return Geometry(SHAPE, affine)


def _as_input(values: FloatArray) -> FloatArray:
    bright = float(np.percentile(values[::2, ::2, ::2], _BRIGHT_PERCENTILE))
    scaled: FloatArray = np.clip(values / np.float32(max(bright, 1e-6)), 0.0, 1.5).astype(np.float32)
    return scaled


def save_network(network: BrainNet, path: Path) -> None:
    """Write the weights in half precision, and the format they are of."""
    tensors = {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, path, metadata={"format": _FORMAT})


@lru_cache(maxsize=1)
def bundled_network() -> BrainNet:
    """The network that comes with anomri, ready to look; loaded once a process.

    Raises
    ------
    ModelError : its file is damaged.
    """
    return load_network(_BUNDLED)


def load_network(path: Path) -> BrainNet:
    """The network whose weights stand in a file, ready to look.

    Raises
    ------
    ModelError : the file is damaged or holds other weights.
    """
    network = BrainNet()
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("format") != _FORMAT:
                raise ValueError("another format")
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (not a mapping)
        network.load_state_dict(tensors)
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise ModelError(
            "the weights that find brains are missing or damaged",
            remedy="Install anomri again.",
            code="extraction_weights",
        ) from error
    return network.eval()
