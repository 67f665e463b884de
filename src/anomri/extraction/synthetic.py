"""Synthetic heads for training: any contrast, any resolution, and where the brain is.

The template's tissue maps are moved, scaled and warped; fluid, dura, bone, scalp, eyes, a face and a neck are laid
around them by their distance from the brain; every class gets a value of its own, often ordered as in a usual contrast.
What the scanner does to it stands in `acquisition`. Nothing is shared with `anomri.simulate`, by whose heads networks
are judged.

References
----------
Hoopes A. et al., "SynthStrip: skull-stripping for any brain image", NeuroImage 260, 119474, 2022.
Billot B. et al., "SynthSeg", Medical Image Analysis 86, 102789, 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from anomri.core.geometry import apply_affine
from anomri.extraction.acquisition import acquired
from anomri.extraction.locate import brain_distance_mm
from anomri.extraction.smooth import smooth_field
from anomri.io.template import icbm_template

__all__ = ["MIDDLE_MM", "SHAPE", "SPACING_MM", "SyntheticHead", "synthetic_head"]

FloatArray = NDArray[np.float32]

# The grid a network sees: 192 × 240 × 192 mm.
SHAPE, SPACING_MM = (64, 80, 64), 3.0
# The template's point that lies near its middle.
MIDDLE_MM = (0.0, -18.0, 2.0)
# Template maps are kept at this spacing, on a grid that holds a head (world mm from … to).
_MAP_MM, _MAP_LOW_MM, _MAP_HIGH_MM = 2.0, (-112.0, -152.0, -152.0), (112.0, 124.0, 126.0)
_NEAR_MM = 12.0
# Size of people's brains relative to the template, and how much of the fluid around them a brain mask holds (mm).
_SCALE, _SCALE_SD, _STRETCH_SD, _SHEAR_SD = 0.86, 0.05, 0.04, 0.03
_RIM_MM = 1.6
_TURN_DEG, _MOVE_MM, _WARP_MM, _FINE_WARP_MM = 18.0, (12.0, 16.0, 16.0), 5.0, 1.5
_VENTRICLES_MM, _VENTRICLE_EXTENT_MM, _VENTRICLE_GROWTH = (0.0, -18.0, 14.0), (26.0, 40.0, 24.0), (-0.2, 0.6)
# Extents from the centre at which the growth has faded away.
_VENTRICLE_REACH = 2.5
_FLUID_MM, _BONE_MM, _SCALP_MM, _SKIN_MM = (1.0, 6.0), (3.0, 10.0), (3.0, 12.0), (1.5, 3.5)
# What has a value, and three usual orders of values; white matter is 1 in T1w.
_CLASSES = (
    "air",
    "fluid",
    "grey",
    "white",
    "dura",
    "bone",
    "marrow",
    "fat",
    "skin",
    "muscle",
    "eye",
    "gland",
    "vessel",
)
_USUAL = (
    (0.0, 0.15, 0.65, 1.0, 0.5, 0.05, 0.8, 1.4, 0.5, 0.55, 0.2, 0.7, 0.6),
    (0.0, 1.6, 0.95, 0.7, 0.4, 0.05, 0.7, 1.0, 0.5, 0.3, 1.6, 0.8, 0.2),
    (0.0, 0.15, 1.1, 0.9, 0.5, 0.05, 0.7, 1.2, 0.6, 0.5, 0.2, 0.8, 0.4),
)
# Odds of each order and of any: mostly bright fluid, since in dark fluid the outline asks for no network.
_USUAL_ODDS, _CONTRAST_SD = (0.2, 0.4, 0.1, 0.3), 0.15
# Odds of a lesion, and of nothing but fluid around the brain.
_LESION, _STRIPPED = 0.3, 0.06


@dataclass(frozen=True, eq=False, slots=True)
class SyntheticHead:
    """A head and its brain.

    Parameters
    ----------
    values : `SHAPE` float32 ≥ 0, arbitrary scale, axes in RAS+ order.
    brain : `SHAPE` float32, share of each voxel that is brain, 0–1; 0 where the field of view has ended.
    """

    values: FloatArray
    brain: FloatArray


def synthetic_head(rng: np.random.Generator) -> SyntheticHead:
    """One head drawn from a generator; the same state gives the same bytes."""
    place = _draw_places(rng)
    grey, white, distance = _sampled(place)
    canvas = _Canvas(_draw_values(rng))
    _draw_surroundings(canvas, place, distance, rng)
    edge_mm = _draw_skull(canvas, place, distance, rng)
    _draw_tissue(canvas, grey, white, distance, rng)
    brain = _under(distance - np.minimum(edge_mm, _RIM_MM))
    if rng.random() < _LESION:
        canvas.lay_value(float(rng.uniform(0.0, 1.8)), brain * _blob(place, rng, inside=distance))
    if rng.random() < _STRIPPED:
        canvas.lay("air", 1.0 - _under(distance - rng.uniform(0.0, 8.0)))
    values, kept = acquired(canvas.signal, canvas.air, place, distance, rng)
    return SyntheticHead(values, np.where(kept, brain, np.float32(0.0)))


class _Canvas:
    """A picture that layers are laid on, from the outside in: each covers its share of what was there.

    Parameters
    ----------
    values : of each class.
    """

    def __init__(self, values: dict[str, float]) -> None:
        self.values = values
        self.signal = np.full(SHAPE, values["air"], dtype=np.float32)
        self.air = np.ones(SHAPE, dtype=np.float32)

    def lay(self, name: str, share: FloatArray) -> None:
        """Cover a share (0–1) of each voxel with a class."""
        self.lay_value(self.values[name], share)
        if name == "air":
            self.air += share

    def lay_value(self, value: float | FloatArray, share: FloatArray) -> None:
        """Cover a share (0–1) of each voxel with a value."""
        kept = 1.0 - share
        self.signal = self.signal * kept + value * share
        self.air *= kept


@lru_cache(maxsize=1)
def _maps() -> tuple[FloatArray, NDArray[np.float64]]:
    """Template maps (3, X, Y, Z): grey, white, distance from the brain in mm; and the first voxel's world point."""
    template = icbm_template()
    shape = np.round((np.array(_MAP_HIGH_MM) - _MAP_LOW_MM) / _MAP_MM).astype(int) + 1
    start = np.round(apply_affine(template.geometry.world_to_voxel, np.array([_MAP_LOW_MM]))[0]).astype(int)
    index = [start[axis] + round(_MAP_MM) * np.arange(shape[axis]) for axis in range(3)]
    inside = [(i >= 0) & (i < n) for i, n in zip(index, template.geometry.shape, strict=True)]
    there, here = np.ix_(*inside), np.ix_(*(i[k] for i, k in zip(index, inside, strict=True)))
    maps = np.zeros((3, *shape), dtype=np.float32)
    for row, tissue in zip(maps[:2], (template.grey, template.white), strict=True):
        row[there] = ndimage.gaussian_filter(tissue, 0.5)[here]
    # Far from the template's grid the distance is that to its brain, at the maps' own spacing.
    brain = np.zeros(tuple(shape), dtype=bool)
    brain[there] = template.brain[here]
    maps[2] = ndimage.distance_transform_edt(~brain, sampling=_MAP_MM) - _MAP_MM / 2.0
    near = ndimage.gaussian_filter(brain_distance_mm(), 1.0)[here]
    maps[2][there] = np.where(near < _NEAR_MM, near, maps[2][there])
    return maps, apply_affine(template.geometry.affine, start[None].astype(np.float64))[0]


