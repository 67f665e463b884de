"""Made brains differ, are stripped, carry their truth, and are as sharp as real scans."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from anomri.core.geometry import Geometry
from anomri.errors import InputError
from anomri.simulate import CSF, GREY, WHITE, TissueMaps, anatomy, phantom

SITE_A = Path(__file__).parents[3] / "shared" / "data" / "t1w_site_a"


@pytest.fixture(scope="module")
def people(tissue):
    return [anatomy(tissue, seed=seed, spacing_mm=4.0) for seed in range(8)]


def test_the_same_seed_makes_the_same_subject(tissue, people):
    again = anatomy(tissue, seed=0, spacing_mm=4.0)
    assert again.scan.voxels.tobytes() == people[0].scan.voxels.tobytes()
    assert again.scan.source == people[0].scan.source
    np.testing.assert_array_equal(again.labels, people[0].labels)


def test_brain_labels_and_signal_agree(people):
    for person in people:
        np.testing.assert_array_equal(person.brain, person.labels > 0)
        np.testing.assert_array_equal(person.brain, person.scan.voxels > 0)
        csf, grey, white = (np.median(person.scan.voxels[person.labels == k]) for k in (CSF, GREY, WHITE))
        assert csf < grey < white
        assert not person.labels.flags.writeable


def test_subjects_differ_in_size_contrast_grid_and_position(people):
    volumes = [p.brain.sum() * p.scan.geometry.voxel_ml for p in people]
    contrast = [np.ptp([np.median(p.scan.voxels[p.labels == k]) for k in (CSF, WHITE)]) for p in people]
    assert np.std(volumes) / np.mean(volumes) > 0.03
    assert np.std(contrast) / np.mean(contrast) > 0.05
    assert len({p.scan.source.orientation for p in people}) > 4
    centres = [p.scan.geometry.affine @ [*np.argwhere(p.brain).mean(axis=0), 1.0] for p in people]
    assert np.std(centres, axis=0)[:3].min() > 1.0


def test_the_brain_is_not_cut_off(people):
    for person in people:
        for axis in range(3):
            planes = person.brain.any(axis=tuple(a for a in range(3) if a != axis))
            assert not planes[0]
            assert not planes[-1]


def test_left_and_right_differ(tissue, people):
    # The made template is its own mirror image; a subject is not, beyond what shifting and turning explain.
    np.testing.assert_allclose(tissue.grey, tissue.grey[::-1], atol=1e-6)
    for person in people:
        left_right = next(a for a, code in enumerate(person.scan.source.orientation) if code in "LR")
        white = ndimage.gaussian_filter((person.labels == WHITE).astype(float), 1.0)
        best = max(
            np.corrcoef(white.ravel(), np.roll(np.flip(white, left_right), shift, left_right).ravel())[0, 1]
            for shift in range(-6, 7)
        )
        assert best < 0.99


def test_the_voxel_size_is_drawn_or_given(tissue):
    drawn = {anatomy(tissue, seed=seed).scan.geometry.spacing_mm for seed in range(2)}
    assert len(drawn) == 2
    assert all(1.0 <= mm <= 1.3 for spacing in drawn for mm in spacing)
    given = anatomy(tissue, seed=0, spacing_mm=5.0).scan.geometry.spacing_mm
    assert given == pytest.approx((5.0, 5.0, 5.0))


def test_the_maps_are_not_changed(tissue):
    before = tissue.grey.copy()
    anatomy(tissue, seed=1, spacing_mm=5.0)
    np.testing.assert_array_equal(tissue.grey, before)


def test_maps_and_sizes_that_make_no_brain_are_refused(tissue):
    empty = np.zeros((4, 4, 4), dtype=np.float32)
    with pytest.raises(InputError, match="no brain"):
        TissueMaps(empty, empty, empty, Geometry((4, 4, 4), np.eye(4)))
    with pytest.raises(InputError, match="share the template"):
        TissueMaps(empty + 2.0, empty, empty, Geometry((4, 4, 4), np.eye(4)))
    for spacing_mm in (0.0, float("nan")):
        with pytest.raises(InputError, match="voxel size"):
            anatomy(tissue, seed=0, spacing_mm=spacing_mm)


def test_a_phantom_is_stripped_repeatable_and_about_as_large_as_a_brain():
    made, again, other = phantom(3), phantom(3), phantom(4)
    assert made.voxels.tobytes() == again.voxels.tobytes()
    assert made.source.sha256 != other.source.sha256
    inside = made.voxels > 0
    assert ndimage.label(inside)[1] == 1
    assert 900 < inside.sum() * made.geometry.voxel_ml < 2500
    assert not made.voxels[[0, -1]].any()


def icbm() -> TissueMaps:
    from nilearn.datasets import load_mni152_brain_mask, load_mni152_gm_template, load_mni152_wm_template

    mask = load_mni152_brain_mask(resolution=1)
    inside = mask.get_fdata() > 0
    grey, white = (
        np.where(inside, image.get_fdata(), 0.0).astype(np.float32)
        for image in (load_mni152_gm_template(resolution=1), load_mni152_wm_template(resolution=1))
    )
    csf = np.clip(inside - grey - white, 0.0, 1.0).astype(np.float32)
    return TissueMaps(grey, white, csf, Geometry(inside.shape, mask.affine))


def fine_detail(voxels: np.ndarray, spacing_mm: tuple[float, ...]) -> float:
    """SD of what a 1.5 mm Gaussian takes away, deep inside the brain, as a share of white matter."""
    brain = voxels > 0
    scaled = voxels / np.percentile(voxels[brain], 75)
    detail = scaled - ndimage.gaussian_filter(scaled, [1.5 / mm for mm in spacing_mm])
    return float(detail[ndimage.binary_erosion(brain, iterations=4)].std())


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_made_brains_are_as_sharp_and_as_large_as_real_scans_and_quick_to_make():
    scans = sorted(SITE_A.glob("*_T1w.nii.gz"))[:3]
    if not scans:
        pytest.skip("the shared data folder is not there")
    import nibabel

    real = []
    for path in scans:
        image = nibabel.load(path)
        real.append(fine_detail(np.asarray(image.dataobj, dtype=np.float32), image.header.get_zooms()))
    maps = icbm()
    start = time.process_time()
    people = [anatomy(maps, seed=seed) for seed in range(3)]
    assert (time.process_time() - start) / 3 < 3.0
    made = [fine_detail(p.scan.voxels, p.scan.geometry.spacing_mm) for p in people]
    assert 0.7 * np.mean(real) < np.mean(made) < 1.3 * np.mean(real)
    for person in people:
        assert 1000 < person.brain.sum() * person.scan.geometry.voxel_ml < 2000
        shares = np.bincount(person.labels[person.brain], minlength=4)[1:] / person.brain.sum()
        assert 0.05 < shares[0] < 0.25
        assert 0.35 < shares[1] < 0.55
        assert 0.30 < shares[2] < 0.50
