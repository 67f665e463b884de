"""The network: its size, its loss, and that it learns; weights survive a file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from anomri.core.geometry import Geometry, apply_affine
from anomri.errors import ModelError
from anomri.extraction import EXTRACTION
from anomri.extraction import network as network_module
from anomri.extraction.locate import Location
from anomri.extraction.network import (
    BrainNet,
    batch_of,
    brain_loss,
    brain_share,
    bundled_network,
    load_network,
    save_network,
    window,
)
from anomri.extraction.synthetic import MIDDLE_MM, SHAPE
from anomri.metrics.overlap import dice


@pytest.fixture
def network() -> BrainNet:
    torch.manual_seed(0)
    return BrainNet()


def small_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """A bright ball in a noisy box."""
    rng = np.random.default_rng(0)
    x, y, z = np.meshgrid(*(np.arange(n) - (n - 1) / 2.0 for n in (32, 16, 16)), indexing="ij")
    ball = (np.sqrt(x**2 + y**2 + z**2) < 5.0).astype(np.float32)
    values = ball + 0.1 * rng.standard_normal(ball.shape).astype(np.float32)
    return torch.from_numpy(values.astype(np.float32))[None, None], torch.from_numpy(ball)[None]


def test_it_is_small(network: BrainNet):
    assert sum(weight.numel() for weight in network.parameters()) < 3_000_000


def test_its_weights_take_less_than_eight_megabytes(network: BrainNet, tmp_path: Path):
    save_network(network, tmp_path / "net.safetensors")
    assert (tmp_path / "net.safetensors").stat().st_size < 8_000_000


def test_the_loss_of_a_perfect_answer_is_nearly_zero_and_of_its_opposite_large():
    _, brain = small_batch()
    sure = 40.0 * (brain - 0.5)
    assert float(brain_loss(_Says(sure), (brain, brain))) < 0.01
    assert float(brain_loss(_Says(-sure), (brain, brain))) > 1.9


class _Says(torch.nn.Module):
    """A network that gives one answer."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        return self.logits


def test_it_learns_a_ball(network: BrainNet):
    batch = small_batch()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = brain_loss(network, batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    # No answer that is the same everywhere gets below 1.1.
    assert losses[-1] < 1.0


def test_a_batch_is_a_function_of_seed_epoch_and_index():
    first, again = (batch_of(np.array([4]), 0, 2) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], batch_of(np.array([5]), 0, 2)[0])
    assert first[0].shape == (1, 1, *SHAPE)
    assert first[1].shape == (1, *SHAPE)


def test_weights_come_back_from_a_file_within_half_precision(network: BrainNet, tmp_path: Path):
    save_network(network, tmp_path / "net.safetensors")
    back = load_network(tmp_path / "net.safetensors")
    for kept, weight in zip(back.parameters(), network.parameters(), strict=True):
        assert torch.allclose(kept, weight, rtol=1e-3, atol=1e-6)


def test_damaged_weights_are_refused(tmp_path: Path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"not weights")
    with pytest.raises(ModelError) as caught:
        load_network(path)
    assert caught.value.code == "extraction_weights"


def test_the_bundled_network_finds_the_brains_of_heads_it_was_not_trained_on():
    values, brains = batch_of(np.arange(3), 12345, 0)
    with torch.inference_mode():
        found = bundled_network()(values) > 0.0
    for one, brain in zip(found.numpy(), brains.numpy() > 0.5, strict=True):
        assert dice(one, brain) > 0.85


def test_other_weights_are_another_version_of_extraction():
    digest = hashlib.sha256(network_module._BUNDLED.read_bytes()).hexdigest()[:16]
    assert (EXTRACTION, digest) == ("extraction-2", "cb755dd061247889")


def test_the_middle_of_the_window_is_the_middle_of_the_located_brain():
    turn = np.array([[0.8, 0.1, 0.0, 12.0], [-0.1, 0.85, 0.0, -30.0], [0.0, 0.0, 0.9, 5.0], [0.0, 0.0, 0.0, 1.0]])
    grid = window(Location(turn, 0.5, 0.4))
    middle = apply_affine(grid.affine, (np.array([SHAPE]) - 1) / 2.0)
    assert np.allclose(middle, apply_affine(turn, np.array([MIDDLE_MM])))


def test_shares_do_not_hang_on_the_scale_of_the_values(network: BrainNet):
    rng = np.random.default_rng(1)
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = -90.0
    geometry = Geometry((45, 45, 45), affine)
    values = rng.random((45, 45, 45), dtype=np.float32)
    here = Location(np.eye(4), 0.5, 0.4)
    share, grid = brain_share(network.eval(), values, geometry, here)
    louder, _ = brain_share(network.eval(), np.float32(512.0) * values, geometry, here)
    assert grid.shape == share.shape == SHAPE
    assert np.allclose(share, louder, atol=1e-4)
