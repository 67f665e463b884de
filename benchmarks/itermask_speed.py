"""What scoring with iterative mask refinement costs, fast against published path: same weights, precision and scans.

    OMP_NUM_THREADS=1 python benchmarks/itermask_speed.py MODEL SCANS OUT.csv [--scans 12] [--gamma 0.05]

MODEL holds a fitted `itermask`, SCANS skull-stripped T1w scans it has not seen. Every scan is read as it is and with a
simulated lesion of 5 ml, one row each: processor seconds of both paths and, for a matrix product, their rate; Dice
between the final masks, and between those of the published path with two seeds of the noise. Rows that stand in OUT.csv
are not measured again. Limits: fast ÷ published at most 1/5; the published path at most 1.7 × counted operations ÷ the
rate of a matrix product; Dice at least 0.9, or the published path's own.

The slope γ is the model's, or `--gamma`: where γ is beyond every scan's slope all masks are empty, and their agreement
says nothing. Rows of different γ belong into different tables.
"""

from __future__ import annotations

import argparse
import csv
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from anomri import io
from anomri.core.prepared import Prepared
from anomri.methods.itermask import IterMask, IterMaskConfig, Refined
from anomri.metrics.overlap import dice
from anomri.models import Model
from anomri.preparation import prepare
from anomri.scope import first_look
from anomri.simulate import lesion

