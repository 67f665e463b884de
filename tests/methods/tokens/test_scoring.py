"""Both maps of slices against the same maps put together by hand, with networks that have learnt nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from anomri.methods.tokens import PRESETS, TokensConfig, scoring
from anomri.methods.tokens.ordered import OrderedTransformer, heal_unlikely, ordered_surprisal
from anomri.methods.tokens.perceptual import Denoiser, Perceptual, perceptual_map
from anomri.methods.tokens.scoring import Networks, inpainted_difference, read_slices
from anomri.methods.tokens.slices import Slices
from anomri.methods.tokens.surprisal import heal
from anomri.methods.tokens.tokenizer import Tokenizer
from anomri.methods.tokens.transformer import TokenTransformer
from anomri.training.seeding import seeded_torch

IMAGE, GRID = (16, 24), (4, 6)
TOKENS = GRID[0] * GRID[1]


def settings(**changes: object) -> TokensConfig:
    tiny = PRESETS["tokens-tiny"].config
    own = {"image": IMAGE, "patch": 4, "codes": 8, "neighbours": 1, "patterns": (1,), "mirrored": False}
    return TokensConfig(**{**tiny.model_dump(), **own, **changes})


def untrained(config: TokensConfig, features: Perceptual | None = None) -> Networks:
    with seeded_torch(5):
        tokenizer = Tokenizer(config.tokenizer(IMAGE))
        tokenizer.quantiser.codebooks.normal_()
        kind = OrderedTransformer if config.surprisal == "autoregressive" else TokenTransformer
        transformer = kind(config.transformer(IMAGE))
        denoiser = Denoiser(config.feature_width)
    for network in (transformer, denoiser):
        network.requires_grad_(False).eval()
    return Networks(denoiser if features is None else features, tokenizer.freeze(), transformer)


def noise(positions: tuple[float, ...] = (0.1, 0.5, 0.8), seed: int = 0) -> Slices:
    pixels = np.random.default_rng(seed).normal(size=(len(positions), 3, *IMAGE)).clip(-3, 3)
    return Slices(pixels.astype(np.float32), np.float32(positions))


def codes_of(networks: Networks, slices: Slices) -> Tensor:
    return networks.tokenizer.encode(torch.from_numpy(slices.pixels)).indices


def decoded(networks: Networks, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The codes of every decoding from now on."""
    seen, decode = [], networks.tokenizer.decode_codes

    def recorded(grids: Tensor) -> Tensor:
        seen.append(grids.clone())
        return decode(grids)

    monkeypatch.setattr(networks.tokenizer, "decode_codes", recorded)
    return seen


def healed_by_hand(networks: Networks, slices: Slices, hidden: NDArray[np.bool_], config: TokensConfig) -> Tensor:
    """Codes in which the tokens of one mask, (S,) or (n, S), are healed in `config.steps` commits."""
    positions = torch.from_numpy(slices.positions)
    masks = torch.from_numpy(np.broadcast_to(hidden, (len(positions), TOKENS)).copy())
    return heal(
        lambda first, second, task, rows: networks.transformer(first, second, task, positions[rows]),
        codes_of(networks, slices),
        masks,
        hidden=config.codes,
        steps=config.steps,
    )


def board(side: int) -> NDArray[np.bool_]:
    rows, columns = np.indices(GRID) // side
    return ((rows + columns) % 2 == 0).ravel()


def look(networks: Networks, one: Tensor, other: Tensor, window: float) -> NDArray[np.float32]:
    return perceptual_map(networks.features, one / window, other / window)[:, 0].numpy()


