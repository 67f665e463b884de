"""Draw the brains that were cut out of heads: `python benchmarks/figure_heads.py HEADS OUT.jpg [--match GLOB]`.

HEADS is a folder with ``*_T1w.nii.gz``, or what GLOB matches. Each head stands in three planes with the outline of its
brain, its name and the volume; one that was refused, with the reason.
"""

from __future__ import annotations

import argparse
import io as bytesio
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from anomri import io
from anomri.errors import PreparationFailed
from anomri.extraction import extract
from anomri.report.outline import outline_png

WIDTH, LABEL, GAP = 640, 26, 6


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("heads", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--match", default="*_T1w.nii.gz")
    parser.add_argument("--columns", type=int, default=2)
    parser.add_argument("--caption", default="")
    given = parser.parse_args()
    panels = [panel(path) for path in sorted(given.heads.glob(given.match))]
    columns = given.columns
    rows = [panels[n : n + columns] for n in range(0, len(panels), columns)]
    heights = [max(p.height for p in row) + GAP for row in rows]
    page = Image.new("RGB", (columns * (WIDTH + GAP), sum(heights) + LABEL), "white")
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for column, picture in enumerate(row):
            page.paste(picture, (column * (WIDTH + GAP), top))
        top += height
    ImageDraw.Draw(page).text((4, top + 4), given.caption, "black", ImageFont.load_default(14))
    page.save(given.out, quality=80)


def panel(path: Path) -> Image.Image:
    """One head with its label."""
    head = io.read(path)
    try:
        brain = extract(head).brain
    except PreparationFailed as failure:
        picture, said = Image.new("RGB", (WIDTH, 200), "black"), f"{head.scan_id}: refused, {failure.cause}"
    else:
        picture = Image.open(bytesio.BytesIO(outline_png(head, brain))).convert("RGB")
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
        said = f"{head.scan_id}, {brain.volume_ml:.0f} ml"
    print(said, flush=True)
    made = Image.new("RGB", (WIDTH, picture.height + LABEL), "white")
    made.paste(picture, (0, LABEL))
    ImageDraw.Draw(made).text((4, 4), said, "black", ImageFont.load_default(15))
    return made


if __name__ == "__main__":
    main()