MEASURED = ("passes", "step", "threshold", "size", "error")
FIELDS = [
    *("scan", "lesion", "fast_s", "published_s", "counted_gmac", "gmac_per_s", "dice", "dice_of_seeds"),
    *(f"{path}_{name}" for path in ("fast", "published") for name in MEASURED),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("scans", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scans", dest="count", type=int, default=12)
    parser.add_argument("--gamma", type=float)
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = Model.load(given.model)
    method = next(branch.method for branch in model.branches if isinstance(branch.method, IterMask))
    paths = {path: on_path(method, path, given.gamma) for path in ("fast", "published")}
    known = {(row["scan"], row["lesion"]) for row in rows_of(given.out)}
    for file in sorted(given.scans.glob("*.nii.gz"))[: given.count]:
        name = file.name.removesuffix(".nii.gz")
        if {(name, "0"), (name, "1")} <= known:
            continue
        scan = io.read(file)
        clean = prepare(scan, model.recipe, mask=first_look(scan, model.recipe).foreground)
        for number, each in enumerate((clean, with_lesion(clean))):
            if (name, str(number)) not in known:
                append(given.out, {"scan": name, "lesion": number, **measured(paths, each)})
    summary(rows_of(given.out))


def on_path(method: IterMask, path: str, gamma: float | None = None) -> IterMask:
    """The same weights, and γ if none is given, on one of the two paths."""
    config = IterMaskConfig.model_validate({**method._config.model_dump(), "path": path})
    made = IterMask.restore(config, method.state())
    made._gamma = made._gamma if gamma is None else gamma
    return made


def with_lesion(prepared: Prepared) -> Prepared:
    """The scan with 5 ml as dark in white matter as grey matter is."""
    voxels, inside = prepared.scan.voxels, prepared.inside.mask
    white = float(np.percentile(voxels[inside], 80))
    grey = white * prepared.history.measured("quality", "grey_to_white")
    made = lesion(
        prepared.scan,
        volume_ml=5.0,
        contrast=1.0,
        sign="dark",
        seed=1,
        brain=inside,
        grey_white_difference=white - grey,
        candidates=voxels > grey,
    )
    return replace(prepared, scan=made.scan)


def timed(read: Callable[[], Refined]) -> tuple[Refined, float]:
    started = time.process_time()
    return read(), time.process_time() - started


def measured(paths: dict[str, IterMask], prepared: Prepared) -> dict[str, float]:
    """One row: both paths one after the other, and a matrix product between them."""
    fast, fast_s = timed(lambda: paths["fast"].refined(prepared, None, seed=0))
    rate = matrix_rate()
    published, published_s = timed(lambda: paths["published"].refined(prepared, None, seed=0))
    again = paths["published"].refined(prepared, None, seed=1)
    nothing = float("nan")
    row: dict[str, float] = {
        "fast_s": fast_s,
        "published_s": published_s,
        "counted_gmac": published.passes * gmac_a_pass(paths["published"], prepared),
        "gmac_per_s": rate,
        "dice": agreement(fast.mask, published.mask),
        "dice_of_seeds": agreement(again.mask, published.mask),
    }
    for name, found in (("fast", fast), ("published", published)):
        row |= {
            f"{name}_passes": found.passes,
            f"{name}_step": nothing if found.found.step is None else found.found.step,
            f"{name}_threshold": nothing if found.found.threshold is None else found.found.threshold,
            f"{name}_size": float(found.mask.sum() / prepared.inside.mask.sum()),
            f"{name}_error": float(found.errors.sum() / prepared.inside.mask.sum()),
        }
    return row


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Dice, 1 where both are empty."""
    return dice(one, other) if other.any() else float(not one.any())


def convolution_operations(
    x: list[int], weight: list[int], *_rest: object, out_shape: list[int], **_known: object
) -> int:
    """Operations of oneDNN's convolution, which torch does not count by itself."""
    return conv_flop_count(x, weight, out_shape)


CONVOLUTION = {torch.ops.aten.mkldnn_convolution: convolution_operations}


def gmac_a_pass(method: IterMask, prepared: Prepared) -> float:
    """Billions of multiplications of one pass, counted as it runs."""
    rebuild, voxels = method._rebuilder(prepared, None, 0)
    with FlopCounterMode(display=False, custom_mapping=CONVOLUTION) as counter:
        rebuild(np.ones(voxels, dtype=bool), 1)
    return float(counter.get_total_flops() / 2e9)


def matrix_rate(side: int = 1024) -> float:
    """Billions of multiplications a processor second in the best of five matrix products."""
    one, other = torch.randn(side, side), torch.randn(side, side)
    seconds = []
    for _ in range(5):
        started = time.process_time()
        _ = one @ other
        seconds.append(time.process_time() - started)
    return side**3 / min(seconds) / 1e9


def rows_of(out: Path) -> list[dict[str, str]]:
    if not out.exists():
        return []
    with out.open(newline="") as file:
        return list(csv.DictReader(file))


def append(out: Path, row: dict[str, object]) -> None:
    new = not out.exists()
    with out.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if new:
            writer.writeheader()
        writer.writerow({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()})


def summary(rows: list[dict[str, str]]) -> None:
    """Print medians over the rows, with and without a lesion."""
    columns = {name: np.array([float(row[name]) for row in rows]) for name in FIELDS if name != "scan"}
    ratio = columns["fast_s"] / columns["published_s"]
    efficiency = columns["published_s"] * columns["gmac_per_s"] / columns["counted_gmac"]
    print(f"rows {len(rows)}; fast ÷ published: median {np.median(ratio):.3f}, largest {ratio.max():.3f}")
    print(f"published ÷ (operations ÷ matrix rate): median {np.median(efficiency):.2f}, largest {efficiency.max():.2f}")
    ill = columns["lesion"] == 1
    for name in ("dice", "dice_of_seeds"):
        print(
            f"{name}, with a lesion: median {np.median(columns[name][ill]):.3f}, least {columns[name][ill].min():.3f}"
        )
    # A slope that never exceeds γ does so after the last step.
    steps = [np.nan_to_num(columns[f"{path}_step"], nan=101.0) for path in ("fast", "published")]
    moved = np.abs(steps[0] - steps[1])
    print(f"|Δt*| ≤ 1 in {np.mean(moved <= 1):.0%}; peak memory {peak_gb():.2f} GB")


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
