"""Named maps as a choice of overlay."""

import base64
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomri.core.outcome import Outcome
from anomri.report.colours import signed_table
from anomri.report.display import views_of
from anomri.report.overlays import map_overlay, pack_maps
from anomri.report.page import scan_page

Make = Callable[..., Outcome]
READY = "document.getElementById('viewer').dataset.ready === 'yes'"


def with_maps(outcome: Outcome) -> Outcome:
    """A signed map, negative where the lesion is, and an unsigned one."""
    assert outcome.heatmap is not None
    heat = outcome.heatmap.values
    return replace(outcome, maps={"zatlas-signed_z": 1.5 - heat, "ae-error": np.abs(heat)})


def unpacked(layer: dict[str, Any]) -> np.ndarray:
    nx, ny, nz = layer["shape"]
    values = np.frombuffer(zlib.decompress(base64.b64decode(layer["data"])), dtype=np.uint8).reshape(nz, ny, nx)
    return (values.astype(np.int64).cumsum(axis=1).cumsum(axis=2) % 256).transpose()


@pytest.mark.parametrize("budget", [10_000_000, 12_000])
def test_a_map_keeps_its_values_or_the_largest_magnitude_of_a_block(make_outcome: Make, budget: int) -> None:
    outcome = with_maps(make_outcome())
    views = views_of(outcome)
    assert views is not None
    packed = pack_maps(outcome.maps, views.grid, budget=budget)
    signed = next(o for o in packed.overlays if o.layer == "map-zatlas-signed_z")
    assert [o.signed for o in packed.overlays] == [False, True]
    assert signed.span.low == -signed.span.high
    stored = unpacked(packed.layers[signed.layer])
    step = packed.layers[signed.layer]["step"]
    assert isinstance(step, int)
    assert ("blocks of" in packed.remark) == (step > 1)
    cut = views.grid.cut(outcome.maps["zatlas-signed_z"])
    expected = np.zeros(stored.shape)
    for at in np.ndindex(stored.shape):
        block = cut[tuple(slice(i * step, (i + 1) * step) for i in at)]
        known = block[np.isfinite(block)]
        if known.size:
            value = float(np.clip(known[np.argmax(np.abs(known))] / signed.span.high, -1.0, 1.0))
            expected[at] = 128 + 127 * value
    assert np.array_equal(stored > 0, expected > 0)
    # Two values of a block whose magnitudes are all but equal may stand for it either way.
    assert np.mean(np.abs(stored - expected) > 0.51) < 1e-3
    assert sum(len(str(layer["data"])) for layer in packed.layers.values()) <= budget


def test_maps_that_do_not_fit_are_left_out_and_named_so(make_outcome: Make) -> None:
    outcome = with_maps(make_outcome())
    views = views_of(outcome)
    assert views is not None
    packed = pack_maps(outcome.maps, views.grid, budget=100)
    assert packed.overlays == ()
    assert "left out" in packed.remark


def test_a_map_of_nothing_is_no_choice() -> None:
    assert map_overlay("empty", np.full((3, 3, 3), np.nan, dtype=np.float32)) is None


def test_maps_take_nothing_from_the_scan(make_outcome: Make) -> None:
    outcome = make_outcome()

    def layers(page: str) -> dict[str, Any]:
        found = re.search(r'id="scan-data">(.*?)</script>', page, re.S)
        assert found is not None
        kept: dict[str, Any] = json.loads(found.group(1))["layers"]
        return kept

    plain, more = layers(scan_page(outcome)), layers(scan_page(with_maps(outcome)))
    assert {name: more[name] for name in plain} == plain
    assert set(more) - set(plain) == {"map-zatlas-signed_z", "map-ae-error"}
    assert '<select id="overlay">' not in scan_page(outcome)


def test_signed_colours_are_blue_below_and_orange_above_and_dark_in_the_middle() -> None:
    table = signed_table().astype(int)
    assert (table[1:100, 2] > table[1:100, 0]).all()
    assert (table[160:, 0] > table[160:, 2]).all()
    brightness = table.sum(axis=1)
    assert int(np.argmin(brightness[1:])) + 1 == 128


@pytest.mark.browser
def test_the_chosen_map_lies_over_the_scan(browser: Any, make_outcome: Make, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(scan_page(with_maps(make_outcome())), encoding="utf-8")
    browser.open(page)
    browser.wait_for(READY)
    read = "document.getElementById('readout').textContent"
    assert "heatmap" in browser.value(read)
    choices = browser.value("[...document.getElementById('overlay').options].map((o) => o.text)")
    assert choices == ["heatmap", "ae-error", "zatlas-signed_z"]
    browser.value(
        "(() => { const s = document.getElementById('overlay'); s.value = '2'; "
        "s.dispatchEvent(new Event('change')); })()"
    )
    assert "zatlas-signed_z" in browser.value(read)
    assert "−" in browser.value(read).split("zatlas-signed_z")[1]
    assert browser.value("document.getElementById('threshold-value').textContent").startswith("±")
    assert browser.value("document.getElementById('scale-low').textContent").startswith("≤ −")
    browser.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    # The lesion, where the page starts, is negative: blue.
    red, _, blue, _ = browser.value(
        "(() => { const c = document.querySelector('canvas[data-plane=axial][data-layer=scan]');"
        " const at = document.getElementById('viewer').dataset.at.split(',').map(Number);"
        " const x = (data.shape[0] - 0.5 - at[0]) / data.shape[0], y = (data.shape[1] - 0.5 - at[1]) / data.shape[1];"
        " return [...c.getContext('2d').getImageData(c.width * x, c.height * y, 1, 1).data]; })()"
    )
    assert blue > red + 30
    assert browser.complaints() == []
    assert browser.requests() == []
