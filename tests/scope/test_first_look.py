"""The first look refuses what is no single stripped brain, and says why."""

from __future__ import annotations

import numpy as np
import pytest

from anomri.core.scan import Scan
from anomri.io.array import array_scan
from anomri.pipeline.demo import tissue_maps
from anomri.preparation import recipe_named
from anomri.scope import first_look
from anomri.simulate import anatomy, phantom

BRAIN, SLICES = recipe_named("brain-t1"), recipe_named("slices-2d")


def solid(
    radii_mm: tuple[float, float, float], spacing_mm: float = 3.0, margin: int = 4, background: float = 0
) -> Scan:
    """An ellipsoid of speckle around 600 in a background."""
    shape = tuple(int(2 * r / spacing_mm) + 2 * margin for r in radii_mm)
    index = np.indices(shape).astype(float)
    centre = (np.array(shape) - 1) / 2.0
    away = sum(((index[i] - centre[i]) * spacing_mm / radii_mm[i]) ** 2 for i in range(3))
    rng = np.random.default_rng(0)
    voxels = np.where(away <= 1, rng.uniform(300, 900, shape), background * rng.random(shape))
    return array_scan(voxels, np.diag([spacing_mm] * 3 + [1.0]))


def test_a_brain_is_in_scope_and_seen_to_be_stripped():
    made = anatomy(tissue_maps(), seed=5, spacing_mm=3.0)
    look = first_look(made.scan, BRAIN)
    assert look.reasons == ()
    assert look.stripped
    assert not look.perhaps_head
    volume = made.brain.sum() * made.scan.geometry.voxel_ml
    assert look.foreground_ml == pytest.approx(volume, rel=0.02)
    assert look.background_share == pytest.approx(1 - made.brain.mean(), abs=0.02)


@pytest.mark.parametrize(
    ("scan", "why"),
    [
        (solid((95.0, 120.0, 130.0)), "more than any brain"),
        (solid((40.0, 40.0, 40.0)), "less than any adult brain"),
        (solid((110.0, 110.0, 25.0)), "unlike a brain"),
        (solid((55.0, 65.0, 50.0), margin=0, background=500.0), "no background"),
        (solid((70.0, 85.0, 65.0), spacing_mm=5.0), "apart"),
    ],
)
def test_what_is_no_stripped_brain_is_refused_with_its_reason(scan, why):
    look = first_look(scan, BRAIN)
    assert any(why in reason for reason in look.reasons), look.reasons
    assert look.perhaps_head == (why in ("more than any brain", "no background"))


def test_noise_is_refused():
    rng = np.random.default_rng(1)
    for shape in ((40, 45, 40), (90, 90, 90)):
        noise = np.abs(rng.normal(size=(2, *shape))).sum(axis=0)
        assert first_look(array_scan(noise, np.diag([3.0, 3.0, 3.0, 1.0])), BRAIN).reasons


@pytest.mark.parametrize("value", [0.0, -3.0])
@pytest.mark.parametrize("masked", [False, True])
def test_a_scan_without_signal_is_refused_and_raises_nothing(value, masked):
    look = first_look(array_scan(np.full((30, 30, 30), value), np.diag([5.0, 1.0, 1.0, 1.0])), BRAIN, masked=masked)
    assert "it has no signal" in look.reasons
    assert not look.stripped


def test_a_full_head_is_in_scope_with_a_mask_and_known_to_be_none_stripped():
    head = solid((95.0, 120.0, 130.0))
    look = first_look(head, BRAIN, masked=True)
    assert not look.perhaps_head
    assert look.reasons == ()
    assert not look.stripped


def test_thick_slices_are_refused_even_with_a_mask():
    assert first_look(solid((70.0, 85.0, 65.0), spacing_mm=5.0), BRAIN, masked=True).reasons


def test_a_phantom_of_a_brain_s_size_is_left_to_the_second_look():
    look = first_look(phantom(0), BRAIN)
    assert look.stripped
    assert look.reasons == ()


def test_a_slice_is_asked_for_a_recipe_of_slices_and_a_volume_for_one_of_volumes():
    rng = np.random.default_rng(2)
    volume, flat = (array_scan(rng.random((40, 40, n)), np.diag([3.0, 3.0, 3.0, 1.0])) for n in (40, 1))
    sagittal = array_scan(rng.random((40, 40, 1)), [[0, 0, 3, 0], [3, 0, 0, 0], [0, 3, 0, 0], [0, 0, 0, 1]])
    assert first_look(flat, BRAIN, masked=True).reasons == ("it is a single slice, and the model is for volumes",)
    assert "for single axial slices" in first_look(volume, SLICES).reasons[0]
    assert "for single axial slices" in first_look(sagittal, SLICES).reasons[0]
    look = first_look(flat, SLICES)
    assert look.reasons == ()
    assert look.foreground is None  # the recipe finds the head
