"""Give a scan an artefact of a chosen severity, and make the same one again from its record."""

from __future__ import annotations

import difflib
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from anomri.core.geometry import orientation_code
from anomri.core.scan import Scan
from anomri.errors import InputError
from anomri.simulate.artefacts import ARTEFACTS, ArtefactEntry
from anomri.simulate.artefacts.artefact import Clean, Drawn
from anomri.simulate.lesions import LESION_VERSION, LesionDrawn, lesion_from_draw
from anomri.simulate.simulated import (
    Record,
    Simulated,
    check_brain,
    mask_sha256,
    simulated_scan,
    white_matter_signal,
)

__all__ = ["SEVERITIES", "corrupt", "replay"]

BoolArray = NDArray[np.bool_]

AnyDrawn = TypeVar("AnyDrawn", bound=Drawn)

SEVERITIES = (1, 2, 3, 4, 5)


def corrupt(
    scan: Scan, kind: str, *, severity: int, seed: int, brain: BoolArray, keep_outside: bool = False
) -> Simulated:
    """A scan with one artefact.

    Parameters
    ----------
    kind : a row of `ARTEFACTS`.
    severity : 1 barely visible … 5 unusable.
    seed : ≥ 0; one seed gives the same artefact at five strengths.
    brain : (X, Y, Z) bool on the scan's grid.
    keep_outside : False for a stripped scan: nothing leaks in from outside the brain, and voxels outside it are
        set to exactly 0. True changes the whole image.

    Raises
    ------
    InputError : unknown kind or severity, or the mask does not fit the scan.
    """
    entry = _entry(kind)
    if severity not in SEVERITIES:
        raise InputError(f"there is no severity {severity}", remedy="Severities are 1, 2, 3, 4 and 5.", code="severity")
    clean = _clean(scan, brain, keep_outside=keep_outside)
    drawn = entry.draw(clean, severity, np.random.default_rng(seed))
    return _apply(scan, clean, entry, drawn, kind=kind, severity=severity, seed=seed)


def replay(scan: Scan, record: Record, brain: BoolArray) -> Simulated:
    """Make a simulated scan again, bit for bit, from the clean scan and its record.

    Raises
    ------
    InputError : the record was made from another scan or mask, by another version, or is damaged.
    """
    check_brain(scan, brain)
    if record.clean_sha256 != scan.source.sha256 or record.brain_sha256 != mask_sha256(brain):
        raise InputError(
            "the record was made from another scan or brain mask",
            remedy="Give the scan and mask it was made from.",
            code="record",
            scan=scan.scan_id,
        )
    if record.kind == "lesion":
        drawn = _drawn(record, LesionDrawn, LESION_VERSION)
        return lesion_from_draw(scan, drawn, seed=record.seed, brain=brain, settings=record.settings)
    entry = _entry(record.kind)
    if record.severity is None or not isinstance(record.settings.get("keep_outside"), bool):
        raise _damaged()
    clean = _clean(scan, brain, keep_outside=bool(record.settings["keep_outside"]))
    drawn_artefact = _drawn(record, entry.drawn_type, entry.version)
    return _apply(scan, clean, entry, drawn_artefact, kind=record.kind, severity=record.severity, seed=record.seed)


def _drawn(record: Record, drawn_type: type[AnyDrawn], version: int) -> AnyDrawn:
    if record.version != version:
        raise InputError(
            f"the record was made by version {record.version} of {record.kind}, this is version {version}",
            remedy="Make the scan again from its seed.",
            code="record",
        )
    try:
        return drawn_type.model_validate(record.drawn)
    except ValidationError as error:
        raise _damaged() from error


def _damaged() -> InputError:
    return InputError(
        "the record does not hold what its kind draws", remedy="Make the scan again from its seed.", code="record"
    )


def _entry(kind: str) -> ArtefactEntry:
    if kind not in ARTEFACTS:
        close = difflib.get_close_matches(kind, ARTEFACTS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise InputError(
            f"there is no artefact {kind!r}", remedy=f"Known: {', '.join(ARTEFACTS)}.{hint}", code="unknown_artefact"
        )
    return ARTEFACTS[kind]


def _clean(scan: Scan, brain: BoolArray, *, keep_outside: bool) -> Clean:
    check_brain(scan, brain)
    return Clean(
        voxels=scan.voxels,
        brain=brain,
        spacing_mm=scan.geometry.spacing_mm,
        orientation=orientation_code(scan.geometry.affine),
        white_signal=white_matter_signal(scan, brain),
        stripped=not keep_outside,
    )


def _apply(
    scan: Scan, clean: Clean, entry: ArtefactEntry, drawn: Drawn, *, kind: str, severity: int, seed: int
) -> Simulated:
    voxels = entry.apply(clean, drawn)
    if clean.stripped:
        voxels = np.where(clean.brain, voxels, np.float32(0.0))
    return simulated_scan(
        scan,
        voxels,
        brain=clean.brain,
        suffix=f"{kind}-{severity}",
        core=(voxels != scan.voxels) & clean.brain if entry.local else None,
        kind=kind,
        version=entry.version,
        seed=seed,
        severity=severity,
        settings={"keep_outside": not clean.stripped},
        drawn=drawn,
    )
