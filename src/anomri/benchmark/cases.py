"""The cases of a protocol: every scan that is scored, real or simulated, and what is true of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from anomri.benchmark.protocol import Protocol
from anomri.errors import InputError

__all__ = ["NORMAL", "REAL_SHAPE", "Case", "Defect", "simulated_cases"]

NORMAL = "normal"
# How the cells of lesions with a real shape begin.
REAL_SHAPE = "real-lesion-"


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
    outline : mask whose largest part is the shape of the simulated lesion; None for a shape that is drawn.
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
    outline: Path | None = None
    trains: bool = False
    position: float | None = None
    covariates: Mapping[str, float] = field(default_factory=dict)

    @property
    def abnormal(self) -> bool:
        """Whether it counts as abnormal."""
        return self.cell != NORMAL


def simulated_cases(protocol: Protocol, normals: Sequence[Case], outlines: Sequence[Path] = ()) -> tuple[Case, ...]:
    """Defects on rotating subjects.

    Parameters
    ----------
    normals : clean cases of the sets that train.
    outlines : masks of real lesions, for a protocol that asks for their shapes.

    Returns
    -------
    ``subjects_per_cell`` cases a cell (all subjects where there are fewer). Place, shape and severity of a defect hang
    on its cell and its scan alone; whose scan it is hangs on the cell's number in the protocol.

    Raises
    ------
    InputError : real shapes are asked for and there are none.
    """
    ranked = sorted(normals, key=lambda case: _digest(case.subject))
    first = {case.subject: case for case in reversed(ranked)}
    subjects = list(dict.fromkeys(case.subject for case in ranked))
    count = min(protocol.subjects_per_cell, len(subjects))
    made = []
    defects = _defects(protocol)
    if not outlines and any(cell.startswith(REAL_SHAPE) for cell in defects):
        raise InputError(
            "the protocol needs masks of real lesions", remedy="Give --data lesion-shapes=FOLDER.", code="no_data"
        )
    for number, (cell, defect) in enumerate(defects.items()):
        for i in range(count):
            clean = first[subjects[(number * count + i) % len(subjects)]]
            seed = _digest(f"{cell}|{clean.case_id}")
            made.append(
                Case(
                    case_id=f"{clean.case_id}.{cell}",
                    subject=clean.subject,
                    source=clean.source,
                    site=clean.site,
                    cell=cell,
                    path=clean.path,
                    defect=defect.model_copy(update={"seed": seed}),
                    outline=outlines[seed % len(outlines)] if cell.startswith(REAL_SHAPE) else None,
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
        grid = protocol.lesions
        for shape, sign, volume, contrast in product(grid.shapes, grid.signs, grid.volumes_ml, grid.contrasts):
            cell = f"{'lesion-' if shape == 'drawn' else REAL_SHAPE}{sign}-{volume:g}ml-c{contrast:g}"
            found[cell] = Defect(kind="lesion", name=sign, volume_ml=volume, contrast=contrast, seed=0)
    return found


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
