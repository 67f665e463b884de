"""`anomri info`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomri.cli.options import AsJson
from anomri.cli.terminal import say_json, say_table

if TYPE_CHECKING:
    from anomri.io.walk import Found

__all__ = ["info"]


def info(
    path: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="An image, a model or its folder, or a folder or zip archive of images."),
    ],
    as_json: AsJson = False,
) -> None:
    """Say what an image, a model folder or a folder of images is; of DICOM, which series it holds.

    \b
    anomri info scan.nii.gz
    anomri info brain-t1
    anomri info my-model/
    anomri info bids/ --json
    anomri info dicom/
    """
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
        holds_model = is_folder and (path / "model.json").is_file()
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be reached: {error.strerror}", param_hint="PATH") from error
    if holds_model:
        facts = _of_model(path)
    elif is_folder or (is_file and _is_archive(path)):
        facts = _of_folder(path)
    elif is_file or os.path.lexists(path):
        facts = _of_image(path)
    elif len(path.parts) == 1:
        facts = _of_model(_bundled(path.name))
    else:
        raise typer.BadParameter(f"there is no file or folder {path}", param_hint="PATH")
    if as_json:
        say_json(facts)
        return
    series = facts.pop("series", [])
    rows = [(name, value) for name, value in facts.items() if not isinstance(value, dict)]
    nested = [(name, value) for name, value in facts.items() if isinstance(value, dict)]
    rows += [(f"{name} {part}", value) for name, parts in nested for part, value in parts.items()]
    say_table(("", ""), [(name, _words(value)) for name, value in rows])
    if isinstance(series, list) and series:
        say_table(tuple(series[0]), [tuple("" if v is None else _words(v) for v in one.values()) for one in series])


def _is_archive(path: Path) -> bool:
    from anomri.io.members import is_zip

    return is_zip(path)


def _bundled(name: str) -> Path:
    from anomri.models import catalogue

    folders = {entry.name: entry.folder for entry in catalogue()}
    if name not in folders:
        raise typer.BadParameter(
            f"there is no file or folder {name}, nor a bundled model of this name ({', '.join(folders)})",
            param_hint="PATH",
        )
    return folders[name]


def _of_model(folder: Path) -> dict[str, object]:
    from anomri.models import read_card

    card, digest = read_card(folder)
    facts = card.model_dump(mode="json", exclude={"files", "training", "branches"})
    facts["branches"] = [f"{branch.name} ({branch.method}, {branch.preset})" for branch in card.branches]
    return {**facts, "training_scans": len(card.training), "sha256": digest, "calibration": _calibration(folder)}


def _calibration(folder: Path) -> dict[str, object] | None:
    """The normals a model judges by; read without its branches, which may take torch."""
    from pydantic import ValidationError

    from anomri.calibration import Calibration, smallest_rate
    from anomri.errors import CalibrationError, ModelError

    file = folder / "calibration.json"
    if not file.is_file():
        return None
    try:
        calibration = Calibration.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise ModelError(
            "calibration.json does not fit its schema", remedy="Install the model again.", code="damaged"
        ) from error
    try:
        limits = calibration.thresholds()
    except CalibrationError:
        # A model of few normals is whole; it judges once a larger rate is asked for.
        limits = None
    return {
        "site": calibration.site,
        "kind": calibration.kind,
        "normals": len(calibration.normals),
        "approximate": calibration.approximate,
        "alarm_rate": calibration.alarm_rate,
        # An approximate calibration promises no rate.
        "smallest_rate": None if calibration.approximate else smallest_rate(len(calibration.normals)),
        "warn_from": None if limits is None else limits.warn,
        "fail_from": None if limits is None else limits.fail,
    }


def _of_folder(folder: Path) -> dict[str, object]:
    from anomri.cli.inputs import found_images

    found = found_images([folder], include=None, argument="PATH")
    facts: dict[str, object] = {"images": len(found), "paths": list(dict.fromkeys(str(scan.path) for scan in found))}
    series = [_of_series(scan) for scan in found if scan.members]
    return {**facts, "series": series} if series else facts


def _of_series(scan: Found) -> dict[str, object]:
    """What the headers of a DICOM series say; no pixel is read, and nothing that names a person is shown."""
    from anomri.core.geometry import orientation_code
    from anomri.io.dicom import describe_series

    said = describe_series(scan.path, scan.members)
    return {
        "scan_id": scan.scan_id,
        "slices": said.slices,
        "shape": None if said.shape is None else list(said.shape),
        "spacing_mm": None if said.spacing_mm is None else [round(length, 4) for length in said.spacing_mm],
        "orientation": None if said.affine is None else orientation_code(said.affine),
        "sequence": said.sequence,
        "problem": None if said.problem is None else f"{said.problem.cause} ({said.problem.code})",
        "notes": list(said.notes),
    }


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
    if isinstance(value, float):
        return f"{value:.4g}"
    return "unknown" if value is None else str(value)
