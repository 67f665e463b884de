"""`anomri info`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anomri.cli.options import AsJson
from anomri.cli.terminal import say_json, say_table

__all__ = ["info"]


def info(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="An image, a model or its folder, or a folder of images.")
    ],
    as_json: AsJson = False,
) -> None:
    """Say what an image, a model folder or a folder of images is.

    \b
    anomri info scan.nii.gz
    anomri info brain-t1
    anomri info my-model/
    anomri info bids/ --json
    """
    folder = _model_folder(path)
    if folder is not None:
        facts = _of_model(folder)
    elif not path.exists():
        raise typer.BadParameter("there is no such file, folder or model", param_hint="PATH")
    elif path.is_dir():
        facts = _of_folder(path)
    else:
        facts = _of_image(path)
    if as_json:
        say_json(facts)
        return
    say_table(("", ""), [(name, _words(value)) for name, value in facts.items()])


def _model_folder(path: Path) -> Path | None:
    if (path / "model.json").is_file():
        return path
    if path.exists():
        return None
    from anomri.models import catalogue

    return next((entry.folder for entry in catalogue() if entry.name == str(path)), None)


def _of_model(folder: Path) -> dict[str, object]:
    from anomri.models import read_card

    card, digest = read_card(folder)
    facts = card.model_dump(mode="json", exclude={"files", "training", "branches"})
    facts["branches"] = [f"{branch.name} ({branch.method}, {branch.preset})" for branch in card.branches]
    return {**facts, "training_scans": len(card.training), "sha256": digest}


def _of_folder(folder: Path) -> dict[str, object]:
    from anomri.cli.inputs import found_images

    found = found_images([folder], include=None)
    return {"images": len(found), "paths": [str(scan.path) for scan in found]}


def _of_image(path: Path) -> dict[str, object]:
    import numpy as np

    from anomri.core.geometry import orientation_code
    from anomri.io import read

    scan = read(path)
    border = np.ones(scan.voxels.shape, dtype=bool)
    border[tuple(slice(n // 16 + 1, -(n // 16) - 1) for n in scan.voxels.shape)] = False
    zeros = float((scan.voxels[border] == 0).mean())
    return {
        "scan_id": scan.scan_id,
        "format": scan.source.format,
        "reader": scan.source.reader,
        "shape": list(scan.geometry.shape),
        "spacing_mm": [round(length, 4) for length in scan.geometry.spacing_mm],
        "orientation": orientation_code(scan.geometry.affine),
        "sequence": scan.sequence,
        "intensity": [float(scan.voxels.min()), float(scan.voxels.max())],
        "zeros_at_border": round(zeros, 4),
        "looks_skull_stripped": zeros > _STRIPPED,
        "sha256": scan.source.sha256,
        "notes": list(scan.source.notes),
    }


# A stripped image is exactly 0 all around the brain; air in a full head is noise, exact zeros in it are few.
_STRIPPED = 0.9


def _words(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)
    return "unknown" if value is None else str(value)
