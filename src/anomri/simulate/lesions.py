"""A bright or dark lesion: a star-convex ellipsoid with a fractal boundary and a soft edge."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from scipy import special
from scipy.spatial.transform import Rotation

from anomri.core.scan import Scan
from anomri.errors import InputError
from anomri.simulate.simulated import Drawn, Simulated, check_brain, simulated_scan

__all__ = ["LESION_VERSION", "LesionDrawn", "Sign", "lesion", "lesion_from_draw"]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
Box = tuple[slice, slice, slice]
Sign = Literal["bright", "dark"]

LESION_VERSION = 1
# Share of the lesion that must lie inside the brain, and how many places are tried.
LEAST_INSIDE = 0.9
TRIES = 200
# Unevenness of the boundary as a share of the radius, and width over which the edge falls from 90 % to 10 %.
ROUGHNESS = (0.15, 0.30)
EDGE_MM = (1.0, 1.5)
ELONGATION = (0.7, 1.4)
# The boundary never comes closer to the centre than this share of the radius.
NEAREST_BOUNDARY = 0.3
# Waves around the lesion in the coarsest octave; each finer octave has twice as many of 0.6 times the height.
OCTAVES, WAVES, COARSEST, DECAY = 4, 6, 2.0, 0.6
# A dark lesion keeps this share of the signal, so that the mask of a stripped scan stays as it is.
DARK_FLOOR = 0.05
# 10–90 % width of a normal distribution function, in standard deviations.
EDGE_TO_SD = 2.563


class LesionDrawn(Drawn):
    """One lesion.

    Parameters
    ----------
    volume_ml : volume at half of the amplitude.
    amplitude : signal added at full strength, in the scan's units; negative for a dark lesion.
    centre : voxel.
    axes : relative half-axes, product 1; turned by `turn` (rotation vector, rad).
    edge_mm : width over which the lesion falls from 90 % to 10 %.
    waves : boundary waves: direction and frequency (x, y, z), height (share of the radius), phase (rad).
    """

    volume_ml: float
    amplitude: float
    centre: tuple[int, int, int]
    axes: tuple[float, float, float]
    turn: tuple[float, float, float]
    edge_mm: float
    waves: tuple[tuple[float, float, float, float, float], ...]


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

    Returns
    -------
    Simulated, its `core` the half-maximum mask inside the brain.

    Raises
    ------
    InputError : a number is not positive, a mask does not fit, or no place was found where 90 % of the lesion lies
        inside the brain.
    """
    check_brain(scan, brain)
    settings: dict[str, JsonValue] = {
        "volume_ml": float(volume_ml),
        "contrast": float(contrast),
        "sign": sign,
        "grey_white_difference": float(grey_white_difference),
    }
    _check_settings(settings)
    tissue = brain & (scan.voxels > 0)
    places = _places(tissue, candidates)
    rng = np.random.default_rng(seed)
    amplitude = contrast * grey_white_difference * (1.0 if sign == "bright" else -1.0)
    shape = _draw_shape(rng, volume_ml=volume_ml, amplitude=amplitude)
    if volume_ml <= tissue.sum() * scan.geometry.voxel_ml:
        ratio = _ratio_to_boundary(scan.geometry.spacing_mm, shape)
        for _ in range(TRIES):
            centre = np.unravel_index(places[rng.integers(places.size)], tissue.shape)
            drawn = shape.model_copy(update={"centre": tuple(int(i) for i in centre)})
            if _share_inside(scan, tissue, drawn, ratio) >= LEAST_INSIDE:
                return lesion_from_draw(scan, drawn, seed=seed, brain=brain, settings=settings)
    raise InputError(
        f"no place found for a lesion of {volume_ml:g} ml with 90 % of it inside the brain",
        remedy="Ask for a smaller lesion or allow more places.",
        code="lesion",
        scan=scan.scan_id,
    )


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
    tissue = brain & (scan.voxels > 0)
    whole = _ratio_to_boundary(scan.geometry.spacing_mm, drawn)
    box, inner = _windows(scan.geometry.shape, drawn.centre, whole)
    ratio = whole[inner]
    size = _size(scan.geometry.voxel_ml, tissue[box], drawn, ratio)
    slope = np.sqrt(sum(g**2 for g in np.gradient(whole, *scan.geometry.spacing_mm)))[inner]
    # To first order, the distance to the boundary is the excess of the ratio over its slope.
    distance_mm = (ratio - size) / np.maximum(slope, 1e-6)
    profile = special.ndtr(-distance_mm * EDGE_TO_SD / drawn.edge_mm)
    profile[(distance_mm > 2.0 * drawn.edge_mm) | ~tissue[box]] = 0.0
    voxels, core = scan.voxels.copy(), np.zeros(brain.shape, dtype=np.bool_)
    changed = voxels[box] + drawn.amplitude * profile
    if drawn.amplitude < 0:
        changed = np.maximum(changed, DARK_FLOOR * voxels[box])
    voxels[box] = np.where(profile > 0, changed, voxels[box])
    core[box] = (ratio <= size) & tissue[box]
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


