"""Positions that are relative, slices that are told, and the published number of weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from anomri.methods.tokens import transformer
from anomri.methods.tokens.transformer import TokenTransformer, TransformerShape, rotary_table, rotated

SMALL = TransformerShape(grid=(4, 6), codes=5, width=16, depth=2, heads=2, hidden=16)


def network(**changes: object) -> TokenTransformer:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return TokenTransformer(replace(SMALL, **changes)).requires_grad_(False).eval()


def tokens(seed: int = 0, rows: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(0, 6, (rows, 24), generator=generator) for _ in range(2))


def test_the_product_of_rotated_vectors_hangs_on_their_relative_place_alone() -> None:
    shape = TransformerShape(grid=(7, 9), width=32, heads=2)
    cosine, sine = (table.view(7, 9, 16) for table in rotary_table(shape))
    q, k = torch.randn(2, 16, generator=torch.Generator().manual_seed(1))

    def product(one: tuple[int, int], other: tuple[int, int]) -> float:
        return float(rotated(q, cosine[one], sine[one]) @ rotated(k, cosine[other], sine[other]))

    for away in ((0, 0), (2, 0), (0, 3), (3, 5)):
        products = [product((r, c), (r + away[0], c + away[1])) for r in range(4) for c in range(4)]
        assert max(products) - min(products) < 1e-5
    assert product((0, 0), (2, 0)) != pytest.approx(product((0, 0), (0, 2)), abs=1e-3)
    assert product((0, 0), (1, 0)) != pytest.approx(product((1, 0), (0, 0)), abs=1e-3)


def test_a_rotation_is_a_product_of_complex_numbers() -> None:
    shape = TransformerShape(grid=(3, 4), width=16, heads=1)
    x = torch.randn(12, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    got = rotated(x, *(table.double() for table in rotary_table(shape)))
    rates = shape.rotary_base ** (-torch.arange(4, dtype=torch.float64) / 4)
    for token in range(12):
        angles = torch.cat([(token // 4) * rates, (token % 4) * rates])
        turned = torch.complex(x[token, :8], x[token, 8:]) * torch.polar(torch.ones(8, dtype=torch.float64), angles)
        torch.testing.assert_close(got[token], torch.cat([turned.real, turned.imag]), atol=1e-5, rtol=1e-5)


def test_the_hidden_layer_is_the_same_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tokens()
    made, at = network(), torch.zeros(3)
    with torch.enable_grad():
        whole = made(first, second, 0, at)
    # 16 hidden values: 5 tokens at a time of 72, the last part shorter.
    monkeypatch.setattr(transformer, "_AT_ONCE", 85)
    with torch.inference_mode():
        torch.testing.assert_close(made(first, second, 0, at), whole, atol=1e-5, rtol=1e-5)


def test_a_block_reads_the_same_however_its_input_lies_in_memory() -> None:
    block, turns = network().blocks[0], rotary_table(SMALL)
    x = torch.randn(24, 3, 16, generator=torch.Generator().manual_seed(2)).transpose(0, 1)
    with torch.no_grad():
        torch.testing.assert_close(block(x, *turns), block(x.contiguous(), *turns))


def test_rotation_keeps_lengths() -> None:
    cosine, sine = rotary_table(SMALL)
    x = torch.randn(24, 8, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(rotated(x, cosine, sine).norm(dim=-1), x.norm(dim=-1), rtol=1e-5)


def test_half_of_a_head_turns_with_the_row_and_half_with_the_column() -> None:
    _, sine = rotary_table(TransformerShape(grid=(5, 5), width=16, heads=1))
    turns = sine.view(5, 5, 16) != 0
    row, column = turns[1, 0], turns[0, 1]
    assert int(row.sum()) == int(column.sum()) == 8
    assert not (row & column).any()


def test_the_logits_change_with_the_slice() -> None:
    first, second = tokens()
    made = network()
    low, high = (made(first, second, 0, torch.full((3,), at)) for at in (0.3, 0.6))
    assert float((low - high).abs().max()) > 1e-2
    plain = network(sliced=False)
    assert torch.equal(*(plain(first, second, 0, torch.full((3,), at)) for at in (0.3, 0.6)))


def test_the_tasks_have_heads_of_their_own() -> None:
    first, second = tokens()
    made, at = network(), torch.zeros(3)
    assert float((made(first, second, 0, at) - made(first, second, 1, at)).abs().max()) > 1e-2


def test_a_slice_reads_the_same_alone_as_among_others() -> None:
    first, second = tokens(rows=5)
    made, at = network(), torch.linspace(0, 1, 5)
    together = made(first, second, 0, at)
    alone = torch.cat([made(first[n : n + 1], second[n : n + 1], 0, at[n : n + 1]) for n in range(5)])
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize(("codes", "published"), [(192, 8_617_603), (256, 8_683_267)])
def test_the_published_size_has_the_published_number_of_weights(codes: int, published: int) -> None:
    with torch.device("meta"):
        made = TokenTransformer(TransformerShape(codes=codes, sliced=False))
    # Three of the published weights are used by nothing.
    assert sum(weight.numel() for weight in made.parameters()) == published - 3
    assert sum(weight.numel() for weight in made.blocks[0].parameters()) == 1_052_416
    with torch.device("meta"):
        sliced = TokenTransformer(TransformerShape(codes=codes))
    assert sum(weight.numel() for weight in sliced.parameters()) == published - 3 + 256 * 257
