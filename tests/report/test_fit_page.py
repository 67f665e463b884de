"""The page of a fit, as text and in a real browser."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomri.core.result import Thresholds
from anomri.report.fit_page import (
    FitFacts,
    FittedBranch,
    LeftOut,
    OutlyingScan,
    PromisedRate,
    Setting,
    fit_page,
)

HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(2)>\"' \u202e\u200b\x1b[31m"


def facts(**changes: Any) -> FitFacts:
    rng = np.random.default_rng(3)
    epochs = np.arange(1, 81)
    scores = np.sort(np.append(rng.gamma(9.0, 0.3, size=44), 7.3))
    loss = 0.4 * np.exp(-epochs / 9.0) + 0.012
    usual = FitFacts(
        model="my-model",
        version="1",
        sha256="c" * 64,
        made_by="anomri 0.1.0",
        cohort="45 adults of one scanner.",
        expects="T1w, brain alone.",
        validation="Not measured beyond its own cross-validation.",
        licence="not stated",
        seed=7,
        branches=(
            FittedBranch(
                "zatlas", "zatlas", "zatlas", (Setting("sigma_mm", "4.0", "3.0"), Setting("floor", "0.1")), {}
            ),
            FittedBranch(
                "autoencoder",
                "autoencoder",
                "autoencoder-small",
                (Setting("epochs", "80"),),
                {
                    "train_loss": tuple(loss * rng.uniform(0.93, 1.07, size=80)),
                    "validation_loss": tuple(1.1 * loss + 3e-6 * np.maximum(epochs - 40, 0) ** 2),
                },
            ),
        ),
        recipe="brain-t1",
        recipe_settings=(Setting("spacing_mm", "2.0"),),
        subjects=44,
        folds=5,
        scores=tuple(float(s) for s in scores),
        thresholds=Thresholds(warn=3.6, fail=4.1, warn_rate=0.1, fail_rate=0.05, finding_level=5.0),
        fail_interval=(3.5, 7.3),
        alarm_rate=0.05,
        smallest_rate=1 / 46,
        rates=(
            PromisedRate(0.01, 99, 299),
            PromisedRate(0.02, 49, 149),
            PromisedRate(0.05, 19, 59),
            PromisedRate(0.1, 9, 29),
        ),
        outlying=(OutlyingScan("sub-31_T1w", "sub-31", 7.3, 5.2),),
        left_out=(LeftOut("sub-09_T1w", "The file ends after 2 kB of 8 MB."),),
        notes=("autoencoder: trained on 36 scans, measured on 9; best epoch 46",),
    )
    return replace(usual, **changes)


def flat(html: str) -> str:
    return " ".join(html.split())


def test_the_page_tells_all_that_a_fit_ended_with() -> None:
    html = fit_page(facts())
    for words in (
        "my-model 1, learnt from 45 normal scans",
        "<dt>Subjects</dt><dd>44</dd>",
        "<dt>Seed</dt><dd>7</dd>",
        "sub-31_T1w",
        "5.20",
        "Nothing was dropped for it",
        "sub-09_T1w",
        "The file ends after 2 kB of 8 MB.",
        "preset autoencoder-small",
        "the preset has 3.0",
        "recipe brain-t1",
        "best epoch 46",
        "between 3.50 and 7.30 (95 %)",
        "this method is computed in one go",
        "Research use only",
    ):
        assert words in html
    assert html.count("<polyline") == 2


def test_the_normals_at_hand_stand_among_the_rates() -> None:
    html = flat(fit_page(facts()))
    rates = html[html.index('id="enough"') : html.index('id="training"')]
    places = [rates.index(f">{n}</td>") for n in (9, 19, 45, 49, 99)]
    assert places == sorted(places)
    assert rates.count('class="at-hand"') == 1
    assert "2.2 %</td>" in rates
    assert "<td>steady</td>" in rates
    assert "14 more make it steady" in rates
    assert "4 more needed" in rates


def test_too_few_normals_have_no_threshold_and_are_told_how_many_it_takes() -> None:
    html = flat(fit_page(facts(scores=(1.0, 2.0, 4.0), thresholds=None, fail_interval=None, smallest_rate=0.25)))
    assert "too few for a false-alarm rate of 5 %, which needs 19: there is no threshold" in html
    assert "25 %" in html
    assert "16 more needed" in html
    assert "limit fail" not in html[html.index("<main>") :]


@pytest.mark.parametrize(
    ("interval", "words"),
    [((2.0, np.inf), "above 2.00"), ((-np.inf, 3.0), "below 3.00"), ((-np.inf, np.inf), "fail above 4.10")],
)
def test_an_end_that_the_normals_cannot_bound_is_not_a_number(interval: tuple[float, float], words: str) -> None:
    html = fit_page(facts(fail_interval=interval))
    assert words in html
    assert "inf" not in html.lower().replace("information", "")


def test_a_plain_fit_says_that_there_is_nothing_to_look_at() -> None:
    html = fit_page(facts(outlying=(), left_out=(), notes=()))
    assert "No training scan's score stands far above" in html.replace("&#39;", "'")
    assert "every scan was used" in html
    assert 'id="notes"' not in html


def test_no_text_of_a_fit_becomes_markup_and_no_script_may_run() -> None:
    hostile = facts(
        model=HOSTILE,
        cohort=HOSTILE,
        branches=(FittedBranch(HOSTILE, HOSTILE, HOSTILE, (Setting(HOSTILE, HOSTILE, HOSTILE),), {HOSTILE: (1.0,)}),),
        outlying=(OutlyingScan(HOSTILE, HOSTILE, 1.0, 4.0),),
        left_out=(LeftOut(HOSTILE, HOSTILE),),
        notes=(HOSTILE,),
    )
    html = fit_page(hostile)
    assert "<script" not in html
    assert "<img" not in html
    assert not set("\u202e\u200b\x1b") & set(html)
    assert "default-src 'none'; style-src 'sha256-" in html
    assert "script-src" not in html


def test_the_page_is_the_same_for_the_same_fit() -> None:
    assert fit_page(facts()) == fit_page(facts())


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (800, "dark"), (480, "light")])
def test_the_page_opens_without_request_or_complaint(browser: Any, tmp_path: Path, width: int, scheme: str) -> None:
    page = tmp_path / "fit_report.html"
    page.write_text(fit_page(facts()), encoding="utf-8")
    browser.open(page, width=width, scheme=scheme)
    assert browser.complaints() == []
    assert browser.requests() == []
    assert browser.value("document.documentElement.scrollWidth") <= width
    # The validation curve is a dashed line of its own colour, inside its chart.
    drawn = browser.value(
        "(() => { const l = document.querySelector('polyline.validation');"
        " const c = l.closest('svg').getBoundingClientRect(),"
        " b = l.getBoundingClientRect(); return [getComputedStyle(l).strokeDasharray !== 'none',"
        " b.left >= c.left && b.right <= c.right && b.top >= c.top && b.bottom <= c.bottom]; })()"
    )
    assert drawn == [True, True]
    browser.shot(tmp_path / "fit_report.png")
    assert (tmp_path / "fit_report.png").stat().st_size > 20_000
