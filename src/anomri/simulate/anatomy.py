"""Made T1-weighted scans of brains that all differ, drawn from tissue probability maps.

A template's maps are soft where folds differ between people. Each seed decides that softness anew, with smooth random
fields, and so gets folds, sulci and ventricles of its own; the result is deformed, turned, given signal, texture, a
bias field and noise, and stripped. It shows what a brain scan looks like to software; it is no model of anatomy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from anomri.core.geometry import Geometry, apply_affine
from anomri.core.scan import Scan
from anomri.errors import InputError
from anomri.io import array_scan
from anomri.simulate.similarity import box_of

__all__ = ["CSF", "GREY", "WHITE", "Anatomy", "TissueMaps", "anatomy"]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
Matrix = NDArray[np.float64]

CSF, GREY, WHITE = 1, 2, 3
SPACING_MM = (1.0, 1.3)
MARGIN_VOXELS = 3
# Deformation: cosine modes per axis, largest displacement of all together (SD, mm).
MODES, DISPLACEMENT_MM = 5, 2.5
# The template's brain is larger than people's (1.88 l with its CSF).
MEAN_SCALE, SCALE_SD, SHEAR_SD = 1.09, 0.025, 0.02
# Ventricles: centre (MNI152, mm), extent (SD, mm) and largest relative change of their width.
VENTRICLES_MM, VENTRICLE_EXTENT_MM, VENTRICLE_CHANGE = (0.0, -18.0, 14.0), (22.0, 36.0, 20.0), 0.35
# Field that decides folds: distance between its nodes (mm) and height; steepness of tissue borders.
# A template's cortex is wider than anyone's, being the mean of many: its odds are lowered.
FOLD_NODES_MM, FOLD_HEIGHT, STEEPNESS, GREY_ODDS = 4.2, 1.0, 3.0, -0.5
TEXTURE_NODES_MM, TEXTURE_SHARE = 3.0, 0.04
BIAS_HEIGHT = 0.12
TURN_DEGREES, MOVE_MM, OBLIQUE_DEGREES = 6.0, 8.0, 12.0
# Signal of CSF, grey and white matter as shares of white matter, and white-matter signal ÷ noise.
CSF_SIGNAL, GREY_SIGNAL, SIGNAL_TO_NOISE = (0.22, 0.34), (0.57, 0.68), (40.0, 80.0)
# Scanner units of white matter; the scale is arbitrary.
WHITE_UNITS = (600.0, 2000.0)


@dataclass(frozen=True, eq=False, slots=True)
class TissueMaps:
    """Probability of three tissues in a template.

    Parameters
    ----------
    grey, white, csf : (X, Y, Z) float32 in 0–1; their sum is 1 inside the brain and 0 outside it.
    geometry : the template's grid, in MNI152 world millimetres; any orientation.

    Raises
    ------
    InputError : shapes differ, a value lies outside 0–1, or there is no brain.
    """

    grey: FloatArray
    white: FloatArray
    csf: FloatArray
    geometry: Geometry

    def __post_init__(self) -> None:
        for tissue in (self.grey, self.white, self.csf):
            if tissue.shape != self.geometry.shape or not (tissue.min() >= 0.0 and tissue.max() <= 1.0):
                raise InputError(
                    "tissue maps must share the template's grid and lie in 0–1",
                    remedy="Give probabilities, CSF as brain − grey − white clipped to 0–1.",
                    code="tissue_maps",
                )
        if not ((self.grey + self.white + self.csf) > 0.5).any():
            raise InputError("the tissue maps hold no brain", remedy="Check the maps.", code="tissue_maps")


@dataclass(frozen=True, eq=False, slots=True)
class Anatomy:
    """A made scan and what it is made of.

    Parameters
    ----------
    scan : stripped T1w scan, exactly 0 outside the brain and positive inside.
    labels : (X, Y, Z) uint8: 0 none, 1 CSF, 2 grey matter, 3 white matter; made read-only.
    brain : (X, Y, Z) bool, where `labels` is not 0; made read-only.
    seed : what it was drawn from.
    """

    scan: Scan
    labels: NDArray[np.uint8]
    brain: BoolArray
    seed: int

    def __post_init__(self) -> None:
        self.labels.setflags(write=False)
        self.brain.setflags(write=False)


def anatomy(tissue: TissueMaps, *, seed: int, spacing_mm: float | None = None) -> Anatomy:
    """One made brain.

    Parameters
    ----------
    tissue : the template.
    seed : of everything; each seed is another subject.
    spacing_mm : isotropic voxel size; None draws one in 1.0–1.3 mm.

    Returns
    -------
    Anatomy on a grid of its own: cropped to the brain, array axes in any order and direction, half of the grids
    tilted against the scanner, the head a little turned and moved in it.

    Raises
    ------
    InputError : the voxel size is not positive, or too coarse to hold the brain.
    """
    if spacing_mm is not None and not (np.isfinite(spacing_mm) and spacing_mm > 0):
        raise InputError(f"a voxel size of {spacing_mm} mm", remedy="Give a positive number.", code="spacing")
    rng = np.random.default_rng(seed)
    drawn_mm = float(rng.uniform(*SPACING_MM))
    to_template = _draw_head(tissue, rng)
    grid = _draw_grid(tissue, to_template, rng, spacing_mm=drawn_mm if spacing_mm is None else spacing_mm)
    points = _draw_deformation(grid, to_template, rng)
    brain = _interpolate(tissue.grey + tissue.white + tissue.csf, tissue.geometry, points) > 0.5
    if not brain.any():
        raise InputError(f"no brain voxel at {spacing_mm} mm", remedy="Give a smaller voxel size.", code="spacing")
    box = tuple(slice(max(part.start - MARGIN_VOXELS, 0), part.stop + MARGIN_VOXELS) for part in box_of(brain))
    brain = np.ascontiguousarray(brain[box])
    affine = grid.affine.copy()
    affine[:3, 3] = apply_affine(affine, np.array([[part.start for part in box]]))[0]
    geometry = Geometry(brain.shape, affine)
    shares = _draw_tissues(tissue, points[(slice(None), *box)][:, brain], geometry, brain, rng)
    voxels = np.zeros(brain.shape, dtype=np.float32)
    voxels[brain] = _draw_signal(shares, geometry, brain, rng)
    labels = np.zeros(brain.shape, dtype=np.uint8)
    labels[brain] = CSF + np.argmax(shares, axis=0)
    scan = array_scan(
        voxels, geometry.affine, scan_id=f"made-brain-{seed:04d}", sequence="T1w", notes=("simulated: made brain",)
    )
    return Anatomy(scan=scan, labels=labels, brain=brain, seed=seed)


def _draw_head(tissue: TissueMaps, rng: np.random.Generator) -> Matrix:
    """(4, 4) scanner world → template world: pose in the scanner, then size and shape of the head."""
    shape = np.diag(1.0 + SCALE_SD * rng.standard_normal(3)) * MEAN_SCALE * (1.0 + SCALE_SD * rng.standard_normal())
    shape += SHEAR_SD * np.triu(rng.standard_normal((3, 3)), 1)
    turn = Rotation.from_euler("xyz", rng.uniform(-TURN_DEGREES, TURN_DEGREES, 3), degrees=True).as_matrix()
    brain = np.argwhere((tissue.grey + tissue.white + tissue.csf) > 0.5)
    centre = apply_affine(tissue.geometry.affine, brain.mean(axis=0, keepdims=True))[0]
    matrix = np.eye(4)
    matrix[:3, :3] = shape @ turn
    matrix[:3, 3] = centre - matrix[:3, :3] @ (centre + rng.uniform(-MOVE_MM, MOVE_MM, 3))
    return matrix


def _draw_grid(tissue: TissueMaps, to_template: Matrix, rng: np.random.Generator, *, spacing_mm: float) -> Geometry:
    """A grid around the brain, its axes permuted, flipped and, in half of the scans, tilted about left–right."""
    axes = np.eye(3)[:, rng.permutation(3)] * rng.choice([-1.0, 1.0], 3)
    tilt = rng.uniform(-OBLIQUE_DEGREES, OBLIQUE_DEGREES) * float(rng.random() < 0.5)
    axes = Rotation.from_euler("x", tilt, degrees=True).as_matrix() @ axes
    thinned = ((tissue.grey + tissue.white + tissue.csf)[::3, ::3, ::3] > 0.5).nonzero()
    voxels = 3.0 * np.column_stack(thinned)
    scanner = apply_affine(np.linalg.inv(to_template), apply_affine(tissue.geometry.affine, voxels))
    along = scanner @ axes
    room = 3.0 * max(tissue.geometry.spacing_mm) + 3.0 * DISPLACEMENT_MM
    low, high = along.min(axis=0) - room, along.max(axis=0) + room
    shape = np.ceil((high - low) / spacing_mm).astype(int) + 1
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing_mm
    affine[:3, 3] = axes @ low
    return Geometry((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def _draw_deformation(grid: Geometry, to_template: Matrix, rng: np.random.Generator) -> FloatArray:
    """(3, X, Y, Z) template world of every voxel: the head's matrix, cosine modes, and wider or narrower ventricles."""
    matrix = to_template @ grid.affine
    points = np.empty((3, *grid.shape), dtype=np.float32)
    x, y, z = (np.arange(n, dtype=np.float32) for n in grid.shape)
    for component in range(3):
        a, b, c, d = matrix[component].astype(np.float32)
        points[component] = (a * x + d)[:, None, None] + (b * y)[:, None] + c * z
        points[component] += np.float32(DISPLACEMENT_MM) * _cosine_field(grid.shape, rng)
    change = float(rng.uniform(-VENTRICLE_CHANGE, VENTRICLE_CHANGE))
    centre, extent = (np.array(v, dtype=np.float32) for v in (VENTRICLES_MM, VENTRICLE_EXTENT_MM))
    offset = points - centre[:, None, None, None]
    nearness = np.exp(-0.5 * np.einsum("cxyz,c->xyz", offset**2, extent**-2.0))
    points -= np.float32(change) * nearness * offset
    return points