def assert_close(found: NDArray[np.float32] | None, expected: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


# Surprisal


def test_surprisal_is_the_mean_over_the_masks_that_hide_a_token_at_the_slices_position() -> None:
    config = settings(groups=3, sets=1, healing=False)
    networks, slices = untrained(config), noise()
    first = codes_of(networks, slices)[..., 0]
    rows, columns = np.indices(GRID)
    total = np.zeros((3, TOKENS))
    for shown in range(3):
        # The first set of a cover has slope 2.
        mask = torch.from_numpy(((columns + 2 * rows) % 3 != shown).ravel())
        for n, position in enumerate(slices.positions):
            seen = first[n : n + 1].masked_fill(mask, config.codes)
            logits = networks.transformer(seen, torch.full_like(seen, config.codes), 0, torch.tensor([position]))
            nats = -torch.log_softmax(logits[0].double(), dim=-1)[range(TOKENS), first[n]]
            total[n] += np.where(mask, nats, 0.0) / 2
    assert_close(read_slices(networks, slices, config, seed=0).surprisal, total.reshape(3, *GRID).astype(np.float32))


@pytest.mark.parametrize("surprisal", ["cover", "autoregressive"])
@pytest.mark.parametrize("sliced", [True, False])
def test_the_same_pixels_are_read_differently_elsewhere_only_if_their_place_is_told(
    surprisal: str, sliced: bool
) -> None:
    config = settings(surprisal=surprisal, sliced=sliced, unlikely=2.0)
    networks, slices = untrained(config), noise()
    pixels = np.repeat(slices.pixels[:1], 2, axis=0)
    maps = read_slices(networks, Slices(pixels, np.float32([0.2, 0.7])), config, seed=0)
    for values in (maps.surprisal, maps.healed, maps.difference):
        assert values is not None
        assert np.allclose(values[0], values[1], atol=1e-5) != sliced


def test_drawn_masks_hang_on_the_seed_and_a_cover_does_not() -> None:
    cover, drawn = settings(healing=False), settings(healing=False, surprisal="monte-carlo", passes=20)
    networks, slices = untrained(cover), noise()
    covered = [read_slices(networks, slices, cover, seed=seed).surprisal for seed in (1, 2)]
    assert np.array_equal(covered[0], covered[1])
    one, again, other = (read_slices(networks, slices, drawn, seed=seed).surprisal for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


# Healing


def test_both_halves_of_a_checkerboard_are_healed_merged_and_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(patterns=(1, 2), reference="input")
    networks, slices = untrained(config), noise()
    codes = codes_of(networks, slices)
    expected = [
        torch.where(
            torch.from_numpy(board(side))[:, None],
            healed_by_hand(networks, slices, board(side), config),
            healed_by_hand(networks, slices, ~board(side), config),
        )
        for side in config.patterns
    ]
    images = torch.stack([networks.tokenizer.decode_codes(grids) for grids in expected])
    seen = decoded(networks, monkeypatch)
    maps = read_slices(networks, slices, config, seed=0)
    assert len(seen) == len(config.patterns)
    for grids, merged, side in zip(seen, expected, config.patterns, strict=True):
        assert torch.equal(grids, merged)
        for half in (board(side), ~board(side)):
            assert (grids != codes)[:, half].any(dim=1).all()
    assert_close(maps.healed, images.mean(dim=0)[:, 0].numpy())
    own = torch.from_numpy(slices.own)
    assert_close(maps.difference, np.mean([look(networks, own, image, config.window) for image in images], axis=0))


def test_with_many_slices_every_token_can_be_healed(monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(patterns=(2,), reference="input")
    networks, slices = untrained(config), noise(tuple(np.linspace(0, 1, 40)))
    seen = decoded(networks, monkeypatch)
    read_slices(networks, slices, config, seed=0)
    changed = torch.cat(seen) != codes_of(networks, slices)
    assert changed.any(dim=0).all()


def test_unlikely_tokens_are_healed_in_each_ordering(monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(surprisal="autoregressive", orderings=3, unlikely=2.2, reference="input")
    networks, slices = untrained(config), noise()
    codes, positions = codes_of(networks, slices), torch.from_numpy(slices.positions)
    transformer = networks.transformer
    assert isinstance(transformer, OrderedTransformer)
    nats = ordered_surprisal(transformer, codes, positions, orders=3)
    assert 0.1 < float((nats > 2.2).float().mean()) < 0.9
    expected = [heal_unlikely(transformer, codes, nats > 2.2, positions, order=order) for order in range(3)]
    image = torch.stack([networks.tokenizer.decode_codes(grids) for grids in expected]).mean(dim=0)
    seen = decoded(networks, monkeypatch)
    maps = read_slices(networks, slices, config, seed=0)
    assert_close(maps.surprisal, nats.view(3, *GRID).numpy())
    assert torch.equal(torch.stack(seen), torch.stack(expected))
    assert_close(maps.healed, image[:, 0].numpy())


@pytest.mark.parametrize("reference", ["input", "reconstruction"])
def test_a_healed_slice_is_compared_with_what_the_settings_say(reference: str) -> None:
    config = settings(reference=reference)
    networks, slices = untrained(config), noise()
    maps = read_slices(networks, slices, config, seed=0)
    # The middle one of three channels is the slice itself.
    own = torch.from_numpy(slices.pixels[:, 1:2])
    rebuilt = networks.tokenizer.decode_codes(codes_of(networks, slices))
    assert maps.healed is not None
    healed = torch.from_numpy(maps.healed)[:, None]
    expected = {name: look(networks, seen, healed, 3.0) for name, seen in (("input", own), ("reconstruction", rebuilt))}
    assert_close(maps.difference, expected[reference])
    assert not np.allclose(expected["input"], expected["reconstruction"], rtol=0.05)


@pytest.mark.parametrize("surprisal", ["cover", "autoregressive"])
def test_a_mirrored_map_is_the_mean_of_both_slices_maps(surprisal: str) -> None:
    alone = settings(surprisal=surprisal, unlikely=2.2)
    networks, slices = untrained(alone), noise()
    mirror = Slices(np.ascontiguousarray(slices.pixels[:, :, ::-1]), slices.positions)
    one, other = (read_slices(networks, each, alone, seed=0) for each in (slices, mirror))
    both = read_slices(networks, slices, settings(surprisal=surprisal, unlikely=2.2, mirrored=True), seed=0)
    assert one.difference is not None
    assert other.difference is not None
    assert_close(both.difference, (one.difference + other.difference[:, ::-1]) / 2)
    assert_close(both.healed, one.healed)
    assert not np.allclose(one.difference, other.difference[:, ::-1], rtol=0.05)


class Weighted(Perceptual):
    """Two stages of two channels: of each pixel, and of the mean of the slice; with or without factors."""

    def __init__(self, factors: tuple[tuple[float, float], ...] | None) -> None:
        super().__init__()
        self.factors = factors

    def features(self, slices: Tensor) -> list[Tensor]:
        mean = slices.mean(dim=(2, 3), keepdim=True)
        return [torch.cat([x, torch.full_like(x, 0.5)], dim=1) for x in (slices, mean)]

    def weights(self) -> list[Tensor] | None:
        return None if self.factors is None else [torch.tensor(f) for f in self.factors]


@pytest.mark.parametrize("factors", [None, ((2.0, 0.25), (3.0, 5.0))])
def test_channels_count_by_the_factors_of_the_network_or_all_alike(
    factors: tuple[tuple[float, float], ...] | None,
) -> None:
    config = settings(reference="input")
    networks, slices = untrained(config, Weighted(factors)), noise()
    maps = read_slices(networks, slices, config, seed=0)
    assert maps.healed is not None
    one, other = slices.pixels[:, 1] / 3.0, maps.healed / 3.0
    counted = np.float32([[0.5, 0.5], [0.5, 0.5]] if factors is None else factors)

    def direction(x: NDArray[np.float32]) -> NDArray[np.float32]:
        length = np.sqrt(x**2 + 0.25)
        return np.stack([x / length, 0.5 / length], axis=-1)

    expected = ((direction(one) - direction(other)) ** 2) @ counted[0]
    whole = [x.mean(axis=(1, 2)) for x in (one, other)]
    expected += (((direction(whole[0]) - direction(whole[1])) ** 2) @ counted[1])[:, None, None]
    assert_close(maps.difference, expected)


# Inpainting


def marks() -> NDArray[np.bool_]:
    """(3, S): 10, 16 and 6 tokens."""
    drawn = np.random.default_rng(3).permuted(np.tile(np.arange(TOKENS), (3, 1)), axis=1)
    return drawn < np.array([[10], [16], [6]])


@pytest.mark.parametrize("tokens_at_once", [1, 4096])
def test_inpainting_heals_marked_tokens_alone_in_twice_as_many_commits(
    monkeypatch: pytest.MonkeyPatch, tokens_at_once: int
) -> None:
    monkeypatch.setitem(scoring._TOKENS_AT_ONCE, "cpu", tokens_at_once)
    config = settings(steps=3, reference="input")
    networks, slices, marked = untrained(config), noise(), marks()
    codes = codes_of(networks, slices)
    expected = healed_by_hand(networks, slices, marked, settings(steps=6))
    seen = decoded(networks, monkeypatch)
    passes: list[int] = []
    counting = networks.transformer.register_forward_hook(lambda _, given, __: passes.append(given[2]))
    different = inpainted_difference(networks, slices, marked, config)
    counting.remove()
    grids = torch.cat(seen)
    assert torch.equal(grids[~marked], codes[~marked])
    assert (grids != codes)[marked].any()
    assert torch.equal(grids, expected)
    chunks = 3 if tokens_at_once == 1 else 1
    assert [passes.count(task) for task in (0, 1)] == [6 * chunks, 6 * chunks]
    healed = networks.tokenizer.decode_codes(expected)
    assert_close(different, look(networks, torch.from_numpy(slices.own), healed, config.window))


def test_inpainting_in_order_heals_marked_tokens_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(surprisal="autoregressive", reference="input")
    networks, slices, marked = untrained(config), noise(), marks()
    codes, transformer = codes_of(networks, slices), networks.transformer
    assert isinstance(transformer, OrderedTransformer)
    positions = torch.from_numpy(slices.positions)
    expected = heal_unlikely(transformer, codes, torch.from_numpy(marked), positions, order=0)
    seen = decoded(networks, monkeypatch)
    inpainted_difference(networks, slices, marked, config)
    assert torch.equal(seen[0][~marked], codes[~marked])
    assert (seen[0] != codes)[marked].any()
    assert torch.equal(seen[0], expected)
