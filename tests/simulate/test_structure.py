"""Lesions and structure: sizes, contrasts, truth and the promises of each kind."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from anomri.errors import InputError
from anomri.io import array_scan
from anomri.io.formats import read_image
from anomri.metrics.detection import auroc
from anomri.simulate import STRUCTURE, Record, corrupt, focal_lesion, outline_of, replay
from anomri.simulate.structure.cavity import VOLUME_ML
from anomri.simulate.structure.flow import radial_flow
from anomri.simulate.structure.mass import MassDrawn, _push
from anomri.simulate.structure.texture import power_law_noise, spectral_slope


@pytest.fixture(scope="module")
def inside(uneven):
    return uneven.voxels > 0


@settings(max_examples=15)
@given(st.floats(13.0, 30.0), st.floats(0.5, 4.0), st.sampled_from(["bright", "dark"]), st.integers(0, 1000))
def test_a_lesion_has_the_volume_and_sign_that_were_asked_for(uneven, inside, diameter, contrast, sign, seed):
    made = focal_lesion(uneven, diameter_mm=diameter, contrast=contrast, sign=sign, seed=seed, brain=inside)
    asked_ml = np.pi * diameter**3 / 6000.0
    assert made.core.sum() * uneven.geometry.voxel_ml == pytest.approx(asked_ml, rel=0.02)
    change = made.scan.voxels - uneven.voxels
    assert (change >= 0).all() if sign == "bright" else (change <= 0).all()
    assert made.record.settings == {"keep_outside": True, "diameter_mm": diameter, "contrast": contrast}
    again = replay(uneven, Record.model_validate_json(made.record.model_dump_json()), inside)
    assert again.scan.voxels.tobytes() == made.scan.voxels.tobytes()


def test_contrast_is_in_standard_deviations_of_the_tissue_around(uneven, inside):
    made = focal_lesion(uneven, diameter_mm=20.0, contrast=2.0, sign="bright", seed=3, brain=inside)
    centre = np.array(made.record.drawn["centre"])
    away = np.linalg.norm((np.indices(inside.shape).reshape(3, -1).T - centre) * 2.9, axis=1).reshape(inside.shape)
    around = uneven.voxels[(away <= 15.0) & inside].astype(np.float64)
    assert (made.scan.voxels - uneven.voxels).max() == pytest.approx(2.0 * around.std(), rel=0.01)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_a_cavity_has_its_volume_of_brain(uneven, inside, severity):
    made = corrupt(uneven, "cavity", severity=severity, seed=2, brain=inside)
    volume = made.core.sum() * uneven.geometry.voxel_ml
    # Below a millilitre and a half one voxel of 0.024 ml counts.
    assert volume == pytest.approx(VOLUME_ML[severity - 1], rel=0.02)


def test_a_textured_lesion_is_a_permutation_of_the_voxels_that_were_there(uneven, inside):
    for severity in (1, 3, 5):
        made = corrupt(uneven, "textured-lesion", severity=severity, seed=severity, brain=inside)
        assert made.changed.any()
        np.testing.assert_array_equal(np.sort(made.scan.voxels, axis=None), np.sort(uneven.voxels, axis=None))


def test_brightness_cannot_tell_a_textured_lesion(uneven, inside):
    """Mean, spread and quantiles score chance, in the scan and in the lesion's own place."""
    clean, textured = [], []
    for seed in range(20):
        made = corrupt(uneven, "textured-lesion", severity=5, seed=seed, brain=inside)
        support = ndimage.binary_dilation(made.changed, iterations=2) & inside
        for values, scan in ((clean, uneven), (textured, made.scan)):
            local, whole = scan.voxels[support].astype(np.float64), scan.voxels[inside].astype(np.float64)
            values.append(
                [local.mean(), local.std(), *np.quantile(local, (0.05, 0.5, 0.95)), whole.mean(), whole.std()]
            )
    for feature, column in enumerate(np.rollaxis(np.array([clean, textured]), 2)):
        assert auroc(np.round(column[1], 4), np.round(column[0], 4)) == pytest.approx(0.5, abs=0.02), feature


def test_the_texture_has_the_slope_that_was_asked_for():
    for slope in (1.0, 2.5):
        measured = [spectral_slope(power_law_noise((32, 32, 32), slope, np.random.default_rng(s))) for s in range(5)]
        assert np.mean(measured) == pytest.approx(slope, abs=0.5)