def _draw_places(rng: np.random.Generator) -> FloatArray:
    """(3, *SHAPE) template world of every voxel, mm: a head's size, pose and place in the window, and its own shape."""
    linear = np.diag(_SCALE * np.exp(_SCALE_SD * rng.standard_normal() + _STRETCH_SD * rng.standard_normal(3)))
    linear += _SHEAR_SD * np.triu(rng.standard_normal((3, 3)), 1)
    turn = Rotation.from_euler("xyz", rng.uniform(-_TURN_DEG, _TURN_DEG, 3), degrees=True).as_matrix()
    back = np.linalg.inv(turn @ linear)
    if rng.random() < 0.5:
        back[0] *= -1.0
    shift = rng.uniform(-1.0, 1.0, 3) * _MOVE_MM
    lines = [SPACING_MM * (np.arange(n) - (n - 1) / 2.0) - s for n, s in zip(SHAPE, shift, strict=True)]
    place = np.empty((3, *SHAPE), dtype=np.float32)
    coarse, fine = _WARP_MM * rng.random(), _FINE_WARP_MM * rng.random()
    for axis in range(3):
        a, b, c = (factor * line for factor, line in zip(back[axis], lines, strict=True))
        place[axis] = a[:, None, None] + b[:, None] + c + MIDDLE_MM[axis]
        place[axis] += coarse * smooth_field(SHAPE, 4, rng) + fine * smooth_field(SHAPE, 10, rng)
    growth, apart = np.float32(rng.uniform(*_VENTRICLE_GROWTH)), np.zeros(SHAPE, dtype=np.float32)
    for axis in range(3):
        apart += ((place[axis] - _VENTRICLES_MM[axis]) / (_VENTRICLE_REACH * _VENTRICLE_EXTENT_MM[axis])) ** 2
    near = growth * np.maximum(1.0 - apart, 0.0) ** 2
    for axis in range(3):
        place[axis] -= near * (place[axis] - _VENTRICLES_MM[axis])
    return place


