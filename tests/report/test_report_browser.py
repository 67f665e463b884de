"""The pages in a real browser: nothing asked for, nothing complained of, and everything that moves moves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomri.core.outcome import Outcome
from anomri.core.result import Result
from anomri.report.display import views_of
from anomri.report.page import scan_page

pytestmark = pytest.mark.browser

Make = Callable[..., Outcome]
READY = "document.getElementById('viewer').dataset.ready === 'yes'"


def at(browser: Any) -> list[int]:
    return [int(i) for i in browser.value("document.getElementById('viewer').dataset.at").split(",")]


def opened(browser: Any, outcome: Outcome, folder: Path, **how: Any) -> None:
    page = folder / "report.html"
    page.write_text(scan_page(outcome), encoding="utf-8")
    browser.open(page, **how)
    browser.wait_for(READY)


def canvas(plane: str, layer: str = "scan") -> str:
    return f"canvas[data-plane={plane}][data-layer={layer}]"


def pixel(browser: Any, plane: str, across: float, down: float) -> list[int]:
    browser.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    script = (
        f"(() => {{ const c = document.querySelector('{canvas(plane)}'); return [...c.getContext('2d')"
        f".getImageData(c.width * {across}, c.height * {down}, 1, 1).data]; }})()"
    )
    found: list[int] = browser.value(script)
    return found


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (800, "dark"), (480, "light")])
def test_a_page_opens_without_request_or_complaint(
    browser: Any, make_outcome: Make, tmp_path: Path, width: int, scheme: str
) -> None:
    opened(browser, make_outcome(), tmp_path, width=width, scheme=scheme)
    assert browser.complaints() == []
    assert browser.requests() == []
    assert browser.value("document.documentElement.scrollWidth") <= width


def test_the_viewer_starts_at_the_strongest_finding(browser: Any, make_outcome: Make, tmp_path: Path) -> None:
    outcome = make_outcome()
    opened(browser, outcome, tmp_path)
    views = views_of(outcome)
    assert views is not None
    assert at(browser) == list(views.grid.block_at(outcome.result.findings[0].centroid_mm))
    i, j, k = at(browser)
    x, y, z = (f"{mm:.0f}".replace("-", "−") for mm in (views.grid.affine @ [i, j, k, 1])[:3])
    readout = browser.value("document.getElementById('readout').textContent")
    assert readout.startswith(f"x {x}   y {y}   z {z} mm (RAS)     heatmap ")


def test_arrow_keys_step_through_the_slices_of_the_focused_plane(
    browser: Any, make_outcome: Make, tmp_path: Path
) -> None:
    opened(browser, make_outcome(), tmp_path)
    before = at(browser)
    for plane, axis in (("sagittal", 0), ("coronal", 1), ("axial", 2)):
        browser.value(f"document.querySelector('{canvas(plane)}').focus()")
        browser.press("ArrowUp")
        browser.press("ArrowUp")
        browser.press("ArrowDown")
        before[axis] += 1
        assert at(browser) == before
    browser.press("Home")
    assert at(browser)[2] == 0
    browser.press("ArrowDown")
    assert at(browser)[2] == 0


def test_a_notch_of_the_wheel_is_one_slice(browser: Any, make_outcome: Make, tmp_path: Path) -> None:
    opened(browser, make_outcome(), tmp_path)
    before = at(browser)
    x, y = browser.centre_of(canvas("axial"))
    browser.wheel(x, y, -100)
    browser.wait_for(f"document.getElementById('viewer').dataset.at.endsWith(',{before[2] + 1}')")
    browser.wheel(x, y, 120)
    browser.wait_for(f"document.getElementById('viewer').dataset.at.endsWith(',{before[2]}')")


def test_a_click_moves_the_cross_hair_where_it_points(browser: Any, make_outcome: Make, tmp_path: Path) -> None:
    outcome = make_outcome()
    opened(browser, outcome, tmp_path)
    views = views_of(outcome)
    assert views is not None
    nx, ny, _ = views.grid.shape
    before = at(browser)
    x, y = browser.centre_of(canvas("axial"))
    browser.click(x, y)
    i, j, k = at(browser)
    assert abs(i - (nx - 1) / 2) <= 1
    assert abs(j - (ny - 1) / 2) <= 1
    assert k == before[2]
    # The left of an axial image is the patient's right: larger x.
    width = browser.value(f"document.querySelector('{canvas('axial')}').clientWidth")
    browser.click(x - width / 4, y)
    assert at(browser)[0] > i + nx / 8


def test_the_canvas_shows_the_scan_and_the_overlay_above_the_threshold(
    browser: Any, make_outcome: Make, tmp_path: Path
) -> None:
    outcome = make_outcome()
    opened(browser, outcome, tmp_path)
    views = views_of(outcome)
    assert views is not None
    nx, ny, _ = views.grid.shape
    i, j, k = at(browser)
    across, down = (nx - 0.5 - i) / nx, (ny - 0.5 - j) / ny
    assert np.ptp(pixel(browser, "axial", across, down)[:3]) > 60
    browser.value(
        "(() => { const t = document.getElementById('opacity'); t.value = 0; t.dispatchEvent(new Event('input')); })()"
    )
    red, green, blue, alpha = pixel(browser, "axial", across, down)
    assert red == green == blue
    assert alpha == 255
    assert abs(red - int(views.scan[i, j, k])) <= 20
    # Far from the lesion the overlay is off until the threshold is lowered.
    browser.value(
        "(() => { const o = document.getElementById('opacity'), t = document.getElementById('threshold'); "
        "o.value = 60; o.dispatchEvent(new Event('input')); t.value = 1; t.dispatchEvent(new Event('input')); })()"
    )
    assert np.ptp(pixel(browser, "axial", 0.6, 0.4)[:3]) > 20


def test_a_finding_and_a_slice_lead_to_their_place(browser: Any, make_outcome: Make, tmp_path: Path) -> None:
    opened(browser, make_outcome(), tmp_path)
    start = at(browser)
    browser.click(*browser.centre_of("[data-slice='5']"))
    assert at(browser) == [start[0], start[1], 5]
    assert browser.value("document.querySelector('.jump.current').dataset.slice") == "5"
    browser.click(*browser.centre_of("[data-block]"))
    assert at(browser) == start


def test_a_peak_below_the_level_is_shown_by_starting_lower(browser: Any, make_outcome: Make, tmp_path: Path) -> None:
    limits = make_outcome().result.thresholds
    assert limits is not None
    quiet = make_outcome(findings=(), thresholds=limits.model_copy(update={"finding_level": 10.0}))
    opened(browser, quiet, tmp_path)
    start = at(browser)
    nx, ny, _ = (int(n) for n in browser.value("data.shape.join()").split(","))
    here = ((nx - 0.5 - start[0]) / nx, (ny - 0.5 - start[1]) / ny)
    assert np.ptp(pixel(browser, "axial", *here)[:3]) == 0
    browser.value(f"document.querySelector('{canvas('axial')}').focus()")
    browser.press("PageUp")
    browser.click(*browser.centre_of("[data-reveal]"))
    assert at(browser) == start
    assert np.ptp(pixel(browser, "axial", *here)[:3]) > 60


def test_the_expected_image_is_hidden_where_there_is_none(browser: Any, make_outcome: Make, tmp_path: Path) -> None:
    outcome = make_outcome()
    opened(browser, Outcome(outcome.result, outcome.scan, None, outcome.brain), tmp_path)
    assert browser.value("document.querySelectorAll('canvas[data-plane]').length") == 3
    assert "there is no heatmap" in browser.value("document.body.textContent").lower()
    assert browser.complaints() == []


def test_hostile_names_start_nothing(browser: Any, make_outcome: Make, tmp_path: Path) -> None:
    name = "</script><script>document.title='taken'</script><img src=http://127.0.0.1:9/x onerror=alert(1)>"
    opened(browser, make_outcome(scan_id=name, reason=name, notes=(name,)), tmp_path)
    assert browser.value("document.title").startswith("</script>")
    assert browser.complaints() == []
    assert browser.requests() == []


def test_a_refused_page_opens(
    browser: Any, make_outcome: Make, make_refused: Callable[..., Result], tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    page.write_text(scan_page(Outcome(result=make_refused("out_of_scope"), scan=make_outcome().scan)))
    browser.open(page)
    assert browser.value("document.querySelector('.glance img').naturalWidth") == 120
    assert browser.complaints() == []
    assert browser.requests() == []


def test_a_single_slice_has_one_plane_that_a_click_moves_in(browser: Any, make_outcome: Make, tmp_path: Path) -> None:
    outcome = make_outcome(shape=(40, 48, 1))
    opened(browser, outcome, tmp_path)
    assert browser.complaints() == []
    planes = browser.value(
        "[...document.querySelectorAll('canvas[data-layer=scan]')].map((c) => c.dataset.plane).join()"
    )
    assert planes == "axial"
    x, y = browser.centre_of(canvas("axial"))
    browser.click(x, y)
    assert at(browser)[2] == 0
    assert max(pixel(browser, "axial", 0.4, 0.4)[:3]) > 0
