"""From result folders to BIDS names, and back as far as a re-run needs it.

Scans are scored into a hidden work folder. What is finished is renamed into its place, nothing large is copied. The
verdict comes last: a scan whose ``desc-anomri`` JSON is in its place is complete, and a re-run goes on from these.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from anomri.bids.names import BidsName
from anomri.core.outcome import Outcome
from anomri.core.result import Result
from anomri.errors import InputError, about_scan
from anomri.io.formats import read_image
from anomri.io.guard import Image
from anomri.io.names import shown
from anomri.report import folder as result_folder
from anomri.report.folder import EXPECTED_BY, LAYERS, Layers
from anomri.runs.gather import derivative_results
from anomri.runs.save import RESULT, writing_to
from anomri.runs.settings import Settings
from anomri.runs.summary import finished

__all__ = ["first_result", "lay_out", "outcome_of", "results_of", "seed"]

_STATMAP = "statmap"
_ENDING = ".nii.gz"
# By path in the result folder: `desc-`, suffix (None: that of the scan), and what the sidecar says.
_IMAGES: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "mask.nii.gz": ("brain", "mask", {"Type": "Brain", "Description": "The brain."}),
    "maps/examined.nii.gz": ("examined", "mask", {"Type": "ROI", "Description": "Where the method looked."}),
    "maps/scan.nii.gz": ("brain", None, {"SkullStripped": True, "Description": "The scan, 0 outside the brain."}),
    "maps/expected.nii.gz": (
        "expected",
        None,
        {"SkullStripped": True, "Description": "What the model expected to see, in prepared intensities."},
    ),
    "heatmap.nii.gz": (
        "anomaly",
        _STATMAP,
        {"Description": "How abnormal each voxel is: higher is more abnormal, 0 where nothing was examined."},
    ),
}
# Where the verdict of an earlier result goes while its files are removed.
_REPLACED = "replaced.json"
_PAGES = {"report.html": ".html", "preview.png": ".png"}


def results_of(out: Path) -> Iterator[tuple[BidsName, Result]]:
    """The verdicts with the names of their files.

    Raises
    ------
    InputError : one cannot be read, or is not of this version (`result_format`).
    """
    for file in derivative_results(out):
        name = BidsName.parse(file.stem)
        try:
            result = Result.model_validate_json(file.read_bytes())
        except (OSError, ValidationError) as error:
            raise InputError(
                "this is no result of this version of anomri",
                remedy="Delete the file and run the participant level again.",
                code="result_format",
                scan=shown(file.name),
            ) from error
        if name is not None:
            yield name, result


def first_result(out: Path) -> tuple[BidsName, Result] | None:
    """A verdict that stands for all others, which have the same suffix and settings; None where there is none."""
    for file in derivative_results(out):
        name = BidsName.parse(file.stem)
        with suppress(OSError, ValidationError):
            result = Result.model_validate_json(file.read_bytes())
            if name is not None:
                return name, result
    return None


def outcome_of(path: Path) -> Outcome:
    """Read a result back, from a result folder or under its names in a data set.

    Parameters
    ----------
    path : a result folder, or a verdict that `anomri bids` wrote, ``…_desc-anomri_T1w.json``.

    Raises
    ------
    InputError : as `anomri.report.folder.outcome_of`; or the file has no name of a verdict (`no_result`).
    """
    if path.is_dir() or not path.exists():
        return result_folder.outcome_of(path)
    name = BidsName.parse(path.stem)
    if name is None or path.name != name.result(".json").name:
        raise InputError(
            "the file has no name of a result",
            remedy="Give a result folder, or a file …_desc-anomri_….json of a data set.",
            code="no_result",
        )
    with about_scan(shown(path.name)):
        result = result_folder.result_of(path)
        images: dict[str, Image] = {}
        layers = None
        start = "_".join(f"{key}-{label}" for key, label in name.entities.items() if key != "desc")
        for file in sorted(path.parent.glob(f"{start}_desc-*{_ENDING}")):
            sidecar = _sidecar(file)
            image = _image_name(BidsName.parse(file.name.removesuffix(_ENDING)), name.suffix, sidecar)
            if image is not None:
                images[image] = read_image(file)
                layers = _layers(sidecar) if image == "heatmap" else layers
        return result_folder.assembled(result, images, layers)


def _image_name(name: BidsName | None, suffix: str, sidecar: Mapping[str, Any]) -> str | None:
    """What an image is called in a result folder; None for one that is none of the result's."""
    if name is None:
        return None
    for file, (desc, kind, _) in _IMAGES.items():
        if (name.entities["desc"], name.suffix) == (desc, suffix if kind is None else kind):
            return PurePosixPath(file).name.removesuffix(_ENDING)
    further = sidecar.get("Map")
    return further if isinstance(further, str) and name.suffix in (suffix, _STATMAP) else None


def _sidecar(image: Path) -> Mapping[str, Any]:
    with suppress(OSError, ValueError):
        found = json.loads(image.with_name(image.name.removesuffix(_ENDING) + ".json").read_bytes())
        return found if isinstance(found, dict) else {}
    return {}


