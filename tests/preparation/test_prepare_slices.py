"""The recipe of single slices: the head found whatever lies beside it, brought to the grid, and maps brought home."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomri.core.geometry import carry
from anomri.core.history import History
from anomri.core.region import Region
from anomri.core.scan import Scan
from anomri.errors import PreparationFailed
from anomri.io import array_scan, read
from anomri.preparation import prepare, recipe_named
from anomri.preparation.head import MARGIN_VOXELS, head_mask
from anomri.quality import METRICS, measure_without_tissue
from slices import head, lesion

SLICES = recipe_named("slices-2d")
DATA = Path(__file__).parents[2].parent / "shared" / "data"


def scan_of(picture: np.ndarray, pixel_mm: tuple[float, float] = (1.0, 1.0)) -> Scan:
    """As the readers of pictures lay it: columns to the patient's left, rows to the back."""
    return array_scan(picture.T[:, :, None], np.diag([-pixel_mm[0], -pixel_mm[1], 1.0, 1.0]))


def ellipse(shape: tuple[int, int], radii: tuple[float, float]) -> np.ndarray:
    rows, columns = np.indices(shape)
    return np.hypot((rows - (shape[0] - 1) / 2) / radii[0], (columns - (shape[1] - 1) / 2) / radii[1]) < 1


def agreement(mask: np.ndarray, truth: np.ndarray) -> float:
    return float(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))


@pytest.mark.parametrize("stripped", [False, True])
def test_the_whole_head_is_found(stripped):
    picture = head(0, stripped=stripped)
    truth = ellipse(picture.shape, (62 * 0.85, 50 * 0.85) if stripped else (62, 50))
    mask = head_mask(scan_of(picture).voxels)[:, :, 0].T
    assert agreement(mask, truth) > 0.97
    # Ventricles and skull are dark, and belong to it.
    assert mask[60:90, 60:70].all()


def test_margins_frames_and_text_are_no_head():
    picture = head(1)
    truth = ellipse(picture.shape, (62, 50))
    worse = np.full((190, 220), 255.0)
    worse[20:170, 50:180] = picture
    worse[20, 50:180] = worse[169, 50:180] = 128.0
    for row in range(26, 34, 2):
        worse[row, 54:66] = 255.0
    whole = np.zeros(worse.shape, dtype=bool)
    whole[20:170, 50:180] = truth
    mask = head_mask(scan_of(worse).voxels)[:, :, 0].T
    assert agreement(mask, whole) > 0.96
    assert not mask[26:34, 54:60].any()


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_an_empty_picture_has_no_head(value):
    with pytest.raises(PreparationFailed) as caught:
        prepare(scan_of(np.full((60, 60), value)), SLICES)
    assert caught.value.code == "mask_empty"


def test_a_speck_is_no_head():
    picture = np.random.default_rng(0).normal(5, 1, (200, 200))
    picture[90:100, 90:100] = 200
    with pytest.raises(PreparationFailed, match="no head"):
        prepare(scan_of(picture), SLICES)


@given(
    shape=st.tuples(st.integers(140, 400), st.integers(140, 400)),
    fills=st.tuples(st.floats(0.3, 0.48), st.floats(0.3, 0.48)),
    pixel=st.tuples(st.floats(0.5, 2.0), st.floats(0.5, 2.0)),
)
@settings(max_examples=12, deadline=None)
def test_proportions_stay_and_the_longer_side_fills_the_grid_but_for_the_margin(shape, fills, pixel):
    picture = head(2, shape=shape, radii=(shape[0] * fills[0], shape[1] * fills[1]))
    prepared = prepare(scan_of(picture, pixel), SLICES)
    used = [np.flatnonzero(prepared.inside.mask.any(axis=axes)) for axes in ((1, 2), (0, 2))]
    extent = [float(u[-1] - u[0] + 1) for u in used]
    sides = [2 * shape[1] * fills[1] * pixel[0], 2 * shape[0] * fills[0] * pixel[1]]
    assert max(extent) == pytest.approx(SLICES.shape[0] - 2 * MARGIN_VOXELS, abs=2)
    assert extent[0] / extent[1] == pytest.approx(sides[0] / sides[1], rel=0.06)
    for u, n in zip(used, SLICES.shape, strict=False):
        assert (u[0] + u[-1]) / 2 == pytest.approx((n - 1) / 2, abs=1)


