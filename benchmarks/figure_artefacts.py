"""Draw every simulated kind at its severities on one real scan, and say how far each lies from the clean scan.

    python benchmarks/figure_artefacts.py SCAN OUT [--seed 1] [--kinds KIND ...]

SCAN is a skull-stripped T1w scan. OUT gets artefacts.jpg, structure.jpg and distances.csv. A local kind is shown in the
plane that holds most of its core, any other in the middle of the brain.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from anomri import io
from anomri.core.geometry import orientation_code
from anomri.core.scan import Scan
from anomri.preparation.mask import stripped_mask
from anomri.simulate import ARTEFACTS, SEVERITIES, STRUCTURE, Simulated, corrupt

PANEL = 150
LABEL = 118
COLUMNS = 2
# Kinds that act along feet–head are seen from the side.
SIDEWAYS = ("cropped", "slice-drop", "slice-intensity", "slice-shift", "orientation", "low-resolution")
CAPTION = "OpenNeuro ds002748 (CC0), {name}; severity 1 to 5 from left to right, seed {seed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("scan", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="*", default=[*ARTEFACTS, *STRUCTURE])
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    scan = io.read(given.scan)
    brain = stripped_mask(scan.voxels)
    distances: list[dict[str, object]] = []
    for name, table in (("artefacts", ARTEFACTS), ("structure", STRUCTURE)):
        rows = []
        for kind in (kind for kind in table if kind in given.kinds):
            levels = SEVERITIES[: table[kind].levels]
            made = [corrupt(scan, kind, severity=s, seed=given.seed, brain=brain) for s in levels]
            rows.append((kind, panels(scan, brain, made, kind)))
            measured = [{"kind": kind, "severity": m.record.severity, **m.record.measured} for m in made]
            distances += measured
            print(kind, " ".join(f"{m['nrmse']:.3f}/{m['ssim']:.2f}" for m in measured), flush=True)
        if rows:
            caption = CAPTION.format(name=scan.scan_id, seed=given.seed)
            page(rows, caption).save(given.out / f"{name}.jpg", quality=82, optimize=True)
    with (given.out / "distances.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["kind", "severity", "nrmse", "ssim"])
        writer.writeheader()
        writer.writerows(distances)


def panels(scan: Scan, brain: np.ndarray, made: list[Simulated], kind: str) -> list[Image.Image]:
    """One panel per severity, in the same grey values."""
    code = orientation_code(scan.geometry.affine)
    across = next(a for a, c in enumerate(code) if c in ("LR" if kind in SIDEWAYS else "SI"))
    bright = float(np.percentile(scan.voxels[brain], 99.5))
    return [panel(m.scan, across, plane_of(m, brain, across, scan, kind), bright, code) for m in made]


def plane_of(made: Simulated, brain: np.ndarray, across: int, scan: Scan, kind: str) -> int:
    """The middle of the core, of the brain where there is none, or beside the gap between its halves."""
    if kind in SIDEWAYS:
        return round(float(np.argwhere(brain)[:, across].mean()) + 12.0 / scan.geometry.spacing_mm[across])
    if made.core is None or not made.core.any():
        return round(float(np.argwhere(brain)[:, across].mean()))
    # The plane that holds most of it.
    return int(np.argmax(made.core.sum(axis=tuple(a for a in range(3) if a != across))))


def panel(scan: Scan, across: int, index: int, bright: float, code: str) -> Image.Image:
    """A slice as radiologists look at it: front or head up, voxels square."""
    rest = [a for a in range(3) if a != across]
    upright = next(a for a in rest if code[a] in ("SI" if code[across] in "LR" else "AP"))
    level = next(a for a in rest if a != upright)
    plane = np.moveaxis(scan.voxels, (upright, level, across), (0, 1, 2))[:, :, index]
    if code[upright] in "AS":
        plane = plane[::-1]
    if code[level] in "RA":
        plane = plane[:, ::-1]
    grey = (255.0 * np.clip(plane / bright, 0.0, 1.0)).astype(np.uint8)
    spacing = scan.geometry.spacing_mm
    height, width = grey.shape[0] * spacing[upright], grey.shape[1] * spacing[level]
    scale = (PANEL - 4) / max(height, width)
    small = Image.fromarray(grey).resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)
    tile = Image.new("L", (PANEL, PANEL))
    tile.paste(small, ((PANEL - small.width) // 2, (PANEL - small.height) // 2))
    return tile


def page(rows: list[tuple[str, list[Image.Image]]], caption: str) -> Image.Image:
    """All kinds in two columns, their names on the left."""
    font = ImageFont.load_default(13)
    per_column = -(-len(rows) // COLUMNS)
    wide = LABEL + 5 * PANEL
    sheet = Image.new("L", (COLUMNS * wide, per_column * PANEL + 24))
    draw = ImageDraw.Draw(sheet)
    for number, (kind, tiles) in enumerate(rows):
        left, top = wide * (number // per_column), PANEL * (number % per_column)
        draw.text((left + 8, top + PANEL // 2 - 8), kind, fill=230, font=font)
        for place, tile in enumerate(tiles):
            sheet.paste(tile, (left + LABEL + place * PANEL, top))
    draw.text((8, per_column * PANEL + 4), caption, fill=180, font=font)
    return sheet


if __name__ == "__main__":
    main()
