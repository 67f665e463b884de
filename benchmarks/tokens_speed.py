"""What scoring with the token system costs, fast against published, same weights and precision, on one core.

    OMP_NUM_THREADS=1 python benchmarks/tokens_speed.py [--sizes brain pelvis] [--slices 8]
    OMP_NUM_THREADS=1 python benchmarks/tokens_speed.py --model MODEL --scan SCAN

The first command measures processor time at the published sizes, with random weights, since time does not hang on them.
The published score has the published passes: Monte Carlo, healing of the slice and of its mirror image, inpainting; an
image is encoded once in it, not five times. Limits: surprisal 1/8 of the published one's time (brain), the whole score
0.3 of it without and 0.5 with the mirrored healing, and each 1.7 × counted operations ÷ the rate of a matrix product. A
further table splits the work into its stages.

The second command says, for a fitted model, how the exact cover's surprisal of a scan goes with that of 2,000 random
masks, and how far off as many random masks, 50 and 100 of them are.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from anomri import io
from anomri.methods.tokens import PRESETS, Tokens, TokensConfig
from anomri.methods.tokens.perceptual import Denoiser, perceptual_map
from anomri.methods.tokens.scoring import Networks, read_slices
from anomri.methods.tokens.slices import Slices
from anomri.methods.tokens.surprisal import (
    checkerboard,
    cover_masks,
    heal,
    masked_surprisal,
    monte_carlo_masks,
    slopes,
)
from anomri.methods.tokens.tokenizer import Tokenizer
from anomri.methods.tokens.tokenizer import _EncoderLayer as EncoderLayer
from anomri.methods.tokens.transformer import TokenTransformer
from anomri.models import Model
from anomri.preparation import prepare
from anomri.scope import first_look


def attention_operations(q: torch.Size, k: torch.Size, v: torch.Size, *_rest: object, **_known: object) -> int:
    """Operations of a CPU's attention, which torch does not count by itself."""
    return sdpa_flop_count(q, k, v)


ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_operations}
# Halves of the checkerboards that the published score heals, of the slice and of its mirror image.
HALVES = {"brain": ((4, False),), "pelvis": ((2, False), (2, True))}
MANY = 2000
REPEATS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--sizes", nargs="*", default=["brain", "pelvis"], choices=["brain", "pelvis"])
    parser.add_argument("--slices", type=int, default=8)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--scan", type=Path)
    given = parser.parse_args()
    if given.model is not None:
        estimators(given.model, given.scan)
        return
    for size in given.sizes:
        costs(size, given.slices)


# Time


def costs(size: str, count: int) -> None:
    """One table: seconds a slice, as a share of the published score, and against counted operations."""
    config = PRESETS[f"tokens-{size}"].config
    assert isinstance(config, TokensConfig)
    networks = random_networks(config)
    rng = np.random.default_rng(0)
    slices = Slices(
        rng.normal(size=(count, 1, 256, 256)).astype(np.float32), np.linspace(0, 1, count, dtype=np.float32)
    )

    def ours(**changes: object) -> Callable[[Slices], object]:
        settings = config.model_copy(update=changes)
        return lambda some: read_slices(networks, some, settings, seed=0)

    rows: dict[str, tuple[Callable[[Slices], object], str]] = {
        "published surprisal": (ours(surprisal="monte-carlo", healing=False), "published surprisal"),
        "cover surprisal": (ours(healing=False), "published surprisal"),
        "published score": (lambda some: published(networks, some, config, HALVES[size]), "published score"),
        "published score, no inpainting": (
            lambda some: published(networks, some, config, HALVES[size], inpainting=False),
            "published score",
        ),
        "score, not mirrored": (ours(mirrored=False), "published score"),
        "score": (ours(), "published score"),
    }
    rate = matrix_rate()
    print(f"\n{size}, {count} slices, {rate / 1e9:.0f} GFLOP/s in a matrix product\n")
    print("| what | s a slice | share of published | TFLOP a slice | time ÷ (operations ÷ rate) |")
    print("| --- | --- | --- | --- | --- |")
    seconds: dict[str, float] = {}
    for name, (work, opponent) in rows.items():
        with FlopCounterMode(display=False, custom_mapping=ATTENTION) as counter:
            work(Slices(slices.pixels[:1], slices.positions[:1]))
        operations = counter.get_total_flops()
        # Rates drift on a shared machine: the one that counts is measured right before.
        rate = matrix_rate()
        start = time.process_time()
        work(slices)
        seconds[name] = (time.process_time() - start) / count
        share, over = seconds[name] / seconds[opponent], seconds[name] / (operations / rate)
        print(f"| {name} | {seconds[name]:.2f} | {share:.3f} | {operations / 1e12:.3f} | {over:.2f} |", flush=True)
    stages(networks, slices)


