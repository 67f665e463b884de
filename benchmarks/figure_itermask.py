"""Draw how the mask shrinks on one scan, and the curve that gives the scan its own threshold.

    python benchmarks/figure_itermask.py MODEL SCAN STRIP.jpg CURVE.png [--seed 1]

MODEL holds a fitted `itermask`, SCAN is a skull-stripped T1w scan it has not seen. Above as it is, below with a
simulated lesion of 5 ml, as dark in white matter as grey matter is; the slice drawn is the one that holds most of it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from anomri import io
from anomri.core.prepared import Prepared
from anomri.methods.itermask import IterMask, Refined
from anomri.models import Model
from anomri.preparation import prepare
from anomri.scope import first_look
from anomri.simulate import lesion

PANEL = 170
SHOWN = (0.0, 0.5, 0.8, 0.94, 0.98)
SOURCE = "OpenNeuro ds002748 (CC0), {name}; above as it is, below with a simulated lesion of 5 ml"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    for name in ("model", "scan", "strip", "curve"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    model = Model.load(given.model)
    method = next(branch.method for branch in model.branches if isinstance(branch.method, IterMask))
    scan = io.read(given.scan)
    prepared = prepare(scan, model.recipe, mask=first_look(scan, model.recipe).foreground)
    changed, z = with_lesion(prepared, given.seed)
    rows = [(each, method.refined(each, None, seed=0)) for each in (prepared, changed)]
    strip(rows, z, SOURCE.format(name=scan.scan_id)).save(given.strip, quality=88, optimize=True)
    curves([found for _, found in rows], given.curve)


def with_lesion(prepared: Prepared, seed: int) -> tuple[Prepared, int]:
    """The scan with a lesion, and the axial slice that holds most of it."""
    voxels, inside = prepared.scan.voxels, prepared.inside.mask
    white = float(np.percentile(voxels[inside], 80))
    grey = white * prepared.history.measured("quality", "grey_to_white")
    made = lesion(
        prepared.scan,
        volume_ml=5.0,
        contrast=1.0,
        sign="dark",
        seed=seed,
        brain=inside,
        grey_white_difference=white - grey,
        candidates=voxels > grey,
    )
    assert made.core is not None
    return replace(prepared, scan=made.scan), int(np.argmax(made.core.sum(axis=(0, 1))))


def strip(rows: list[tuple[Prepared, Refined]], z: int, caption: str) -> Image.Image:
    """Scan, filled-in image, the mask of phase A at the shares of `SHOWN`, the error and the final mask."""
    font = ImageFont.load_default(13)
    titles = ["scan", "filled in", *(f"{share:.0%} shown" for share in SHOWN), "error", "final mask"]
    out = Image.new("RGB", (len(titles) * PANEL, 24 + len(rows) * PANEL + 24))
    draw = ImageDraw.Draw(out)
    for number, title in enumerate(titles):
        draw.text((number * PANEL + 6, 5), title, fill=(220, 220, 220), font=font)
    bright = float(np.percentile(rows[0][0].scan.voxels, 99.8))
    top = float(np.quantile(rows[-1][1].errors[rows[-1][0].inside.mask], 0.999))
    for row, (prepared, found) in enumerate(rows):
        scan, inside = prepared.scan.voxels[:, :, z] / bright, prepared.inside.mask[:, :, z]
        filled = np.where(inside, (found.rebuilt[:, :, z] + 3.0) / 6.0, 0.0)
        tiles = [grey(scan), grey(filled)]
        # Hidden when the share was reached: shown only later.
        tiles += [marked(scan, inside & (found.shown[:, :, z] >= share)) for share in SHOWN]
        tiles += [grey(found.errors[:, :, z] / top), marked(scan, found.mask[:, :, z])]
        for number, tile in enumerate(tiles):
            out.paste(Image.fromarray(tile).resize((PANEL, PANEL)), (number * PANEL, 24 + row * PANEL))
    draw.text((6, out.height - 20), caption, fill=(160, 160, 160), font=font)
    return out


def grey(values: np.ndarray) -> np.ndarray:
    """(X, Y) in 0 … 1 → an RGB image with the front of the head up."""
    square = np.zeros((max(values.shape),) * 2)
    at = [(square.shape[axis] - values.shape[axis]) // 2 for axis in (0, 1)]
    square[at[0] : at[0] + values.shape[0], at[1] : at[1] + values.shape[1]] = values
    return np.repeat((np.clip(square.T[::-1], 0, 1) * 255).astype(np.uint8)[:, :, None], 3, axis=2)


def marked(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The image with the mask in orange."""
    image, on = grey(values * 0.8), grey(mask.astype(float)) > 0
    return np.where(on, (0.3 * image + 0.7 * np.array([230, 140, 30])).astype(np.uint8), image)


def curves(found: list[Refined], out: Path) -> None:
    """τ(t) of both rows with the fit and the step taken."""
    figure, axes = plt.subplots(1, 2, figsize=(8.0, 3.0), sharey=True, constrained_layout=True)
    for axis, each, title in zip(axes, found, ("as it is", "with a lesion"), strict=True):
        t = np.arange(1, each.taus.size + 1)
        axis.plot(t, each.taus, ".", ms=3, color="0.3", label="measured")
        if np.isfinite(each.found.a):
            fit = each.found.a * np.tan(each.found.b * t)
            axis.plot(t, fit, color="tab:blue", lw=1, label=f"a·tan(bt), R² = {each.found.r2:.2f}")
        if each.found.step is not None:
            axis.axvline(each.found.step, color="tab:orange", lw=1, label=f"t* = {each.found.step}")
        axis.set(title=title, xlabel="step t", ylim=(0, float(np.quantile(each.taus, 0.99)) * 1.2))
        axis.legend(frameon=False, fontsize=8, loc="upper left")
    axes[0].set_ylabel("τ(t), squared intensity")
    figure.savefig(out, dpi=130)


if __name__ == "__main__":
    main()
