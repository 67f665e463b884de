"""Give a scan a defect of a chosen severity, and make the same one again from its record."""

from __future__ import annotations

import difflib
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue, ValidationError

from anomri.core.geometry import orientation_code
from anomri.core.scan import Scan
from anomri.errors import InputError, SettingError, about_scan
from anomri.simulate.artefacts import ARTEFACTS, ArtefactEntry
from anomri.simulate.artefacts.artefact import Clean, Drawn
from anomri.simulate.lesions import LESION_VERSION, LesionDrawn, Sign, lesion_from_draw
from anomri.simulate.outline import Outline
from anomri.simulate.recipes import RECIPES
from anomri.simulate.simulated import (
    Record,
    Simulated,
    check_brain,
    mask_sha256,
    simulated_scan,
    white_matter_signal,
)
from anomri.simulate.structure import STRUCTURE
from anomri.simulate.structure.focal import draw_focal

__all__ = ["KINDS", "SEVERITIES", "corrupt", "focal_lesion", "replay"]

BoolArray = NDArray[np.bool_]

AnyDrawn = TypeVar("AnyDrawn", bound=Drawn)

SEVERITIES = (1, 2, 3, 4, 5)
KINDS: dict[str, ArtefactEntry] = {**ARTEFACTS, **STRUCTURE, **RECIPES}
# Percentile of the brain's signal that stands for fluid, dark on T1w and FLAIR and bright on T2w.
DARK_END, BRIGHT_END = 2.0, 98.0


def corrupt(
    scan: Scan,
    kind: str,
    *,
    severity: int,
    seed: int,
    brain: BoolArray,
    keep_outside: bool = False,
    outline: Outline | None = None,
    donor: Scan | None = None,
) -> Simulated:
    """A scan with one defect.

    Parameters
    ----------
    kind : a row of `KINDS`: of `ARTEFACTS`, `STRUCTURE` or `RECIPES`.
    severity : 1 barely visible … 5 unusable; 1 for a kind that has a single strength.
    seed : ≥ 0; one seed gives the same defect at five strengths.
    brain : (X, Y, Z) bool on the scan's grid.
    keep_outside : False for a stripped scan: nothing leaks in from outside the brain, and voxels outside it are
        set to exactly 0. True changes the whole image.
    outline : shape of a lesion, instead of one that is drawn (`outline_of`); its size is the severity's.
    donor : another scan on the same grid, that a foreign patch comes from.

    Raises
    ------
    SettingError : unknown kind or severity, or the kind takes no outline or donor.
    InputError : the mask or the donor does not fit the scan.
    """
    entry = _entry(kind)
    if severity not in SEVERITIES[: entry.levels]:
        known = "1, 2, 3, 4 and 5" if entry.levels > 1 else "1 alone"
        raise SettingError(
            f"there is no severity {severity} of {kind}", remedy=f"Severities are {known}.", code="severity"
        )
    if (outline is not None and not entry.takes_outline) or (donor is not None and not entry.takes_donor):
        raise SettingError(f"{kind} takes no outline or donor", remedy="Leave it out.", code="unknown_artefact")
    clean = _clean(scan, brain, keep_outside=keep_outside, outline=outline, donor=donor)
    with about_scan(scan.scan_id):
        drawn = entry.draw(clean, severity, np.random.default_rng(seed))
    settings: dict[str, JsonValue] = {"keep_outside": keep_outside}
    if donor is not None:
        settings["donor_sha256"] = donor.source.sha256
    return _apply(scan, clean, entry, drawn, kind=kind, severity=severity, seed=seed, settings=settings)


def focal_lesion(
    scan: Scan,
    *,
    diameter_mm: float,
    contrast: float,
    sign: Sign,
    seed: int,
    brain: BoolArray,
    outline: Outline | None = None,
) -> Simulated:
    """A bright or dark lesion anywhere on the grid of diameters and contrasts, whose diagonal the severities are.

    Parameters
    ----------
    diameter_mm : of the ball of the same volume; > 0.
    contrast : in standard deviations of the tissue around; > 0.
    sign, seed, brain, outline : as of `lesion` and `corrupt`.

    Raises
    ------
    InputError : a number is not positive, the mask does not fit, or no place was found.
    """
    if not (np.isfinite(diameter_mm) and diameter_mm > 0 and np.isfinite(contrast) and contrast > 0):
        raise InputError(
            f"a lesion of {diameter_mm} mm and contrast {contrast}", remedy="Give positive numbers.", code="lesion"
        )
    if sign not in ("bright", "dark"):
        raise InputError(f"a lesion cannot be {sign!r}", remedy="Say bright or dark.", code="lesion")
    clean = _clean(scan, brain, keep_outside=True, outline=outline)
    with about_scan(scan.scan_id):
        drawn = draw_focal(
            clean,
            np.random.default_rng(seed),
            diameter_mm=diameter_mm,
            contrast=contrast,
            sign=1.0 if sign == "bright" else -1.0,
        )
    kind = f"{sign}-lesion"
    settings: dict[str, JsonValue] = {"keep_outside": True, "diameter_mm": diameter_mm, "contrast": contrast}
    return _apply(scan, clean, KINDS[kind], drawn, kind=kind, severity=None, seed=seed, settings=settings)


