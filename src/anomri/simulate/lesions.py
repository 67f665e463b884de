"""A bright or dark lesion of a chosen volume and contrast."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from anomri.core.scan import Scan
from anomri.errors import InputError, about_scan
from anomri.simulate.outline import Outline
from anomri.simulate.simulated import Simulated, check_brain, simulated_scan
from anomri.simulate.structure.blob import DARK_FLOOR, Blob, draw_blob, place_blob, profile_of

__all__ = ["LESION_VERSION", "LesionDrawn", "Sign", "lesion", "lesion_from_draw"]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
Sign = Literal["bright", "dark"]

LESION_VERSION = 1


class LesionDrawn(Blob):
    """A shape and what it adds: `amplitude` in the scan's units at full strength, negative for a dark lesion."""

    amplitude: float


def lesion(
    scan: Scan,
    *,
    volume_ml: float,
    contrast: float,
    sign: Sign,
    seed: int,
    brain: BoolArray,
    grey_white_difference: float,
    candidates: BoolArray | None = None,
    outline: Outline | None = None,
) -> Simulated:
    """A scan with one lesion of a chosen size and contrast.

    Parameters
    ----------
    volume_ml : volume of the half-maximum core, right to one voxel; > 0.
    contrast : amplitude as a multiple of `grey_white_difference`; > 0.
    sign : brighter or darker than the tissue around.
    seed : of place and shape, which depend on neither contrast nor sign.
    brain : (X, Y, Z) bool; the lesion changes nothing outside it.
    grey_white_difference : signal difference of grey and white matter in the scan's units; > 0.
    candidates : (X, Y, Z) bool where the centre may lie, e.g. white matter; the whole brain where None.
    outline : shape of a real lesion (`outline_of`), scaled to the volume and turned, instead of one that is drawn.

    Returns
    -------
    Simulated, its `core` the half-maximum mask inside the brain.

    Raises
    ------
    InputError : a number is not positive, a mask does not fit, or no place was found where 90 % of the lesion (60 % of
        a given outline, which is long and bent) lies inside the brain.
    """
    check_brain(scan, brain)
    settings: dict[str, JsonValue] = {
        "volume_ml": float(volume_ml),
        "contrast": float(contrast),
        "sign": sign,
        "grey_white_difference": float(grey_white_difference),
    }
    _check_settings(settings)
    tissue = brain & (scan.voxels != 0)
    places = _places(tissue, candidates)
    rng = np.random.default_rng(seed)
    amplitude = contrast * grey_white_difference * (1.0 if sign == "bright" else -1.0)
    with about_scan(scan.scan_id):
        shape = draw_blob(rng, volume_ml=volume_ml, outline=outline)
        blob = place_blob(shape, tissue, scan.geometry.spacing_mm, rng, places=places)
    drawn = LesionDrawn(amplitude=amplitude, **blob.model_dump())
    return lesion_from_draw(scan, drawn, seed=seed, brain=brain, settings=settings)


def _places(tissue: BoolArray, candidates: BoolArray | None) -> NDArray[np.intp]:
    if candidates is not None and candidates.shape != tissue.shape:
        raise InputError(
            f"candidates of shape {candidates.shape} for a scan of shape {tissue.shape}",
            remedy="Give a mask on the scan's own grid.",
            code="mask_grid",
        )
    places: NDArray[np.intp] = np.flatnonzero(tissue if candidates is None else tissue & candidates)
    if places.size == 0:
        raise InputError("no voxel where a lesion could lie", remedy="Check the candidates.", code="mask_empty")
    return places


def _check_settings(settings: dict[str, JsonValue]) -> None:
    for name, value in settings.items():
        if name == "sign":
            if value not in ("bright", "dark"):
                raise InputError(f"a lesion cannot be {value!r}", remedy="Say bright or dark.", code="lesion")
        elif not (isinstance(value, float) and np.isfinite(value) and value > 0):
            raise InputError(f"a lesion {name} of {value}", remedy="Give a positive number.", code="lesion")


def lesion_from_draw(
    scan: Scan, drawn: LesionDrawn, *, seed: int, brain: BoolArray, settings: dict[str, JsonValue]
) -> Simulated:
    """Apply a lesion whose every parameter is known."""
    tissue = brain & (scan.voxels != 0)
    box, profile, half = profile_of(drawn, tissue, scan.geometry.spacing_mm)
    voxels, core = scan.voxels.copy(), np.zeros(brain.shape, dtype=np.bool_)
    changed = voxels[box] + drawn.amplitude * profile
    if drawn.amplitude < 0:
        changed = np.maximum(changed, DARK_FLOOR * voxels[box])
    voxels[box] = np.where(profile > 0, changed, voxels[box])
    core[box] = half
    sign = "bright" if drawn.amplitude > 0 else "dark"
    return simulated_scan(
        scan,
        voxels,
        brain=brain,
        suffix=f"lesion-{sign}-{drawn.volume_ml:g}ml-{seed}",
        core=core,
        kind="lesion",
        version=LESION_VERSION,
        seed=seed,
        severity=None,
        settings=settings,
        drawn=drawn,
    )
