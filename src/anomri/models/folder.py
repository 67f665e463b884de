"""Models on disk: reading with every check, writing whole, and the list of those that come with anomri."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from anomri.calibration import Calibration
from anomri.errors import CalibrationError, ModelError, OutputConflict
from anomri.io.write import write_folder
from anomri.methods import load_method
from anomri.models.card import card_text
from anomri.models.model import FORMAT, Branch, BranchRecord, Card, Model
from anomri.preparation import Recipe
from anomri.scope import Scope

__all__ = [
    "CatalogueEntry",
    "catalogue",
    "read_card",
    "read_model",
    "require_replaceable",
    "write_calibrated",
    "write_model",
]

_BUNDLED = Path(__file__).parent / "bundled"
_LARGEST_WEIGHTS = 2 * 1024**3
# Parsing takes many times the size of the text.
_LARGEST_TEXT = 64 * 1024**2
_Record = TypeVar("_Record", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A model that comes with anomri."""

    name: str
    version: str
    summary: str
    folder: Path


def catalogue() -> tuple[CatalogueEntry, ...]:
    """The bundled models, by name; reads their cards only."""
    entries = []
    for folder in sorted(_BUNDLED.iterdir()) if _BUNDLED.is_dir() else []:
        if (folder / "model.json").is_file():
            card, _ = read_card(folder)
            entries.append(CatalogueEntry(card.name, card.version, card.cohort, folder))
    return tuple(entries)


def find_model(name_or_folder: str | Path) -> Path:
    """Folder of a bundled model's name, or the folder itself.

    Raises
    ------
    ModelError : neither exists; the message lists the bundled ones.
    """
    folder = Path(name_or_folder)
    if _holds_model(folder):
        return folder
    for entry in catalogue():
        if entry.name == str(name_or_folder):
            return entry.folder
    if folder.suffix in {".pt", ".pth", ".onnx", ".pkl", ".ckpt"}:
        raise ModelError(
            f"{folder.name} is not a model folder",
            remedy="anomri reads safetensors and JSON only, because other formats can run code.",
            code="foreign_format",
        )
    known = ", ".join(entry.name for entry in catalogue())
    raise ModelError(f"there is no model {str(name_or_folder)!r}", remedy=f"Bundled: {known}.", code="unknown_model")


def read_card(folder: Path) -> tuple[Card, str]:
    """The card of a model folder and the digest of its `model.json`.

    Raises
    ------
    ModelError : missing, damaged, or of a newer format.
    """
    data = _bytes(folder / "model.json")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelError("model.json is damaged", remedy="Install the model again.", code="damaged") from error
    number = found.get("format") if isinstance(found, dict) else None
    if isinstance(number, int) and number > FORMAT:
        raise ModelError(f"the model has a newer format ({number})", remedy="Upgrade anomri.", code="newer_format")
    if number != FORMAT:
        raise ModelError("model.json names no known format", remedy="Install the model again.", code="damaged")
    return _parsed(Card, data, "model.json"), hashlib.sha256(data).hexdigest()


def read_model(name_or_folder: str | Path) -> Model:
    """See `Model.load`."""
    folder = find_model(name_or_folder)
    card, digest = read_card(folder)
    files = _checked_files(card, folder)
    branches = [_restored(record, files[record.weights]) for record in card.branches]
    calibration = None
    if "calibration.json" in files:
        calibration = _parsed(Calibration, files["calibration.json"], "calibration.json")
    model = Model(
        card=card,
        recipe=_parsed(Recipe, files["recipe.json"], "recipe.json"),
        scope=_parsed(Scope, files["scope.json"], "scope.json"),
        branches=tuple(branches),
        calibration=calibration,
        sha256=digest,
        folder=folder,
    )
    if calibration is not None:
        try:
            calibration.verify(model_sha256=model.content_sha256, recipe_sha256=model.recipe.sha256)
        except CalibrationError as error:
            raise ModelError(
                f"{error.cause}: this anomri prepares or reads scans in another way than the one that made the model",
                remedy="Fit the model again, or use the anomri that made it.",
                code=error.code,
            ) from error
    return model


def write_model(model: Model, folder: Path, *, half: bool = False) -> Model:
    """Write a model whole; a model that stood in the folder is replaced, other files in it are left.

    Parameters
    ----------
    half : store float32 weights as float16, where their size allows it.

    Returns
    -------
    The model as it stands on disk: its card with the digests, its branches with the weights as stored.

    Raises
    ------
    OutputConflict : see `require_replaceable`.
    """
    weights = {
        branch.record.weights: save_tensors(
            {name: _stored(array, half) for name, array in branch.method.state().items()}
        )
        for branch in model.branches
    }
    return _write(model, weights, folder)