def _cosine_field(shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Smooth random field of low cosine modes, of standard deviation about 1, different on every side."""
    order = np.indices((MODES,) * 3)
    height = rng.standard_normal(order.shape[1:]) / (1.0 + np.sum(order**2, axis=0))
    # A cosine has half the power of its height, a constant all of it.
    field: FloatArray = (height / np.sqrt(np.sum(height**2 / 2.0 ** np.count_nonzero(order, axis=0)))).astype(
        np.float32
    )
    for size in shape:
        basis = np.cos(np.pi * np.outer((np.arange(size) + 0.5) / size, np.arange(MODES))).astype(np.float32)
        field = np.asarray(np.tensordot(field, basis, axes=(0, 1)), dtype=np.float32)
    return field


def _lattice_field(geometry: Geometry, nodes_mm: float, rng: np.random.Generator) -> FloatArray:
    """Smooth random field of standard deviation about 1: a cubic B-spline with normal values on a lattice."""
    bases = []
    for size, spacing in zip(geometry.shape, geometry.spacing_mm, strict=True):
        position = np.arange(size) * spacing / nodes_mm + 1.0
        distance = np.abs(position[:, None] - np.arange(int(position[-1]) + 3))
        near = 2.0 / 3.0 - distance**2 + distance**3 / 2.0
        basis = np.where(distance < 1.0, near, np.clip(2.0 - distance, 0.0, None) ** 3 / 6.0)
        bases.append((basis / np.sqrt(np.sum(basis**2, axis=1, keepdims=True))).astype(np.float32))
    field = rng.standard_normal([basis.shape[1] for basis in bases], dtype=np.float32)
    for basis in bases:
        field = np.asarray(np.tensordot(field, basis, axes=(0, 1)), dtype=np.float32)
    return field


def _interpolate(values: FloatArray, geometry: Geometry, points: FloatArray) -> FloatArray:
    """Linear interpolation at world points (3, ...); 0 outside the grid."""
    to_voxel = geometry.world_to_voxel.astype(np.float32)
    index = np.tensordot(to_voxel[:3, :3], points, axes=1)
    index += to_voxel[:3, 3].reshape(3, *(1,) * (points.ndim - 1))
    out = np.empty(points.shape[1:], dtype=np.float32)
    ndimage.map_coordinates(values, index, output=out, order=1, mode="constant")
    return out


def _draw_tissues(
    tissue: TissueMaps, points: FloatArray, geometry: Geometry, brain: BoolArray, rng: np.random.Generator
) -> FloatArray:
    """(3, n) shares of CSF, grey and white matter in each voxel of the brain; they add up to 1."""
    grey = _interpolate(tissue.grey, tissue.geometry, points)
    white = _interpolate(tissue.white, tissue.geometry, points)
    likely = np.stack([1.0 - grey - white, grey, white]).clip(1e-3)
    odds = np.log(likely)
    for row in (0, 2):
        odds[row] += np.float32(FOLD_HEIGHT) * _lattice_field(geometry, FOLD_NODES_MM, rng)[brain]
    odds[1] += np.float32(GREY_ODDS)
    odds *= np.float32(STEEPNESS)
    odds -= odds.max(axis=0)
    shares: FloatArray = np.exp(odds)
    shares /= shares.sum(axis=0)
    return shares


def _draw_signal(shares: FloatArray, geometry: Geometry, brain: BoolArray, rng: np.random.Generator) -> FloatArray:
    """(n,) scanner signal of the brain's voxels: contrast, texture, bias field and Rician noise; positive."""
    contrast = np.array([rng.uniform(*CSF_SIGNAL), rng.uniform(*GREY_SIGNAL), 1.0], dtype=np.float32)
    signal = contrast @ shares
    signal *= 1.0 + np.float32(TEXTURE_SHARE) * _lattice_field(geometry, TEXTURE_NODES_MM, rng)[brain]
    signal *= np.exp(np.float32(BIAS_HEIGHT) * _cosine_field(geometry.shape, rng)[brain])
    sd = np.float32(1.0 / rng.uniform(*SIGNAL_TO_NOISE))
    noise = sd * rng.standard_normal((2, signal.size), dtype=np.float32)
    magnitude = np.hypot(np.maximum(signal, 0.0) + noise[0], noise[1])
    return np.asarray(np.maximum(magnitude, 1e-3) * rng.uniform(*WHITE_UNITS), dtype=np.float32)