def _draw_shape(rng: np.random.Generator, *, volume_ml: float, amplitude: float) -> LesionDrawn:
    axes = np.exp(rng.uniform(np.log(ELONGATION[0]), np.log(ELONGATION[1]), 3))
    axes /= np.prod(axes) ** (1.0 / 3.0)
    roughness = rng.uniform(*ROUGHNESS)
    octave = np.repeat(np.arange(OCTAVES), WAVES)
    direction = rng.standard_normal((octave.size, 3))
    direction *= (COARSEST * 2.0**octave / np.linalg.norm(direction, axis=1))[:, None]
    height = DECAY**octave
    # Waves of random phase have half the power of their heights; the amplitude is √2 deviations, as of one wave.
    height *= roughness / np.sqrt(np.sum(height**2))
    phase = rng.uniform(0.0, 2.0 * np.pi, octave.size)
    return LesionDrawn.model_validate(
        {
            "volume_ml": volume_ml,
            "amplitude": amplitude,
            "centre": (0, 0, 0),
            "axes": axes.tolist(),
            "turn": Rotation.random(rng=rng).as_rotvec().tolist(),
            "edge_mm": rng.uniform(*EDGE_MM),
            "waves": np.column_stack([direction, height, phase]).tolist(),
        }
    )


def _ratio_to_boundary(spacing_mm: tuple[float, float, float], drawn: LesionDrawn) -> FloatArray:
    """Distance from the lesion's centre ÷ distance of its boundary in that direction, for a lesion of radius 1 mm.

    Returns
    -------
    (2a + 1, 2b + 1, 2c + 1) float32, the centre in the middle.
    """
    spacing = np.asarray(spacing_mm)
    radius_mm = (3000.0 * drawn.volume_ml / (4.0 * np.pi)) ** (1.0 / 3.0)
    reach = np.ceil((2.2 * radius_mm * max(drawn.axes) + 2.0 * drawn.edge_mm) / spacing).astype(int) + 1
    steps = [np.arange(-n, n + 1) * mm for n, mm in zip(reach, spacing, strict=True)]
    offset = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).astype(np.float32)
    to_axes = Rotation.from_rotvec(drawn.turn).as_matrix() / np.asarray(drawn.axes)
    turned = offset @ to_axes.astype(np.float32)
    length = np.sqrt(np.sum(turned**2, axis=-1))
    turned /= np.maximum(length, np.float32(1e-6))[..., None]
    boundary = np.ones(length.shape, dtype=np.float32)
    for x, y, z, height, phase in drawn.waves:
        boundary += np.float32(height) * np.cos(turned @ np.array([x, y, z], dtype=np.float32) + np.float32(phase))
    return np.asarray(length / np.maximum(boundary, np.float32(NEAREST_BOUNDARY)), dtype=np.float32)


def _windows(shape: tuple[int, int, int], centre: tuple[int, int, int], ratio: FloatArray) -> tuple[Box, Box]:
    """The part of the array around `centre` that `ratio` covers, and the part of `ratio` that lies in the array."""
    outer, inner = [], []
    for size, middle, width in zip(shape, centre, ratio.shape, strict=True):
        start = middle - width // 2
        low, high = max(start, 0), min(start + width, size)
        outer.append(slice(low, high))
        inner.append(slice(low - start, high - start))
    return (outer[0], outer[1], outer[2]), (inner[0], inner[1], inner[2])


def _size(voxel_ml: float, tissue: BoolArray, drawn: LesionDrawn, ratio: FloatArray) -> float:
    """Ratio below which exactly the requested volume of tissue lies; infinite where there is not enough."""
    count = max(1, round(drawn.volume_ml / voxel_ml))
    inside = ratio[tissue]
    return float("inf") if inside.size < count else float(np.partition(inside, count - 1)[count - 1])


def _share_inside(scan: Scan, tissue: BoolArray, drawn: LesionDrawn, ratio: FloatArray) -> float:
    """Share of the lesion that lies on tissue; 0 where it reaches the end of its box."""
    outer, inner = _windows(scan.geometry.shape, drawn.centre, ratio)
    size = _size(scan.geometry.voxel_ml, tissue[outer], drawn, ratio[inner])
    whole = ratio <= size
    if whole[[0, -1]].any() or whole[:, [0, -1]].any() or whole[:, :, [0, -1]].any():
        return 0.0
    return float((whole[inner] & tissue[outer]).sum() / whole.sum())
