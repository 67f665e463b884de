"""What scoring with the token system makes of a GPU: slices a second, and the share of a matrix product's rate.

    python benchmarks/tokens_gpu.py

Published sizes with random weights, since time does not hang on them; wall time, the device waited for. Float32, with
and without TF32. Where there is no GPU it runs on the CPU, with one slice and smaller matrices.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from tokens_speed import random_networks
from torch.utils.flop_counter import FlopCounterMode

from anomri.methods.tokens import PRESETS, TokensConfig
from anomri.methods.tokens.scoring import Networks, read_slices
from anomri.methods.tokens.slices import Slices

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SLICES, FEW, SIDE = (64, 8, 8192) if DEVICE == "cuda" else (1, 1, 512)
ROWS: dict[str, dict[str, object]] = {
    "cover surprisal": {"healing": False},
    "published surprisal": {"surprisal": "monte-carlo", "healing": False},
    "score, not mirrored": {"mirrored": False},
    "score": {},
}


def main() -> None:
    print("| size | TF32 | what | slices a second | TFLOP a slice | TFLOP/s | share of a matrix product |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for size in ("brain", "pelvis"):
        config = PRESETS[f"tokens-{size}"].config
        assert isinstance(config, TokensConfig)
        networks = Networks(*(network.to(DEVICE) for network in random_networks(config)))
        for fast in (False, True):
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = fast
            rate = matrix_rate()
            for name, changes in ROWS.items():
                settings = config.model_copy(update=changes)
                with FlopCounterMode(display=False) as counter:
                    read_slices(networks, slices(FEW), settings, seed=0)
                operations = counter.get_total_flops() / FEW
                count = FEW if name.startswith("published") else SLICES
                seconds = timed(networks, count, settings)
                done = operations * count / seconds
                print(
                    f"| {size} | {fast} | {name} | {count / seconds:.1f} | {operations / 1e12:.3f} | {done / 1e12:.1f} "
                    f"| {done / rate:.2f} |",
                    flush=True,
                )


def slices(count: int) -> Slices:
    """Noise: time does not hang on what the slices show."""
    pixels = np.random.default_rng(0).normal(size=(count, 1, 256, 256)).astype(np.float32)
    return Slices(pixels, np.linspace(0, 1, count, dtype=np.float32))


def timed(networks: Networks, count: int, settings: TokensConfig) -> float:
    """Seconds for so many slices, all waited for."""
    some = slices(count)
    wait()
    started = time.perf_counter()
    read_slices(networks, some, settings, seed=0)
    wait()
    return time.perf_counter() - started


def matrix_rate() -> float:
    """Operations a second of the best of ten products of square matrices in float32."""
    one, other = torch.randn(2, SIDE, SIDE, device=DEVICE)
    taken = []
    for _ in range(10):
        wait()
        started = time.perf_counter()
        one @ other
        wait()
        taken.append(time.perf_counter() - started)
    return 2 * SIDE**3 / min(taken)


def wait() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
