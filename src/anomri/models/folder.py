"""Models on disk: reading with every check, writing whole, and the list of those that come with anomri."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from anomri.calibration import Calibration
from anomri.errors import ModelError
from anomri.io.write import write_bytes, write_text
from anomri.methods import load_method
from anomri.models.card import card_text
from anomri.models.model import FORMAT, Branch, Card, Model
from anomri.preparation import Recipe
from anomri.scope import Scope

__all__ = ["CatalogueEntry", "catalogue", "read_card", "read_model", "write_model"]

_BUNDLED = Path(__file__).parent / "bundled"
_LARGEST_FILE = 2 * 1024**3
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
    if (folder / "model.json").is_file():
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
    except ValueError as error:
        raise ModelError("model.json is damaged", remedy="Install the model again.", code="damaged") from error
    if not isinstance(found, dict) or found.get("format", FORMAT + 1) > FORMAT:
        raise ModelError("the model has a newer format", remedy="Upgrade anomri.", code="newer_format")
    return _parsed(Card, data, "model.json"), hashlib.sha256(data).hexdigest()


def read_model(name_or_folder: str | Path) -> Model:
    """See `Model.load`."""
    folder = find_model(name_or_folder)
    card, digest = read_card(folder)
    files: dict[str, bytes] = {}
    for name, expected in card.files.items():
        if Path(name).name != name:
            raise ModelError(f"model.json names a file outside its folder: {name!r}", remedy="Do not use it.")
        files[name] = _bytes(folder / name)
        if hashlib.sha256(files[name]).hexdigest() != expected:
            raise ModelError(f"{name} was changed or damaged", remedy="Install the model again.", code="digest")
    for needed in ("recipe.json", "scope.json", *(r.weights for r in card.branches)):
        if needed not in files:
            raise ModelError(f"{needed} is missing from the model", remedy="Install the model again.", code="damaged")
    branches = []
    for record in card.branches:
        method = load_method(record.method)
        try:
            config = method.config_type.model_validate(record.config)
            state = load_tensors(files[record.weights])
        except (ValidationError, SafetensorError) as error:
            raise ModelError(
                f"branch {record.name} cannot be restored", remedy="Install the model again.", code="damaged"
            ) from error
        branches.append(Branch(record, method.restore(config, state)))
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
        calibration.verify(model_sha256=model.content_sha256, recipe_sha256=model.recipe.sha256)
    return model


def write_model(model: Model, folder: Path, *, half: bool = False) -> Model:
    """Write a model; `model.json` last, so that a folder that has one is whole.

    Parameters
    ----------
    half : store float32 weights as float16.

    Returns
    -------
    The model as it stands on disk: its card with the digests, its branches with the weights as stored.
    """
    files: dict[str, bytes] = {
        "recipe.json": _json(model.recipe),
        "scope.json": _json(model.scope),
    }
    for branch in model.branches:
        state = {name: _stored(array, half) for name, array in branch.method.state().items()}
        files[branch.record.weights] = save_tensors(state)
    if model.calibration is not None:
        files["calibration.json"] = _json(model.calibration)
    files["MODEL.md"] = card_text(model.card).encode()
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    card = model.card.model_copy(update={"files": digests})
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        write_bytes(folder / name, data)
    write_text(folder / "model.json", json.dumps(json.loads(card.model_dump_json()), indent=1, sort_keys=True) + "\n")
    return read_model(folder)


def _stored(array: NDArray[np.generic], half: bool) -> NDArray[np.generic]:
    if half and array.dtype == np.float32:
        return np.ascontiguousarray(array.astype(np.float16))
    return np.ascontiguousarray(array)


def _json(record: BaseModel) -> bytes:
    return (json.dumps(json.loads(record.model_dump_json()), indent=1, sort_keys=True) + "\n").encode()


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST_FILE:
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