def test_nothing_folds_under_a_mass():
    drawn = MassDrawn(centre=(20, 24, 18), push_mm=12.0, reach_mm=40.0, signal=1.0, noise_sd=0.0, noise_seed=0)
    radius = np.linspace(0.01, 45.0, 2000)
    assert (np.diff(radius - _push(radius, drawn)) > 0).all()
    np.testing.assert_array_equal(_push(radius[radius >= 40.0], drawn), 0.0)


def test_tissue_moves_by_the_displacement_that_was_asked_for():
    away = np.linalg.norm(np.indices((61, 61, 61)) - 30.0, axis=0)
    scan = array_scan(100.0 + 50.0 * np.sin(away / 2.5), np.eye(4))
    brain = np.ones((61, 61, 61), dtype=bool)
    clean = _seen(scan, brain)
    moved = radial_flow(clean, (30, 30, 30), 28.0, lambda r: np.where(r < 28.0, 0.9 * r + 0.1 * r**2 / 28.0, r))
    came = 0.9 * moved.radius_mm + 0.1 * moved.radius_mm**2 / 28.0
    expected = 100.0 + 50.0 * np.sin(came / 2.5)
    np.testing.assert_allclose(moved.values[moved.inside], expected[moved.inside], atol=1.5)


def _seen(scan, brain):
    from anomri.simulate.corrupt import _clean

    return _clean(scan, brain, keep_outside=True)


def test_widened_fluid_takes_the_volume_that_was_asked_for():
    """A ventricle in plain tissue: dark volume grows by the severity's share."""
    away = np.linalg.norm((np.indices((64, 64, 64)) - 31.5) * 2.0, axis=0)
    voxels = np.where(away < 60.0, np.where(away < 14.0, 100.0, 700.0), 0.0).astype(np.float32)
    scan, brain = array_scan(voxels, np.diag([2.0, 2.0, 2.0, 1.0]), sequence="T1w"), away < 60.0
    for seed in range(12):
        made = corrupt(scan, "atrophy", severity=5, seed=seed, brain=brain)
        drawn = made.record.drawn
        if np.linalg.norm(np.array(drawn["centre"]) - 31.5) < 1.0:
            break
    missing = (700.0 * brain - made.scan.voxels)[brain].sum() / (700.0 * brain - voxels)[brain].sum()
    near = np.linalg.norm((np.array(drawn["centre"]) - 31.5) * 2.0)
    assert missing == pytest.approx(1.4, abs=0.1 + 0.02 * near)


def test_the_same_place_of_a_donor_is_taken(uneven, inside):
    donor = array_scan(2.0 * uneven.voxels, uneven.geometry.affine, scan_id="donor")
    made = corrupt(uneven, "foreign-patch", severity=5, seed=1, brain=inside, donor=donor)
    assert made.record.drawn["shift"] == [0, 0, 0]
    deep = ndimage.binary_erosion(made.core, iterations=2)
    change = (made.scan.voxels / np.maximum(uneven.voxels, 1.0))[deep]
    assert np.median(change) == pytest.approx(2.0, rel=0.02) or made.record.drawn["seamless"]
    again = replay(uneven, made.record, inside, donor=donor)
    assert again.scan.voxels.tobytes() == made.scan.voxels.tobytes()
    with pytest.raises(InputError, match="another scan"):
        replay(uneven, made.record, inside)


def test_a_seamless_patch_meets_what_is_around_it():
    """Harmonic correction of a patch that differs by a constant takes the difference away altogether."""
    voxels = np.full((40, 40, 40), 500.0, dtype=np.float32)
    voxels += np.random.default_rng(0).normal(0, 5, voxels.shape).astype(np.float32)
    scan = array_scan(voxels, np.diag([2.0, 2.0, 2.0, 1.0]))
    donor = array_scan(voxels + 300.0, scan.geometry.affine)
    brain = np.ones(voxels.shape, dtype=bool)
    for seed in range(8):
        made = corrupt(scan, "foreign-patch", severity=5, seed=seed, brain=brain, donor=donor)
        largest = np.abs(made.scan.voxels - voxels).max()
        assert largest < 3.0 if made.record.drawn["seamless"] else largest > 200.0


