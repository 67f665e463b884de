"""A made head keeps the brain it was made around, and has around it what a head has."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from anomri.core.geometry import apply_affine
from anomri.errors import InputError
from anomri.preparation.mask import PLAUSIBLE_ML, stripped_mask
from anomri.simulate.head import CONTRASTS, head_around
from brains import made_brain
from heads import made_head


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_the_brain_keeps_its_place_and_size(contrast: str):
    brain, head = made_brain(1), made_head(1, contrast)
    volume_ml = float(brain.brain.sum()) * brain.scan.geometry.voxel_ml
    assert head.brain.volume_ml == pytest.approx(volume_ml)
    before = apply_affine(brain.scan.geometry.affine, np.argwhere(brain.brain)).mean(axis=0)
    after = apply_affine(head.scan.geometry.affine, np.argwhere(head.brain.mask)).mean(axis=0)
    assert np.allclose(before, after, atol=1e-3)


def test_the_brain_keeps_its_contrast_in_a_t1w_head():
    brain, head = made_brain(2), made_head(2)
    deep = ndimage.binary_erosion(head.brain.mask, iterations=3)
    # The same voxels in the same order once the brain's axes are turned to RAS+.
    order = np.lexsort(apply_affine(head.scan.geometry.affine, np.argwhere(head.brain.mask)).round(2).T)
    own = np.lexsort(apply_affine(brain.scan.geometry.affine, np.argwhere(brain.brain)).round(2).T)
    kept = deep[head.brain.mask][order]
    here, there = head.scan.voxels[head.brain.mask][order][kept], brain.scan.voxels[brain.brain][own][kept]
    assert np.corrcoef(here, there)[0, 1] > 0.7


def test_a_head_is_not_taken_for_a_stripped_brain():
    scan = made_head(1).scan
    volume_ml = float(stripped_mask(scan.voxels).sum()) * scan.geometry.voxel_ml
    assert volume_ml > PLAUSIBLE_ML[1]


def test_bone_around_the_brain_is_darker_than_brain_and_scalp():
    head = made_head(3)
    away = ndimage.distance_transform_edt(~head.brain.mask, sampling=head.scan.geometry.spacing_mm)
    half = head.scan.geometry.shape[2] // 2
    upper = np.zeros_like(head.brain.mask)
    upper[:, :, half + 5 :] = True
    levels = [np.median(head.scan.voxels[upper & (away > low) & (away <= high)]) for low, high in ((4, 7), (11, 14))]
    assert levels[0] < 0.5 * levels[1]
    assert levels[0] < 0.5 * np.median(head.scan.voxels[head.brain.mask])


def test_a_seed_makes_the_same_head_again_and_another_seed_another():
    brain = made_brain(1)
    first, again = (head_around(brain.scan, brain.brain, seed=5) for _ in range(2))
    assert np.array_equal(first.scan.voxels, again.scan.voxels)
    assert not np.array_equal(first.scan.voxels, head_around(brain.scan, brain.brain, seed=6).scan.voxels)


def test_a_defaced_head_keeps_its_brain():
    heads = [made_head(seed) for seed in range(1, 5)]
    defaced = [head for head in heads if (head.scan.voxels == 0.0).any()]
    assert 0 < len(defaced) < len(heads)
    assert all((head.scan.voxels[head.brain.mask] > 0).all() for head in defaced)


def test_a_mask_of_another_grid_is_refused():
    with pytest.raises(InputError):
        head_around(made_brain(1).scan, np.ones((3, 3, 3), dtype=bool), seed=0)
