"""The page of many scans in a real browser: order, filter, pages, charts, ratings, files."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from anomri.core.result import Result
from anomri.report.cohort import CohortScan, cohort_page
from anomri.report.ratings import read_ratings
from anomri.report.text import number

pytestmark = pytest.mark.browser

MakeResult = Callable[..., Result]

NAMES = "[...document.querySelectorAll('#tiles a')].map((a) => a.textContent)"
ROWS = "[...document.querySelectorAll('#runs tbody a')].map((a) => a.textContent)"
CHOSEN = "document.getElementById('name').textContent"
# What the page would save, in place of a download.
CAUGHT = (
    "window.caught = {}; HTMLAnchorElement.prototype.click = function () { "
    "window.caught.name = this.download; window.caught.text = fetchText(this.href); }; "
    "const blobs = new Map(); const made = URL.createObjectURL; "
    "URL.createObjectURL = (blob) => { const u = made(blob); blobs.set(u, blob); return u; }; "
    "function fetchText(u) { return blobs.get(u).text(); }"
)


def results_of(make_result: MakeResult) -> list[Result]:
    rows = [("pass", 1.5), ("fail", 9.0), ("warn", 4.1), ("pass", 2.5), ("pass", 0.5), ("pass", 3.0)]
    return [
        make_result(
            scan_id=f"scan-{i}",
            verdict=verdict,
            score=score,
            p_value=1.0 / (10.0 * score + 1.0),
            robust_z=score - 3.0,
            notes=("the scanner is another",) if i == 4 else (),
            input=make_result().input.model_copy(update={"sha256": f"{i:064d}"}),
            quality={"noise_level": score, "gradient_energy": float(i), "csf_share": (i * 7 % 5) / 5.0},
        )
        for i, (verdict, score) in enumerate(rows)
    ]


@pytest.fixture
def opened(browser: Any, make_result: MakeResult, tmp_path: Path) -> Iterator[Any]:
    """The browser on a page of six scans with previews; it forgets the ratings afterwards."""
    picture = io.BytesIO()
    Image.new("RGB", (900, 350), (40, 60, 80)).save(picture, format="PNG")
    scans = []
    for result in results_of(make_result):
        folder = tmp_path / f"s {result.scan_id}"
        folder.mkdir()
        (folder / "preview.png").write_bytes(picture.getvalue())
        scans.append(CohortScan.of(result, folder.name))
    page = tmp_path / "index.html"
    page.write_text(cohort_page(scans), encoding="utf-8")
    browser.open(page)
    yield browser
    browser.value("localStorage.clear()")


def put(browser: Any, name: str, value: str, event: str = "input") -> None:
    browser.value(
        f"(() => {{ const e = document.getElementById('{name}'); e.value = {json.dumps(value)}; "
        f"e.dispatchEvent(new Event('{event}')); }})()"
    )


def click(browser: Any, selector: str) -> None:
    browser.click(*browser.centre_of(selector))


def test_pictures_are_sorted_and_filtered(opened: Any) -> None:
    opened.wait_for("[...document.querySelectorAll('#tiles img')].every((i) => i.naturalWidth === 900)")
    assert opened.value(NAMES) == ["scan-1", "scan-2", "scan-5", "scan-3", "scan-0", "scan-4"]
    put(opened, "sort", "score", "change")
    assert opened.value(NAMES) == ["scan-4", "scan-0", "scan-3", "scan-5", "scan-2", "scan-1"]
    click(opened, "#turn")
    assert opened.value(NAMES) == ["scan-1", "scan-2", "scan-5", "scan-3", "scan-0", "scan-4"]
    click(opened, ".only[value=pass]")
    assert opened.value(NAMES) == ["scan-1", "scan-2"]
    put(opened, "filter", "SCAN-2")
    assert opened.value(NAMES) == ["scan-2"]
    assert opened.value("document.getElementById('shown').textContent") == "1 of 6 shown"
    assert opened.complaints() == []
    assert [url for url in opened.requests() if "preview.png" not in url] == []


def test_a_note_is_found_by_its_words(opened: Any) -> None:
    put(opened, "filter", "another")
    assert opened.value(NAMES) == ["scan-4"]


def test_the_table_sorts_by_its_headers(opened: Any) -> None:
    click(opened, "#as-table")
    assert opened.value(ROWS) == ["scan-1", "scan-2", "scan-5", "scan-3", "scan-0", "scan-4"]
    click(opened, "th [data-sort=p_value]")
    assert opened.value(ROWS) == ["scan-1", "scan-2", "scan-5", "scan-3", "scan-0", "scan-4"]
    assert opened.value("document.querySelector('th[aria-sort]').textContent") == "p"
    click(opened, "th [data-sort=p_value]")
    assert opened.value(ROWS)[0] == "scan-4"
    cells = "[...document.querySelectorAll('#runs tbody tr')[0].querySelectorAll('.n')].map((c) => c.textContent)"
    assert opened.value(cells) == [number(0.5), number(1 / 6), number(-2.5)]
    assert opened.complaints() == []


def test_numbers_are_written_as_everywhere(opened: Any) -> None:
    values = [0.0, 1.0, -2.5, 0.0217391304, 123.456, 99999.4, 1234567.0, -0.00001234, 0.000123, None]
    assert opened.value(f"{json.dumps(values)}.map(number)") == [number(value) for value in values]


def test_a_mark_in_a_chart_leads_to_its_scan(opened: Any) -> None:
    for chart in ("drift", "quality"):
        marks = f"[data-chart={chart}] path"
        assert opened.value(f"document.querySelectorAll('{marks}').length") == 6
        click(opened, f"{marks}[data-mark-of='4']")
        assert opened.value(CHOSEN) == opened.value("scans.scan_id[4]")
        click(opened, "#earlier")


def test_a_chart_pales_what_the_filter_hides_and_shows_it_again_when_asked(opened: Any) -> None:
    click(opened, ".only[value=pass]")
    assert opened.value("document.querySelectorAll('[data-chart=drift] .off').length") == 4
    click(opened, "[data-chart=drift] path.off")
    assert len(opened.value(NAMES)) == 6


def test_scans_are_rated_by_keys_alone_and_stay_rated(opened: Any, tmp_path: Path) -> None:
    opened.press("2")
    opened.press("ArrowRight")
    opened.press("1")
    opened.press("ArrowRight")
    opened.press("3")
    opened.press("ArrowRight")
    opened.press("1")
    opened.press("0")
    tally = "document.getElementById('tally').textContent"
    assert opened.value(tally) == "3 of 6 rated: 1 pass, 1 exclude, 1 unsure"
    badges = "[...document.querySelectorAll('#tiles .rated')].map((b) => b.textContent)"
    assert opened.value(badges) == ["exclude", "pass", "unsure", "", "", ""]
    opened.open(tmp_path / "index.html")
    assert opened.value(badges) == ["exclude", "pass", "unsure", "", "", ""]
    put(opened, "rated", "none", "change")
    assert len(opened.value(NAMES)) == 3


def test_keys_in_a_comment_are_letters(opened: Any) -> None:
    opened.press("c")
    assert opened.value("document.activeElement.id") == "comment"
    opened.press("2")
    assert opened.value("document.getElementById('tally').textContent") == "0 of 6 rated"


def test_what_is_saved_is_read_back(opened: Any, tmp_path: Path) -> None:
    opened.value(CAUGHT)
    click(opened, "[data-rating=exclude]")
    put(opened, "comment", 'moved, "twice"\n=1+1')
    put(opened, "rater", "A. Reader")
    click(opened, "#save")
    assert opened.value("caught.name") == "ratings.json"
    file = tmp_path / "ratings.json"
    file.write_text(opened.value("caught.text"), encoding="utf-8")
    ratings = read_ratings(file)
    assert ratings.rater == "A. Reader"
    (rating,) = ratings.ratings
    assert (rating.scan_id, rating.input_sha256) == ("scan-1", f"{1:064d}")
    assert (rating.rating, rating.comment) == ("exclude", 'moved, "twice"\n=1+1')

    opened.value("localStorage.clear()")
    opened.open(tmp_path / "index.html")
    assert opened.value("ratings.size") == 0
    opened.value(f"openRatings(new File([{json.dumps(file.read_text())}], 'ratings.json'))")
    assert opened.value("document.getElementById('comment').value") == 'moved, "twice"\n=1+1'
    assert opened.value("document.getElementById('kept').textContent") == "1 read."


def test_ratings_of_other_scans_are_kept_for_saving(opened: Any) -> None:
    content = {
        "format": "anomri-ratings",
        "schema_version": 1,
        "rater": "",
        "ratings": [{"scan_id": "far", "input_sha256": "f" * 64, "rating": "pass", "comment": ""}],
    }
    opened.value(CAUGHT)
    opened.value(f"openRatings(new File([JSON.stringify({json.dumps(content)})], 'r.json'))")
    assert "1 of scans that are not on this page" in opened.value("document.getElementById('kept').textContent")
    click(opened, "#save")
    assert json.loads(opened.value("caught.text"))["ratings"] == content["ratings"]


@pytest.mark.parametrize("text", ["{}", "no JSON", '{"format": "anomri-ratings", "schema_version": 2, "ratings": []}'])
def test_a_file_that_holds_no_ratings_changes_nothing(opened: Any, text: str) -> None:
    opened.press("1")
    opened.value(f"openRatings(new File([{json.dumps(text)}], 'x.json'))")
    assert "no ratings" in opened.value("document.getElementById('kept').textContent")
    assert opened.value("ratings.size") == 1


def test_the_table_is_saved_as_shown(opened: Any, make_result: MakeResult) -> None:
    opened.value(CAUGHT)
    opened.press("2")
    put(opened, "comment", '=cmd, "x"')
    click(opened, ".only[value=pass]")
    click(opened, "#csv")
    assert opened.value("caught.name") == "scans.csv"
    rows = list(csv.DictReader(io.StringIO(opened.value("caught.text"))))
    expected = {result.scan_id: result for result in results_of(make_result)}
    assert [row["scan_id"] for row in rows] == ["scan-1", "scan-2"]
    for row in rows:
        result = expected[row["scan_id"]]
        assert (float(row["score"]), float(row["p_value"])) == (result.score, result.p_value)
        assert row["reason"] == result.reason
    assert (rows[0]["rating"], rows[0]["comment"]) == ("exclude", '\'=cmd, "x"')


def test_five_thousand_scans_are_shown_a_page_at_a_time(browser: Any, make_result: MakeResult, tmp_path: Path) -> None:
    result = make_result()
    scans = [
        CohortScan(
            "sub-" + str(i),
            f"s{i}",
            "pass",
            "Nothing stands out.",
            score=i / 1000,
            robust_z=i / 2500 - 1.0,
            p_value=0.5,
            normals=result.reference_scores,
            limits=result.thresholds,
        )
        for i in range(5000)
    ]
    page = tmp_path / "index.html"
    page.write_text(cohort_page(scans), encoding="utf-8")
    browser.open(page)
    assert len(browser.value(NAMES)) == 60
    assert browser.value("document.getElementById('where').textContent") == "1–60 of 5000"
    assert browser.value("document.querySelectorAll('[data-chart=drift] path').length") == 5000
    # No more pictures are asked for than are on the page.
    assert len({url for url in browser.requests() if "preview.png" in url}) <= 61
    click(browser, "#forth")
    assert browser.value(NAMES)[0] == "sub-4939"
    assert browser.value(CHOSEN) == "sub-4939"
    browser.press("ArrowLeft")
    assert browser.value(CHOSEN) == "sub-4940"
    assert browser.value("document.getElementById('where').textContent") == "1–60 of 5000"
    put(browser, "filter", "sub-77")
    assert browser.value("document.getElementById('shown').textContent") == "11 of 5000 shown"


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (800, "dark"), (480, "light")])
def test_the_page_fits_its_window(opened: Any, tmp_path: Path, width: int, scheme: str) -> None:
    opened.open(tmp_path / "index.html", width=width, scheme=scheme)
    assert opened.value("document.documentElement.scrollWidth") <= width
    click(opened, "#as-table")
    assert opened.value("document.documentElement.scrollWidth") <= width
    assert opened.complaints() == []


def test_hostile_words_start_nothing(browser: Any, make_result: MakeResult, tmp_path: Path) -> None:
    name = "</script><script>document.title='taken'</script><img src=http://127.0.0.1:9/x onerror=alert(1)>"
    scans = [
        CohortScan.of(make_result(scan_id=f"{name}{i}", reason=name, notes=(name,)), name, run=name) for i in range(3)
    ]
    page = tmp_path / "index.html"
    page.write_text(cohort_page(scans), encoding="utf-8")
    browser.open(page)
    click(browser, "#as-table")
    browser.press("ArrowRight")
    assert browser.value("document.title") == "3 scans – anomri"
    assert browser.value("document.querySelectorAll('img').length") == 1
    assert [url for url in browser.requests() if "preview.png" not in url] == []


def test_a_lost_picture_leaves_its_tile(browser: Any, make_result: MakeResult, tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text(cohort_page([CohortScan.of(make_result(), "gone")]), encoding="utf-8")
    browser.open(page)
    browser.wait_for("document.querySelectorAll('#tiles img.lost').length === 1")
    assert browser.value(NAMES) == ["sub-17_T1w"]
