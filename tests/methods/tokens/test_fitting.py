"""What the three trainings are handed, losses, optimizers and batches, against plain arithmetic; nothing is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from anomri.methods.tokens import PRESETS, TokensConfig, fitting
from anomri.methods.tokens.fitting import (
    Course,
    fit_features,
    fit_tokenizer,
    fit_transformer,
    masked_cross_entropy,
    ordered_cross_entropy,
)
from anomri.methods.tokens.perceptual import Perceptual
from anomri.methods.tokens.slices import Slices
from anomri.methods.tokens.tokenizer import Quantised, Tokenizer
from anomri.training.fabric import make_fabric
from anomri.training.loop import Batch, Batches, Training
from anomri.training.seeding import seeded_torch

IMAGE, CODES, TOKENS = (16, 24), 5, 24


def tiny(**changes: object) -> TokensConfig:
    own = {"image": IMAGE, "patch": 4, "codes": CODES, "neighbours": 1}
    return TokensConfig(**{**PRESETS["tokens-tiny"].config.model_dump(), **own, **changes})


def numbered(count: int) -> Slices:
    """Slices that can be told apart by their brightness and their position: n / 10."""
    numbers = np.arange(count, dtype=np.float32) / 10
    return Slices(np.broadcast_to(numbers[:, None, None, None], (count, 3, *IMAGE)).copy(), numbers)


class Plain(Perceptual):
    """Features that can be followed by hand: each pixel beside a constant."""

    def features(self, slices: Tensor) -> list[Tensor]:
        return [torch.cat([slices, torch.ones_like(slices)], dim=1)]


@dataclass
class Handed:
    """What a training was given."""

    module: nn.Module
    loss: Callable[[nn.Module, Batch], Tensor]
    batches: Batches
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer]


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[Handed]:
    """Trainings are noted here instead of run."""
    noted = []

    def note(module: nn.Module, loss: Any, batches: Batches, *, optimizer: Any, **_: object) -> Training:
        noted.append(Handed(module, loss, batches, optimizer))
        return Training({}, 0, "32-true", 0.0, ())

    monkeypatch.setattr(fitting, "train", note)
    return noted


def untrained(config: TokensConfig) -> Tokenizer:
    with seeded_torch(5):
        tokenizer = Tokenizer(config.tokenizer(IMAGE))
        tokenizer.quantiser.codebooks.normal_()
    return tokenizer.freeze()


def fit_all(config: TokensConfig, slices: Slices) -> None:
    course = Course(1, make_fabric("cpu"), None, {})
    fit_features(slices, config, course)
    fit_tokenizer(slices, slices, Plain(), config, course)
    fit_transformer(slices, slices, untrained(config), config, course)


# Loss of the tokenizer


class Rebuilds(nn.Module):
    """A tokenizer that makes one image of everything."""

    def __init__(self, image: Tensor, commitment: float) -> None:
        super().__init__()
        self.image, self.commitment = image, commitment

    def forward(self, _: Tensor) -> tuple[Tensor, Quantised]:
        return self.image, Quantised(torch.zeros(0), torch.zeros(0), torch.tensor(self.commitment))


@pytest.mark.parametrize("perceptual_weight", [0.0, 0.7])
@pytest.mark.parametrize("commitment", [0.0, 0.3])
def test_the_tokenizers_loss_is_error_commitment_and_perceptual_difference_as_weighted(
    handed: list[Handed], perceptual_weight: float, commitment: float
) -> None:
    config = tiny(perceptual_weight=perceptual_weight, commitment=commitment, window=2.0)
    slices = numbered(2)
    fit_tokenizer(slices, slices, Plain(), config, Course(1, make_fabric("cpu"), None, {}))
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(2, 3, *IMAGE)).astype(np.float32)
    rebuilt = rng.normal(size=(2, 1, *IMAGE)).astype(np.float32)
    # The middle one of three channels is rebuilt.
    own = pixels[:, 1:2]

    def direction(x: NDArray[np.float32]) -> NDArray[np.float32]:
        x = x / 2.0
        return np.concatenate([x, np.ones_like(x)], axis=1) / np.sqrt(x**2 + 1)

    different = ((direction(own) - direction(rebuilt)) ** 2).mean()
    expected = np.abs(own - rebuilt).mean() + commitment * 4.0 + perceptual_weight * different
    found = handed[0].loss(Rebuilds(torch.from_numpy(rebuilt), 4.0), (torch.from_numpy(pixels),))
    assert float(found) == pytest.approx(expected, rel=1e-5)
    assert different > 0.1


# Losses of the transformers


def cross_entropy(logits: NDArray[np.float32], true: NDArray[np.int64], smoothing: float) -> float:
    """Mean over (n, K) logits of −Σ t log p, where t is 1 − s at the true code and s / K besides everywhere."""
    wide = logits.astype(np.float64)
    log_p = wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))
    wanted = np.full(wide.shape, smoothing / wide.shape[1])
    wanted[np.arange(len(true)), true] += 1.0 - smoothing
    return float(-(wanted * log_p).sum(axis=1).mean())


class Says(nn.Module):
    """A transformer that says what it is told to, (2, B, S, K), and keeps what it was asked."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits
        self.asked: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def forward(self, first: Tensor, second: Tensor, task: int, positions: Tensor) -> Tensor:
        self.asked[task] = (first, second, positions)
        return self.logits[task]


