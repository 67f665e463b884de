"""A result folder on disk, read back: enough to render every page again without model or raw data.

::

    result.json            the verdict
    heatmap.nii.gz         0 where nothing was examined
    mask.nii.gz            the brain, 0 or 1
    maps/layers.json       what the heatmap's numbers are: scale and method
    maps/examined.nii.gz   where the method looked, 0 or 1
    maps/scan.nii.gz       the scan
    maps/expected.nii.gz   what the model expected to see, 0 outside the brain
    maps/expected-BRANCH.nii.gz  the same of a further branch that a finding rests on
    maps/NAME.nii.gz       further maps of the branches, 0 where nothing was examined

Images on disk are finite, because many viewers and readers are not prepared for anything else; `examined` and
`mask` tell which zeros mean "nothing known". Any image may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from anomri.core.geometry import Geometry
from anomri.core.heatmap import Heatmap
from anomri.core.outcome import Outcome
from anomri.core.region import Region
from anomri.core.result import Result
from anomri.core.scan import Scan
from anomri.errors import InputError, about_scan
from anomri.io.formats import read_image
from anomri.io.guard import Image
from anomri.io.names import shown

__all__ = ["EXPECTED_BY", "LAYERS", "Layers", "assembled", "images_of", "layers_of", "outcome_of", "result_of"]

LAYERS = "maps/layers.json"
EXPECTED_BY = "expected-"
_OWN = frozenset({"heatmap", "mask", "examined", "scan", "expected"})
_ENDING = ".nii.gz"


class Layers(BaseModel):
    """What the numbers of `heatmap.nii.gz` are; see `anomri.core.heatmap.Heatmap`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: Literal["raw", "z", "p"]
    method: str


def layers_of(outcome: Outcome) -> Layers | None:
    """Content of `maps/layers.json`; None where there is no heatmap."""
    return None if outcome.heatmap is None else Layers(scale=outcome.heatmap.scale, method=outcome.heatmap.method)


def images_of(outcome: Outcome) -> dict[str, tuple[NDArray[np.generic], Geometry]]:
    """The images of a result folder by relative path, ready to be written: finite, on the scan's grid.

    Raises
    ------
    InputError : a map has the name of another image of the folder, or one that is no plain file name.
    """
    images: dict[str, tuple[NDArray[np.generic], Geometry]] = {}
    heatmap, scan, brain = outcome.heatmap, outcome.scan, outcome.brain
    if heatmap is not None:
        images["heatmap.nii.gz"] = (_zero_for_nan(heatmap.values), heatmap.geometry)
        images["maps/examined.nii.gz"] = (np.isfinite(heatmap.values).astype(np.uint8), heatmap.geometry)
    if brain is not None:
        images["mask.nii.gz"] = (brain.mask.astype(np.uint8), brain.geometry)
    if scan is None:
        return images
    images["maps/scan.nii.gz"] = (scan.voxels, scan.geometry)
    if outcome.expected is not None:
        images["maps/expected.nii.gz"] = (_zero_for_nan(outcome.expected), scan.geometry)
    further = {f"{EXPECTED_BY}{branch}": values for branch, values in outcome.expected_by.items()}
    for name, values in [*outcome.maps.items(), *further.items()]:
        taken = name in _OWN or f"maps/{name}.nii.gz" in images
        if taken or not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
            raise InputError(f"a map cannot be named {name!r}", remedy="Use letters, digits, - and _.", code="map_name")
        images[f"maps/{name}.nii.gz"] = (_zero_for_nan(values), scan.geometry)
    return images


