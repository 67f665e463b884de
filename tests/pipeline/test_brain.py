"""Where a scan's brain comes from, and that every verb gets the same one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from anomri.core.geometry import Geometry
from anomri.core.region import Region
from anomri.errors import PreparationFailed
from anomri.extraction import EXTRACTION, extract
from anomri.io import write_nifti
from anomri.pipeline.brain import brain_of
from anomri.pipeline.gather import FitInput, gather
from anomri.preparation import prepare, recipe_named
from anomri.preparation.mask import stripped_mask
from brains import made_brain
from heads import made_head

BRAIN = recipe_named("brain-t1")


def test_a_stripped_scan_is_its_own_brain():
    scan = made_brain(3).scan
    found = brain_of(scan, BRAIN)
    assert (found.came_from, found.full_head, found.reasons) == ("stripped", False, ())
    assert np.array_equal(found.region.mask, stripped_mask(scan.voxels))


def test_a_given_mask_is_taken_as_it_is_and_a_head_around_it_is_noticed():
    head = made_head(1)
    found = brain_of(head.scan, BRAIN, head.brain)
    assert found.region is head.brain
    assert (found.came_from, found.full_head, found.reasons) == ("given", True, ())
    scan = made_brain(3).scan
    mask = Region(stripped_mask(scan.voxels), scan.geometry, "brain", "user")
    assert not brain_of(scan, BRAIN, mask).full_head


def test_the_brain_of_a_head_is_the_one_that_extract_finds():
    scan = made_head(1).scan
    found = brain_of(scan, BRAIN)
    assert (found.came_from, found.full_head, found.reasons) == ("extracted", True, ())
    assert np.array_equal(found.region.mask, extract(scan).brain.mask)


def test_a_head_of_another_contrast_has_a_brain_but_is_none_of_a_t1_weighted_model():
    scan = made_head(1, "T2w").scan
    found = brain_of(scan, BRAIN)
    assert found.came_from == "extracted"
    with pytest.raises(PreparationFailed) as caught:
        prepare(scan, BRAIN, mask=found.region)
    assert caught.value.code == "registration"
    anyhow = prepare(scan, recipe_named("brain-any"), mask=found.region)
    assert anyhow.scan.sequence == "T2w"


def test_what_holds_no_brain_says_what_it_is_and_what_was_tried():
    scan = made_head(2).scan
    turned = dataclasses.replace(scan, voxels=np.ascontiguousarray(scan.voxels[:, :, ::-1]))
    found = brain_of(turned, BRAIN)
    assert found.region is None
    assert "more than any brain" in found.reasons[0]
    assert "no brain could be cut out" in found.reasons[1]


def test_a_head_in_thick_slices_is_not_searched():
    head = made_head(1).scan
    voxels = np.ascontiguousarray(head.voxels[:, :, ::5])
    affine = head.geometry.affine @ np.diag([1.0, 1.0, 5.0, 1.0])
    found = brain_of(dataclasses.replace(head, voxels=voxels, geometry=Geometry(voxels.shape, affine)), BRAIN)
    assert any("apart" in reason for reason in found.reasons)
    assert not any("cut out" in reason for reason in found.reasons)


def test_a_head_among_the_normals_is_prepared_by_its_brain(tmp_path):
    head = made_head(1).scan
    path = tmp_path / "head.nii.gz"
    write_nifti(path, head.voxels, head.geometry)
    (prepared,), dropped = gather(
        [FitInput(path, "head", "head")], BRAIN, tmp_path / "work", jobs=1, report=lambda _line: None
    )
    assert dropped == ()
    assert prepared.brain.made_by == EXTRACTION