def stages(networks: Networks, slices: Slices) -> None:
    """One table: seconds a slice of each stage, and against counted operations."""
    _, tokenizer, transformer = networks
    shape = transformer.shape
    pixels, at = torch.from_numpy(slices.pixels[:1]), torch.from_numpy(slices.positions[:1])
    codes = tokenizer.encode(pixels).indices
    one, two = codes.unbind(dim=-1)
    heads = torch.randn(3, 1, shape.heads, one.shape[1], shape.width // shape.heads)

    def attend() -> None:
        for _ in range(shape.depth):
            functional.scaled_dot_product_attention(*heads)

    work: dict[str, Callable[[], object]] = {
        "encoding": lambda: tokenizer.encode(pixels),
        "encoding, PyTorch's fused layer": lambda: tokenizer.encode(pixels),
        "decoding": lambda: tokenizer.decode_codes(codes),
        "a pass of the transformer": lambda: transformer(one, two, 0, at),
        "its attention": attend,
        "perceptual map": lambda: perceptual_map(networks.features, pixels, pixels),
    }
    print("\n| stage | s a slice | time ÷ (operations ÷ rate) |\n| --- | --- | --- |")
    for name, stage in work.items():
        layer = nn.TransformerEncoderLayer.forward if "PyTorch" in name else EncoderLayer.forward
        with torch.inference_mode(), patch.object(EncoderLayer, "forward", layer):
            with FlopCounterMode(display=False, custom_mapping=ATTENTION) as counter:
                stage()
            rate = matrix_rate()
            start = time.process_time()
            for _ in range(REPEATS):
                stage()
        seconds = (time.process_time() - start) / REPEATS
        over = "–" if "PyTorch" in name else f"{seconds / (counter.get_total_flops() / rate):.2f}"
        print(f"| {name} | {seconds:.3f} | {over} |", flush=True)


def random_networks(config: TokensConfig) -> Networks:
    """Networks of a preset's sizes that have learnt nothing."""
    torch.manual_seed(0)
    image = (256, 256)
    tokenizer = Tokenizer(config.tokenizer(image))
    tokenizer.quantiser.codebooks.normal_()
    transformer = TokenTransformer(config.transformer(image)).requires_grad_(False).eval()
    return Networks(Denoiser(config.feature_width).requires_grad_(False).eval(), tokenizer.freeze(), transformer)


def published(
    networks: Networks,
    slices: Slices,
    config: TokensConfig,
    halves: tuple[tuple[int, bool], ...],
    *,
    inpainting: bool = True,
) -> None:
    """The published score's work, slice by slice: surprisal, healing, inpainting, and their perceptual maps.

    The published brain inpaints, too, and drops the result.
    """
    masks = monte_carlo_masks(1024, passes=config.passes, rate=config.rate, generator=torch.Generator().manual_seed(0))
    tokenizer = networks.tokenizer
    with torch.inference_mode():
        for pixels, at in zip(torch.from_numpy(slices.pixels), torch.from_numpy(slices.positions), strict=True):

            def predict(
                first: torch.Tensor, second: torch.Tensor, task: int, rows: torch.Tensor, at=at
            ) -> torch.Tensor:
                return networks.transformer(first, second, task, at.expand(len(rows)))

            def healed(codes: torch.Tensor, mask: torch.Tensor, steps: int, predict=predict) -> torch.Tensor:
                return tokenizer.decode_codes(heal(predict, codes, mask[None], hidden=config.codes, steps=steps))

            own = pixels[None]
            codes = tokenizer.encode(own).indices
            masked_surprisal(predict, codes[..., 0], masks, hidden=config.codes, rows_at_once=4)
            for image in (own, own.flip(2)):
                seen = tokenizer.encode(image).indices
                reference = tokenizer.decode_codes(seen) if config.reference == "reconstruction" else image
                boards = [checkerboard((32, 32), side) ^ odd for side, odd in halves]
                images = [healed(seen, board, config.steps) for board in boards]
                perceptual_map(networks.features, reference, torch.stack(images).mean(dim=0))
            if inpainting:
                inpainted = healed(codes, torch.arange(1024) % 8 == 0, 2 * config.steps)
                perceptual_map(networks.features, own, inpainted)


def matrix_rate() -> float:
    """Operations a second of the best of several products of 2048 × 2048 matrices."""
    one, other = torch.randn(2, 2048, 2048)
    taken = []
    for _ in range(6):
        start = time.process_time()
        one @ other
        taken.append(time.process_time() - start)
    return 2 * 2048**3 / min(taken)


# Agreement


def estimators(folder: Path, path: Path) -> None:
    """Correlation and error of the cover, and of random masks, against many random masks."""
    model = Model.load(folder)
    method = next(branch.method for branch in model.branches if isinstance(branch.method, Tokens))
    scan = io.read(path)
    prepared = prepare(scan, model.recipe, mask=first_look(scan, model.recipe).foreground)
    networks, slicing = method._fitted()
    levels = slicing.levels(prepared)[5::10]
    agreement(networks, slicing.cut(prepared, levels), method._config)


def agreement(networks: Networks, slices: Slices, config: TokensConfig) -> None:
    """Print one row an estimator: passes, correlation over a slice's tokens, error as a share of the spread."""
    first = networks.tokenizer.encode(torch.from_numpy(slices.pixels)).indices[..., 0]
    at = torch.from_numpy(slices.positions)
    grid = networks.tokenizer.shape.grid
    rate = 1.0 - 1.0 / config.groups

    def drawn(passes: int, seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return monte_carlo_masks(grid[0] * grid[1], passes=passes, rate=rate, generator=generator)

    def nats(masks: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return masked_surprisal(
                lambda one, two, task, rows: networks.transformer(one, two, task, at[rows]),
                first,
                masks,
                hidden=config.codes,
                rows_at_once=8,
            )[0]

    truth = nats(drawn(MANY, 1))
    rows = {}
    for sets in (1, 2, len(slopes(config.groups))):
        rows[f"cover, {sets} sets of {config.groups}"] = cover_masks(grid, groups=config.groups, sets=sets)
        rows[f"random, {sets * config.groups}"] = drawn(sets * config.groups, 2)
    rows |= {f"random, {passes}": drawn(passes, 2) for passes in (50, 100)}
    print("\n| masks | passes | correlation, least and median of slices | error ÷ spread |\n| --- | --- | --- | --- |")
    for name, masks in rows.items():
        found = nats(masks)
        known = torch.isfinite(found)
        each = [
            float(torch.corrcoef(torch.stack([f[k], t[k]]))[0, 1]) for f, t, k in zip(found, truth, known, strict=True)
        ]
        off = float((found - truth)[known].square().mean().sqrt() / truth.std())
        print(f"| {name} | {len(masks)} | {min(each):.4f}, {np.median(each):.4f} | {off:.3f} |", flush=True)


if __name__ == "__main__":
    main()
