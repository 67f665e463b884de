"""The cases of a protocol: every scan that is scored, real or simulated, and what is true of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from anomri.benchmark.protocol import Protocol

__all__ = ["NORMAL", "Case", "Defect", "simulated_cases"]

NORMAL = "normal"


class Defect(BaseModel):
    """What is simulated on a normal scan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["artefact", "lesion"]
    name: str
    severity: int | None = None
    volume_ml: float | None = None
    contrast: float | None = None
    seed: int


@dataclass(frozen=True, slots=True)
class Case:
    """One scan of the benchmark.

    Parameters
    ----------
    case_id : unique in the protocol; safe as a file name.
    subject : whom it belongs to; decides the fold.
    source : name of the data set it comes from.
    site : where it was acquired, as far as known.
    cell : ``normal``, or the column of the table it stands in.
    path : the image; of the clean scan where a defect is simulated.
    truth : mask of what is abnormal, on the image's grid; None where there is none or it is simulated.
    truth_values : values of that mask that count; all but 0 where empty.
    trains : whether it may train: a normal scan of a set that trains.
    position : of a slice in its stack, 0 to 1; None where unknown.
    """

    case_id: str
    subject: str
    source: str
    site: str
    cell: str
    path: Path
    truth: Path | None = None
    truth_values: tuple[int, ...] = ()
    defect: Defect | None = None
    trains: bool = False
    position: float | None = None
    covariates: Mapping[str, float] = field(default_factory=dict)

    @property
    def abnormal(self) -> bool:
        """Whether it counts as abnormal."""
        return self.cell != NORMAL


def simulated_cases(protocol: Protocol, normals: Sequence[Case]) -> tuple[Case, ...]:
    """Defects on rotating subjects.

    Parameters
    ----------
    normals : clean cases of the sets that train.

    Returns
    -------
    ``subjects_per_cell`` cases a cell (all subjects where there are fewer). Place, shape and severity of a defect hang
    on its cell and its scan alone; whose scan it is hangs on the cell's number in the protocol.
    """
    ranked = sorted(normals, key=lambda case: _digest(case.subject))
    first = {case.subject: case for case in reversed(ranked)}
    subjects = list(dict.fromkeys(case.subject for case in ranked))
    count = min(protocol.subjects_per_cell, len(subjects))
    made = []
    for number, (cell, defect) in enumerate(_defects(protocol).items()):
        for i in range(count):
            clean = first[subjects[(number * count + i) % len(subjects)]]
            made.append(
                Case(
                    case_id=f"{clean.case_id}.{cell}",
                    subject=clean.subject,
                    source=clean.source,
                    site=clean.site,
                    cell=cell,
                    path=clean.path,
                    defect=defect.model_copy(update={"seed": _digest(f"{cell}|{clean.case_id}")}),
                    position=clean.position,
                    covariates=clean.covariates,
                )
            )
    return tuple(made)


def _defects(protocol: Protocol) -> dict[str, Defect]:
    found: dict[str, Defect] = {}
    if protocol.artefacts is not None:
        for kind in protocol.artefacts.kinds:
            for severity in protocol.artefacts.severities:
                found[f"{kind}-{severity}"] = Defect(kind="artefact", name=kind, severity=severity, seed=0)
    if protocol.lesions is not None:
        for sign in protocol.lesions.signs:
            for volume in protocol.lesions.volumes_ml:
                for contrast in protocol.lesions.contrasts:
                    cell = f"lesion-{sign}-{volume:g}ml-c{contrast:g}"
                    found[cell] = Defect(kind="lesion", name=sign, volume_ml=volume, contrast=contrast, seed=0)
    return found


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
