from collections.abc import Callable

import pytest
from scipy import stats

from anomri.core.result import Result
from anomri.report.index import IndexRow, index_page

MakeResult = Callable[..., Result]


def rows_of(make_result: MakeResult, make_refused: MakeResult) -> list[IndexRow]:
    verdicts = ["pass"] * 17 + ["warn"] * 2 + ["fail"]
    rows = [
        IndexRow.of(make_result(scan_id=f"s{i}", verdict=verdict, score=float(i)), f"scans/s{i}")
        for i, verdict in enumerate(verdicts)
    ]
    return [*rows, IndexRow.of(make_refused(scan_id="bad"), "scans/bad")]


def test_the_summary_tells_what_to_expect_of_normals(make_result: MakeResult, make_refused: MakeResult) -> None:
    html = index_page(rows_of(make_result, make_refused))
    low, high = stats.binom.ppf([0.025, 0.975], 20, 0.05)
    assert "1 fail, 2 warn, 17 pass, 1 not judged" in html
    assert "Of 21 scans, 20 were judged and 1 refused" in html
    assert f"about 1.0 (usually {low:.0f} to {high:.0f}) would fail; <strong>1</strong> does" in html
    assert "about 2.0" in html
    assert "<strong>3</strong> found" in html


def test_the_most_urgent_come_first(make_result: MakeResult, make_refused: MakeResult) -> None:
    html = index_page(rows_of(make_result, make_refused))
    order = [html.index(f">{name}</a>") for name in ("s19", "s18", "s17", "bad", "s16", "s15")]
    assert order == sorted(order)


def test_every_row_links_its_report_and_preview(make_result: MakeResult) -> None:
    html = index_page([IndexRow.of(make_result(), "scans/sub-17")])
    assert 'href="./scans/sub-17/report.html"' in html
    assert 'src="./scans/sub-17/preview.png"' in html


@pytest.mark.parametrize(
    ("folder", "link"),
    [
        ("javascript:alert(1)", "./javascript%3Aalert%281%29"),
        ('a"b <c>?#', "./a%22b%20%3Cc%3E%3F%23"),
        ("caf\udce9", "./caf%E9"),
    ],
)
def test_no_name_of_a_folder_becomes_a_script(make_result: MakeResult, folder: str, link: str) -> None:
    assert f'href="{link}/report.html"' in index_page([IndexRow.of(make_result(), folder)])


def test_hostile_names_and_reasons_are_escaped(make_result: MakeResult) -> None:
    html = index_page([IndexRow.of(make_result(scan_id="<script>alert(1)</script>", reason="\u202e<img src=x>"), "s")])
    assert "<script>alert" not in html
    assert "<img src=x>" not in html
    assert "\u202e" not in html


def test_a_run_of_refusals_only(make_refused: MakeResult) -> None:
    html = index_page([IndexRow.of(make_refused(), "s")])
    assert "Of 1 scan, none was judged: 1 refused." in html


def test_an_empty_run_has_a_page() -> None:
    assert "0 fail" in index_page([])


def test_what_limits_all_verdicts_is_told_once(make_result: MakeResult, make_refused: MakeResult) -> None:
    notes = [("of all", "of one"), ("of all",), ("of all",)]
    rows = [IndexRow.of(make_result(scan_id=f"s{i}", notes=found), f"s{i}") for i, found in enumerate(notes)]
    html = index_page([*rows, IndexRow.of(make_refused(notes=("of the refused",)), "bad")])
    assert html.count("of all<") == 1
    assert html.index("of all<") < html.index("<table")
    assert html.count("<small>of one</small>") == html.count("<small>of the refused</small>") == 1


def test_a_reason_is_told_to_its_end(make_result: MakeResult) -> None:
    reason = "word " * 200 + "Copy the file again."
    assert reason in index_page([IndexRow.of(make_result(reason=reason), "s")])


def test_the_page_is_the_same_for_the_rows_in_any_order(make_result: MakeResult, make_refused: MakeResult) -> None:
    rows = rows_of(make_result, make_refused)
    assert index_page(rows) == index_page(rows[::-1])
