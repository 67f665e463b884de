"""The two published networks of iterative mask refinement.

`ResidualUNet` is IterMask3D's: no skip at full resolution, so that even a visible voxel reaches the output through the
half-resolution features alone, and a shortcut that is added to the first channels only. `DiffusionUNet` is
IterMask2's 2D network without its dead part (a time embedding that is built and never called).

References
----------
Liang et al., Medical Image Analysis 107, 103763, 2026 (arXiv 2504.04911); Liang et al., MICCAI 2024 (arXiv 2406.02422).
Dhariwal and Nichol, NeurIPS 2021, whose 2D network the second descends from.

Shapes: B samples, C channels, S* the sides of the grid (X Y Z or X Y).
"""

from __future__ import annotations

import copy
import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["DiffusionUNet", "ResidualUNet", "folded"]

# Planes that a convolution into one channel takes at a time, so that they stay in the processor's cache.
_PLANES = 4


class _Conv3d(nn.Conv3d):
    """A 3³ convolution, padded by one; with one small volume torch has a slow way on a CPU if not asked `by_onednn`."""

    by_onednn = False

    def __init__(self, cin: int, cout: int, *, stride: int = 1) -> None:
        super().__init__(cin, cout, 3, stride=stride, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if not self.by_onednn or x.device.type != "cpu":
            return super().forward(x)
        if self.out_channels == 1 and self.stride == (1, 1, 1):
            return _into_one(x, self.weight, self.bias)
        return torch.mkldnn_convolution(x, self.weight, self.bias, (1, 1, 1), self.stride, (1, 1, 1), 1)


def _into_one(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A 3³ convolution into a single channel, (B, C, X, Y, Z) → (B, 1, X, Y, Z).

    It is a product with 27 rows of weights and 27 sums of shifted planes. oneDNN fills vectors with output channels, of
    which there is one, and takes three times as long.
    """
    channels = x.shape[1]
    total = x.new_zeros(len(x), *(side + 2 for side in x.shape[2:]))
    rows = weight.reshape(channels, 27).T.contiguous()
    for sample, voxels in enumerate(x.permute(0, 2, 3, 4, 1)):
        for first in range(0, len(voxels), _PLANES):
            planes = voxels[first : first + _PLANES]
            parts = (rows @ planes.reshape(-1, channels).T).view(27, *planes.shape[:3])
            for part, (i, j, k) in zip(parts, itertools.product((2, 1, 0), repeat=3), strict=True):
                total[sample, first + i :, j:, k:][: part.shape[0], : part.shape[1], : part.shape[2]] += part
    inner = total[:, None, 1:-1, 1:-1, 1:-1]
    return inner if bias is None else inner + bias


class _Unit(nn.Module):
    """Convolution → batch norm → dropout of single values → PReLU."""

    def __init__(self, conv: nn.Conv3d, dropout: float) -> None:
        super().__init__()
        self.conv, self.norm = conv, nn.BatchNorm3d(conv.out_channels)
        self.end: nn.Module = nn.Sequential(nn.Dropout(dropout), nn.PReLU())
        self.is_folded = False

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        y: Tensor = self.end(x if self.is_folded else self.norm(x))
        return y

    def fold(self) -> None:
        """Make the norm part of the convolution and the slope a constant, once; in evaluation mode."""
        if self.is_folded:
            return
        slope = float(self.get_parameter("end.1.weight"))
        self.conv, self.is_folded = fuse_conv_bn_eval(self.conv, self.norm), True
        self.end = nn.LeakyReLU(slope, inplace=True)


class _Down(nn.Module):
    """Two units; the averaged input is added to the first `cin` of the `cout` channels."""

    def __init__(self, cin: int, cout: int, *, stride: int, dropout: float) -> None:
        super().__init__()
        self.units = nn.Sequential(
            _Unit(_Conv3d(cin, cout, stride=stride), dropout),
            _Unit(_Conv3d(cout, cout), dropout),
        )
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.units(x)
        # Padded by hand: torch refuses a side shorter than the kernel before it pads.
        short = x if self.stride == 1 else functional.avg_pool3d(functional.pad(x, (1,) * 6), 3, self.stride)
        return torch.cat([y[:, : x.shape[1]] + short, y[:, x.shape[1] :]], dim=1)


class _UpConv3d(nn.Conv3d):
    """A 3³ convolution of the nearest-neighbour enlargement by two, computed without the enlarged image.

    A fine voxel sees only 2³ different coarse ones, so that the two are one transposed convolution of a 4³ kernel:
    the same numbers within rounding for 8/27 of the multiplications.
    """

    kernel: Tensor | None

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3)
        self.register_buffer("kernel", None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.enlarging() if self.kernel is None else self.kernel
        return functional.conv_transpose3d(x, kernel, self.bias, stride=2, padding=1)

    def enlarging(self) -> Tensor:
        """The 4³ kernel, (C, C, 4, 4, 4)."""
        kernel = functional.pad(self.weight.transpose(0, 1).flip(2, 3, 4), (0, 1) * 3)
        for axis in (2, 3, 4):
            kernel = kernel + kernel.roll(1, axis)
        return kernel


class _Up(nn.Sequential):
    """Nearest enlargement → two units; the last one of the network is a bare convolution."""

    def __init__(self, cin: int, cout: int, *, last: bool, dropout: float) -> None:
        end = _Conv3d(cin, cout)
        super().__init__(_Unit(_UpConv3d(cin), dropout), end if last else _Unit(end, dropout))


class ResidualUNet(nn.Module):
    """IterMask3D's network: 8 902 626 parameters at the published width of 16.

    Parameters
    ----------
    width : channels of the first stage; they double with each.
    dropout : of single values, in training.
    """

    def __init__(self, *, channels: int = 2, width: int = 16, dropout: float = 0.2) -> None:
        super().__init__()
        widths = [channels, *(width << level for level in range(5))]
        self.down = nn.ModuleList(
            _Down(cin, cout, stride=1 if level == 4 else 2, dropout=dropout)
            for level, (cin, cout) in enumerate(itertools.pairwise(widths))
        )
        # Deepest first: what comes from below, beside the features of the same resolution.
        outs = [widths[3], widths[2], widths[1], 1]
        ins = [widths[5] + widths[4], widths[3] * 2, widths[2] * 2, widths[1] * 2]
        self.up = nn.ModuleList(
            _Up(cin, cout, last=level == 3, dropout=dropout)
            for level, (cin, cout) in enumerate(zip(ins, outs, strict=True))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2, S*) → (B, 1, S*); every side a multiple of 16."""
        kept = []
        for down in self.down:
            x = down(x)
            kept.append(x)
        # Each stage is joined to the features at its own, coarse resolution before it is enlarged.
        for up, beside in zip(self.up, reversed(kept[:4]), strict=True):
            x = up(torch.cat([x, beside], dim=1))
        return x


def folded(network: nn.Module) -> nn.Module:
    """A copy for reading alone, in evaluation mode and without gradients: the same numbers within rounding, sooner.

    Every batch norm that follows a convolution is made part of it, slopes become constants, and kernels that enlarge
    are made once. On a CPU the channels of a voxel lie side by side. `DiffusionUNet`, whose norms stand before, is
    merely copied.
    """
    network = copy.deepcopy(network).eval().requires_grad_(False)
    for part in list(network.modules()):
        if isinstance(part, _Unit):
            part.fold()
    for part in network.modules():
        if isinstance(part, _UpConv3d):
            part.kernel = _side_by_side(part.enlarging())
        elif isinstance(part, _Conv3d):
            part.by_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
            part.weight.data = _side_by_side(part.weight.data)
    return network


def _side_by_side(weight: Tensor) -> Tensor:
    """On a CPU with the channels last in memory; elsewhere as it is."""
    return weight.contiguous(memory_format=torch.channels_last_3d) if weight.device.type == "cpu" else weight


class _ResidualBlock(nn.Module):
    """BN → SiLU → convolution → BN → SiLU → dropout → convolution, resampled in between where asked."""

    def __init__(self, cin: int, cout: int, *, resample: str = "none", dropout: float = 0.1) -> None:
        super().__init__()
        self.before = nn.Sequential(nn.BatchNorm2d(cin), nn.SiLU())
        self.first = nn.Conv2d(cin, cout, 3, padding=1)
        last = nn.Conv2d(cout, cout, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias if last.bias is not None else torch.empty(0))
        self.after = nn.Sequential(nn.BatchNorm2d(cout), nn.SiLU(), nn.Dropout(dropout), last)
        self.short = nn.Identity() if cin == cout else nn.Conv2d(cin, cout, 1)
        self.resample: nn.Module = {
            "none": nn.Identity(),
            "down": nn.AvgPool2d(2),
            "up": nn.Upsample(scale_factor=2, mode="nearest"),
        }[resample]

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(self.resample(self.before(x)))
        total: Tensor = self.short(self.resample(x)) + self.after(y)
        return total


class _Attention(nn.Module):
    """x + projection(attention(BN x)), one head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.qkv = nn.BatchNorm1d(width), nn.Conv1d(width, 3 * width, 1)
        self.out = nn.Conv1d(width, width, 1)
        nn.init.zeros_(self.out.weight)
        if self.out.bias is not None:
            nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        q, k, v = self.qkv(self.norm(flat)).transpose(1, 2).chunk(3, dim=-1)
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        total: Tensor = x + self.out(mixed).view_as(x)
        return total


class DiffusionUNet(nn.Module):
    """IterMask2's network: 5 919 041 live parameters with two input channels at the published width of 32."""

    def __init__(self, *, channels: int = 2, width: int = 32) -> None:
        super().__init__()
        multiples, blocks, attends = (1, 1, 2, 3, 4), 2, (False, False, True, True, True)
        self.start = nn.Conv2d(channels, width, 3, padding=1)
        down: list[nn.Module] = []
        kept, now = [width], width
        for level, multiple in enumerate(multiples):
            for _ in range(blocks):
                layers: list[nn.Module] = [_ResidualBlock(now, width * multiple)]
                now = width * multiple
                if attends[level]:
                    layers.append(_Attention(now))
                down.append(nn.Sequential(*layers))
                kept.append(now)
            if level < len(multiples) - 1:
                down.append(_ResidualBlock(now, now, resample="down"))
                kept.append(now)
        self.down = nn.ModuleList(down)
        self.middle = nn.Sequential(_ResidualBlock(now, now), _Attention(now), _ResidualBlock(now, now))
        up: list[nn.Module] = []
        for level, multiple in reversed(list(enumerate(multiples))):
            for number in range(blocks + 1):
                layers = [_ResidualBlock(now + kept.pop(), width * multiple)]
                now = width * multiple
                if attends[level]:
                    layers.append(_Attention(now))
                if level and number == blocks:
                    layers.append(_ResidualBlock(now, now, resample="up"))
                up.append(nn.Sequential(*layers))
        self.up = nn.ModuleList(up)
        head = nn.Conv2d(now, 1, 3, padding=1)
        nn.init.zeros_(head.weight)
        if head.bias is not None:
            nn.init.zeros_(head.bias)
        self.head = nn.Sequential(nn.BatchNorm2d(now), nn.SiLU(), head)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2, S*) → (B, 1, S*); every side a multiple of 16."""
        x = self.start(x)
        kept = [x]
        for layer in self.down:
            x = layer(x)
            kept.append(x)
        x = self.middle(x)
        for layer in self.up:
            x = layer(torch.cat([x, kept.pop()], dim=1))
        y: Tensor = self.head(x)
        return y
