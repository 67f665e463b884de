"""What the metrics cost on one core.

    OMP_NUM_THREADS=1 python benchmarks/metrics_speed.py

Prints a table: seconds of processor time, the best of three, on made data of the size of a whole study. The limits are
2 s for the bootstrap of an AUROC (1,000 cases, 2,000 draws) and 2 s for average precision and best Dice of one
160 × 192 × 160 volume.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable

import numpy as np
from scipy import ndimage

from anomri.metrics.bootstrap import bootstrap_difference, bootstrap_interval
from anomri.metrics.detection import auroc_of, average_precision_of
from anomri.metrics.lesionwise import match_lesions
from anomri.metrics.overlap import surface_distance_95_mm, without_margin
from anomri.metrics.regions import aupimo, spro
from anomri.metrics.thresholds import otsu_threshold, threshold_at_false_positive_ml
from anomri.metrics.voxel import count_voxels, oracle_dice, voxel_average_precision

SHAPE = (160, 192, 160)
SPACING = (1.0, 1.0, 1.0)


def seconds(work: Callable[[], object]) -> float:
    """Processor time of the fastest of three runs."""
    taken = []
    for _ in range(3):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def main() -> None:
    """Measure and print."""
    rng = np.random.default_rng(0)
    abnormal = np.arange(1000) >= 500
    scores = rng.normal(size=(3, 1000)) + abnormal
    subjects = list(range(1000))
    noise = ndimage.gaussian_filter(rng.standard_normal(SHAPE, dtype=np.float32), 1.5)
    noise /= noise.std()
    centres = np.indices(SHAPE, dtype=np.float32)
    lesion = np.sqrt(sum((c - m) ** 2 for c, m in zip(centres, (60, 100, 80), strict=True))) < 20
    lesion |= np.sqrt(sum((c - m) ** 2 for c, m in zip(centres, (110, 60, 90), strict=True))) < 6
    brain = sum(((c - s / 2) / (0.45 * s)) ** 2 for c, s in zip(centres, SHAPE, strict=True)) < 1
    whole = noise + 1.5 * lesion
    inside = np.where(brain, whole, np.nan)
    normal = np.where(brain, noise, np.nan)
    level = float(np.nanpercentile(inside, 97))

    def figures(values: np.ndarray) -> None:
        counts = count_voxels([values], [lesion])
        voxel_average_precision(counts)
        oracle_dice(counts)

    def draw(statistic: Callable[..., object], runs: np.ndarray) -> object:
        return bootstrap_interval(runs, abnormal, subjects, statistic, rng=np.random.default_rng(1))

    rows: dict[str, Callable[[], object]] = {
        "AUROC, 1,000 cases, 2,000 draws": lambda: draw(auroc_of, scores[0]),
        "average precision, 1,000 cases, 2,000 draws": lambda: draw(average_precision_of, scores[0]),
        "AUROC, 1,000 cases, 3 seeds, 2,000 draws": lambda: draw(auroc_of, scores),
        "AUROC difference, 1,000 cases, 2,000 draws": lambda: bootstrap_difference(
            scores[0], scores[1], abnormal, subjects, auroc_of, rng=np.random.default_rng(1)
        ),
        "voxel average precision and best Dice, 4.9 M voxels": lambda: figures(whole),
        "the same inside the brain, 1.9 M voxels": lambda: figures(inside),
        "don't-care margin of 5 mm": lambda: without_margin(inside, lesion, spacing_mm=SPACING),
        "surface distance": lambda: surface_distance_95_mm(inside > level, lesion, spacing_mm=SPACING),
        "lesions matched": lambda: match_lesions(inside, lesion, level, spacing_mm=SPACING),
        "sPRO, one patient and one normal": lambda: spro([inside, normal], [lesion, lesion & False], [SPACING] * 2),
        "AUPIMO, one patient and one normal": lambda: aupimo([inside], [lesion], [normal]),
        "threshold at 1 ml on 5 normals": lambda: threshold_at_false_positive_ml([normal] * 5, [0.001] * 5),
        "Otsu threshold": lambda: otsu_threshold(inside),
    }
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}\n")
    print("| what | seconds |\n| --- | --- |")
    for name, work in rows.items():
        print(f"| {name} | {seconds(work):.2f} |")


if __name__ == "__main__":
    main()
