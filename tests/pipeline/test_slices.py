"""Single slices from a folder of pictures to a model, and from a picture to a verdict with its map on the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anomri.core.outcome import Outcome
from anomri.io import find_images, read
from anomri.io.array import array_scan
from anomri.methods import METHODS, load_method, load_preset
from anomri.models import Model
from anomri.pipeline.fit import fit
from anomri.pipeline.gather import FitInput
from anomri.pipeline.score import score
from anomri.preparation import prepare, recipe_named
from anomri.report.page import scan_page
from slices import head, lesion, save


def radii(seed: int) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    return float(rng.uniform(61, 63)), float(rng.uniform(49, 51))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(24):
        save(head(seed, radii=radii(seed)), folder / f"sub-{seed:02d}.{('png', 'tif')[seed % 2]}")
    return folder


@pytest.fixture(scope="module")
def model(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    inputs = [FitInput(found.path, found.scan_id, found.scan_id) for found in find_images([pictures])]
    out = tmp_path_factory.mktemp("model") / "slices"
    return fit(["zatlas"], inputs, out, name="slices", preset=["zatlas-slices"]).model


@pytest.fixture(scope="module")
def marked(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    path = tmp_path_factory.mktemp("one") / "marked.png"
    return score(read(save(lesion(head(50, radii=radii(50)), 50, 85, 7.0, step=130.0), path)), model)


def test_a_lesion_is_found_where_it_lies_in_the_picture(marked):
    assert marked.result.verdict == "fail"
    assert marked.heatmap is not None
    assert marked.heatmap.geometry.same_grid(marked.scan.geometry)
    column, row, _ = np.unravel_index(int(np.nanargmax(marked.heatmap.values)), marked.heatmap.values.shape)
    assert np.hypot(row - 50, column - 85) <= 4
    assert len(marked.result.slices) == 1
    assert any("1 mm a pixel" in note for note in marked.result.notes)


def test_the_page_shows_one_plane_and_no_sides(marked):
    html = scan_page(marked)
    assert html.count('<div class="plane"') == 2  # the picture, and what was expected
    assert 'data-plane="coronal"' not in html
    assert 'class="edge' not in html
    assert "Slice by slice" not in html
    assert "where left is, it does not say" in html


def test_a_normal_picture_passes(model, tmp_path):
    outcome = score(read(save(head(60, radii=radii(60)), tmp_path / "x.png")), model)
    assert outcome.result.verdict == "pass"


def test_a_volume_a_slice_for_a_model_of_volumes_and_what_is_no_head_are_out_of_scope(model, tmp_path):
    volume = array_scan(np.random.default_rng(0).random((30, 30, 30)), np.diag([5.0, 5.0, 5.0, 1.0]))
    outcome = score(volume, model)
    assert outcome.result.verdict == "out_of_scope"
    assert "single axial slices" in outcome.result.reason
    long = save(head(1, shape=(300, 90), radii=(140.0, 20.0)), tmp_path / "long.png")
    assert "its proportions are unlike" in score(read(long), model).result.reason


@pytest.mark.parametrize("name", [n for n, entry in METHODS.items() if not entry.needs_torch])
def test_every_method_that_trains_no_network_learns_from_slices(pictures, name):
    recipe = recipe_named("slices-2d")
    _, preset = load_preset(name)
    covariates = {"position": 0.5}
    scans = [
        prepare(read(found.path), recipe, covariates=covariates, subject=found.scan_id)
        for found in find_images([pictures])[:8]
    ]
    method = load_method(name)(preset.config)
    method.fit(scans[:7], seed=0, fabric=None, resume=None)
    reading = method.examine(scans[7], seed=0)
    assert np.isfinite(reading.score)
    if reading.map is not None:
        assert np.isfinite(reading.map[scans[7].region.mask]).all()
    again = load_method(name).restore(preset.config, method.state())
    assert again.examine(scans[7], seed=0).score == reading.score
