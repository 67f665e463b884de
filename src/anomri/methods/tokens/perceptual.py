"""How different two slices look: squared differences of the features of a network, as a map.

    d(a, b) = Σ_l up( mean_c (f_l(a) / |f_l(a)| − f_l(b) / |f_l(b)|)² )

The features are those of a small network trained to denoise the normal slices themselves, so that nothing has to be
downloaded. Where a user has VGG-16 with the weights of LPIPS as a local file, it can be named instead, with its
digest; a file that is missing or another one is an error, never replaced by something else.

References
----------
Zhang et al., CVPR 2018 (LPIPS: channel-normalised differences, one weight a channel, summed over layers); Simonyan and
Zisserman, ICLR 2015 (VGG-16).

Shapes: B slices, H × W pixels, c channels of a stage.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn
from torch.nn import functional

from anomri.errors import ModelError

__all__ = ["Denoiser", "Lpips", "Perceptual", "perceptual_map", "read_lpips"]

_TINY = 1e-10


class Perceptual(nn.Module):
    """A network with features at several scales; `weights` has one factor a channel, or None for their mean."""

    def features(self, slices: Tensor) -> list[Tensor]:
        """(B, 1, H, W) → one (B, c, h, w) a stage."""
        raise NotImplementedError

    def weights(self) -> list[Tensor] | None:
        """(c,) a stage; None weighs all channels alike."""
        return None


class Denoiser(Perceptual):
    """Three stages that halve the slice, and a decoder that is only needed in training.

    Parameters
    ----------
    width : channels of the first stage; they double with each.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        widths = [1, width, 2 * width, 4 * width]
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(cin, cout, 3, padding=1), nn.SiLU(), nn.Conv2d(cout, cout, 3, stride=2, padding=1), nn.SiLU()
            )
            for cin, cout in itertools.pairwise(widths)
        )
        self.rebuild = nn.Sequential(
            *(
                layer
                for wide, narrow in itertools.pairwise(reversed(widths[1:]))
                for layer in (nn.Upsample(scale_factor=2), nn.Conv2d(wide, narrow, 3, padding=1), nn.SiLU())
            ),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(width, 1, 3, padding=1),
        )

    def features(self, slices: Tensor) -> list[Tensor]:
        """See `Perceptual`."""
        kept = []
        for stage in self.stages:
            slices = stage(slices)
            kept.append(slices)
        return kept

    def forward(self, slices: Tensor) -> Tensor:
        """(B, 1, H, W) noisy → clean; H and W multiples of 8."""
        clean: Tensor = self.rebuild(self.features(slices)[-1])
        return clean


class Lpips(Perceptual):
    """VGG-16 up to relu 5_3, read after relu 1_2, 2_2, 3_3, 4_3 and 5_3, with the learnt weights of LPIPS 0.1."""

    PLAN = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512, 512, 512, 512))
    mean: Tensor
    sd: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths)) for widths in self.PLAN
        )
        self.factors = nn.ParameterList(nn.Parameter(torch.ones(widths[-1])) for widths in self.PLAN)
        # ImageNet's statistics for images in [−1, 1], as the package has them; applied once.
        self.register_buffer("mean", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("sd", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1), persistent=False)

    def features(self, slices: Tensor) -> list[Tensor]:
        """See `Perceptual`; values in [−1, 1]."""
        x = (slices.expand(-1, 3, -1, -1) - self.mean) / self.sd
        kept = []
        for number, stage in enumerate(self.stages):
            x = x if number == 0 else functional.max_pool2d(x, 2)
            assert isinstance(stage, nn.ModuleList)
            for convolution in stage:
                x = functional.relu(convolution(x))
            kept.append(x)
        return kept

    def weights(self) -> list[Tensor]:
        """See `Perceptual`."""
        return list(self.factors)


def read_lpips(path: Path | None, sha256: str) -> Lpips:
    """VGG-16 and LPIPS weights from a safetensors file with the names of `Lpips.state_dict`.

    Raises
    ------
    ModelError : the file is not named or missing, has another digest, or does not hold these weights.
    """
    if path is None:
        raise ModelError(
            "the settings name perceptual weights by their digest alone",
            remedy="Give their file as perceptual_file.",
            code="perceptual",
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(
            "the file of perceptual weights cannot be read", remedy="Give its path, or none.", code="perceptual"
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256.lower():
        raise ModelError(
            "the file of perceptual weights is not the one the settings name",
            remedy="Give the file whose SHA-256 stands in perceptual_sha256.",
            code="perceptual",
        )
    network = Lpips()
    try:
        weights: Mapping[str, Tensor] = load_tensors(content)
        network.load_state_dict(dict(weights))
    except (SafetensorError, RuntimeError) as error:
        raise ModelError(
            "the file does not hold VGG-16 with LPIPS weights",
            remedy="Make it as the page of the method says.",
            code="perceptual",
        ) from error
    network.requires_grad_(False)
    return network.eval()


def perceptual_map(network: Perceptual, one: Tensor, other: Tensor) -> Tensor:
    """(B, 1, H, W) each → (B, 1, H, W) ≥ 0, 0 where both look the same."""
    weights = network.weights()
    total = torch.zeros_like(one)
    for number, (a, b) in enumerate(zip(network.features(one), network.features(other), strict=True)):
        square = (_unit(a) - _unit(b)) ** 2
        if weights is None:
            d = square.mean(dim=1, keepdim=True)
        else:
            d = (square * weights[number].view(1, -1, 1, 1)).sum(dim=1, keepdim=True)
        total = total + functional.interpolate(d, size=one.shape[2:], mode="bilinear", align_corners=False)
    return total


def _unit(features: Tensor) -> Tensor:
    # Within the root: the slope of a root at 0, where all features of a pixel are 0, is not a number.
    return features / (features.square().sum(dim=1, keepdim=True) + _TINY).sqrt()