class SaysInOrder(nn.Module):
    """As `Says`, of both levels at once."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits
        self.asked: tuple[Tensor, Tensor, Tensor] | None = None

    def forward(self, codes: Tensor, orders: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        self.asked = (codes, orders, positions)
        return self.logits[0], self.logits[1]


def said() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits (2, 3, S, K), codes (3, S, 2), positions (3,), masks (3, 2, S): few of L1, most of L2."""
    rng = np.random.default_rng(1)
    logits = torch.from_numpy(rng.normal(scale=2.0, size=(2, 3, TOKENS, CODES)).astype(np.float32))
    codes = torch.from_numpy(rng.integers(0, CODES, (3, TOKENS, 2)))
    masks = torch.from_numpy(rng.random((3, 2, TOKENS)) < np.array([0.3, 0.8])[:, None])
    return logits, codes, torch.tensor([0.1, 0.5, 0.9]), masks


def masked_by_hand(weight: float, smoothing: float) -> float:
    logits, codes, _, masks = (part.numpy() for part in said())
    hidden = [masks[:, level] for level in (0, 1)]
    one, two = (
        cross_entropy(logits[level][hidden[level]], codes[..., level][hidden[level]], smoothing) for level in (0, 1)
    )
    return one + weight * two


def ordered_by_hand(weight: float, smoothing: float) -> float:
    logits, codes, _, _ = (part.numpy() for part in said())
    one, two = (
        cross_entropy(logits[level].reshape(-1, CODES), codes[..., level].ravel(), smoothing) for level in (0, 1)
    )
    return one + weight * two