def _layers(sidecar: Mapping[str, Any]) -> Layers:
    try:
        return Layers(scale=sidecar.get("Scale"), method=sidecar.get("Method"))  # type: ignore[arg-type]
    except ValidationError:
        raise InputError(
            "the scale of the heatmap is not known, because its sidecar is missing or damaged",
            remedy="Score the scan again.",
            code="layers",
        ) from None


def seed(work: Path, out: Path, names: Iterable[BidsName]) -> None:
    """Make a work folder, and put the verdicts that are in place where a run looks for what it need not do again.

    Raises
    ------
    EnvironmentProblem : the folder cannot be written.
    """
    with writing_to(work):
        work.mkdir(parents=True, exist_ok=True)
        for name in names:
            with suppress(FileNotFoundError):
                verdict = (out / name.result(".json")).read_bytes()
                (work / str(name)).mkdir(exist_ok=True)
                (work / str(name) / RESULT).write_bytes(verdict)


def lay_out(work: Path, out: Path, settings: Settings, *, sources: Mapping[str, str]) -> None:
    """Give what is finished in a work folder its place and name.

    A kill at any moment costs nothing: the next call goes on.

    Parameters
    ----------
    settings : results of other settings stay where they are.
    sources : BIDS URIs of the images by scan id, as far as they may be told.

    Raises
    ------
    EnvironmentProblem : a folder cannot be written.
    InputError : two maps of a scan would get the same name (`map_name`).
    """
    with writing_to(out):
        for scan_id, result in finished(work).items():
            name = BidsName.parse(scan_id)
            if name is not None and settings.made(result):
                _lay_out_one(work / scan_id, out, name, sources.get(scan_id))


def _lay_out_one(folder: Path, out: Path, name: BidsName, source: str | None) -> None:
    from anomri.io.write import write_bytes, write_json

    verdict = out / name.result(".json")
    if verdict.exists():
        if not (folder / "report.html").exists():
            return  # nothing new: the verdict was put here by `seed`
        verdict.replace(folder / _REPLACED)
    if (folder / _REPLACED).exists():
        # Nothing new is in place before all that is old has gone.
        _remove(out, name)
        (folder / _REPLACED).unlink()
    verdict.parent.mkdir(parents=True, exist_ok=True)
    for file, (target, sidecar) in _places(folder, name).items():
        named = {} if source is None else {"Sources": [source]}
        write_json((out / target).with_name(target.name.removesuffix(_ENDING) + ".json"), {**sidecar, **named})
        (folder / file).replace(out / target)
    for file, ending in _PAGES.items():
        with suppress(FileNotFoundError):
            (folder / file).replace(out / name.result(ending))
    write_bytes(verdict, (folder / RESULT).read_bytes())


def _places(folder: Path, name: BidsName) -> dict[str, tuple[PurePosixPath, dict[str, Any]]]:
    """Name and sidecar of every image in a result folder."""
    places = {}
    for path in sorted([*folder.glob(f"*{_ENDING}"), *folder.glob(f"maps/*{_ENDING}")]):
        file = path.relative_to(folder).as_posix()
        map_name = path.name.removesuffix(_ENDING)
        desc, suffix, said = _IMAGES[file] if file in _IMAGES else _further(map_name)
        sidecar = {**said, "SpatialReference": "orig"}
        if file == "heatmap.nii.gz":
            layers = Layers.model_validate_json((folder / LAYERS).read_bytes())
            sidecar |= {"Scale": layers.scale, "Method": layers.method}
        places[file] = (name.derivative(desc, name.suffix if suffix is None else suffix, _ENDING), sidecar)
    targets = [target for target, _ in places.values()]
    if len(set(targets)) < len(targets):
        raise InputError("two maps would have the same name", remedy="Rename one.", code="map_name", scan=str(name))
    return places


def _further(map_name: str) -> tuple[str, str | None, dict[str, Any]]:
    """What `_IMAGES` says, of an image whose name depends on the model."""
    if map_name.startswith(EXPECTED_BY):
        said = f"What the branch {map_name.removeprefix(EXPECTED_BY)} expected to see, in prepared intensities."
        return _label(map_name), None, {"SkullStripped": True, "Description": said, "Map": map_name}
    return _label(map_name), _STATMAP, {"Description": f"The map {map_name} of the model.", "Map": map_name}


def _label(map_name: str) -> str:
    """A label, which has letters and digits alone: ``signed_z`` becomes ``signedZ``."""
    first, *rest = [part for part in map_name.replace("-", "_").split("_") if part]
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def _remove(out: Path, name: BidsName) -> None:
    """Remove the derivatives of a scan; its verdict has gone before."""
    stems = [(desc, suffix or name.suffix) for desc, suffix, _ in _IMAGES.values()]
    old = [out / name.derivative(desc, suffix, end) for desc, suffix in stems for end in (_ENDING, ".json")]
    old += (out / name.folder).glob(name.derivative("*", _STATMAP, ".*").name)
    old += (out / name.folder).glob(name.derivative("expected*", name.suffix, ".*").name)
    old += [out / name.result(ending) for ending in (*_PAGES.values(), ".pdf")]
    for path in old:
        path.unlink(missing_ok=True)
