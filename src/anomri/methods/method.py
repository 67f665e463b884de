"""What every method promises; `tests/contracts/test_methods.py` holds each entry of `METHODS` to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from anomri.core.prepared import Prepared
from anomri.core.reading import Reading
from anomri.errors import CalibrationError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Adaptable", "Config", "FitReport", "Method", "MetricName", "Placeable", "Preset", "require_normals"]


def _known_metric(name: str) -> str:
    from anomri.quality import METRICS  # brings scipy

    if name not in METRICS:
        raise ValueError(f"there is no quality metric {name!r}")
    return name


MetricName = Annotated[str, AfterValidator(_known_metric)]


class Config(BaseModel):
    """Base of every method's settings: frozen, typed, no unknown field, every number within its range.

    Parameters
    ----------
    least_normals : fewer are refused.

    Attributes
    ----------
    reading_only : names of the settings that `examine` alone uses: a fit with others serves as well.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    reading_only: ClassVar[frozenset[str]] = frozenset()

    least_normals: int = Field(default=2, ge=1)

    def require_files(self) -> None:
        """Raise what a fit would for files these settings name; called before any scan is prepared."""

    def of_fit(self) -> dict[str, object]:
        """The settings, as JSON holds them, that decide what `fit` leaves behind."""
        return self.model_dump(mode="json", exclude=set(self.reading_only))


@dataclass(frozen=True, slots=True)
class FitReport:
    """What a training left behind besides the weights.

    Parameters
    ----------
    curves : by name (``train_loss``, ``validation_loss``), one number an epoch or step.
    elapsed_s : wall time of the training.
    notes : what the user should know.
    held_out : readings of the normals that a network was not trained on, each by statistics of the other subjects among
        them; empty for a method that learns from all its normals.
    """

    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    elapsed_s: float = 0.0
    notes: tuple[str, ...] = ()
    held_out: tuple[Reading, ...] = ()


@dataclass(frozen=True, slots=True)
class Preset:
    """A named setting of a method.

    Parameters
    ----------
    config : the method's settings.
    recipe : name of the preparation it was made for.
    claim : one line: what it is, how long it takes on which machine, where that is measured.
    """

    config: Config
    recipe: str
    claim: str


def require_normals(count: int, config: Config, method: str) -> None:
    """Raise `CalibrationError` where a method is given fewer normals than its settings ask for."""
    if count < config.least_normals:
        raise CalibrationError(
            f"{count} normal scans are too few for {method}",
            remedy=f"Give at least {config.least_normals}, better more.",
            code="too_few_normals",
        )


class Method(Protocol):
    """Learns from normal scans, then says how far and where one scan departs from them.

    A method is constructed with its config alone. `fit` and `examine` never change their input; `examine` gives the
    same reading for the same scan and seed, alone or after any other scan.

    `version` counts the changes after which the same scans, settings and seed give other weights or readings. What was
    fitted or calibrated under another version is not used.
    """

    version: ClassVar[int]
    config_type: ClassVar[type[Config]]
    localises: ClassVar[bool]

    def __init__(self, config: Config) -> None: ...

    def fit(self, prepared: Sequence[Prepared], *, seed: int, fabric: Fabric | None, resume: Path | None) -> FitReport:
        """Learn from normal scans.

        Parameters
        ----------
        prepared : scans of normal subjects on one grid.
        seed : of all randomness.
        fabric : device and precision, for methods that train a network; None for the CPU.
        resume : folder for checkpoints; a training that was killed goes on from there, bit-equal on a CPU.
        """
        ...

    def examine(self, prepared: Prepared, *, seed: int) -> Reading:
        """Read one scan; see `Reading` for what its map promises."""
        ...

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """All that was learnt, as named arrays (float32, float16 or integers)."""
        ...

    @classmethod
    def restore(cls, config: Config, state: Mapping[str, NDArray[np.generic]]) -> Self:
        """A fitted method from its config and state; ModelError where a name or shape does not fit."""
        ...


@runtime_checkable
class Adaptable(Protocol):
    """A method whose statistics can be moved to the normals of another site."""

    def adapted(self, prepared: Sequence[Prepared]) -> Self:
        """The same method, its weights as they are and its statistics moved towards these normals.

        Parameters
        ----------
        prepared : normal scans of one site, at least three, prepared by the method's recipe.
        """
        ...


@runtime_checkable
class Placeable(Protocol):
    """A method whose network can move to another device; the others compute with numpy where they are."""

    def to(self, device: str) -> None:
        """Move the network to ``cpu`` or ``cuda``; `examine` then runs there."""
        ...