@pytest.mark.parametrize("kind", [kind for kind, entry in STRUCTURE.items() if entry.takes_outline])
def test_a_given_outline_keeps_its_shape_and_takes_the_severity_s_size(kind, uneven, inside):
    flat = np.zeros((30, 40, 20), dtype=bool)
    flat[5:25, 5:35, 8:11] = True
    flat[0, 0, 0] = True
    outline = outline_of(flat, (1.0, 1.0, 1.0))
    assert outline.mask().all()
    assert outline.shape == (20, 30, 3)
    made = corrupt(uneven, kind, severity=5, seed=4, brain=inside, outline=outline)
    plain = corrupt(uneven, kind, severity=5, seed=4, brain=inside)
    if kind != "foreign-patch":
        assert made.core.sum() == pytest.approx(plain.core.sum(), rel=0.03)
    again = replay(uneven, Record.model_validate_json(made.record.model_dump_json()), inside)
    assert again.scan.voxels.tobytes() == made.scan.voxels.tobytes()
    if kind == "bright-lesion":
        points = np.argwhere(made.core) * 2.9
        spread = np.sqrt(np.linalg.eigvalsh(np.cov(points.T)))
        # Thin across: far flatter than any drawn shape.
        assert spread[0] < 0.3 * spread[1]


def test_what_a_kind_does_not_take_is_refused(uneven, inside):
    outline = outline_of(np.ones((3, 3, 3), dtype=bool), (1.0, 1.0, 1.0))
    with pytest.raises(InputError, match="takes no outline"):
        corrupt(uneven, "motion", severity=1, seed=0, brain=inside, outline=outline)
    with pytest.raises(InputError, match="takes no outline or donor"):
        corrupt(uneven, "cavity", severity=1, seed=0, brain=inside, donor=uneven)
    other = array_scan(np.ones((3, 3, 3)), np.eye(4))
    with pytest.raises(InputError, match="another grid"):
        corrupt(uneven, "foreign-patch", severity=1, seed=0, brain=inside, donor=other)
    with pytest.raises(InputError, match="severity 2 of flip"):
        corrupt(uneven, "flip", severity=2, seed=0, brain=inside)
    with pytest.raises(InputError, match="no mask"):
        outline_of(np.zeros((3, 3, 3), dtype=bool), (1.0, 1.0, 1.0))
    for wrong in ({"diameter_mm": 0.0}, {"contrast": np.nan}, {"sign": "grey"}):
        asked = {"diameter_mm": 8.0, "contrast": 1.0, "sign": "bright", **wrong}
        with pytest.raises(InputError):
            focal_lesion(uneven, seed=0, brain=inside, **asked)


def test_foci_are_dark_on_t1_and_bright_on_flair(uneven, inside):
    dark = corrupt(uneven, "multifocal", severity=3, seed=0, brain=inside)
    assert (dark.scan.voxels <= uneven.voxels).all()
    flair = dataclasses.replace(uneven, sequence="FLAIR")
    assert (corrupt(flair, "multifocal", severity=3, seed=0, brain=inside).scan.voxels >= uneven.voxels).all()


def test_the_mirrored_side_is_that_of_the_other(uneven, inside):
    for seed in range(10):
        made = corrupt(uneven, "absent-structure", severity=5, seed=seed, brain=inside)
        drawn = made.record.drawn
        if drawn["mirrored"]:
            break
    mirrored = drawn["twice_middle"] - np.arange(uneven.voxels.shape[0])
    held = np.clip(mirrored, 0, uneven.voxels.shape[0] - 1)
    deep = ndimage.binary_erosion(made.core, iterations=1) & inside[held] & (mirrored == held)[:, None, None]
    assert deep.any()
    np.testing.assert_allclose(made.scan.voxels[deep], uneven.voxels[held][deep], rtol=1e-5)


SHAPES = Path(__file__).parents[3] / "shared" / "data" / "lesion_shapes"


@pytest.mark.data
@pytest.mark.skipif(not SHAPES.is_dir(), reason="the shapes of real lesions are not here")
@pytest.mark.parametrize("file", ["ms/patient01_lesions.nii.gz", "ms/patient04_lesions.nii.gz"])
def test_the_shape_of_a_real_lesion_can_be_put_anywhere_at_any_size(file, uneven, inside):
    scan = read_image(SHAPES / file)
    outline = outline_of(scan.voxels > 0, scan.geometry.spacing_mm)
    made = focal_lesion(uneven, diameter_mm=25.0, contrast=3.0, sign="dark", seed=0, brain=inside, outline=outline)
    assert made.core.sum() * uneven.geometry.voxel_ml == pytest.approx(np.pi * 25.0**3 / 6000.0, rel=0.02)
    again = replay(uneven, Record.model_validate_json(made.record.model_dump_json()), inside)
    assert again.scan.voxels.tobytes() == made.scan.voxels.tobytes()
