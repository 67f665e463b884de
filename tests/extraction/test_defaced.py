"""What was taken off a head is recognised, said, and changes nothing about the brain."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from anomri.core.geometry import Geometry
from anomri.core.region import Region
from anomri.core.scan import Scan
from anomri.extraction.defaced import constant_blocks, defacing
from anomri.extraction.extract import find_brain
from anomri.io import read
from brains import made_brain
from heads import made_head

# Made heads that were left whole.
WHOLE = (1, 2, 3)
CUTS = ("flat plane", "steep plane", "block")
MM = 3.0

Mask = np.ndarray


def changed(scan: Scan, voxels: np.ndarray) -> Scan:
    return Scan(voxels.astype(np.float32), scan.geometry, scan.scan_id, scan.source, scan.sequence)


def cut(seed: int, how: str) -> Mask:
    """All in front of and below a plane 3 mm clear of the brain; or a block under and before it."""
    brain = made_head(seed).brain.mask
    _, y, z = MM * np.indices(brain.shape)
    if how == "block":
        ahead = y > (y[brain].min() + y[brain].max()) / 2.0
        return ahead & (z < z[brain & ahead].min() - 3.0)
    steep = 0.4 if how == "flat plane" else 1.2
    ahead = steep * y - z
    return ahead > ahead[brain].max() + 3.0


def filled(seed: int, where: Mask, value: float) -> Scan:
    scan = made_head(seed).scan
    return changed(scan, np.where(where, np.float32(value), scan.voxels))


@lru_cache(maxsize=4)
def head_of(seed: int) -> Mask:
    """All of a made head: what is bright, and what it encloses."""
    scan = made_head(seed).scan
    smooth = ndimage.gaussian_filter(scan.voxels, 0.7)
    bright = smooth > 0.25 * np.median(scan.voxels[made_head(seed).brain.mask])
    labels, _ = ndimage.label(bright)
    largest = labels == np.bincount(labels[labels > 0]).argmax()
    return ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(largest, 5), iterations=4)[5:-5, 5:-5, 5:-5])


@lru_cache(maxsize=4)
def brain_of_the_whole_head(seed: int) -> Mask:
    return find_brain(made_head(seed).scan)[0].mask


def dice(a: Mask, b: Mask) -> float:
    return float(2.0 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize("seed", WHOLE)
def test_nothing_is_said_of_a_whole_head_in_noise(seed: int):
    head = made_head(seed)
    found = defacing(head.scan, head.brain)
    assert not found.removed
    assert not found.air
    assert found.note is None


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("seed", WHOLE)
def test_a_face_that_was_cut_off_is_recognised(seed: int, how: str):
    head = made_head(seed)
    found = defacing(filled(seed, cut(seed, how), 0.0), head.brain)
    assert found.removed
    assert not found.air


@pytest.mark.parametrize("seed", WHOLE)
def test_air_that_was_set_to_zero_leaves_the_head_whole(seed: int):
    head = made_head(seed)
    found = defacing(filled(seed, ~head_of(seed), 0.0), head.brain)
    assert found.air
    assert not found.removed


@pytest.mark.parametrize("how", CUTS)
def test_both_at_once_are_recognised(how: str):
    head = made_head(1)
    found = defacing(filled(1, cut(1, how) | ~head_of(1), 0.0), head.brain)
    assert found.removed
    assert found.air


def test_a_block_before_eyes_and_nose_alone_is_known_by_its_cut():
    head = made_head(2)
    brain = head.brain.mask
    x, y, z = MM * np.indices(brain.shape)
    eyes = np.abs(x - x[brain].mean()) < 45.0
    before = eyes & (y > y[brain].max() - 12.0) & (z < z[brain].min() + 45.0) & (z > z[brain].min() - 24.0)
    before &= ndimage.distance_transform_edt(~brain) * MM > 6.0
    found = defacing(filled(2, before, 0.0), head.brain)
    assert found.removed
    assert found.measured["cut_cm2"] > 10.0


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("seed", WHOLE)
def test_a_face_replaced_by_the_mean_is_recognised(seed: int, how: str):
    head = made_head(seed)
    scan = filled(seed, cut(seed, how), float(head.scan.voxels.mean()))
    found = defacing(scan, head.brain)
    assert found.removed
    assert found.measured["filled_ml"] > 20.0


@pytest.mark.parametrize(
    ("seed", "how", "percentile"), [(1, "flat plane", 0), (2, "steep plane", 50), (2, "block", 85), (3, "block", 0)]
)
def test_the_brain_is_the_same_with_and_without_a_face(seed: int, how: str, percentile: int):
    """Whatever value stands where the face was: the darkest, the mean tissue's, white matter's."""
    head, gone = made_head(seed), cut(seed, how)
    value = 0.0 if percentile == 0 else float(np.percentile(head.scan.voxels[head.brain.mask], percentile))
    found = find_brain(filled(seed, gone, value))[0].mask
    assert dice(found, brain_of_the_whole_head(seed)) > 0.99
    # Quality is measured inside the brain: of what was removed next to nothing is counted.
    assert (found & gone).sum() < 1e-3 * found.sum()


def test_what_lies_beyond_the_scanned_volume_is_no_face():
    """Planes of zeros below a head, as a change of its grid leaves them, cut no deeper than to the brain's base."""
    head = made_head(3)
    low = int(np.argwhere(head.brain.mask)[:, 2].min()) - 4
    beyond = np.zeros(head.brain.mask.shape, dtype=bool)
    beyond[:, :, :low] = True
    assert not defacing(filled(3, beyond, 0.0), head.brain).removed


