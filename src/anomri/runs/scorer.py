"""What a worker needs to judge scans, and the one that does it with a model.

A worker is another process, so it is told by name (``module:function``) how to open its scorer.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from anomri.core.result import ModelRecord
from anomri.errors import AnomriError

if TYPE_CHECKING:
    from anomri.core.outcome import Outcome
    from anomri.io.protocol import ProtocolReference
    from anomri.models import Model

__all__ = ["DEFAULT_SCORER", "Request", "Scorer", "Task", "open_model", "opener"]

DEFAULT_SCORER = "anomri.runs.scorer:open_model"


@dataclass(frozen=True, slots=True)
class Request:
    """What every scan of a run is judged with.

    Parameters
    ----------
    model : name of a bundled model, or a model folder.
    alarm_rate : false-alarm rate at which a scan fails; None for the model's own.
    device : ``auto``, ``cpu`` or ``cuda``.
    protocol : how the scans should have been acquired; what departs from it becomes notes.
    """

    model: str
    alarm_rate: float | None = None
    device: str = "auto"
    protocol: ProtocolReference | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One scan to be judged.

    Parameters
    ----------
    scan_id : its name in every output.
    path : the image.
    folder : its result folder.
    mask : the user's own brain mask; None for the model's way of finding the brain.
    covariates : age and sex, where they are known.
    members : the files of a series in the folder or archive `path`; empty for a file.
    """

    scan_id: str
    path: Path
    folder: Path
    mask: Path | None = None
    covariates: Mapping[str, float] = field(default_factory=dict)
    members: tuple[str, ...] = ()


class Scorer(Protocol):
    """A model opened once, which then judges one scan after the other."""

    @property
    def model(self) -> ModelRecord:
        """Which model it is."""
        ...

    @property
    def alarm_rate(self) -> float:
        """False-alarm rate at which a scan fails."""
        ...

    @property
    def device(self) -> str:
        """What it computes on, in words."""
        ...

    def score(self, task: Task, timings: dict[str, float]) -> Outcome:
        """Judge one scan; adds seconds by stage to `timings`. InputError where the scan cannot be read."""
        ...

    def unreadable(self, scan_id: str, error: AnomriError, *, sha256: str) -> Outcome:
        """The outcome of a scan that could not be read."""
        ...


def opener(reference: str) -> Callable[[Request], Scorer]:
    """The function behind ``module:function``."""
    module, _, name = reference.partition(":")
    return cast("Callable[[Request], Scorer]", getattr(importlib.import_module(module), name))


def open_model(request: Request) -> Scorer:
    """Load the model.

    Raises
    ------
    ModelError : there is no such model, its folder is damaged, or it is not calibrated.
    CalibrationError : the model's normals cannot show the alarm rate.
    """
    from anomri.models import Model

    model = Model.load(request.model)
    # Said before anything is written, not at the first scan that can be read.
    model.calibrated().thresholds(request.alarm_rate)
    return _ModelScorer(model, request, device=model.to(request.device))


class _ModelScorer:
    def __init__(self, model: Model, request: Request, *, device: str) -> None:
        self._model = model
        self._request = request
        self._device = device

    @property
    def model(self) -> ModelRecord:
        from anomri.pipeline.score import model_record

        return model_record(self._model)

    @property
    def alarm_rate(self) -> float:
        given = self._request.alarm_rate
        return self._model.calibrated().alarm_rate if given is None else given

    @property
    def device(self) -> str:
        return self._device

    def score(self, task: Task, timings: dict[str, float]) -> Outcome:
        from time import perf_counter

        from anomri.io import read, read_mask
        from anomri.pipeline import score

        started = perf_counter()
        scan = read(task.path, members=task.members, scan_id=task.scan_id, protocol=self._request.protocol)
        mask = None if task.mask is None else read_mask(task.mask, scan)
        timings["read"] = perf_counter() - started
        return score(
            scan,
            self._model,
            mask=mask,
            covariates=task.covariates,
            alarm_rate=self._request.alarm_rate,
            timings=timings,
        )

    def unreadable(self, scan_id: str, error: AnomriError, *, sha256: str) -> Outcome:
        from anomri.pipeline import unreadable

        return unreadable(scan_id, error, self._model, sha256=sha256)
