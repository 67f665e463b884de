"""The published networks: their parameters, stages and sums, and the shortcuts that compute the same numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from anomri.methods.itermask.networks import DiffusionUNet, ResidualUNet, folded


def count_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_every_stage_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        network = ResidualUNet()
    stages = [7_874, 41_666, 166_274, 664_322, 2_655_746, 4_646_210, 553_442, 138_482, 28_610]
    assert [count_of(part) for part in (*network.down, *network.up)] == stages
    assert count_of(network) == 8_902_626
    kinds = [type(part) for part in network.modules()]
    assert kinds.count(nn.PReLU) == kinds.count(nn.BatchNorm3d) == 17


def test_the_2d_network_has_the_published_number_of_live_parameters() -> None:
    with torch.device("meta"):
        assert count_of(DiffusionUNet()) == 5_919_041


def test_every_stage_has_the_published_shape() -> None:
    with torch.device("meta"):
        network = ResidualUNet().eval()
        x = torch.zeros(1, 2, 192, 192, 192)
        kept, sides = [], []
        for down in network.down:
            x = down(x)
            kept.append(x)
            sides.append((x.shape[1], x.shape[2]))
        for up, beside in zip(network.up, reversed(kept[:4]), strict=True):
            x = up(torch.cat([x, beside], dim=1))
            sides.append((x.shape[1], x.shape[2]))
    assert sides == [(16, 96), (32, 48), (64, 24), (128, 12), (256, 12), (64, 24), (32, 48), (16, 96), (1, 192)]


@pytest.mark.parametrize(
    ("network", "shape"), [(ResidualUNet(width=2), (16, 32, 48)), (DiffusionUNet(width=4), (32, 16))]
)
def test_the_output_has_the_grid_of_the_input(network: nn.Module, shape: tuple[int, ...]) -> None:
    with torch.inference_mode():
        assert network.eval()(torch.randn(2, 2, *shape)).shape == (2, 1, *shape)


def test_the_shortcut_is_the_averaged_input_added_to_the_first_channels_alone() -> None:
    down = ResidualUNet(width=4).eval().down[1]
    x = torch.randn(1, 4, 8, 8, 8)
    with torch.inference_mode():
        added = down(x) - down.units(x)
        # Zeros of the padding count in the mean.
        mean = functional.conv3d(x, torch.full((4, 1, 3, 3, 3), 1 / 27), stride=2, padding=1, groups=4)
    torch.testing.assert_close(added[:, :4], mean, atol=1e-5, rtol=1e-4)
    assert torch.equal(added[:, 4:], torch.zeros_like(added[:, 4:]))


def test_the_last_down_stage_keeps_its_grid_and_adds_the_input_itself() -> None:
    down = ResidualUNet(width=2).eval().down[4]
    x = torch.randn(1, 16, 3, 4, 5)
    with torch.inference_mode():
        torch.testing.assert_close(down(x)[:, :16], down.units(x)[:, :16] + x)


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 1, 2)])
def test_enlarging_and_convolving_are_one_transposed_convolution(shape: tuple[int, ...]) -> None:
    conv = ResidualUNet(width=2).up[3][0].conv
    x = torch.randn(2, conv.in_channels, *shape)
    plain = functional.conv3d(
        functional.interpolate(x, scale_factor=2, mode="nearest"), conv.weight, conv.bias, padding=1
    )
    torch.testing.assert_close(conv(x), plain, atol=1e-5, rtol=1e-4)


def test_there_is_no_skip_at_full_resolution() -> None:
    network = ResidualUNet(width=2).eval()
    x = torch.randn(1, 2, 16, 16, 16, requires_grad=True)
    network(x)[0, 0, 8, 8, 8].backward()
    assert x.grad is not None
    # What a voxel receives of itself it receives through features that its neighbours share.
    assert (x.grad[0, 0, 7:10, 7:10, 7:10] != 0).all()


@pytest.mark.parametrize(
    ("network", "shape"), [(ResidualUNet(width=3), (16, 16, 32)), (DiffusionUNet(width=4), (16, 32))]
)
def test_folded_norms_compute_the_same(network: nn.Module, shape: tuple[int, ...]) -> None:
    for part in network.modules():
        if isinstance(part, nn.BatchNorm3d):
            nn.init.uniform_(part.weight, 0.5, 2.0)
            nn.init.normal_(part.bias)
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2.0)
    x = torch.randn(1, 2, *shape)
    short = folded(network)
    with torch.inference_mode():
        torch.testing.assert_close(short(x), network.eval()(x), atol=1e-4, rtol=1e-4)
    assert short is not network