def _sampled(place: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Grey and white matter's shares, and the distance from the brain, mm, at template world points."""
    maps, origin = _maps()
    index = (place - origin.astype(np.float32)[:, None, None, None]) / np.float32(_MAP_MM)
    grey, white, distance = (
        ndimage.map_coordinates(values, index, order=1, mode=mode)
        for values, mode in zip(maps, ("constant", "constant", "nearest"), strict=True)
    )
    return grey, white, distance


def _draw_values(rng: np.random.Generator) -> dict[str, float]:
    """A value for each class: near one of the usual contrasts, or any."""
    choice = int(rng.choice(4, p=_USUAL_ODDS))
    if choice < len(_USUAL):
        values = np.array(_USUAL[choice]) * np.exp(_CONTRAST_SD * rng.standard_normal(len(_CLASSES)))
    else:
        values = rng.uniform(0.0, 1.5, len(_CLASSES))
        values[0] = rng.uniform(0.0, 0.1)
        if rng.random() < 0.7:
            values[_CLASSES.index("bone")] = rng.uniform(0.0, 0.3)
    return dict(zip(_CLASSES, (float(v) for v in values), strict=True))


def _under(level_mm: FloatArray) -> FloatArray:
    """Share of a voxel where a distance in template mm is below 0."""
    share: FloatArray = np.clip(0.5 - level_mm / np.float32(SPACING_MM / _SCALE), 0.0, 1.0)
    return share


def _draw_surroundings(canvas: _Canvas, place: FloatArray, distance: FloatArray, rng: np.random.Generator) -> None:
    """Skin, fat and muscle of scalp, face and neck, with what else lies in them."""
    x, y, z = place
    thick = [
        rng.uniform(*span) * np.exp(0.2 * smooth_field(SHAPE, 4, rng)) for span in (_FLUID_MM, _BONE_MM, _SCALP_MM)
    ]
    around = distance - sum(thick)
    wide, long, lean = rng.uniform(50.0, 72.0), rng.uniform(52.0, 78.0), rng.uniform(-0.1, 0.4)
    neck = np.maximum((np.hypot(x / wide, (y + 25.0 - lean * (z + 60.0)) / long) - 1.0) * 0.5 * (wide + long), z + 30.0)
    radii = [rng.uniform(58.0, 75.0), rng.uniform(45.0, 65.0), rng.uniform(60.0, 95.0)]
    face = np.sqrt((x / radii[0]) ** 2 + ((y - 38.0) / radii[1]) ** 2 + ((z + 70.0) / radii[2]) ** 2)
    nape = np.sqrt((x / radii[0]) ** 2 + ((y + 50.0) / 48.0) ** 2 + ((z + 65.0) / 60.0) ** 2)
    bodies = (neck, (face - 1.0) * 58.0, (nape - 1.0) * 50.0)
    surface = np.minimum.reduce([around, *bodies]) + 2.0 * smooth_field(SHAPE, 8, rng)
    skin = rng.uniform(*_SKIN_MM)
    canvas.lay("skin", _under(surface))
    canvas.lay(str(rng.choice(["fat", "fat", "muscle"])), _under(surface + skin))
    inner = _under(surface + skin + rng.uniform(0.0, 9.0))
    canvas.lay("muscle", inner)
    for name, level in (("fat", 0.8), ("bone", 1.0), ("gland", 1.2), ("vessel", 1.6), ("air", 1.8), ("marrow", 1.4)):
        field = smooth_field(SHAPE, int(rng.integers(8, 24)), rng)
        canvas.lay(name, inner * np.clip(3.0 * (field - level - rng.uniform(-0.3, 0.6)), 0.0, 1.0))
    below = np.clip((-z - 20.0) / 10.0, 0.0, 1.0)
    nose = np.sqrt((x / 14.0) ** 2 + ((y - 58.0) / 30.0) ** 2 + ((z + 48.0) / 24.0) ** 2) - 1.0
    canvas.lay("air" if rng.random() < 0.7 else "bone", inner * below * _under(14.0 * nose))
    throat = np.hypot(x / 14.0, (y - 22.0) / 9.0) - 1.0
    canvas.lay("air", inner * np.clip((-z - 65.0) / 10.0, 0.0, 1.0) * _under(10.0 * throat))
    apart, ahead, low, radius = rng.uniform(28.0, 36.0), rng.uniform(52.0, 68.0), rng.uniform(-42.0, -26.0), 13.0
    for side in (-1.0, 1.0):
        away = np.sqrt((x - side * apart) ** 2 + (y - ahead) ** 2 + (z - low) ** 2)
        canvas.lay("fat", _under(away - radius - 6.0))
        canvas.lay("eye", _under(away - radius))
        ear = np.sqrt(((x - side * 56.0) / 16.0) ** 2 + ((y + 28.0) / 18.0) ** 2 + ((z + 42.0) / 16.0) ** 2) - 1.0
        canvas.lay(str(rng.choice(["air", "bone", "marrow"])), _under(16.0 * ear + 4.0 * smooth_field(SHAPE, 16, rng)))


def _draw_skull(canvas: _Canvas, place: FloatArray, distance: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Bone with marrow, dura and fluid around the brain, and the canal below it; the thickness of the fluid, mm."""
    x, y, z = place
    fluid: FloatArray = np.float32(rng.uniform(*_FLUID_MM)) * np.exp(0.3 * smooth_field(SHAPE, 5, rng))
    bone = rng.uniform(*_BONE_MM) * np.exp(0.3 * smooth_field(SHAPE, 6, rng))
    # Below the brain lies no even shell: the base of the skull is thick here and open there.
    bone *= np.where(z < -30.0, np.exp(0.6 * smooth_field(SHAPE, 9, rng)), 1.0).astype(np.float32)
    beyond = distance - fluid
    canvas.lay("bone", _under(beyond - bone))
    canvas.lay("marrow", _under(np.abs(beyond - 0.5 * bone) - rng.uniform(0.0, 0.35) * bone))
    canvas.lay("dura", _under(beyond) if rng.random() < 0.7 else _under(beyond - 1.5))
    canvas.lay("fluid", _under(beyond + rng.uniform(0.3, 1.5)))
    sinus = np.hypot(x, distance - 4.0) - rng.uniform(2.0, 6.0)
    canvas.lay("vessel", _under(np.where(z > -20.0, sinus, np.float32(9.0))))
    canal = np.hypot(x, y + 46.0 + rng.uniform(-0.2, 0.3) * (z + 70.0))
    below = np.clip((-z - 62.0) / 4.0, 0.0, 1.0)
    canvas.lay("fluid", below * _under(canal - rng.uniform(8.0, 12.0)))
    canvas.lay("white", below * _under(canal - rng.uniform(4.5, 6.5)))
    return fluid


def _draw_tissue(
    canvas: _Canvas, grey: FloatArray, white: FloatArray, distance: FloatArray, rng: np.random.Generator
) -> None:
    """Grey and white matter, with folds and sulci of their own."""
    odds = np.log(np.clip(np.stack([1.0 - grey - white, grey, white]), 1e-2, 1.0))
    for row in range(3):
        odds[row] += np.float32(rng.uniform(0.0, 1.0)) * smooth_field(SHAPE, 30, rng)
    odds *= np.float32(rng.uniform(1.0, 2.5))
    shares: FloatArray = np.exp(odds - odds.max(axis=0))
    shares /= shares.sum(axis=0)
    # Sulci: sheets of fluid that begin at the surface.
    sheets = np.exp(-((smooth_field(SHAPE, 22, rng) / np.float32(rng.uniform(0.1, 0.4))) ** 2))
    wet = np.float32(rng.uniform(0.0, 1.0)) * sheets * np.clip(1.0 + distance / 14.0, 0.0, 1.0)
    dry = 1.0 - wet
    texture = 1.0 + np.float32(rng.uniform(0.0, 0.08)) * smooth_field(SHAPE, 28, rng)
    values = [np.float32(canvas.values[name]) for name in ("fluid", "grey", "white")]
    mixed = values[0] * (shares[0] * dry + wet) + (values[1] * shares[1] + values[2] * shares[2]) * dry
    canvas.lay_value(mixed * texture, _under(distance))


def _blob(place: FloatArray, rng: np.random.Generator, *, inside: FloatArray) -> FloatArray:
    """A smooth body somewhere in the brain."""
    at = np.argwhere(inside < -4.0)
    centre = place[(slice(None), *at[rng.integers(len(at))])] if len(at) else np.zeros(3, dtype=np.float32)
    away = np.sqrt(np.sum((place - centre[:, None, None, None]) ** 2, axis=0))
    return _under(away - rng.uniform(4.0, 30.0) * (1.0 + 0.2 * smooth_field(SHAPE, 10, rng)))
