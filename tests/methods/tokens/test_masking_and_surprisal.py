"""Masks, the two estimators of surprisal, and healing, against brute force on toys."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from anomri.methods.tokens.masking import training_mask
from anomri.methods.tokens.surprisal import (
    checkerboard,
    cover_masks,
    heal,
    masked_surprisal,
    monte_carlo_masks,
    slopes,
)

GRID, CODES = (5, 6), 4
TOKENS = GRID[0] * GRID[1]


def toy(first: Tensor, second: Tensor, task: int, rows: Tensor) -> Tensor:
    """Logits that hang on every token, the task and the row."""
    weights = torch.randn(2, CODES + 1, TOKENS, CODES, generator=torch.Generator().manual_seed(7 + task))
    logits = torch.zeros(len(first), TOKENS, CODES)
    for level, codes in enumerate((first, second)):
        mixed = torch.stack([weights[level, code] for code in codes.flatten().tolist()]).view(
            *codes.shape, TOKENS, CODES
        )
        logits += torch.stack([mixed[:, place].roll(place, dims=1) for place in range(TOKENS)]).mean(dim=0) * 3
    return logits + 0.3 * rows[:, None, None].float()


def codes(rows: int = 3, seed: int = 0) -> Tensor:
    return torch.randint(0, CODES, (rows, TOKENS, 2), generator=torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=40)
@given(st.tuples(st.integers(2, 33), st.integers(2, 33)), st.integers(2, 12), st.integers(1, 4))
def test_a_cover_hides_every_token_equally_often(grid: tuple[int, int], groups: int, sets: int) -> None:
    sets = min(sets, len(slopes(groups)))
    masks = cover_masks(grid, groups=groups, sets=sets)
    assert masks.shape == (sets * groups, grid[0] * grid[1])
    assert set(masks.sum(dim=0).tolist()) == {sets * (groups - 1)}
    for number in range(sets):
        shown = ~masks[number * groups : (number + 1) * groups]
        assert torch.equal(shown.sum(dim=0), torch.ones(grid[0] * grid[1], dtype=torch.long))


@pytest.mark.parametrize(("groups", "sets", "sizes"), [(10, 1, (102, 104)), (5, 2, (204, 206))])
def test_the_published_grid_is_hidden_at_the_published_rate(groups: int, sets: int, sizes: tuple[int, int]) -> None:
    shown = (~cover_masks((32, 32), groups=groups, sets=sets)).sum(dim=1)
    assert sizes[0] <= int(shown.min()) <= int(shown.max()) <= sizes[1]


@pytest.mark.parametrize("groups", [5, 10])
def test_no_two_neighbours_are_shown_together(groups: int) -> None:
    for mask in cover_masks((12, 13), groups=groups, sets=1):
        shown = ~mask.view(12, 13)
        assert not (shown[1:] & shown[:-1]).any()
        assert not (shown[:, 1:] & shown[:, :-1]).any()


def test_the_sets_of_a_cover_differ() -> None:
    masks = cover_masks((8, 8), groups=5, sets=4)
    assert len({tuple(mask.tolist()) for mask in masks}) == 20


@pytest.mark.parametrize("rows_at_once", [1, 4, 100])
@pytest.mark.parametrize("estimator", ["cover", "monte-carlo"])
def test_surprisal_is_the_mean_masked_likelihood(estimator: str, rows_at_once: int) -> None:
    masks = (
        cover_masks(GRID, groups=3, sets=2)
        if estimator == "cover"
        else monte_carlo_masks(TOKENS, passes=7, rate=0.8, generator=torch.Generator().manual_seed(1))
    )
    first = codes()[..., 0]
    found, count = masked_surprisal(toy, first, masks, hidden=CODES, rows_at_once=rows_at_once)
    for row in range(len(first)):
        for place in range(TOKENS):
            nll = []
            for mask in masks:
                if mask[place]:
                    seen = torch.where(mask, CODES, first[row])[None]
                    logits = toy(seen, torch.full_like(seen, CODES), 0, torch.tensor([row]))[0, place].double()
                    nll.append(float(torch.logsumexp(logits, 0) - logits[first[row, place]]))
            assert int(count[place]) == len(nll)
            assert float(found[row, place]) == pytest.approx(np.mean(nll), abs=1e-5)


def test_a_token_no_mask_hides_has_no_surprisal() -> None:
    masks = torch.ones(2, TOKENS, dtype=torch.bool)
    masks[:, 4] = False
    found, count = masked_surprisal(toy, codes()[..., 0], masks, hidden=CODES, rows_at_once=8)
    assert torch.isnan(found).any(dim=0).nonzero().flatten().tolist() == [4]
    assert int(count[4]) == 0


def test_many_random_masks_come_close_to_the_cover() -> None:
    first = codes(rows=1)[..., 0]
    many = monte_carlo_masks(TOKENS, passes=600, rate=0.8, generator=torch.Generator().manual_seed(2))
    slow, _ = masked_surprisal(toy, first, many, hidden=CODES, rows_at_once=200)
    fast, _ = masked_surprisal(toy, first, cover_masks(GRID, groups=5, sets=2), hidden=CODES, rows_at_once=200)
    assert float(torch.corrcoef(torch.stack([slow[0], fast[0]]))[0, 1]) > 0.95


@pytest.mark.parametrize("side", [1, 2, 4])
def test_a_checkerboard_is_as_published(side: int) -> None:
    board = checkerboard((32, 32), side).view(32, 32)
    for row, column in np.ndindex(32, 32):
        assert bool(board[row, column]) == ((row // side + column // side) % 2 == 0)
    assert int(board.sum()) == 512


def plain_healing(given_: Tensor, mask: Tensor, row: int, steps: int) -> Tensor:
    """One slice, token by token, level by level."""
    healed = given_.clone()
    for level in (0, 1):
        current = healed[:, level].clone()
        current[mask] = CODES
        for step in range(steps):
            left = [n for n in range(TOKENS) if int(current[n]) == CODES]
            blank = torch.full((1, TOKENS), CODES)
            seen = (current[None], blank) if level == 0 else (healed[None, :, 0], current[None])
            probability = torch.softmax(toy(*seen, level, torch.tensor([row]))[0], dim=-1)
            left.sort(key=lambda n, p=probability: -float(p[n].max()))
            for n in left[: -(-len(left) // (steps - step))]:
                current[n] = int(probability[n].argmax())
        healed[:, level] = current
    return healed


@pytest.mark.parametrize("steps", [1, 3, 6])
def test_healing_is_as_described_and_leaves_other_tokens_alone(steps: int) -> None:
    given_ = codes()
    masks = torch.rand(3, TOKENS, generator=torch.Generator().manual_seed(3)) < torch.tensor([[0.2], [0.5], [0.9]])
    healed = heal(toy, given_, masks, hidden=CODES, steps=steps)
    assert torch.equal(healed[~masks], given_[~masks])
    assert int(healed.max()) < CODES
    for row in range(3):
        assert torch.equal(healed[row], plain_healing(given_[row], masks[row], row, steps))


def test_nothing_to_heal_is_left_as_it_was() -> None:
    given_ = codes()
    assert torch.equal(heal(toy, given_, torch.zeros(3, TOKENS, dtype=torch.bool), hidden=CODES, steps=2), given_)


# Training masks


def shares(count: int = 400, grid: tuple[int, int] = (32, 32), **how: object) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.array([training_mask(grid, rng, **{"level": 0, "blocks": "none", **how}).mean() for _ in range(count)])


def test_wide_rates_reach_beyond_the_rate_of_scoring() -> None:
    found = shares(rates="wide")
    assert found.min() < 0.25
    assert (found > 0.8).mean() == pytest.approx(0.15 / 0.8, abs=0.06)
    assert found.mean() == pytest.approx(0.55, abs=0.04)


def test_the_papers_rates_stay_within_their_bounds() -> None:
    found = shares(rates="paper")
    assert found.mean() == pytest.approx(0.5, abs=0.03)
    assert found.min() > 0.1
    assert found.max() < 0.8


@pytest.mark.parametrize(("level", "mean"), [(0, 0.566), (1, 0.458)])
def test_the_codes_rates_have_the_published_means(level: int, mean: float) -> None:
    assert shares(rates="code", level=level).mean() == pytest.approx(mean, abs=0.02)


@pytest.mark.parametrize("blocks", ["squares", "rectangles"])
def test_half_of_the_masks_are_made_of_blocks(blocks: str) -> None:
    rng = np.random.default_rng(1)
    masks = [training_mask((32, 32), rng, rates="code", level=0, blocks=blocks).reshape(32, 32) for _ in range(200)]
    means = np.array([m.mean() for m in masks])
    # How often neighbours differ, as a share of how often they would if each token were drawn alone.
    edges = np.array([(m[:, 1:] != m[:, :-1]).mean() for m in masks]) / (2 * means * (1 - means))
    assert (edges < 0.8).mean() == pytest.approx(0.5, abs=0.1)
    assert means[edges < 0.8].mean() == pytest.approx(0.57, abs=0.06)


@settings(deadline=None, max_examples=30)
@given(
    st.tuples(st.integers(1, 9), st.integers(2, 9)),
    st.sampled_from(["wide", "paper", "code"]),
    st.sampled_from(["squares", "rectangles", "none"]),
    st.integers(0, 999),
)
def test_a_training_mask_always_hides_something(grid: tuple[int, int], rates: str, blocks: str, seed: int) -> None:
    mask = training_mask(grid, np.random.default_rng(seed), rates=rates, level=seed % 2, blocks=blocks)
    assert mask.shape == (grid[0] * grid[1],)
    assert mask.any()