def test_the_order_of_axes_does_not_matter():
    head = made_head(1)
    scan = filled(1, cut(1, "block"), 0.0)
    turn = np.array([[0, 1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=float)
    turn[1, 3] = scan.geometry.shape[1] - 1
    turned, mask = (np.flip(a.transpose(2, 0, 1), 2).transpose(0, 1, 2) for a in (scan.voxels, head.brain.mask))
    geometry = Geometry(turned.shape, scan.geometry.affine @ np.array(turn))
    other = Scan(turned.copy(), geometry, scan.scan_id, scan.source, scan.sequence)
    plain = defacing(scan, head.brain)
    found = defacing(other, Region(mask.copy(), geometry, "brain", "user"))
    assert found.removed
    assert found.measured["cut_cm2"] == pytest.approx(plain.measured["cut_cm2"], rel=0.05)


def test_a_scale_of_the_values_does_not_matter():
    head = made_head(1)
    scan = filled(1, cut(1, "steep plane"), 0.0)
    louder = changed(scan, scan.voxels * np.float32(64.0))
    assert defacing(louder, head.brain).measured == defacing(scan, head.brain).measured


def test_nothing_is_said_of_a_stripped_scan():
    made = made_brain(3)
    assert defacing(made.scan, Region(made.brain, made.scan.geometry, "brain", "user")).note is None


def test_the_sentence_names_what_was_taken_off():
    head = made_head(1)
    gone, air = cut(1, "flat plane"), ~head_of(1)
    face = defacing(filled(1, gone, 0.0), head.brain).note
    quiet = defacing(filled(1, air, 0.0), head.brain).note
    both = defacing(filled(1, gone | air, 0.0), head.brain).note
    words = [[word in str(note) for word in ("removed", "air")] for note in (face, quiet, both)]
    assert words == [[True, False], [False, True], [True, True]]


def test_noise_with_many_zeros_holds_no_block():
    rng = np.random.default_rng(0)
    voxels = (rng.random((60, 60, 60)) > 0.6).astype(np.float32) * rng.integers(1, 4, (60, 60, 60))
    assert not constant_blocks(voxels.astype(np.float32), (1.0, 1.0, 1.0)).any()


def test_a_block_is_found_to_its_edge_and_no_further():
    voxels = np.random.default_rng(0).random((50, 50, 50), dtype=np.float32)
    voxels[10:40, 5:45, 10:40] = 0.5
    block = constant_blocks(voxels, (1.0, 1.0, 1.0))
    # Its edges and corners alone are left out.
    assert block[10:40, 5:45, 10:40].mean() > 0.98
    assert block.sum() == block[10:40, 5:45, 10:40].sum()


def test_what_is_overexposed_is_no_block():
    voxels = np.random.default_rng(0).random((50, 50, 50), dtype=np.float32)
    voxels[10:40, 5:45, 10:40] = 1.0
    assert not constant_blocks(voxels, (1.0, 1.0, 1.0)).any()


@pytest.mark.data
@pytest.mark.parametrize("subject", [f"sub-{n:02d}" for n in (1, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13)])
def test_the_defaced_heads_of_site_b_are_recognised(shared_data: Path, subject: str):
    """Looked at: of all eleven a wedge is gone before and below the brain, the air keeps its noise."""
    scan = read(shared_data / "t1w_site_b" / f"{subject}_T1w.nii.gz")
    found = defacing(scan, find_brain(scan)[0])
    assert found.removed
    assert not found.air


@pytest.mark.data
@pytest.mark.parametrize("subject", ["Subj1", "Subj7", "Subj13", "Subj14", "Subj21"])
def test_the_whole_heads_of_the_aged_are_left_alone(shared_data: Path, subject: str):
    """Looked at: all five have nose, lips and chin as far as the image reaches; the air keeps its noise."""
    scan = read(shared_data / "aged_2mm" / f"{subject}_T1.nii.gz")
    brain = find_brain(scan)[0]
    assert defacing(scan, brain).note is None
    bright = scan.voxels > 0.2 * np.median(scan.voxels[brain.mask])
    labels, _ = ndimage.label(ndimage.binary_opening(bright))
    head = ndimage.binary_fill_holes(labels == np.bincount(labels[labels > 0]).argmax())
    quiet = defacing(changed(scan, np.where(head, scan.voxels, np.float32(0.0))), brain)
    assert quiet.air
    assert not quiet.removed
    x, y, z = 2.0 * (np.indices(scan.voxels.shape) - np.argwhere(brain.mask).mean(axis=0)[:, None, None, None])
    wide = float(np.abs(x[brain.mask]).max())
    ears = (np.abs(x) > wide + 8.0) & (np.abs(y) < 45.0) & (np.abs(z + 30.0) < 30.0)
    deaf = defacing(changed(scan, np.where(ears, np.float32(0.0), scan.voxels)), brain)
    assert deaf.removed
    assert not deaf.air
