"""How strong the artefacts of published evaluations are on the scale of this project.

    python benchmarks/recipe_strength.py SCANS OUT.csv [--subjects 1] [--seeds 3]

SCANS holds site A; its development subjects are read and no others. A recipe and its counterpart at every severity are
measured on the same scans and seeds: medians of the root mean square error (share of the white-matter signal) and of
the structural similarity inside the brain, and by each the severity that lies nearest on a logarithmic scale.
"""

from __future__ import annotations

import argparse
import csv
import functools
from pathlib import Path

import numpy as np

from anomri import io
from anomri.core.scan import Scan
from anomri.datasets.site_a import DEVELOPMENT
from anomri.preparation.mask import stripped_mask
from anomri.simulate import RECIPES, SEVERITIES, corrupt

COUNTERPART = {
    "tokens-motion": "motion",
    "tokens-spike": "spike",
    "tokens-ghosting": "ghosting",
    "tokens-noise": "noise",
    "tokens-blur": "blur",
    "tokens-square": "bright-lesion",
    "itermask3d-top-chunk": "missing",
    "itermask3d-middle-chunk": "missing",
    "itermask3d-bias": "bias",
    "itermask3d-spike": "spike",
    "itermask3d-ghosting": "ghosting",
    "itermask3d-noise": "noise",
    "itermask3d-zipper": "zipper",
}
# Beyond the last severity by more than half of a usual step it counts as off the scale.
OFF_SCALE = 1.4


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("scans", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--subjects", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    scans = [io.read(given.scans / f"{subject}_T1w.nii.gz") for subject in DEVELOPMENT[: given.subjects]]
    cases = [(scan, stripped_mask(scan.voxels), seed) for scan in scans for seed in range(given.seeds)]
    measured = functools.cache(functools.partial(measure, tuple(cases)))
    with given.out.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["recipe", "nrmse", "ssim", "counterpart", "level_by_nrmse", "level_by_ssim"])
        for recipe in RECIPES:
            error, likeness = measured(recipe, 1)
            scale = [measured(COUNTERPART[recipe], severity) for severity in SEVERITIES]
            levels = nearest(error, [e for e, _ in scale]), nearest(1.0 - likeness, [1.0 - s for _, s in scale])
            row = [recipe, f"{error:.3f}", f"{likeness:.2f}", COUNTERPART[recipe], *levels]
            table.writerow(row)
            file.flush()
            print(*row, flush=True)


def measure(cases: tuple[tuple[Scan, np.ndarray, int], ...], kind: str, severity: int) -> tuple[float, float]:
    """Median error and similarity over scans and seeds."""
    made = [
        corrupt(scan, kind, severity=severity, seed=seed, brain=brain).record.measured for scan, brain, seed in cases
    ]
    return float(np.median([m["nrmse"] for m in made])), float(np.median([m["ssim"] for m in made]))


def nearest(value: float, levels: list[float]) -> str:
    """The severity whose distance is nearest, or that it lies off the scale."""
    if value > OFF_SCALE * max(levels):
        return "beyond 5"
    if value < min(levels) / OFF_SCALE:
        return "below 1"
    gaps = np.abs(np.log(np.maximum(levels, 1e-6)) - np.log(max(value, 1e-6)))
    return str(1 + int(np.argmin(gaps)))


if __name__ == "__main__":
    main()