@pytest.mark.parametrize("weight", [0.0, 0.25, 3.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_masked_cross_entropy_counts_hidden_tokens_of_both_levels(weight: float, smoothing: float) -> None:
    logits, codes, positions, masks = said()
    found = masked_cross_entropy(Says(logits), (codes, positions, masks), CODES, weight, smoothing)
    assert float(found) == pytest.approx(masked_by_hand(weight, smoothing), rel=1e-5)


def test_the_first_task_sees_nothing_of_l2_and_the_second_all_of_l1() -> None:
    logits, codes, positions, masks = said()
    module = Says(logits)
    masked_cross_entropy(module, (codes, positions, masks), CODES, 0.25, 0.0)
    first, second = codes.numpy()[..., 0], codes.numpy()[..., 1]
    expected = {
        0: (np.where(masks[:, 0], CODES, first), np.full_like(second, CODES)),
        1: (first, np.where(masks[:, 1], CODES, second)),
    }
    assert set(module.asked) == {0, 1}
    for task, (one, two, where) in module.asked.items():
        np.testing.assert_array_equal(one, expected[task][0])
        np.testing.assert_array_equal(two, expected[task][1])
        assert torch.equal(where, positions)


@pytest.mark.parametrize("weight", [0.0, 0.25, 3.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_ordered_cross_entropy_counts_all_tokens_of_both_levels(weight: float, smoothing: float) -> None:
    logits, codes, positions, _ = said()
    module, orders = SaysInOrder(logits), torch.tensor([0, 3, 7])
    found = ordered_cross_entropy(module, (codes, positions, orders), weight, smoothing)
    assert float(found) == pytest.approx(ordered_by_hand(weight, smoothing), rel=1e-5)
    assert module.asked is not None
    assert all(torch.equal(*pair) for pair in zip(module.asked, (codes, orders, positions), strict=True))


@pytest.mark.parametrize("surprisal", ["cover", "autoregressive"])
def test_the_transformers_loss_has_the_weights_of_the_settings_and_smooths_in_training_alone(
    handed: list[Handed], surprisal: str
) -> None:
    config = tiny(surprisal=surprisal, second_weight=0.4, smoothing=0.2)
    slices = numbered(2)
    fit_transformer(slices, slices, untrained(config), config, Course(1, make_fabric("cpu"), None, {}))
    logits, codes, positions, masks = said()
    in_order = surprisal == "autoregressive"
    module = SaysInOrder(logits) if in_order else Says(logits)
    batch = (codes, positions, torch.tensor([0, 3, 7]) if in_order else masks)
    by_hand = ordered_by_hand if in_order else masked_by_hand
    assert float(handed[0].loss(module.train(), batch)) == pytest.approx(by_hand(0.4, 0.2), rel=1e-5)
    assert float(handed[0].loss(module.eval(), batch)) == pytest.approx(by_hand(0.4, 0.0), rel=1e-5)


# Optimizers


def adamw_by_hand(start: NDArray[np.float64], slopes: list[NDArray[np.float64]], rate: float) -> NDArray[np.float64]:
    """Decoupled decay of the last four weights, 0.01 a step; moments of 0.9 and 0.98."""
    at, mean, square = start.copy(), np.zeros_like(start), np.zeros_like(start)
    decay = np.where(np.arange(len(start)) < len(start) - 4, 0.0, 0.01)
    for step, slope in enumerate(slopes, start=1):
        at *= 1.0 - rate * decay
        mean = 0.9 * mean + 0.1 * slope
        square = 0.98 * square + 0.02 * slope**2
        at -= rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.98**step)) + 1e-8)
    return at


def test_gradients_of_all_groups_together_have_a_norm_of_at_most_one(handed: list[Handed]) -> None:
    config, slices = tiny(second_rate=0.1), numbered(2)
    fit_transformer(slices, slices, untrained(config), config, Course(1, make_fabric("cpu"), None, {}))
    # Two weights that do not decay and four that do.
    bias, matrix = nn.Parameter(torch.tensor([1.0, -2.0])), nn.Parameter(torch.tensor([[3.0, 1.0], [-1.0, 0.5]]))
    optimizer = handed[0].optimizer([bias, matrix])
    start = np.concatenate([p.detach().numpy().ravel() for p in (bias, matrix)]).astype(np.float64)
    slopes = [np.array([0.1, -0.2, 0.3, 0.1, 0.0, 0.2]), np.array([30.0, 20.0, -100.0, 10.0, 5.0, -40.0])]
    for slope in slopes:
        bias.grad = torch.tensor(slope[:2], dtype=torch.float32)
        matrix.grad = torch.tensor(slope[2:], dtype=torch.float32).view(2, 2)
        optimizer.step()
    clipped = [slope / max(1.0, np.linalg.norm(slope)) for slope in slopes]
    found = np.concatenate([p.detach().numpy().ravel() for p in (bias, matrix)])
    np.testing.assert_allclose(found, adamw_by_hand(start, clipped, 0.1), atol=1e-4)
    assert np.abs(adamw_by_hand(start, slopes, 0.1) - adamw_by_hand(start, clipped, 0.1)).max() > 1e-2


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize(("length", "expected"), [(50.0, 1.0), (0.5, 0.5)])
def test_both_token_trainings_clip_their_gradients(
    handed: list[Handed], stage: int, length: float, expected: float
) -> None:
    fit_all(tiny(), numbered(2))
    weights = list(handed[stage].module.requires_grad_(True).parameters())
    optimizer = handed[stage].optimizer(weights)
    for weight in weights:
        weight.grad = torch.full_like(weight, length / sum(w.numel() for w in weights) ** 0.5)
    optimizer.step()
    assert sum(float(w.grad.square().sum()) for w in weights) ** 0.5 == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("surprisal", ["cover", "autoregressive"])
def test_without_a_gradient_the_matrices_of_a_transformer_shrink_and_nothing_else(
    handed: list[Handed], surprisal: str
) -> None:
    config, slices = tiny(surprisal=surprisal, second_rate=0.5), numbered(2)
    fit_transformer(slices, slices, untrained(config), config, Course(1, make_fabric("cpu"), None, {}))
    network = handed[0].module.requires_grad_(True)
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    optimizer = handed[0].optimizer(network.parameters())
    for weight in network.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    # Named by hand: the layers of a block, both heads, what knows the position.
    layers = ("qkv", "out", "gate", "up", "down", "0", "1", "slice")
    kinds = set()
    for name, weight in network.named_parameters():
        *_, layer, kind = name.split(".")
        decays = kind == "weight" and layer in layers
        kinds.add((kind, decays))
        torch.testing.assert_close(weight.detach(), before[name] * (1.0 - 0.5 * 0.01 * decays), rtol=1e-6, atol=0.0)
    assert kinds == {("weight", True), ("weight", False), ("bias", False)}


# Batches


def visited(batches: Batches, epoch: int) -> list[Batch]:
    return [batches.batch(seed=3, epoch=epoch, step=step) for step in range(batches.per_epoch)]


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 12))
def test_where_each_so_many_th_sample_is_taken_all_have_their_turn_in_less_than_twice_as_many_epochs(
    count: int, size: int, every: int
) -> None:
    batches = fitting._batches(count, size, every, lambda indices, *_: (torch.from_numpy(indices),))
    seen: set[int] = set()
    for epoch in range(2 * every - 1):
        chosen = torch.cat([part for (part,) in visited(batches, epoch)]).tolist()
        assert len(set(chosen)) == len(chosen)
        assert max(1, count // every) <= len(chosen) <= -(-count // every)
        seen |= set(chosen)
    assert seen == set(range(count))


def test_a_batch_is_made_for_its_seed_and_epoch() -> None:
    for every in (1, 3):
        asked: list[tuple[int, int]] = []

        def make(indices: NDArray[np.intp], seed: int, epoch: int, asked: list[tuple[int, int]] = asked) -> Batch:
            asked.append((seed, epoch))
            return (torch.from_numpy(indices),)

        visited(fitting._batches(6, 6, every, make), epoch=5)
        assert asked == [(3, 5)]


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_each_training_takes_each_so_many_th_slice_and_sees_all_in_the_end(handed: list[Handed], stage: int) -> None:
    fit_all(tiny(every=4, first_batch=2, second_batch=2), numbered(11))
    numbers = []
    for epoch in range(7):
        for batch in visited(handed[stage].batches, epoch):
            # The transformer's batches have positions, those before it pixels.
            numbers += (batch[1] if stage == 2 else batch[0].mean(dim=(1, 2, 3))).tolist()
    np.testing.assert_allclose(sorted(set(np.round(numbers, 4))), np.arange(11) / 10, atol=1e-4)
    assert 7 * 2 <= len(numbers) <= 7 * 3


def test_the_rate_rises_in_the_share_that_is_asked_for_and_at_once_without_one() -> None:
    assert [fitting._warmed(done, 0.08) for done in (0.0, 0.04, 0.08, 0.5)] == pytest.approx([0.0, 0.5, 1.0, 1.0])
    assert fitting._warmed(0.0, 0.0) == 1.0
