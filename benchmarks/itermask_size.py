"""What one pass of IterMask's 3D network costs at the small and at the published width, 2 mm and 1 mm.

    OMP_NUM_THREADS=1 python benchmarks/itermask_size.py

Random weights, since time does not hang on them; one row a grid: processor seconds, the process's peak memory so far,
operations made and those of the network as published, which convolves enlarged images, and the time over that of as
many operations in a product of two matrices. The best of three passes.
"""

from __future__ import annotations

import time

import torch
from itermask_speed import CONVOLUTION, matrix_rate, peak_gb
from torch.utils.flop_counter import FlopCounterMode

from anomri.methods.itermask.networks import ResidualUNet, folded

SMALL, WHOLE = (80, 96, 80), (192, 192, 192)


def main() -> None:
    torch.set_num_threads(1)
    print("| width | grid | s a pass | peak GB | GMAC made | GMAC published | over the product's time | published |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for width, sides in ((8, SMALL), (16, SMALL), (16, WHOLE)):
        network, x = folded(ResidualUNet(width=width)), torch.randn(1, 2, *sides)
        with torch.inference_mode(), FlopCounterMode(display=False, custom_mapping=CONVOLUTION) as counter:
            network(x)
        made = counter.get_total_flops() / 2e9
        published = made + enlarging(width, sides) * (27 - 8)
        rate, seconds = matrix_rate(), min(passing(network, x) for _ in range(3))
        over = (seconds * rate / work for work in (made, published))
        print(
            f"| {width} | {' × '.join(map(str, sides))} | {seconds:.2f} | {peak_gb():.2f} | {made:.1f} | "
            f"{published:.1f} | {' | '.join(f'{one:.2f}' for one in over)} |",
            flush=True,
        )


def enlarging(width: int, sides: tuple[int, int, int]) -> float:
    """Billions of multiplications of one tap of all enlarging convolutions: 8 taps are made, 27 published."""
    voxels = sides[0] * sides[1] * sides[2]
    # Channels of the stages that are enlarged, finest first; each has an eighth of the voxels of the one before.
    return sum(channels**2 * voxels / 8**n for n, channels in enumerate((2, 4, 8, 24))) * width**2 / 1e9


def passing(network: torch.nn.Module, x: torch.Tensor) -> float:
    started = time.process_time()
    with torch.inference_mode():
        network(x)
    return time.process_time() - started


if __name__ == "__main__":
    main()
