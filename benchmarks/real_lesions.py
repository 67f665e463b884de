"""What a model says of scans with real lesions, finding by finding, beside a mask of the lesions.

    python benchmarks/real_lesions.py MODEL SCAN=MASK… [--picture OUT.jpg]

Each MASK (any value but 0 counts) is taken to the grid of the heatmap of its SCAN through the world. A mask of another
scan of that person on another grid will do as well as both scans lie in one world. Prints, for each scan, verdict,
reason, every finding with the share of it that lies in the mask, and how the whole heatmap ranks the mask's voxels. The
picture shows the slices of the first scan with most of the mask: scan, mask, heatmap, findings.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import roc_auc_score

import anomri
from anomri import io
from anomri.core.geometry import carry
from anomri.core.heatmap import Heatmap, parts_above
from anomri.io.formats import read_image

SLICES = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("model")
    parser.add_argument("pairs", nargs="+")
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    model = anomri.Model.load(given.model)
    for pair in given.pairs:
        path, mask = (Path(part) for part in pair.rsplit("=", 1))
        scan = io.read(path)
        outcome = anomri.score(scan, model)
        result = outcome.result
        print(f"\n## {path.name}\n\nverdict {result.verdict}, p {result.p_value}\n\n{result.reason}\n")
        for note in result.notes:
            print(f"- note: {note}")
        heatmap = outcome.heatmap
        if heatmap is None or result.thresholds is None:
            continue
        truth = on_grid(mask, heatmap)
        level = result.thresholds.finding_level
        tell(heatmap, truth, level, [finding.sentence for finding in result.findings])
        if given.picture is not None and pair == given.pairs[0]:
            picture(scan.voxels, heatmap, truth, level, given.picture)


def on_grid(path: Path, heatmap: Heatmap) -> NDArray[np.bool_]:
    """The mask at the voxels of the heatmap: where at least half of what is around them in the world lies in it."""
    mask = read_image(path)
    return carry((mask.voxels > 0).astype(np.float32), mask.geometry, heatmap.geometry) >= 0.5


def tell(heatmap: Heatmap, truth: NDArray[np.bool_], level: float | None, sentences: list[str]) -> None:
    """Findings and figures of one scan."""
    ml, examined = heatmap.geometry.voxel_ml, heatmap.examined.mask
    if not (truth & examined).any():
        print("nothing of the mask was examined")
        return
    labels, count = ndimage.label(truth, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel())[1:] * ml
    seen, values = truth & examined, np.nan_to_num(heatmap.values, nan=-np.inf)
    print(f"mask: {truth.sum() * ml:.1f} ml in {count} parts, the largest {sizes.max():.1f} ml; "
          f"{seen.sum() * ml:.1f} ml of it examined")  # fmt: skip
    inside = values[seen]
    print(f"heatmap of voxels: AUROC {roc_auc_score(truth[examined], values[examined]):.2f}; in the mask median "
          f"{np.median(inside):.1f}, elsewhere {np.median(values[examined & ~truth]):.1f}")  # fmt: skip
    peak = np.unravel_index(np.argmax(values), values.shape)
    away = ndimage.distance_transform_edt(~truth, sampling=heatmap.geometry.spacing_mm)[peak]
    print(f"highest point: {values[peak]:.1f}, {away:.0f} mm from the mask")
    if level is None:
        return
    covered = np.zeros(truth.shape, dtype=bool)
    parts = parts_above(heatmap, level)
    for number, (finding, voxels) in enumerate(parts):
        here = truth[tuple(voxels.T)]
        covered[tuple(voxels.T)] = True
        words = sentences[number] if number < len(sentences) else f"{finding.volume_mm3 / 1000:.2f} ml, not told"
        print(f"| {number + 1} | {words} | {finding.peak:.1f} | {here.mean():.0%} |")
    touched = len(set(np.unique(labels[covered & truth])) - {0})
    share = (covered & truth).sum() / max(truth.sum(), 1)
    print(f"level {level:.1f}: {len(parts)} findings of {covered.sum() * ml:.1f} ml in all; they cover {share:.0%}")
    print(f"of the mask and touch {touched} of its {count} parts")


def picture(
    voxels: NDArray[np.float32], heatmap: Heatmap, truth: NDArray[np.bool_], level: float | None, out: Path
) -> None:
    """Slices along the last axis with most of the mask, apart from each other."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    amount = truth.sum(axis=(0, 1)).astype(float)
    chosen: list[int] = []
    while len(chosen) < SLICES:
        best = int(np.argmax(amount))
        chosen.append(best)
        amount[max(0, best - 7) : best + 8] = -1.0
    fig, axes = plt.subplots(3, SLICES, figsize=(3 * SLICES, 10), facecolor="black")
    high = float(np.percentile(voxels[heatmap.examined.mask], 99.5))
    for column, z in enumerate(sorted(chosen)):
        plane = voxels[:, :, z].T
        shown = np.nan_to_num(heatmap.values[:, :, z].T)
        for row, (name, over) in enumerate((("scan", None), ("mask", truth[:, :, z].T), ("heatmap", None))):
            ax = axes[row, column]
            ax.imshow(plane, cmap="gray", vmin=0, vmax=high, origin="lower")
            if over is not None:
                ax.contour(over, levels=[0.5], colors="#ffd34d", linewidths=0.8)
            if name == "heatmap":
                ax.imshow(np.ma.masked_less(shown, 2.0), cmap="inferno", vmin=0, vmax=10, origin="lower", alpha=0.8)
                if level is not None and (shown > level).any():
                    ax.contour(shown > level, levels=[0.5], colors="cyan", linewidths=0.8)
            ax.set_axis_off()
    fig.tight_layout(pad=0.2)
    fig.savefig(out, dpi=80, facecolor="black", pil_kwargs={"quality": 85})


if __name__ == "__main__":
    main()
