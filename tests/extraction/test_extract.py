"""Brains are found in heads, stripped scans pass as they are, and what is no head is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from anomri.core.geometry import Geometry
from anomri.core.region import Region
from anomri.core.scan import Scan
from anomri.errors import PreparationFailed
from anomri.extraction import extract
from anomri.extraction.extract import Route, _whole, find_brain
from anomri.io import read
from anomri.preparation import recipe_named
from anomri.preparation.mask import stripped_mask
from anomri.scope.first_look import first_look
from anomri.simulate.head import Contrast
from brains import made_brain
from heads import made_head


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2.0 * (a & b).sum() / (a.sum() + b.sum()))


def with_axes(scan: Scan, order: tuple[int, int, int], flips: tuple[int, ...]) -> Scan:
    """The same image, its array turned."""
    voxels = np.flip(scan.voxels.transpose(order), flips).copy()
    turn = np.zeros((4, 4))
    turn[3, 3] = 1.0
    for new, old in enumerate(order):
        turn[old, new] = -1.0 if new in flips else 1.0
        turn[old, 3] = scan.geometry.shape[old] - 1 if new in flips else 0.0
    geometry = Geometry(voxels.shape, scan.geometry.affine @ turn)
    return Scan(voxels, geometry, scan.scan_id, scan.source, scan.sequence)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_brain_of_a_t1w_head_is_found(seed: int):
    head = made_head(seed)
    found = extract(head.scan)
    assert not found.stripped
    assert found.brain.geometry is head.scan.geometry
    assert dice(found.brain.mask, head.brain.mask) > 0.95


@pytest.mark.parametrize("contrast", ["T2w", "FLAIR"])
def test_the_brain_of_a_head_of_another_contrast_is_found(contrast: Contrast):
    head = made_head(1, contrast)
    assert dice(extract(head.scan).brain.mask, head.brain.mask) > 0.93


def test_where_fluid_is_bright_the_network_finds_more_of_the_brain_than_thresholds():
    head = made_head(1, "T2w")
    network, thresholds = (find_brain(head.scan, route=route)[0].mask for route in ("network", "template"))
    assert dice(network, head.brain.mask) > dice(thresholds, head.brain.mask) + 0.01


def test_the_network_finds_brains_in_bright_fluid_and_thresholds_those_in_dark():
    for contrast, route in (("T1w", "template"), ("T2w", "network")):
        head = made_head(1, contrast)
        found, _ = find_brain(head.scan)
        expected, _ = find_brain(head.scan, route=route)
        assert np.array_equal(found.mask, expected.mask)


def test_axes_of_the_array_do_not_matter():
    head = made_head(1)
    turned = with_axes(head.scan, (2, 0, 1), (0, 2))
    plain, other = extract(head.scan).brain.mask, extract(turned).brain.mask
    back = np.flip(other, (0, 2)).transpose(np.argsort((2, 0, 1)))
    assert dice(plain, back) > 0.999


def test_a_scale_of_the_values_does_not_matter():
    head = made_head(1)
    scan = head.scan
    louder = Scan(scan.voxels * np.float32(64.0), scan.geometry, scan.scan_id, scan.source, scan.sequence)
    assert np.array_equal(extract(louder).brain.mask, extract(scan).brain.mask)


def test_a_stripped_scan_passes_with_the_region_that_preparation_finds():
    scan = made_brain(3).scan
    found = extract(scan)
    assert found.stripped
    assert found.brain.made_by == "stripped_mask"
    assert np.array_equal(found.brain.mask, stripped_mask(scan.voxels))
    assert not first_look(scan, recipe_named("brain-t1")).reasons


def test_a_head_cut_off_through_the_brain_is_refused():
    head = made_head(1)
    top = int(np.argwhere(head.brain.mask)[:, 2].mean()) + 8
    scan = head.scan
    cut = Geometry((*scan.geometry.shape[:2], top), scan.geometry.affine)
    with pytest.raises(PreparationFailed) as caught:
        extract(Scan(scan.voxels[:, :, :top].copy(), cut, scan.scan_id, scan.source, scan.sequence))
    assert caught.value.code == "extraction"


def test_a_head_upside_down_is_refused():
    scan = made_head(2).scan
    turned = Scan(scan.voxels[:, :, ::-1].copy(), scan.geometry, scan.scan_id, scan.source, scan.sequence)
    with pytest.raises(PreparationFailed):
        extract(turned)


def test_noise_is_refused():
    scan = made_head(1).scan
    noise = np.random.default_rng(0).random(scan.voxels.shape, dtype=np.float32)
    with pytest.raises(PreparationFailed):
        extract(Scan(noise, scan.geometry, "noise", scan.source))


@pytest.mark.data
@pytest.mark.parametrize("subject", ["sub-01", "sub-08", "sub-13"])
def test_a_real_head_gives_a_plausible_brain(shared_data: Path, subject: str):
    scan = read(shared_data / "t1w_site_b" / f"{subject}_T1w.nii.gz")
    found = extract(scan)
    assert not found.stripped
    assert 1000.0 < found.brain.volume_ml < 1600.0
    # What lies in the middle of every brain, and what of a head never does: the scan's border.
    middle = np.argwhere(found.brain.mask).mean(axis=0).astype(int)
    assert found.brain.mask[tuple(middle)]
    assert not any(np.take(found.brain.mask, end, axis=axis).any() for axis in range(3) for end in (0, -1))


@pytest.mark.data
def test_nothing_of_a_real_stripped_brain_is_lost(shared_data: Path):
    scan = read(shared_data / "t1w_site_a" / "sub-05_T1w.nii.gz")
    found = extract(scan)
    assert found.stripped
    assert np.array_equal(found.brain.mask, stripped_mask(scan.voxels))


@pytest.mark.data
def test_a_pelvis_is_refused(shared_data: Path):
    scan = read(shared_data / "pelvis_t2" / "T2_axial_series_03.mha")
    with pytest.raises(PreparationFailed):
        extract(scan)


def test_an_island_goes_and_a_hole_is_closed():
    brain = np.zeros((12, 12, 12), dtype=bool)
    brain[2:8, 2:8, 2:8] = True
    found = brain.copy()
    found[4, 4, 4], found[10, 10, 10] = False, True
    assert np.array_equal(_whole(found), brain)


@pytest.mark.parametrize("route", ["template", "network"])
def test_what_is_found_is_one_piece_without_holes(route: Route):
    region, _ = find_brain(made_head(2).scan, route=route)
    assert isinstance(region, Region)
    _, pieces = ndimage.label(region.mask)
    assert pieces == 1
    assert np.array_equal(ndimage.binary_fill_holes(region.mask), region.mask)
