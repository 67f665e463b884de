"""The residual quantiser against a plain one, and a tokenizer that stays frozen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from anomri.methods.tokens.tokenizer import (
    ResidualQuantiser,
    Tokenizer,
    TokenizerShape,
    nearest,
    orthogonality,
    turned_apart,
)

SMALL = TokenizerShape(
    image=(16, 24), patch=4, width=8, depth=1, heads=2, hidden=8, codes=6, stem=8, dropout=0.3, channels=3
)


def quantiser(**settings_: float) -> ResidualQuantiser:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        made = ResidualQuantiser(2, 5, 3, **settings_)
        made.codebooks.copy_(torch.randn(2, 5, 3))
        made.sums.copy_(made.codebooks)
        made.started.fill_(True)
    return made


def vectors(count: int = 40, seed: int = 2) -> torch.Tensor:
    return torch.randn(4, count // 4, 3, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_the_codes_are_those_of_a_plain_residual_quantiser(seed: int) -> None:
    made, given_ = quantiser().eval(), vectors(seed=seed)
    found = made(given_)
    for row in np.ndindex(4, 10):
        rest, total = given_[row].numpy(), np.zeros(3, dtype=np.float32)
        for level in range(2):
            book = made.codebooks[level].numpy()
            chosen = min(range(5), key=lambda code, rest=rest, book=book: float(((rest - book[code]) ** 2).sum()))
            assert int(found.indices[row][level]) == chosen
            rest, total = rest - book[chosen], total + book[chosen]
        np.testing.assert_allclose(found.vectors[row].numpy(), total, atol=1e-6)


def test_the_commitment_is_the_sum_over_levels() -> None:
    made, given_ = quantiser().eval(), vectors()
    found = made(given_)
    first = made.codebooks[0][found.indices[..., 0]]
    second = made.codebooks[1][found.indices[..., 1]]
    expected = ((given_ - first) ** 2).mean() + ((given_ - first - second) ** 2).mean()
    assert float(found.commitment) == pytest.approx(float(expected), rel=1e-6)
    assert torch.allclose(made.vectors_of(found.indices), found.vectors)


def test_the_gradient_passes_straight_through_and_commits() -> None:
    made, given_ = quantiser(), vectors().requires_grad_()
    weight = torch.randn(given_.shape, generator=torch.Generator().manual_seed(3))
    for mode in (made.train(), made.eval()):
        found = mode(given_)
        (slope,) = torch.autograd.grad((found.vectors * weight).sum(), given_, retain_graph=True)
        assert torch.equal(slope, weight)
    # Of both levels' mean squares, the codes held fast.
    (pull,) = torch.autograd.grad(found.commitment, given_)
    first = made.codebooks[0][found.indices[..., 0]]
    both = first + made.codebooks[1][found.indices[..., 1]]
    expected = 2.0 * ((given_ - first) + (given_ - both)) / given_.numel()
    assert torch.allclose(pull, expected.detach(), rtol=1e-5, atol=1e-7)


def test_the_codes_follow_their_vectors_by_moving_averages() -> None:
    made, given_ = quantiser(decay=0.9, dead_below=0.0), vectors()
    flat = given_.reshape(-1, 3).numpy().astype(np.float64)
    before = {name: getattr(made, name).clone().numpy().astype(np.float64) for name in ("codebooks", "counts", "sums")}
    made(given_)
    rest = flat
    for level in range(2):
        book = before["codebooks"][level]
        chosen = ((rest[:, None] - book[None]) ** 2).sum(axis=2).argmin(axis=1)
        counts = 0.9 * before["counts"][level] + 0.1 * np.bincount(chosen, minlength=5)
        sums = 0.9 * before["sums"][level] + 0.1 * np.stack([rest[chosen == code].sum(axis=0) for code in range(5)])
        smoothed = (counts + 1e-5) / (counts.sum() + 5e-5) * counts.sum()
        np.testing.assert_allclose(made.codebooks[level].numpy(), sums / smoothed[:, None], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(made.counts[level].numpy(), counts, rtol=1e-5)
        rest = rest - book[chosen]


def test_a_dead_code_is_replaced_by_a_vector_of_the_batch() -> None:
    made, given_ = quantiser(dead_below=0.5), vectors()
    made.codebooks[0, 3] = 1e3
    made.counts[0, 3] = 0.1
    made(given_)
    distances = (given_.reshape(-1, 3) - made.codebooks[0, 3]).abs().sum(dim=1)
    assert float(distances.min()) == 0.0
    assert float(made.counts[0, 3]) == 0.5


def test_k_means_starts_on_the_first_training_batch_alone() -> None:
    made = ResidualQuantiser(2, 4, 2)
    corners = torch.tensor([[0.0, 0.0], [0.0, 9.0], [9.0, 0.0], [9.0, 9.0]])
    cloud = (corners.repeat(50, 1) + 0.1 * torch.randn(200, 2, generator=torch.Generator().manual_seed(0)))[None]
    made.eval()(cloud)
    assert not bool(made.started)
    made.train()(cloud)
    assert bool(made.started)
    # k-means may end in a local optimum; what it cannot do is leave the vectors far from their codes.
    assert float(made.eval()(cloud).commitment) < float(cloud.var())
    assert float(nearest(cloud[0], made.codebooks[0]).unique().numel()) >= 3


def test_in_evaluation_mode_nothing_moves() -> None:
    made = quantiser().eval()
    before = {name: buffer.clone() for name, buffer in made.named_buffers()}
    made(vectors())
    assert all(torch.equal(buffer, before[name]) for name, buffer in made.named_buffers())


def test_codes_turned_apart_are_more_orthogonal_and_as_long() -> None:
    book = torch.randn(12, 4, generator=torch.Generator().manual_seed(5)) + 0.5
    turned = turned_apart(book, 0.05)
    assert float(orthogonality(turned)) < float(orthogonality(book))
    assert torch.allclose(turned.norm(dim=1), book.norm(dim=1), rtol=1e-5)
    assert float(orthogonality(torch.eye(4))) == pytest.approx(0.0, abs=1e-7)


def test_the_step_apart_goes_down_the_slope_of_the_orthogonality() -> None:
    book = torch.nn.functional.normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(6)), dim=1)
    leaf = book.clone().requires_grad_()
    (slope,) = torch.autograd.grad(orthogonality(leaf), leaf)
    moved = (turned_apart(book, 1e-4) - book) / (1e-4 * 6)
    assert torch.allclose(moved, -slope, atol=2e-2 * float(slope.abs().max()))


def test_a_tokenizer_in_use_cannot_leave_evaluation_mode() -> None:
    tokenizer = Tokenizer(SMALL)
    images = torch.randn(2, 3, 16, 24)
    tokenizer.train()(images)
    tokenizer.freeze()
    parent = nn.ModuleDict({"tokenizer": tokenizer, "other": nn.Dropout()})
    before = {name: tensor.clone() for name, tensor in tokenizer.state_dict().items()}
    parent.train()
    tokenizer.train()
    assert parent["other"].training
    assert not any(module.training for module in tokenizer.modules())
    assert torch.equal(tokenizer(images)[0], tokenizer(images)[0])
    assert all(torch.equal(tensor, before[name]) for name, tensor in tokenizer.state_dict().items())
    assert not any(weight.requires_grad for weight in tokenizer.parameters())


def test_the_output_is_clamped_in_use_and_not_in_training() -> None:
    tokenizer = Tokenizer(SMALL)
    with torch.no_grad():
        tokenizer.decoder[-1].bias.fill_(9.0)
    images = torch.randn(1, 3, 16, 24)
    assert float(tokenizer.train()(images)[0].detach().max()) > 3.0
    assert float(tokenizer.eval()(images)[0].detach().max()) == 3.0


def test_in_use_the_encoder_reads_as_pytorchs_own_does() -> None:
    encoder = Tokenizer(replace(SMALL, depth=2)).eval().encoder
    layer = nn.TransformerEncoderLayer(8, 2, 8, 0.3, activation="gelu", batch_first=True)
    plain = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    plain.load_state_dict(encoder.state_dict())
    tokens = torch.randn(3, 24, 8)
    assert torch.allclose(encoder(tokens), plain(tokens), atol=1e-5)


def test_slices_are_decoded_from_their_codes() -> None:
    tokenizer = Tokenizer(SMALL)
    images = torch.randn(2, 3, 16, 24)
    tokenizer.train()(images)
    tokenizer.eval()
    rebuilt, quantised = tokenizer(images)
    assert quantised.indices.shape == (2, 24, 2)
    assert rebuilt.shape == (2, 1, 16, 24)
    assert torch.allclose(tokenizer.decode_codes(quantised.indices), rebuilt, atol=1e-6)


# Counts of the design: patch embedding, encoder with positions, codebooks, decoder.
COUNTS = {192: (16_640, 6_580_224, 98_304, 14_458_177), 256: (16_640, 6_580_224, 131_072, 14_458_177)}


@pytest.mark.parametrize("codes", [192, 256])
def test_the_published_size_has_the_published_number_of_weights(codes: int) -> None:
    with torch.device("meta"):
        tokenizer = Tokenizer(TokenizerShape(codes=codes))

    def count(*parts: nn.Module) -> int:
        return sum(weight.numel() for part in parts for weight in part.parameters())

    found = (
        count(tokenizer.embed),
        count(tokenizer.encoder) + tokenizer.position.numel(),
        tokenizer.quantiser.codebooks.numel(),
        count(tokenizer.decoder),
    )
    assert found == COUNTS[codes]
    whole = count(tokenizer) + tokenizer.quantiser.codebooks.numel()
    assert whole == {192: 21_153_345, 256: 21_186_113}[codes]
    # The published file also has a module that no loss and no score uses.
    assert whole + 2_033_408 == {192: 23_186_753, 256: 23_219_521}[codes]