def write_calibrated(model: Model, calibration: Calibration, folder: Path) -> Model:
    """Write a model that stands on disk once more, with this calibration; its weights are copied byte for byte.

    Raises
    ------
    ModelError : the model was never written.
    CalibrationError : the calibration was made for another model.
    OutputConflict : see `require_replaceable`.
    """
    if model.folder is None:
        raise ModelError("a model that was never written", remedy="Write it first.", code="unwritten")
    calibration.verify(model_sha256=model.content_sha256, recipe_sha256=model.recipe.sha256)
    weights = {record.weights: _bytes(model.folder / record.weights) for record in model.card.branches}
    return _write(replace(model, calibration=calibration), weights, folder)


def require_replaceable(folder: Path) -> None:
    """Refuse a place where a model may not be written.

    Raises
    ------
    OutputConflict : something stands there that is neither an empty folder nor a model (`not_a_model`), or a file
        system is mounted there, so that the folder cannot be renamed (`mount`).
    """
    if os.path.ismount(folder):
        raise OutputConflict(
            f"{folder} is a mount point, which cannot be replaced", remedy="Choose a folder inside it.", code="mount"
        )
    empty = not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir()))
    if not empty and not _holds_model(folder):
        raise OutputConflict(
            f"{folder} holds something that is not a model", remedy="Choose another folder.", code="not_a_model"
        )


def _holds_model(folder: Path) -> bool:
    try:
        return (folder / "model.json").is_file()
    except OSError:  # a name too long, a folder that may not be entered
        return False


def _own_files(folder: Path) -> set[str]:
    """Names of the files that belong to the model in a folder."""
    try:
        return {"model.json", *read_card(folder)[0].files}
    except ModelError:
        return {"model.json"}


def _write(model: Model, weights: Mapping[str, bytes], folder: Path) -> Model:
    files = {
        **weights,
        "recipe.json": _json(model.recipe),
        "scope.json": _json(model.scope),
        "MODEL.md": card_text(model.card).encode(),
    }
    if model.calibration is not None:
        files["calibration.json"] = _json(model.calibration)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    card = model.card.model_copy(update={"files": digests})
    require_replaceable(folder)
    write_folder(folder, {**files, "model.json": _json(card)}, replaces=_own_files(folder))
    return read_model(folder)


def _checked_files(card: Card, folder: Path) -> dict[str, bytes]:
    """Content of every file of a model, each with the digest that the card states."""
    files: dict[str, bytes] = {}
    for name, expected in card.files.items():
        if Path(name).name != name:
            raise ModelError(
                f"model.json names a file outside its folder: {name!r}", remedy="Do not use it.", code="outside"
            )
        files[name] = _bytes(folder / name)
        if hashlib.sha256(files[name]).hexdigest() != expected:
            raise ModelError(f"{name} was changed or damaged", remedy="Install the model again.", code="digest")
    for needed in ("recipe.json", "scope.json", *(r.weights for r in card.branches)):
        if needed not in files:
            raise ModelError(f"{needed} is missing from the model", remedy="Install the model again.", code="damaged")
    if not card.branches or (len(card.branches) > 1 and any(r.scaling is None for r in card.branches)):
        raise ModelError("the model's branches cannot be joined", remedy="Install the model again.", code="damaged")
    return files


def _restored(record: BranchRecord, weights: bytes) -> Branch:
    method = load_method(record.method)
    if record.method_version != method.version:
        raise ModelError(
            f"branch {record.name} was fitted by version {record.method_version} of {record.method}; this anomri has "
            f"version {method.version}",
            remedy="Fit the model again, or install the anomri that made it (it stands in MODEL.md).",
            code="method_version",
        )
    try:
        config = method.config_type.model_validate(record.config)
        state = load_tensors(weights)
    # A KeyError is a kind of number that numpy has not.
    except (ValidationError, SafetensorError, KeyError) as error:
        raise ModelError(
            f"branch {record.name} cannot be restored", remedy="Install the model again.", code="damaged"
        ) from error
    return Branch(record, method.restore(config, state))


def _stored(array: NDArray[np.generic], half: bool) -> NDArray[np.generic]:
    if half and array.dtype == np.float32:
        with np.errstate(over="ignore"):
            short = array.astype(np.float16)
        if np.isfinite(short).all():
            return np.ascontiguousarray(short)
    return np.ascontiguousarray(array)


def _json(record: BaseModel) -> bytes:
    return (json.dumps(json.loads(record.model_dump_json()), indent=1, sort_keys=True) + "\n").encode()


def _bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise ModelError(f"{path.name} is missing or no file", remedy="Install the model again.", code="damaged")
        if path.stat().st_size > (_LARGEST_WEIGHTS if path.suffix == ".safetensors" else _LARGEST_TEXT):
            raise ModelError(f"{path.name} is too large for a model file", remedy="Check the folder.", code="damaged")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read", remedy="Install the model again.", code="damaged") from error


def _parsed(record: type[_Record], data: bytes, name: str) -> _Record:
    try:
        return record.model_validate_json(data)
    except ValidationError as error:
        raise ModelError(
            f"{name} does not fit its schema", remedy="Install the model again.", code="damaged"
        ) from error