@given(
    shape=st.tuples(st.integers(140, 400), st.integers(140, 400)),
    at=st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)),
    pixel=st.floats(0.5, 2.0),
)
@settings(max_examples=12, deadline=None)
def test_the_peak_of_a_map_comes_home_to_its_pixel(shape, at, pixel):
    radii = (shape[0] * 0.45, shape[1] * 0.4)
    row, column = ((n - 1) / 2 + a * r for n, a, r in zip(shape, at, radii, strict=True))
    flat = head(3, shape=shape, radii=radii)
    marked = lesion(np.zeros(shape), row, column, max(shape) / 40, step=200.0)
    prepared = prepare(scan_of(flat, (pixel, pixel)), SLICES)
    world = prepared.history.world
    # The map a perfect method would draw.
    drawn = carry(marked.T[:, :, None], scan_of(flat, (pixel, pixel)).geometry, SLICES.grid, world)
    drawn = np.where(prepared.region.mask, drawn, np.nan).astype(np.float32)
    home = History.model_validate_json(prepared.history.model_dump_json()).undo(drawn)
    peak = np.unravel_index(int(np.nanargmax(home)), home.shape)
    # One pixel of the coarser of the two grids.
    reach = max(1.0, 1.0 / (prepared.history.measured("box", "scale") * pixel))
    assert abs(peak[0] - column) <= reach
    assert abs(peak[1] - row) <= reach


def test_an_upright_picture_stays_upright_on_the_grid_and_back():
    picture = lesion(head(4), 40, 40, 6)  # top left
    prepared = prepare(scan_of(picture), SLICES)
    # RAS: the left of the picture is the patient's right, large x; its top is the front, large y.
    bright = prepared.scan.voxels[70:, 70:][prepared.region.mask[70:, 70:]].max()
    assert bright >= prepared.scan.voxels[prepared.region.mask].max() - 1e-6
    home = prepared.history.undo(prepared.scan.voxels)
    inside = prepared.brain.mask
    assert np.corrcoef(home[inside & np.isfinite(home)], picture.T[:, :, None][inside & np.isfinite(home)])[0, 1] > 0.94


def test_the_rim_is_not_examined_and_the_faces_of_the_slice_are_no_rim():
    prepared = prepare(scan_of(head(5)), SLICES)
    lost = prepared.inside.mask.sum() - prepared.region.mask.sum()
    assert 0.02 < lost / prepared.inside.mask.sum() < 0.12


def test_the_same_bytes_for_the_same_picture_and_another_gain_changes_nothing():
    one, again, louder = (prepare(scan_of(head(6) * gain), SLICES) for gain in (1.0, 1.0, 16.0))
    assert one.scan.voxels.tobytes() == again.scan.voxels.tobytes()
    np.testing.assert_allclose(one.scan.voxels, louder.scan.voxels, atol=1e-4)
    for name, value in one.quality.items():
        assert louder.quality[name] == (None if value is None else pytest.approx(value, rel=1e-3))


def test_a_mask_that_is_given_is_used():
    picture = head(7)
    mask = np.zeros(picture.shape, dtype=bool)
    mask[40:100, 30:100] = True
    scan = scan_of(picture)
    prepared = prepare(scan, SLICES, mask=Region(mask.T[:, :, None], scan.geometry, "brain", "user"))
    np.testing.assert_array_equal(prepared.brain.mask[:, :, 0].T, mask)


def test_metrics_that_need_classes_or_a_volume_are_undefined():
    quality = prepare(scan_of(head(8)), SLICES).quality
    assert list(quality) == list(METRICS)
    known = {name for name, value in quality.items() if value is not None}
    assert known >= {"noise_level", "focus_entropy", "intensity_entropy", "gradient_energy", "curvature", "bright_tail"}
    assert not known & {"white_share", "brain_volume", "correlation_length_z", "slice_jump", "edge_slope"}


def test_the_noise_of_a_slice_is_what_was_added():
    rng = np.random.default_rng(0)
    for sd in (2.0, 8.0):
        flat = np.full((120, 120, 1), 100.0) + rng.normal(0, sd, (120, 120, 1))
        found = measure_without_tissue(flat, np.ones(flat.shape, dtype=bool), (1.0, 1.0, 1.0))["noise_level"]
        assert found == pytest.approx(sd / 100, rel=0.06)


def test_a_slope_within_the_slice_has_its_gradient_energy():
    rows = np.indices((60, 80))[0].astype(float)
    quality = measure_without_tissue((100 + rows)[:, :, None], np.ones((60, 80, 1), dtype=bool), (2.0, 1.0, 1.0))
    inner = np.arange(1, 59)
    assert quality["gradient_energy"] == pytest.approx(0.25 / inner.var(), rel=1e-3)


def test_a_volume_and_a_slice_of_another_plane_are_refused(made_brain):
    with pytest.raises(PreparationFailed) as caught:
        prepare(made_brain.scan, SLICES)
    assert caught.value.code == "dimensions"
    with pytest.raises(PreparationFailed, match="single slice"):
        prepare(scan_of(head(0)), recipe_named("brain-t1"))


@pytest.mark.data
@pytest.mark.parametrize("folder", ["flair_glioma", "tumor_2d"])
def test_real_slices_are_prepared_and_fill_the_grid(folder):
    if not (DATA / folder).is_dir():
        pytest.skip("shared/data is not here")
    files = sorted(p for p in (DATA / folder).rglob("*.[pj][np]g") if "_mask" not in p.name)
    shares = []
    for path in files[:: len(files) // 12]:
        prepared = prepare(read(path), SLICES)
        shares.append(float(prepared.inside.mask.mean()))
    assert min(shares) > 0.3
    assert max(shares) < 0.8
