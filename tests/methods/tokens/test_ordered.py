"""The autoregressive likelihood against brute force on an alphabet so small that every slice can be counted."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from anomri.methods.tokens.ordered import OrderedTransformer, heal_unlikely, ordered_surprisal, orderings
from anomri.methods.tokens.transformer import TransformerShape

SHAPE = TransformerShape(grid=(1, 3), codes=2, width=16, depth=2, heads=2, hidden=16)
LARGER = TransformerShape(grid=(3, 4), codes=5, width=16, depth=2, heads=2, hidden=16)


def network(shape: TransformerShape) -> OrderedTransformer:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return OrderedTransformer(shape).requires_grad_(False).eval()


def nats(made: OrderedTransformer, codes: Tensor, order: int) -> Tensor:
    """(B, S, 2): −log p of both levels."""
    rows, at = torch.full((len(codes),), order), torch.full((len(codes),), 0.4)
    logits = torch.stack([part.log_softmax(dim=-1) for part in made(codes, rows, at)], dim=2)
    return -logits.gather(3, codes[..., None])[..., 0]


@pytest.mark.parametrize("order", range(8))
def test_the_likelihoods_of_all_slices_there_are_sum_to_one(order: int) -> None:
    every = torch.tensor(list(itertools.product(range(2), repeat=6))).view(64, 3, 2)
    likelihood = torch.exp(-nats(network(SHAPE), every, order).sum(dim=(1, 2)))
    assert float(likelihood.sum()) == pytest.approx(1.0, abs=1e-5)
    assert float(likelihood.std()) > 1e-3


@pytest.mark.parametrize("order", [0, 3, 6])
def test_a_tokens_likelihood_is_the_share_of_slices_that_go_on_with_it(order: int) -> None:
    made = network(SHAPE)
    every = torch.tensor(list(itertools.product(range(2), repeat=6))).view(64, 3, 2)
    likelihood = torch.exp(-nats(made, every, order).sum(dim=(1, 2)))
    places = made.orders[order].tolist()
    found = nats(made, every, order)
    for slice_, values in zip(every, found, strict=True):
        same = torch.ones(64, dtype=torch.bool)
        for place in places:
            before = likelihood[same].sum()
            for level in (0, 1):
                same &= every[:, place, level] == slice_[place, level]
                share = likelihood[same].sum() / before
                assert float(values[place, level]) == pytest.approx(-float(share.log()), abs=1e-4)
                before = likelihood[same].sum()


@pytest.mark.parametrize("order", range(8))
def test_a_token_hangs_on_those_before_it_alone(order: int) -> None:
    made = network(LARGER)
    codes = torch.randint(0, 5, (1, 12, 2), generator=torch.Generator().manual_seed(1))
    places = made.orders[order].tolist()
    for changed in range(12):
        other = codes.clone()
        other[0, places[changed]] = (other[0, places[changed]] + 1) % 5
        moved = (
            made(codes, torch.tensor([order]), torch.zeros(1))[0]
            - made(other, torch.tensor([order]), torch.zeros(1))[0]
        )
        reached = moved[0].abs().amax(dim=-1) > 1e-6
        assert not any(bool(reached[place]) for place in places[: changed + 1])
        assert all(bool(reached[place]) for place in places[changed + 1 :])


def test_the_orderings_are_eight_scans_that_visit_each_place_once() -> None:
    orders = orderings((3, 4))
    assert {tuple(sorted(order.tolist())) for order in orders} == {tuple(range(12))}
    assert len({tuple(order.tolist()) for order in orders}) == 8
    assert {int(order[0]) for order in orders} == {0, 3, 8, 11}


def test_the_surprisal_is_the_mean_over_orderings() -> None:
    made = network(LARGER)
    codes = torch.randint(0, 5, (3, 12, 2), generator=torch.Generator().manual_seed(2))
    found = ordered_surprisal(made, codes, torch.full((3,), 0.4), orders=8)
    expected = torch.stack([nats(made, codes, order)[..., 0] for order in range(8)]).mean(dim=0)
    assert torch.allclose(found, expected, atol=1e-5)


def plain_healing(made: OrderedTransformer, codes: Tensor, unlikely: Tensor, order: int) -> Tensor:
    """Without a cache: a whole pass for every token."""
    healed = codes.clone()
    rows, at = torch.full((len(codes),), order), torch.full((len(codes),), 0.4)
    for place in made.orders[order].tolist():
        for level in (0, 1):
            best = made(healed, rows, at)[level][:, place].argmax(dim=-1)
            healed[:, place, level] = torch.where(unlikely[:, place], best, healed[:, place, level])
    return healed


@pytest.mark.parametrize("order", [0, 2, 7])
def test_healing_with_a_cache_is_healing_without_and_leaves_likely_tokens_alone(order: int) -> None:
    made = network(LARGER)
    generator = torch.Generator().manual_seed(4)
    codes = torch.randint(0, 5, (3, 12, 2), generator=generator)
    unlikely = torch.rand(3, 12, generator=generator) < 0.5
    healed = heal_unlikely(made, codes, unlikely, torch.full((3,), 0.4), order=order)
    assert torch.equal(healed, plain_healing(made, codes, unlikely, order))
    assert torch.equal(healed[~unlikely], codes[~unlikely])
    assert not torch.equal(healed, codes)
