"""What "the same scan" means: the same values at the same places, however they are laid out."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomri.core.geometry import Geometry
from anomri.core.scan import image_sha256

SHAPE = (5, 6, 7)
VOXELS = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


def oblique(spacing_mm=(0.9375, 1.0, 1.2)):
    angle = 0.2
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn * np.array(spacing_mm)
    affine[:3, 3] = (-90.5, -126.25, -72.0)
    return affine


def relaid(voxels, affine, order, flips):
    """The same image with its axes in another order and some of them turned round."""
    turn = np.zeros((4, 4))
    turn[3, 3] = 1
    for new, old in enumerate(order):
        turn[old, new] = -1 if new in flips else 1
        turn[old, 3] = voxels.shape[old] - 1 if new in flips else 0
    return np.flip(voxels.transpose(order), flips), affine @ turn


def digest(voxels, affine):
    return image_sha256(voxels, Geometry(voxels.shape, affine))


@given(st.sampled_from(list(permutations(range(3)))), st.sets(st.integers(0, 2)), st.integers(0, 10**6))
@settings(deadline=None, max_examples=60)
def test_axes_and_rounding_do_not_count(order, flips, seed):
    """A header holds float32 numbers; programs agree on them to a few units of the last place."""
    voxels, affine = relaid(VOXELS, oblique(), order, tuple(flips))
    rounded = affine.astype(np.float32).astype(np.float64)
    rounded[:3] += np.random.default_rng(seed).uniform(-1e-5, 1e-5, (3, 4))
    assert digest(voxels, rounded) == digest(VOXELS, oblique())


def moved(millimetres):
    affine = oblique()
    affine[0, 3] += millimetres
    return affine


def with_another_value():
    voxels = VOXELS.copy()
    voxels[2, 3, 4] = np.nextafter(voxels[2, 3, 4], np.float32(np.inf))
    return voxels


@pytest.mark.parametrize(
    ("voxels", "affine"),
    [
        (with_another_value(), oblique()),
        (VOXELS[::-1].copy(), oblique()),
        (VOXELS, moved(0.5)),
        (VOXELS, oblique((0.9375, 1.05, 1.2))),
    ],
    ids=["value", "mirrored", "place", "size"],
)
def test_what_changes_the_image_changes_the_digest(voxels, affine):
    assert digest(voxels, affine) != digest(VOXELS, oblique())


def test_another_shape_with_the_same_bytes_is_another_image():
    affine = np.eye(4)
    assert digest(VOXELS.reshape(6, 5, 7), affine) != digest(VOXELS, affine)
