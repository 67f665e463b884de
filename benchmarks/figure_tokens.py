"""Draw what the token system makes of one slice: as it is, and with a simulated lesion.

    python benchmarks/figure_tokens.py MODEL SCAN OUT.jpg [--seed 1]

MODEL holds a fitted token system, SCAN is a skull-stripped T1w scan it has not seen. The lesion has 5 ml and the
contrast of grey to white matter; the slice drawn is the one that holds most of it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from anomri import io
from anomri.core.prepared import Prepared
from anomri.core.reading import Reading
from anomri.methods.tokens import Tokens
from anomri.models import Model
from anomri.preparation import prepare
from anomri.scope import first_look
from anomri.simulate import lesion

PANEL = 190
TITLES = ("slice", "surprisal, nats", "healed", "perceptual difference", "fused, in spreads", "union")
SOURCE = "OpenNeuro ds002748 (CC0), {name}; above as it is, below with a simulated lesion of 5 ml"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("scan", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    model = Model.load(given.model)
    method = next(branch.method for branch in model.branches if isinstance(branch.method, Tokens))
    scan = io.read(given.scan)
    prepared = prepare(scan, model.recipe, mask=first_look(scan, model.recipe).foreground)
    page(method, prepared, given.seed).save(given.out, quality=88, optimize=True)


def page(method: Tokens, prepared: Prepared, seed: int) -> Image.Image:
    """Two rows of panels: the scan, and the scan with a lesion."""
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
    z = int(np.argmax(made.core.sum(axis=(0, 1))))
    union = Tokens.restore(method._config.model_copy(update={"fused": "union"}), method.state())
    rows = []
    for each in (prepared, replace(prepared, scan=made.scan)):
        marked = union.examine(each, seed=0).map
        assert marked is not None
        rows.append((each.scan.voxels, method.examine(each, seed=0), marked))
    return sheet(rows, z, SOURCE.format(name=prepared.scan.scan_id))


def sheet(rows: list[tuple[np.ndarray, Reading, np.ndarray]], z: int, caption: str) -> Image.Image:
    """Panels in common grey values and colours, with titles above and the source below."""
    font = ImageFont.load_default(13)
    bright = float(np.percentile(rows[0][0][rows[0][0] > 0], 99.5))
    # Colours end where the lesion's row does, so that both rows can be compared.
    tops = {name: float(np.nanquantile(rows[-1][1].maps[name], 0.999)) for name in ("surprisal", "healing")}
    wide, high = len(TITLES) * PANEL, 24 + len(rows) * PANEL + 24
    out = Image.new("RGB", (wide, high))
    draw = ImageDraw.Draw(out)
    for number, title in enumerate(TITLES):
        draw.text((number * PANEL + 6, 5), title, fill=(220, 220, 220), font=font)
    for row, (voxels, reading, marked) in enumerate(rows):
        assert reading.expected is not None
        assert reading.map is not None
        tiles = (
            grey_of(voxels[:, :, z] / bright),
            heat_of(reading.maps["surprisal"][:, :, z] / tops["surprisal"]),
            grey_of(reading.expected[:, :, z] / bright),
            heat_of(reading.maps["healing"][:, :, z] / tops["healing"]),
            heat_of(reading.map[:, :, z] / 6.0),
            heat_of(marked[:, :, z]),
        )
        for number, tile in enumerate(tiles):
            panel = Image.fromarray(np.rot90(tile)).resize((PANEL - 6, PANEL - 6), Image.Resampling.BICUBIC)
            out.paste(panel, (number * PANEL + 3, 24 + row * PANEL + 3))
    draw.text((6, high - 20), caption, fill=(180, 180, 180), font=font)
    return out


def grey_of(values: np.ndarray) -> np.ndarray:
    """[0, 1] → grey, padded to a square."""
    return np.repeat(squared((255.0 * np.clip(values, 0.0, 1.0)).astype(np.uint8))[..., None], 3, axis=2)


def heat_of(values: np.ndarray) -> np.ndarray:
    """[0, 1] → black, red, yellow, white; what is not examined is dark grey."""
    level = np.clip(np.nan_to_num(values), 0.0, 1.0)
    colour = np.stack([np.clip(3.0 * level - n, 0.0, 1.0) for n in range(3)], axis=-1)
    colour = np.where(np.isnan(values)[..., None], 0.12, colour)
    return np.stack([squared((255.0 * colour[..., n]).astype(np.uint8)) for n in range(3)], axis=-1)


def squared(values: np.ndarray) -> np.ndarray:
    """Padded to a square about its middle."""
    side = max(values.shape)
    before = [(side - n) // 2 for n in values.shape]
    return np.pad(values, [(b, side - n - b) for b, n in zip(before, values.shape, strict=True)])


if __name__ == "__main__":
    main()
