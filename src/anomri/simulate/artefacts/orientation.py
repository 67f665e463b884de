"""Wrong orientation: the header is ignored or wrong, down to another sequence altogether; and left for right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from anomri.simulate.artefacts.artefact import Clean, Drawn, FloatArray, left_right_axis, up_axis

__all__ = ["FlipDrawn", "OrientationDrawn", "apply_flip", "apply_orientation", "draw_flip", "draw_orientation"]

# Angle in degrees, severity 1–3; severity 4 stands on its head, severity 5 does and is of another sequence besides.
DEGREES = (5.0, 12.0, 25.0, 180.0, 180.0)
OTHER_SEQUENCE_FROM = 5
# The other sequence: fluid bright, white matter dark, as shares of white matter's old signal.
OFFSET, SLOPE, DARKEST, AIR = 1.2, 0.9, 0.05, 0.12


class OrientationDrawn(Drawn):
    """Rotation vector in rad along the array's axes about the voxel `centre`, and whether contrast is another's."""

    turn: tuple[float, float, float]
    centre: tuple[float, float, float]
    other_sequence: bool


class FlipDrawn(Drawn):
    """Left and right change places along `axis`, about `twice_centre` ÷ 2."""

    axis: int
    twice_centre: int


def draw_orientation(clean: Clean, severity: int, rng: np.random.Generator) -> OrientationDrawn:
    """A turn about a random axis; upside down about one of the two axes that lie flat."""
    direction, sign = rng.standard_normal(3), int(rng.choice([-1, 1]))
    flat = [axis for axis in range(3) if axis != up_axis(clean)][int(rng.integers(2))]
    if severity >= 4:
        direction = np.eye(3)[flat]
    turn = sign * np.deg2rad(DEGREES[severity - 1]) * direction / np.linalg.norm(direction)
    # Whole half voxels, so that a half turn maps voxels onto voxels.
    centre = np.round(2.0 * np.argwhere(clean.brain).mean(axis=0)) / 2.0
    return OrientationDrawn(
        turn=(float(turn[0]), float(turn[1]), float(turn[2])),
        centre=(float(centre[0]), float(centre[1]), float(centre[2])),
        other_sequence=severity >= OTHER_SEQUENCE_FROM,
    )


def apply_orientation(clean: Clean, drawn: OrientationDrawn) -> FloatArray:
    """The head in another pose on the same grid; linear interpolation, where half of the neighbours are brain."""
    spacing = np.asarray(clean.spacing_mm)
    back = Rotation.from_rotvec(drawn.turn).inv().as_matrix() * spacing[None, :] / spacing[:, None]
    if np.allclose(back, np.round(back), atol=1e-9):
        back = np.round(back)
    offset = np.asarray(drawn.centre) - back @ np.asarray(drawn.centre)

    def turned(values: FloatArray) -> FloatArray:
        result: FloatArray = ndimage.affine_transform(values, back, offset, order=1, mode="constant")
        return result

    if clean.stripped:
        weight = turned(clean.brain.astype(np.float32))
        values = np.zeros_like(weight)
        np.divide(turned(np.where(clean.brain, clean.voxels, 0.0)), weight, out=values, where=weight > 0.5)
    else:
        values = turned(clean.voxels)
    return _other_sequence(values, clean.white_signal) if drawn.other_sequence else values


def _other_sequence(values: FloatArray, white: float) -> FloatArray:
    """Falling grey values, air staying air."""
    share = values / np.float32(white)
    air = np.clip(share / AIR, 0.0, 1.0)
    return np.asarray(white * air * np.maximum(OFFSET - SLOPE * share, DARKEST), dtype=np.float32)


def draw_flip(clean: Clean, _severity: int, _rng: np.random.Generator) -> FlipDrawn:
    """Nothing is drawn: there is one way to take left for right."""
    axis = left_right_axis(clean)
    along = np.argwhere(clean.brain)[:, axis]
    return FlipDrawn(axis=axis, twice_centre=int(along.min() + along.max()))


def apply_flip(clean: Clean, drawn: FlipDrawn) -> FloatArray:
    """x(2c − i) along the left–right axis; 0 where that lies outside the grid."""
    size = clean.voxels.shape[drawn.axis]
    source: NDArray[np.intp] = drawn.twice_centre - np.arange(size)
    inside = (source >= 0) & (source < size)
    out = np.zeros_like(np.moveaxis(clean.voxels, drawn.axis, 0))
    out[inside] = np.moveaxis(clean.voxels, drawn.axis, 0)[source[inside]]
    return np.ascontiguousarray(np.moveaxis(out, 0, drawn.axis))
