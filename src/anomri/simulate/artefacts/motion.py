"""Rigid head motion during the scan: phase-encode lines of one image are taken from different poses.

The slow phase-encode axis decides when a line is read, so only that axis has to be in k-space: an image whose one
axis is transformed holds the lines as planes. Rotations are done by four Fourier shears, which are unitary: a moved
line keeps its sharpness and its noise, and a line read in the reference pose is not touched at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.spatial.transform import Rotation

from anomri.simulate.artefacts.artefact import Clean, Drawn, FloatArray, phase_encode_axis
from anomri.simulate.similarity import box_of

__all__ = ["MotionDrawn", "Shear", "apply_motion", "draw_motion", "four_shears"]

ComplexArray = NDArray[np.complex64]
Matrix = NDArray[np.float64]
Pose = tuple[float, float, float, float, float, float]

# Largest translation in mm and rotation in degrees, and number of events, severity 1–5.
SIZE = (0.2, 0.5, 1.0, 2.5, 5.0)
EVENTS = (1, 2, 4, 8, 16)
# Poses are drawn between this share of the largest size and all of it.
SMALLEST_SHARE = 0.5
# The single event of severity 1 falls into the outer k-space: this share of the lines from either end.
OUTER = (0.05, 0.2)
NODDING_FROM = 5


class MotionDrawn(Drawn):
    """What the head did.

    Parameters
    ----------
    axis : phase-encode axis of the array.
    lower, shape : the box of voxels that is transformed; it may reach beyond the array.
    events : lines (0 … N − 1 in order of acquisition, k-centre at N // 2) that begin a new pose.
    poses : one more than events: translation in mm and rotation vector in rad along the array's axes.
    centre : point the head turns about, in voxels of the box.
    """

    axis: int
    lower: tuple[int, int, int]
    shape: tuple[int, int, int]
    events: tuple[int, ...]
    poses: tuple[Pose, ...]
    centre: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Shear:
    """new(i) = old(i + e · (slopes · (i − centre) + shift)), e the unit step along `axis`; ``slopes[axis]`` is 0."""

    axis: int
    slopes: tuple[float, float, float]
    shift: float


def draw_motion(clean: Clean, severity: int, rng: np.random.Generator) -> MotionDrawn:
    """Independent poses between events; the pose at the k-space centre is the reference."""
    size, count = SIZE[severity - 1], EVENTS[severity - 1]
    axis = phase_encode_axis(clean, rng)
    lower, shape = _box(clean, size)
    lines = shape[axis]
    if severity == 1:
        share, late = rng.uniform(*OUTER), bool(rng.integers(2))
        events = np.array([round(lines * (1.0 - share if late else share))])
    else:
        events = np.sort(1 + rng.choice(lines - 1, size=min(count, lines - 1), replace=False))
    left_right = next(a for a, code in enumerate(clean.orientation) if code in "LR")
    poses = _draw_poses(len(events) + 1, size, rng, nodding=left_right if severity >= NODDING_FROM else None)
    poses[int(np.searchsorted(events, lines // 2, side="right"))] = 0.0
    centre = np.argwhere(clean.brain).mean(axis=0) - lower
    return MotionDrawn.model_validate(
        {
            "axis": axis,
            "lower": lower,
            "shape": shape,
            "events": events.tolist(),
            "poses": poses.tolist(),
            "centre": centre.tolist(),
        }
    )


def _draw_poses(count: int, size: float, rng: np.random.Generator, *, nodding: int | None) -> Matrix:
    """(count, 6) translations in mm and rotation vectors in rad; turns about the axis `nodding` where given."""
    vectors = rng.standard_normal((count, 2, 3))
    if nodding is not None:
        vectors[:, 1] *= 0.2
        vectors[:, 1, nodding] = np.where(rng.random(count) < 0.5, -1.0, 1.0)
    vectors *= size * rng.uniform(SMALLEST_SHARE, 1.0, (count, 2, 1)) / np.linalg.norm(vectors, axis=2, keepdims=True)
    vectors[:, 1] = np.deg2rad(vectors[:, 1])
    return vectors.reshape(count, 6)


def _box(clean: Clean, size: float) -> tuple[list[int], list[int]]:
    """Box of the brain (of the whole array where it is not stripped) with room to move in, sizes fast to transform."""
    parts = box_of(clean.brain) if clean.stripped else tuple(slice(0, n) for n in clean.voxels.shape)
    lengths = [(part.stop - part.start) * mm for part, mm in zip(parts, clean.spacing_mm, strict=True)]
    # A point far along one axis lies near the other two, so half the outermost turn is room enough.
    room_mm = size + 0.5 * np.deg2rad(size) * max(lengths) / 2.0 + 2.0
    lower, shape = [], []
    for part, mm in zip(parts, clean.spacing_mm, strict=True):
        margin = int(np.ceil(room_mm / mm))
        length = fft.next_fast_len(part.stop - part.start + 2 * margin, real=True)
        lower.append(int(part.start) - margin)
        shape.append(int(length))
    return lower, shape


def apply_motion(clean: Clean, drawn: MotionDrawn) -> FloatArray:
    """K'(k_y) = F(image in the pose of line k_y) at k_y; magnitude at the end."""
    image = _cut(clean, drawn)
    lines = drawn.shape[drawn.axis]
    segment = np.searchsorted(drawn.events, np.arange(lines), side="right")
    moving = _Moving(image, drawn, clean.spacing_mm)
    spectrum = fft.fft(image, axis=drawn.axis, workers=1)
    for index, pose in enumerate(drawn.poses):
        if any(pose):
            wanted = np.flatnonzero(segment == index) - lines // 2
            spectrum[_planes(drawn.axis, wanted % lines)] = moving.lines_in(pose, wanted)
    moved = np.abs(fft.ifft(spectrum, axis=drawn.axis, workers=1, overwrite_x=True))
    out = clean.voxels.copy()
    inner, outer = _overlap(drawn, clean.voxels.shape)
    out[outer] = moved[inner]
    return out


def _planes(axis: int, index: NDArray[np.intp]) -> tuple[slice | NDArray[np.intp], ...]:
    key: list[slice | NDArray[np.intp]] = [slice(None)] * 3
    key[axis] = index
    return tuple(key)


def _overlap(drawn: MotionDrawn, shape: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """The common part of box and array, in the box and in the array."""
    inner, outer = [], []
    for low, length, size in zip(drawn.lower, drawn.shape, shape, strict=True):
        first, last = max(low, 0), min(low + length, size)
        inner.append(slice(first - low, last - low))
        outer.append(slice(first, last))
    return tuple(inner), tuple(outer)


def _cut(clean: Clean, drawn: MotionDrawn) -> FloatArray:
    image = np.zeros(drawn.shape, dtype=np.float32)
    inner, outer = _overlap(drawn, clean.voxels.shape)
    image[inner] = np.where(clean.brain[outer], clean.voxels[outer], 0.0) if clean.stripped else clean.voxels[outer]
    return image


class _Moving:
    """Moves one image; keeps its transforms along single axes, where every pose begins."""

    def __init__(self, image: FloatArray, drawn: MotionDrawn, spacing_mm: tuple[float, float, float]) -> None:
        self.image, self.drawn, self.spacing = image, drawn, np.asarray(spacing_mm)
        self.first: dict[int, ComplexArray] = {}

    def lines_in(self, pose: Pose, wanted: NDArray[np.intp]) -> ComplexArray:
        """Phase-encode lines `wanted` (signed, 0 is the centre) of the image in a pose."""
        axis = self.drawn.axis
        # The moved image at a point is the image at the point moved back.
        turn = Rotation.from_rotvec(pose[3:]).inv().as_matrix()
        back = turn * self.spacing[None, :] / self.spacing[:, None]
        moved = self.image
        for number, shear in enumerate(four_shears(back, -back @ (np.asarray(pose[:3]) / self.spacing))):
            spectrum = self._first(shear.axis) if number == 0 else fft.rfft(moved, axis=shear.axis, workers=1)
            spectrum = spectrum * self._ramp(shear)
            moved = fft.irfft(spectrum, self.drawn.shape[shear.axis], axis=shear.axis, workers=1, overwrite_x=True)
        lines: ComplexArray = fft.rfft(moved, axis=axis, workers=1)[_planes(axis, np.abs(wanted))]
        # The moved image is real, so line −k is the conjugate of line k.
        mirrored = _planes(axis, np.flatnonzero(wanted < 0))
        lines[mirrored] = np.conj(lines[mirrored])
        return lines

    def _first(self, axis: int) -> ComplexArray:
        if axis not in self.first:
            self.first[axis] = fft.rfft(self.image, axis=axis, workers=1)
        return self.first[axis]

    def _ramp(self, shear: Shear) -> ComplexArray:
        """Phase that shifts each row along the shear's axis by its own amount (shift theorem)."""
        size = self.drawn.shape[shear.axis]
        frequency = 2j * np.pi * np.arange(size // 2 + 1) / size
        ramp = np.ones((1, 1, 1), dtype=np.complex64)
        for other in range(3):
            slope = shear.slopes[other]
            offset = shear.shift if other == (shear.axis + 1) % 3 else 0.0
            if other == shear.axis or (slope == 0.0 and offset == 0.0):
                continue
            distance = slope * (np.arange(self.drawn.shape[other]) - self.drawn.centre[other]) + offset
            phase = np.exp(np.multiply.outer(frequency, distance)).astype(np.complex64)
            where = [1, 1, 1]
            where[shear.axis], where[other] = phase.shape
            ramp = ramp * (phase if shear.axis < other else phase.T).reshape(where)
        return ramp


def four_shears(back: Matrix, shift: Matrix) -> tuple[Shear, Shear, Shear, Shear]:
    """A linear map of determinant 1 and a shift as four shears along single axes, in order of application.

    Parameters
    ----------
    back : (3, 3), close to the identity; the new image at i is the old one at ``back @ i + shift`` (voxels, from the
        centre of rotation).

    References
    ----------
    Chen and Kaufman, Graphical Models 62 (2000), "3D volume rotation using shear transformations".
    """
    # With outer axis o and inner axes a, b: back = S_o S_a S_b T_o. The axis turned about least goes outside, or the
    # solution would divide by a small number.
    turn = np.abs([back[2, 1] - back[1, 2], back[0, 2] - back[2, 0], back[1, 0] - back[0, 1]])
    o, a, b = (int(axis) for axis in np.argsort(turn, kind="stable"))
    slope_b = _ratio(back[b, b] - 1.0, back[b, o])
    inner_ab = back[a, b] - slope_b * back[a, o]
    slope_a = _ratio(back[a, a] - 1.0 - inner_ab * back[b, a], back[a, o] - inner_ab * back[b, o])
    rest = back.copy()
    rest[:, a] -= slope_a * back[:, o]
    rest[:, b] -= slope_b * back[:, o]
    rows = np.array([[rest[a, a], rest[b, a]], [rest[a, b], rest[b, b]]])
    outer_a, outer_b = np.linalg.solve(rows, rest[o, [a, b]])
    slopes = [np.zeros(3) for _ in range(4)]
    slopes[0][[a, b]] = outer_a, outer_b
    slopes[1][[o, b]] = rest[a, o] - inner_ab * rest[b, o], inner_ab
    slopes[2][[o, a]] = rest[b, o], rest[b, a]
    slopes[3][[a, b]] = slope_a, slope_b
    matrices = []
    for axis, slope in zip((o, a, b), slopes, strict=False):
        matrix = np.eye(3)
        matrix[axis] += slope
        matrices.append(matrix)
    first, second, third = matrices
    columns = np.stack([first[:, a], (first @ second)[:, b], (first @ second @ third)[:, o]], axis=1)
    shifts = np.linalg.solve(columns, shift)
    return (
        Shear(o, _triple(slopes[0]), 0.0),
        Shear(a, _triple(slopes[1]), float(shifts[0])),
        Shear(b, _triple(slopes[2]), float(shifts[1])),
        Shear(o, _triple(slopes[3]), float(shifts[2])),
    )


def _ratio(numerator: float, denominator: float) -> float:
    # Both vanish together, and faster above than below, for a turn about a single axis.
    return 0.0 if abs(denominator) < 1e-9 else float(numerator / denominator)


def _triple(values: Matrix) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
