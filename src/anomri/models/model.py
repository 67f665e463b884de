"""A fitted model: what it is, its branches, and what it is judged against.

Folder format 2::

    model.json         this card: branches, training scans, licence, sha256 of every other file
    recipe.json        the preparation
    scope.json         limits of what it was made for
    calibration.json   scores of normals; absent until calibrated
    <branch>.safetensors
    MODEL.md           the card for people

No pickle anywhere; nothing here runs code from the folder.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ConfigDict

from anomri.calibration import Calibration
from anomri.errors import ModelError
from anomri.io.names import bids_sequence
from anomri.methods.method import Method, Placeable
from anomri.models.fusion import Scaling
from anomri.preparation import Recipe
from anomri.scope import Scope

if TYPE_CHECKING:
    from anomri.training.fabric import Device

__all__ = ["FORMAT", "Branch", "BranchRecord", "Card", "Model", "TrainingScan"]

FORMAT = 2


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BranchRecord(_Record):
    """One branch as it stands in `model.json`; `method_version` is that of the code that fitted it."""

    name: str
    method: str
    method_version: int
    preset: str
    config: dict[str, Any]
    weights: str
    scaling: Scaling | None = None


class TrainingScan(_Record):
    """A scan the model learnt from; `image_sha256` is that of its `Source`."""

    scan_id: str
    subject: str
    image_sha256: str


class Card(_Record):
    """`model.json`.

    Parameters
    ----------
    cohort : one sentence: who, how many, which scanner.
    validation : one sentence: how well it was measured to work, and where.
    expects : what an input must be.
    age_range : of the training subjects, years; None where unknown.
    single_site : whether all normals come from one scanner.
    """

    format: int = FORMAT
    name: str
    version: str
    branches: tuple[BranchRecord, ...]
    cohort: str
    validation: str
    expects: str
    licence: str
    made_by: str
    seed: int
    training: tuple[TrainingScan, ...]
    age_range: tuple[float, float] | None = None
    single_site: bool = True
    files: dict[str, str] = {}

    @property
    def sequence(self) -> str | None:
        """The contrast that names of training scans state; None where none states one, or they state several."""
        stated = {bids_sequence(Path(scan.scan_id)) for scan in self.training} - {None}
        return next(iter(stated)) if len(stated) == 1 else None


@dataclass(frozen=True, eq=False, slots=True)
class Branch:
    """A fitted method with its place in the model."""

    record: BranchRecord
    method: Method


@dataclass(frozen=True, eq=False, slots=True)
class Model:
    """A model in memory; `Model.load` reads one, `write_model` writes one.

    Parameters
    ----------
    sha256 : digest of `model.json`, which holds the digest of every other file.
    folder : where it was loaded from; None for one that was never written.
    """

    card: Card
    recipe: Recipe
    scope: Scope
    branches: tuple[Branch, ...]
    calibration: Calibration | None
    sha256: str
    folder: Path | None = None

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.card.name

    @property
    def version(self) -> str:
        """Version of the model."""
        return self.card.version

    @property
    def scalings(self) -> dict[str, Scaling]:
        """What puts the branches' scores on one scale, by branch; empty for a single branch."""
        return {r.name: r.scaling for r in self.card.branches if r.scaling is not None}

    @property
    def content_sha256(self) -> str:
        """Digest of branches, scope and recipe, without the calibration: what a calibration is bound to."""
        weights = {r.weights: self.card.files[r.weights] for r in self.card.branches}
        parts = [r.model_dump_json() for r in self.card.branches] + [str(sorted(weights.items()))]
        parts += [self.scope.model_dump_json(), self.recipe.sha256]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def calibrated(self) -> Calibration:
        """The calibration.

        Raises
        ------
        ModelError : there is none.
        """
        if self.calibration is None:
            raise ModelError(
                f"model {self.name} is not calibrated", remedy="Run anomri calibrate.", code="uncalibrated"
            )
        return self.calibration

    def to(self, device: str) -> str:
        """Move the networks of all branches to a device.

        Parameters
        ----------
        device : ``auto`` (CUDA where it is), ``cpu`` or ``cuda``.

        Returns
        -------
        Where they are now; always ``cpu`` for a model without networks, which asks nobody for a device.

        Raises
        ------
        EnvironmentProblem : ``cuda`` was asked for and there is none.
        """
        networks = [branch.method for branch in self.branches if isinstance(branch.method, Placeable)]
        if not networks:
            return "cpu"
        from anomri.training.fabric import choose_device  # brings torch

        place = choose_device(cast("Device", device))
        for network in networks:
            network.to(place)
        return place

    @staticmethod
    def load(name_or_folder: str | Path) -> Model:
        """Read a model by name (a bundled one) or folder; checks format and every digest.

        Raises
        ------
        ModelError : no such model, a newer format, a digest that differs, or weights that do not fit.
        """
        from anomri.models.folder import read_model  # the folder format needs this class

        return read_model(name_or_folder)