def replay(scan: Scan, record: Record, brain: BoolArray, *, donor: Scan | None = None) -> Simulated:
    """Make a simulated scan again, bit for bit, from the clean scan and its record.

    Raises
    ------
    InputError : the record was made from another scan, mask or donor, by another version, or is damaged.
    """
    check_brain(scan, brain)
    of_donor = None if donor is None else donor.source.sha256
    if (
        record.clean_sha256 != scan.source.sha256
        or record.brain_sha256 != mask_sha256(brain)
        or record.settings.get("donor_sha256") != of_donor
    ):
        raise InputError(
            "the record was made from another scan or brain mask",
            remedy="Give the scan and mask (and donor) it was made from.",
            code="record",
            scan=scan.scan_id,
        )
    if record.kind == "lesion":
        drawn = _drawn(record, LesionDrawn, LESION_VERSION)
        return lesion_from_draw(scan, drawn, seed=record.seed, brain=brain, settings=record.settings)
    entry = _entry(record.kind)
    keep_outside, focal = record.settings.get("keep_outside"), "diameter_mm" in record.settings
    if (record.severity is None) != focal or not isinstance(keep_outside, bool):
        raise _damaged()
    clean = _clean(scan, brain, keep_outside=keep_outside, donor=donor)
    return _apply(
        scan,
        clean,
        entry,
        _drawn(record, entry.drawn_type, entry.version),
        kind=record.kind,
        severity=record.severity,
        seed=record.seed,
        settings=record.settings,
    )


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
    if kind not in KINDS:
        close = difflib.get_close_matches(kind, KINDS, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise SettingError(
            f"there is no artefact {kind!r}", remedy=f"{hint}Known: {', '.join(KINDS)}.", code="unknown_artefact"
        )
    return KINDS[kind]


def _clean(
    scan: Scan, brain: BoolArray, *, keep_outside: bool, outline: Outline | None = None, donor: Scan | None = None
) -> Clean:
    check_brain(scan, brain)
    if donor is not None and not donor.geometry.same_grid(scan.geometry):
        raise InputError(
            "the donor lies on another grid", remedy="Resample it to the scan.", code="mask_grid", scan=scan.scan_id
        )
    fluid = BRIGHT_END if scan.sequence == "T2w" else DARK_END
    return Clean(
        voxels=scan.voxels,
        brain=brain,
        spacing_mm=scan.geometry.spacing_mm,
        orientation=orientation_code(scan.geometry.affine),
        white_signal=white_matter_signal(scan, brain),
        stripped=not keep_outside,
        csf_signal=float(np.percentile(scan.voxels[brain], fluid)),
        affine=scan.geometry.affine,
        sequence=scan.sequence,
        outline=outline,
        donor=None if donor is None else donor.voxels,
    )


def _apply(
    scan: Scan,
    clean: Clean,
    entry: ArtefactEntry,
    drawn: Drawn,
    *,
    kind: str,
    severity: int | None,
    seed: int,
    settings: dict[str, JsonValue],
) -> Simulated:
    voxels = entry.apply(clean, drawn)
    if clean.stripped and not entry.moves:
        voxels = np.where(clean.brain, voxels, np.float32(0.0))
    core = None
    if entry.local:
        core = (voxels != scan.voxels) & clean.brain
        if entry.core is not None:
            core &= entry.core(clean, drawn)
    return simulated_scan(
        scan,
        voxels,
        brain=clean.brain,
        suffix=kind if severity is None else f"{kind}-{severity}",
        core=core,
        kind=kind,
        version=entry.version,
        seed=seed,
        severity=severity,
        settings=settings,
        drawn=drawn,
    )
