"""What every simulator returns: the changed scan, where it was changed, and a record that makes it again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, JsonValue

from anomri.core.scan import Scan
from anomri.errors import InputError
from anomri.io import array_scan
from anomri.metrics.pseudo_normal import ssim
from anomri.simulate.similarity import nrmse

__all__ = [
    "Drawn",
    "Record",
    "Simulated",
    "check_brain",
    "mask_sha256",
    "simulated_scan",
    "white_matter_signal",
]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]


# Share of the brain's voxels darker than its white matter on a T1-weighted scan .
WHITE_PERCENTILE = 75.0


class Drawn(BaseModel):
    """Base of what a simulator draws: everything that decides its voxels, as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Record(BaseModel):
    """How a scan was changed, as JSON; `anomri.simulate.replay` makes the same voxels from it.

    Parameters
    ----------
    kind : a row of `ARTEFACTS`, or ``lesion``.
    version : of this kind's simulator; changes whenever its voxels may.
    seed : what everything was drawn from.
    severity : 1 barely visible … 5 unusable; None where the kind is set by `settings` instead.
    settings : what was asked for, besides kind, severity and seed.
    drawn : what was drawn from the seed.
    clean_sha256 : `Source.sha256` of the scan that was changed.
    brain_sha256 : digest of the mask it was changed in.
    measured : distance to the clean scan inside the brain: ``nrmse`` (root mean square ÷ white-matter signal) and
        ``ssim`` (mean local structural similarity), so that levels of different kinds can be matched.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: str
    version: int
    seed: int
    severity: int | None = None
    settings: dict[str, JsonValue] = {}
    drawn: dict[str, JsonValue]
    clean_sha256: str
    brain_sha256: str
    measured: dict[str, float]


@dataclass(frozen=True, eq=False, slots=True)
class Simulated:
    """A changed scan and the truth about it.

    Parameters
    ----------
    scan : the changed scan.
    changed : (X, Y, Z) bool, exactly where its voxels differ from the clean scan; made read-only.
    core : (X, Y, Z) bool, truth of a local defect, inside `changed`; None for a defect of the whole image.
    record : how it was made.

    Raises
    ------
    InputError : a mask lies on another grid, or `core` leaves `changed`.
    """

    scan: Scan
    changed: BoolArray
    core: BoolArray | None
    record: Record

    def __post_init__(self) -> None:
        for mask in (self.changed, self.core):
            if mask is None:
                continue
            if mask.shape != self.scan.geometry.shape or bool((mask & ~self.changed).any()):
                raise InputError(
                    "the truth of a simulated scan does not fit its voxels", remedy="Report this.", code="simulation"
                )
            mask.setflags(write=False)


def simulated_scan(
    scan: Scan,
    voxels: FloatArray,
    *,
    brain: BoolArray,
    suffix: str,
    core: BoolArray | None,
    kind: str,
    version: int,
    seed: int,
    severity: int | None,
    settings: dict[str, JsonValue],
    drawn: Drawn,
) -> Simulated:
    """Put the new voxels of `scan` together with their truth, their record and their distance to the clean scan."""
    signal = white_matter_signal(scan, brain)
    record = Record(
        kind=kind,
        version=version,
        seed=seed,
        severity=severity,
        settings=settings,
        drawn=drawn.model_dump(mode="json"),
        clean_sha256=scan.source.sha256,
        brain_sha256=mask_sha256(brain),
        measured={
            "nrmse": nrmse(scan.voxels, voxels, brain, signal),
            "ssim": ssim(scan.voxels, voxels, brain, signal),
        },
    )
    new = array_scan(
        voxels,
        scan.geometry.affine,
        scan_id=f"{scan.scan_id}_{suffix}",
        sequence=scan.sequence,
        notes=(f"simulated: {suffix}",),
    )
    return Simulated(scan=new, changed=voxels != scan.voxels, core=core, record=record)


def white_matter_signal(scan: Scan, brain: BoolArray) -> float:
    """75th percentile of the signal inside the brain: white matter on a T1-weighted scan."""
    return float(np.percentile(scan.voxels[brain], WHITE_PERCENTILE))


def mask_sha256(mask: BoolArray) -> str:
    """Digest of a mask's voxels."""
    return hashlib.sha256(np.packbits(mask).data).hexdigest()


def check_brain(scan: Scan, brain: BoolArray) -> None:
    """Refuse a mask that cannot be the scan's.

    Raises
    ------
    InputError : the mask is not boolean, lies on another grid, is empty, or its white-matter signal is
        not positive.
    """
    if brain.dtype != np.bool_ or brain.shape != scan.geometry.shape:
        raise InputError(
            f"a brain mask of type {brain.dtype} and shape {brain.shape} for a scan of shape {scan.geometry.shape}",
            remedy="Give a boolean mask on the scan's own grid.",
            code="mask_grid",
            scan=scan.scan_id,
        )
    if not brain.any() or white_matter_signal(scan, brain) <= 0.0:
        raise InputError(
            "the brain mask is empty or holds no signal", remedy="Check the mask.", code="mask_empty", scan=scan.scan_id
        )
