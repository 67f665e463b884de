import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from scipy import stats

from anomri.core.result import Result
from anomri.report.cohort import CohortScan, cohort_page

MakeResult = Callable[..., Result]


def scans_of(make_result: MakeResult, make_refused: MakeResult) -> list[CohortScan]:
    verdicts = ["pass"] * 17 + ["warn"] * 2 + ["fail"]
    scans = [
        CohortScan.of(make_result(scan_id=f"s{i}", verdict=verdict, score=float(i)), f"scans/s{i}")
        for i, verdict in enumerate(verdicts)
    ]
    return [*scans, CohortScan.of(make_refused(scan_id="bad"), "scans/bad")]


def data_of(html: str) -> dict[str, Any]:
    found = re.search(r'id="cohort-data">(.*?)</script>', html, re.S)
    assert found is not None
    data: dict[str, Any] = json.loads(found.group(1))
    return data


def test_the_summary_tells_what_to_expect_of_normals(make_result: MakeResult, make_refused: MakeResult) -> None:
    html = cohort_page(scans_of(make_result, make_refused))
    low, high = stats.binom.ppf([0.025, 0.975], 20, 0.05)
    assert "1 fail, 2 warn, 17 pass, 1 not judged" in html
    assert "Of 21 scans, 20 were judged and 1 refused" in html
    assert f"about 1.0 (usually {low:.0f} to {high:.0f}) would fail; <strong>1</strong> does" in html
    assert "about 2.0" in html
    assert "<strong>3</strong> found" in html


def test_the_most_urgent_come_first(make_result: MakeResult, make_refused: MakeResult) -> None:
    names = data_of(cohort_page(scans_of(make_result, make_refused)))["scans"]["scan_id"]
    assert names[:5] == ["s19", "s18", "s17", "bad", "s16"]


def test_the_order_of_work_leaves_no_trace(make_result: MakeResult, make_refused: MakeResult) -> None:
    scans = scans_of(make_result, make_refused)
    assert cohort_page(scans) == cohort_page(scans[::-1])


def test_every_scan_links_its_report_and_preview(make_result: MakeResult) -> None:
    scans = data_of(cohort_page([CohortScan.of(make_result(), "scans/sub-17")]))["scans"]
    assert scans["report"] == ["./scans/sub-17/report.html"]
    assert scans["preview"] == ["./scans/sub-17/preview.png"]


@pytest.mark.parametrize(
    ("folder", "link"),
    [
        ("javascript:alert(1)", "./javascript%3Aalert%281%29"),
        ('a"b <c>?#', "./a%22b%20%3Cc%3E%3F%23"),
        ("caf\udce9", "./caf%E9"),
    ],
)
def test_no_name_of_a_folder_becomes_a_script(make_result: MakeResult, folder: str, link: str) -> None:
    assert data_of(cohort_page([CohortScan.of(make_result(), folder)]))["scans"]["report"] == [f"{link}/report.html"]


def test_hostile_names_and_reasons_are_escaped(make_result: MakeResult) -> None:
    hostile = make_result(scan_id="<script>alert(1)</script>", reason="\u202e<img src=x>", notes=("<b>", "\u202e"))
    html = cohort_page([CohortScan.of(hostile, "s", run="<i>")])
    assert not [text for text in ("<script>alert", "<img src=x>", "\u202e", "\\u202e<", "<b>", "<i>") if text in html]
    assert data_of(html)["scans"]["reason"] == ["\\u202e<img src=x>"]


def test_a_run_of_refusals_only(make_refused: MakeResult) -> None:
    html = cohort_page([CohortScan.of(make_refused(), "s")])
    assert "Of 1 scan, none was judged: 1 refused." in html
    assert "<figure" not in html


def test_an_empty_run_has_a_page() -> None:
    assert "0 fail" in cohort_page([])


def test_what_limits_all_verdicts_is_told_once(make_result: MakeResult, make_refused: MakeResult) -> None:
    notes = [("another scanner", "of one"), ("another scanner",), ("another scanner",)]
    scans = [CohortScan.of(make_result(scan_id=f"s{i}", notes=found), f"s{i}") for i, found in enumerate(notes)]
    html = cohort_page([*scans, CohortScan.of(make_refused(notes=("of the refused",)), "bad")])
    data = data_of(html)
    assert html.count("another scanner") == 1
    told = dict(zip(data["scans"]["scan_id"], data["scans"]["notes"], strict=True))
    assert [data["notes"][n] for n in told["s0"]] == ["of one"]
    assert told["s1"] == []
    assert [data["notes"][n] for n in told["sub-17_T1w"]] == ["of the refused"]


def test_a_reason_is_told_to_its_end(make_result: MakeResult) -> None:
    reason = "A remedy stands at the end of a reason. " * 20 + "Copy it again."
    assert "Copy it again." in cohort_page([CohortScan.of(make_result(reason=reason), "s")])


def test_scores_of_different_models_are_never_drawn_together(make_result: MakeResult) -> None:
    results = [make_result(scan_id=f"s{i}") for i in range(5)]
    other = results[0].model.model_copy(update={"name": "brain-t2", "sha256": "d" * 64})
    scans = [CohortScan.of(r if i < 3 else r.model_copy(update={"model": other}), "s") for i, r in enumerate(results)]
    html = cohort_page(scans)
    assert "<small>brain-t1 0.1.0</small>" in html
    assert "<small>brain-t2 0.1.0</small>" in html
    assert re.findall(r"Scores of (\d) scans? below those of 45 normals", html) == ["3", "2"]


def test_time_is_the_day_of_judging_then_the_name(make_result: MakeResult) -> None:
    days = {"a-10": "2026-01-02", "a-9": "2026-01-02", "b": "2026-01-01", "c": ""}
    scans = [CohortScan.of(make_result(scan_id=name), name, judged_on=day) for name, day in days.items()]
    html = cohort_page(scans)
    data = data_of(html)
    order = [data["scans"]["scan_id"][scan] for scan, _, _ in sorted(data["marks"]["drift"], key=lambda mark: mark[1])]
    assert order == ["c", "b", "a-9", "a-10"]
    assert ">Over time</h2>" in html
    assert ">2026-01-01</text>" in html


def test_without_days_the_order_is_that_of_names(make_result: MakeResult) -> None:
    html = cohort_page([CohortScan.of(make_result(scan_id=f"s{i}"), f"s{i}") for i in range(3)])
    assert ">One after the other</h2>" in html
    assert "Robust z, by name" in html


def test_five_thousand_scans_stay_below_five_megabytes(make_result: MakeResult) -> None:
    reason = "The image quality is unlike the normals: Ghost, front–back is 0.0717 (normal 0.00286 to 0.00624), which "
    reason += (
        "usually means ghost copies or motion along front–back; overall it is more abnormal than 60 of 60 normals."
    )
    base = CohortScan.of(make_result(reason=reason), "x")
    scans = [
        CohortScan.of(
            make_result(reason=reason, scan_id=f"sub-{i:05d}_ses-01_T1w", score=i / 700), f"sub-{i:05d}_ses-01_T1w"
        )
        for i in range(50)
    ]
    # Bytes grow with the number of scans: what 50 add to one, 5,000 add a hundred times.
    alone, many = len(cohort_page([base]).encode()), len(cohort_page(scans).encode())
    assert alone + 100 * (many - alone) < 5_000_000
