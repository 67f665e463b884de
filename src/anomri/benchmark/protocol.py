"""A benchmark protocol: which scans, split how, prepared how, and which methods stand in the table.

A protocol is a TOML file. It names no folder: where a data set lies is the reader's business, so that a protocol can be
published beside the table it made.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from anomri.datasets.catalogue import DATASETS
from anomri.errors import InputError
from anomri.pipeline.specs import BranchSpec, branch_specs
from anomri.preparation import RECIPES, Recipe
from anomri.simulate import KINDS

__all__ = ["Artefacts", "DataUse", "Lesions", "MethodRow", "Protocol", "read_protocol", "shipped_protocols"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataUse(_Frozen):
    """A data set and what it is for.

    Parameters
    ----------
    set : name of an adapter of `anomri.datasets`.
    use : ``all`` its scans; ``normals`` or ``abnormal`` alone.
    trains : whether its normal scans may train; false for a set that is only tested.
    sequence : only scans of this sequence, e.g. ``T1w``.
    stripped : only scans with (false) or without (true) skull, where a set holds both.
    """

    set: str
    use: Literal["all", "normals", "abnormal"] = "all"
    trains: bool = True
    sequence: str | None = None
    stripped: bool | None = None

    @field_validator("set")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in DATASETS:
            raise ValueError(f"there is no data set {name!r}; see anomri datasets")
        return name


class Artefacts(_Frozen):
    """Simulated artefacts: every kind at every severity is a cell of the table."""

    kinds: tuple[str, ...] = Field(min_length=1)
    severities: tuple[Annotated[int, Field(ge=1, le=5)], ...] = Field(min_length=1)

    @field_validator("kinds")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in KINDS:
                raise ValueError(f"there is no artefact {name!r}; known: {', '.join(KINDS)}")
        return names


class Lesions(_Frozen):
    """Simulated lesions: every volume, contrast (in grey–white differences), sign and kind of shape is a cell.

    Parameters
    ----------
    shapes : ``drawn`` ones, or the outlines of ``real`` lesions, scaled to the volume: the largest part of each mask in
        the folder that ``--data lesion-shapes=FOLDER`` names.
    """

    volumes_ml: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1)
    contrasts: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=(1.0,), min_length=1)
    signs: tuple[Literal["bright", "dark"], ...] = Field(default=("bright", "dark"), min_length=1)
    shapes: tuple[Literal["drawn", "real"], ...] = Field(default=("drawn",), min_length=1)


class MethodRow(_Frozen):
    """A row of the table.

    Parameters
    ----------
    name : as the table shows it.
    methods : one name of `METHODS`, or several that become the branches of one model.
    presets : one a method; its first preset where empty.
    settings : of the presets, changed: ``field`` or ``method.field`` → value.
    recipe : another preparation than the protocol's.
    baseline : one of the trivial baselines a method has to beat.
    heatmaps : folder of heatmaps and ``scores.csv`` made elsewhere, instead of a method; set from the command line.
    """

    name: str
    methods: tuple[str, ...] = ()
    presets: tuple[str, ...] = ()
    settings: Mapping[str, str | int | float | bool] = Field(default_factory=dict)
    recipe: str | None = None
    baseline: bool = False
    heatmaps: Path | None = None

    @model_validator(mode="after")
    def _one_source_of_scores(self) -> MethodRow:
        if bool(self.methods) == (self.heatmaps is not None):
            raise ValueError("a row has methods or heatmaps, and not both")
        if self.presets and len(self.presets) != len(self.methods):
            raise ValueError("give one preset a method, or none")
        return self

    def specs(self) -> tuple[BranchSpec, ...]:
        """The branches of its model.

        Raises
        ------
        ModelError : a method, preset or setting that does not exist.
        """
        presets = self.presets or [None] * len(self.methods)
        return branch_specs(self.methods, presets, {name: json.dumps(value) for name, value in self.settings.items()})[
            0
        ]


class Protocol(_Frozen):
    """See the module.

    Parameters
    ----------
    name, title, question : what the benchmark is called and what it answers.
    unit : what is ranked; in a set of slices every slice counts, and slices of a patient travel together.
    data : the sets; subjects are split over all of them together.
    recipe : name of the preparation, shipped or of `recipes`.
    recipes : further preparations: a shipped one (``base``) with some settings changed.
    folds, split_seed : of the cross-validation by subject.
    seeds : of every method that has one; the others run once.
    normals : train on this many normal scans only, drawn anew for each seed (every method then runs all seeds); all
        where None.
    artefacts, lesions : defects simulated on the normal scans.
    subjects_per_cell : how many subjects a simulated cell has; they rotate.
    rates : nominal false-alarm rates.
    methods : the rows.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    question: str
    unit: Literal["subject", "slice", "image"] = "subject"
    data: tuple[DataUse, ...] = Field(min_length=1)
    recipe: str
    recipes: Mapping[str, Mapping[str, object]] = Field(default_factory=dict)
    folds: int = Field(default=5, ge=2)
    split_seed: int = 0
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    normals: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    artefacts: Artefacts | None = None
    lesions: Lesions | None = None
    subjects_per_cell: int = Field(default=20, ge=2)
    rates: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.01, 0.05, 0.10)
    methods: tuple[MethodRow, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _rows_that_can_run(self) -> Protocol:
        names = [row.name for row in self.methods]
        if len(set(names)) < len(names):
            raise ValueError("two rows have the same name")
        for name in {self.recipe, *(row.recipe for row in self.methods if row.recipe is not None)}:
            self.recipe_of(name)
        for row in self.methods:
            row.specs()
        return self

    def recipe_of(self, name: str) -> Recipe:
        """A recipe by its name in this protocol.

        Raises
        ------
        ValueError : neither shipped nor defined here.
        """
        if name not in self.recipes:
            if name not in RECIPES:
                raise ValueError(f"there is no recipe {name!r}")
            return RECIPES[name]
        changes = dict(self.recipes[name])
        base = changes.pop("base", None)
        if not isinstance(base, str) or base not in RECIPES:
            raise ValueError(f"recipe {name!r} needs base, one of {', '.join(RECIPES)}")
        return Recipe.model_validate(RECIPES[base].model_dump() | changes | {"name": name})


def shipped_protocols() -> dict[str, Path]:
    """Name and file of every protocol that comes with anomri."""
    folder = Path(str(resources.files("anomri.benchmark") / "protocols"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def read_protocol(which: str) -> Protocol:
    """A shipped protocol by its name, or one from a TOML file.

    Raises
    ------
    InputError : no such protocol, or it does not say what a protocol says.
    ModelError : it names a method, preset or setting that does not exist.
    """
    path = shipped_protocols().get(which, Path(which))
    try:
        return Protocol.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(
            f"there is no protocol {which!r}",
            remedy=f"Give a TOML file or one of: {', '.join(shipped_protocols())}.",
            code="protocol",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not a TOML file: {error}", remedy="See the page on protocols.", code="protocol") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"protocol {path.stem}: {where}: {first['msg']}", remedy="See the page on protocols.", code="protocol"
        ) from error