def outcome_of(folder: Path) -> Outcome:
    """Read a result folder back.

    Returns
    -------
    The outcome as it was in memory, but for the scan's source (the copy in the folder) and sequence (None), and for
    maps, which are `nan` outside the examined region, whatever they were before.

    Raises
    ------
    InputError : there is no result (`no_result`), it is of another version or damaged (`result_format`, `layers`), an
        image cannot be read (codes of `anomri.io.read`), or the images lie on different grids (`geometry`).
    """
    folder = Path(folder)
    with about_scan(shown(folder.name)):
        result = result_of(folder)
        images = {
            path.name.removesuffix(_ENDING): read_image(path)
            for path in (*sorted((folder / "maps").glob("*" + _ENDING)), *sorted(folder.glob("*" + _ENDING)))
        }
        return assembled(result, images, _layers(folder / LAYERS) if "heatmap" in images else None)


def assembled(result: Result, images: Mapping[str, Image], layers: Layers | None) -> Outcome:
    """An outcome from what was read of it.

    Parameters
    ----------
    images : by their names in a result folder, without ending.
    layers : of the heatmap; None where there is none.

    Raises
    ------
    InputError : the images lie on different grids (`geometry`), or what the heatmap examined is not there (`layers`).
    """
    _check_grids(images)
    scan, expected = images.get("scan"), images.get("expected")
    brain, examined = _region(images, "mask", "brain"), _region(images, "examined", "examined")
    return Outcome(
        result=result,
        scan=None if scan is None else Scan(scan.voxels, scan.geometry, result.scan_id, scan.source),
        heatmap=None if layers is None else _heatmap(images["heatmap"], examined, layers),
        brain=brain,
        expected=None if expected is None else _known_inside(expected, brain),
        maps={
            name: _known_inside(image, examined)
            for name, image in images.items()
            if name not in _OWN and not name.startswith(EXPECTED_BY)
        },
        expected_by={
            name.removeprefix(EXPECTED_BY): _known_inside(image, brain)
            for name, image in images.items()
            if name.startswith(EXPECTED_BY)
        },
    )


def result_of(path: Path) -> Result:
    """The result in a folder or a file, without its images.

    Raises
    ------
    InputError : there is none that can be read (`no_result`), or it is of another version or damaged (`result_format`).
    """
    path = Path(path) if Path(path).is_file() else Path(path) / "result.json"
    try:
        return Result.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise InputError(
            "there is no result.json in the folder",
            remedy="Give a folder that anomri wrote.",
            code="no_result",
        ) from None
    except OSError as error:
        raise InputError(
            f"{path.name} cannot be read ({error.strerror})", remedy="Check its permissions.", code="no_result"
        ) from None
    except ValidationError as error:
        raise InputError(
            f"{path.name} is not a result of this version ({error.error_count()} problems)",
            remedy="Score the scan again, or use the version that wrote it.",
            code="result_format",
        ) from None


def _layers(path: Path) -> Layers:
    try:
        return Layers.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        raise InputError(
            "the scale of heatmap.nii.gz is not known, because maps/layers.json is missing or damaged",
            remedy="Score the scan again.",
            code="layers",
        ) from None


def _check_grids(images: Mapping[str, Image]) -> None:
    grids = [image.geometry for image in images.values()]
    if any(not grid.same_grid(grids[0]) for grid in grids[1:]):
        raise InputError(
            "the images of the result lie on different grids", remedy="Score the scan again.", code="geometry"
        )


def _region(images: Mapping[str, Image], name: str, called: str) -> Region | None:
    image = images.get(name)
    return None if image is None else Region(image.voxels > 0.5, image.geometry, called, "result folder")


def _heatmap(image: Image, examined: Region | None, layers: Layers) -> Heatmap:
    if examined is None:
        raise InputError(
            "what heatmap.nii.gz examined is not known, because maps/examined.nii.gz is missing",
            remedy="Score the scan again.",
            code="layers",
        )
    return Heatmap(_known_inside(image, examined), image.geometry, examined, layers.scale, layers.method)


def _known_inside(image: Image, region: Region | None) -> NDArray[np.float32]:
    if region is None:
        return image.voxels
    return cast("NDArray[np.float32]", np.where(region.mask, image.voxels, np.float32(np.nan)))


def _zero_for_nan(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.nan_to_num(values, nan=0.0)
