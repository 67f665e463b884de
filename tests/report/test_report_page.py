import base64
import dataclasses
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from anomri.core.outcome import Outcome
from anomri.core.result import Finding, Result, TissueShares
from anomri.report.page import scan_page

Make = Callable[..., Outcome]
MakeResult = Callable[..., Result]

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"' onmouseover=alert(3) \u202e\u200b\x1b[31m\n"
)


class Page(HTMLParser):
    """Elements, their attributes, and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in self.raw:
            self.raw[self._inside].append(data)
        else:
            self.text += data


def data_of(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="scan-data">(.*?)</script>', html, re.S)
    assert found is not None
    data: dict[str, Any] = json.loads(found.group(1))
    return data


def test_the_verdict_is_told_in_words_with_its_reason(make_outcome: Make) -> None:
    text = Page(scan_page(make_outcome())).text
    order = [
        "Fail outside the usual range of normal scans",
        "A bright place of 1.9 ml",
        "Look at the places",
        "The intensity was scaled by the file's slope.",
        "6.20",
        "0.0217",
        "5.40",
        "brain-t1",
        "The score among the normals",
        "What the score rests on",
        "places in the image",
        "Radiological convention",
        "Findings",
        "Image quality",
        "motion, or strong coil shading",
        "All 6 measures",
        "AUROC 0.90",
        "Research use only. Not a medical device.",
    ]
    at = [text.index(words) for words in order]
    assert at == sorted(at)


@pytest.mark.parametrize(
    ("verdict", "words"),
    [("pass", "Pass within the usual"), ("warn", "Warn at the edge of the usual"), ("fail", "Fail outside the usual")],
)
def test_every_verdict_has_its_words_and_icon(make_outcome: Make, verdict: str, words: str) -> None:
    page = Page(scan_page(make_outcome(verdict=verdict, score=4.2)))
    assert words in page.text
    assert ("svg", "icon") in [(tag, attributes.get("class")) for tag, attributes in page.tags]


@pytest.mark.parametrize("verdict", ["out_of_scope", "unreadable"])
def test_a_refused_scan_has_a_page_with_reason_and_remedy(make_refused: MakeResult, verdict: str) -> None:
    text = Page(scan_page(Outcome(result=make_refused(verdict)))).text
    assert "not judged, because" in text
    assert "The file ends after 2 kB of 8 MB." in text
    assert "does not count as normal" in text
    assert "There is no image to show" in text


def test_a_scan_without_mask_shows_three_slices_and_no_volume(make_outcome: Make, make_refused: MakeResult) -> None:
    html = scan_page(Outcome(result=make_refused("out_of_scope"), scan=make_outcome().scan))
    assert "data:image/png;base64," in html
    assert "scan-data" not in html


def test_the_policy_allows_the_own_style_and_script_alone(make_outcome: Make) -> None:
    html = scan_page(make_outcome())
    page = Page(html)
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    for kind, texts in (("style", page.raw["style"]), ("script", page.raw["script"][1:])):
        (text,) = texts
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    names = {name for _, attributes in page.tags for name in attributes}
    assert not {name for name in names if name.startswith("on")} | ({"style"} & names)
    addresses = [a.get(n) for _, a in page.tags for n in ("src", "href") if n in a]
    assert all(str(address).startswith("data:") for address in addresses)


def test_hostile_text_is_shown_and_does_nothing(make_outcome: Make) -> None:
    usual = make_outcome().result
    model = usual.model.model_copy(
        update={"name": HOSTILE, "version": HOSTILE, "sha256": HOSTILE, "cohort": HOSTILE, "licence": HOSTILE}
    )
    metric = usual.drivers[1].metrics[0].model_copy(update={"name": HOSTILE, "usually_means": HOSTILE})
    driver = usual.drivers[1].model_copy(update={"branch": HOSTILE, "metrics": (metric,)})
    finding = usual.findings[0].model_copy(update={"region": HOSTILE})
    html = scan_page(
        make_outcome(
            scan_id=HOSTILE,
            reason=HOSTILE,
            model=model,
            drivers=(driver,),
            findings=(finding,),
            quality={HOSTILE: 1.0},
            notes=(HOSTILE,),
            versions={HOSTILE: HOSTILE},
        )
    )
    page = Page(html)
    assert len(page.raw["script"]) == 2
    assert all(attributes.get("src", "data:").startswith("data:") for _, attributes in page.tags)
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert page.text.count("\\u202e") >= 11
    assert not set("\u202e\u200b\x1b") & set(html)


def test_a_reason_is_told_to_its_end(make_outcome: Make) -> None:
    reason = "word " * 200 + "Copy the file again."
    assert reason in scan_page(make_outcome(reason=reason))


def test_a_warn_says_how_often_normals_reach_it_and_one_held_back_does_not(make_outcome: Make) -> None:
    assert "10 % of normal scans score this high or higher" in scan_page(make_outcome(verdict="warn", score=4.2))
    held = Page(scan_page(make_outcome(verdict="warn", score=6.2))).text
    assert "held back: the score is that of a fail" in held
    assert "Look at the places" in held
    assert "Worth a look" not in held


def test_every_branch_is_shown_beside_the_thresholds_and_the_largest_is_the_score(make_outcome: Make) -> None:
    html = scan_page(make_outcome())
    assert "The largest is the scan&#39;s score: 6.20, by zatlas." in html
    table = html[html.index('class="branches"') : html.index("</table>")]
    places = [float(x) for x in re.findall(r'<circle class="\w+" cx="([\d.]+)"', table)]
    fails = [float(x) for x in re.findall(r'limit fail" d="M([\d.]+) ', table)]
    assert places == sorted(places, reverse=True)
    assert fails == [fails[0]] * 2
    # Both lie beyond 4.0 or not as their values 6.2 and 3.6 do.
    assert places[0] > fails[0] > places[1]
    assert re.findall(r'<circle class="(\w+)"', table) == ["fail", "pass"]


def test_a_scan_the_model_knows_is_not_said_to_have_the_branches_score(make_outcome: Make) -> None:
    text = Page(scan_page(make_outcome(score=3.1, verdict="pass", in_training=True))).text
    assert "judged by the 3.10 of a model that had not seen it" in text


def test_a_result_without_standardised_scores_says_nothing_of_them(make_outcome: Make) -> None:
    driver = make_outcome().result.drivers[0].model_copy(update={"standardised": None, "share": 1.0})
    html = scan_page(make_outcome(drivers=(driver,)))
    assert "Standardised:" not in html
    assert "limit fail" not in html[html.index('class="branches"') : html.index("</table>")]


def test_without_a_finding_the_page_says_so_and_shows_the_peak(make_outcome: Make) -> None:
    limits = make_outcome().result.thresholds
    assert limits is not None
    html = scan_page(make_outcome(findings=(), thresholds=limits.model_copy(update={"finding_level": 10.0})))
    text = Page(html).text
    assert "No finding above the level a normal scan reaches." in text
    assert "That level is 10.0: only 5 % of normal scans exceed it anywhere." in text
    x, y, z = (int(v.replace("−", "-")) for v in re.findall(r"The map peaks at (\S+), (\S+), (\S+) mm with", text)[0])
    assert np.abs(np.array([x, y, z]) - np.array([24, -28, 20])).max() <= 8
    block = re.findall(r'data-block="([\d,]+)" data-reveal', html)
    assert [int(i) for i in block[0].split(",")] == data_of(html)["start"]


def test_a_spot_too_small_for_a_finding_is_no_contradiction(make_outcome: Make) -> None:
    assert "in a spot too small to count" in Page(scan_page(make_outcome(findings=()))).text


def test_bytes_that_are_no_text_are_shown_as_escapes(make_outcome: Make) -> None:
    html = scan_page(make_outcome(reason="caf\udce9"))
    assert "caf\\udce9" in html
    html.encode("utf-8")


def test_the_same_outcome_gives_the_same_bytes(make_outcome: Make) -> None:
    assert scan_page(make_outcome()) == scan_page(make_outcome())


def test_a_finding_leads_to_its_voxel(make_outcome: Make) -> None:
    html = scan_page(make_outcome())
    data = data_of(html)
    affine = np.array(data["affine"])
    block = np.array([int(i) for i in re.findall(r'data-block="([\d,]+)"', html)[0].split(",")])
    world = affine[:, :3] @ block + affine[:, 3]
    assert np.abs(world - np.array([24.0, -28.0, 20.0])).max() <= 4.0
    assert data["start"] == block.tolist()


def found_section(html: str) -> str:
    return html[html.index('<section aria-labelledby="findings">') : html.index('<section aria-labelledby="quality">')]


def described(outcome: Outcome, **changes: Any) -> Finding:
    fields = {
        "direction": "brighter",
        "side": "right",
        "depth_mm": 20.4,
        "region": "on the right, centred 20 mm below the surface, mostly white matter",
        "tissue": TissueShares(csf=0.04, grey=0.25, white=0.71),
        "template_mm": (23.0, -27.0, 21.0),
        "branch": "zatlas",
    }
    return outcome.result.findings[0].model_copy(update={**fields, **changes})


def test_a_finding_is_told_in_words_beside_three_pictures(make_outcome: Make) -> None:
    finding = described(make_outcome())
    section = found_section(scan_page(make_outcome(findings=(finding,))))
    page = Page(section)
    assert f"{finding.sentence}." in page.text
    assert "is brighter than expected, on the right" in page.text
    for words in ("23, −27, 21 mm (MNI)", "71 % white, 25 % grey, 4 % CSF", "zatlas"):
        assert words in page.text, words
    alts = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    titles = ("This scan", "Expected normal", "Heatmap over it")
    assert alts == [f"{title}, axial slice around finding 1" for title in titles]
    assert "<script" not in section


def test_what_is_not_known_of_a_finding_is_left_out(make_outcome: Make) -> None:
    text = Page(found_section(scan_page(make_outcome()))).text
    assert "departs from what the normals show there" in text
    assert "None" not in text
    assert "MNI" not in text


def test_the_first_three_findings_are_pictured_and_the_rest_listed(make_outcome: Make) -> None:
    finding = described(make_outcome())
    section = found_section(scan_page(make_outcome(findings=(finding,) * 5)))
    assert len(re.findall("<img ", section)) == 9
    assert section.count(finding.sentence) == 5
    assert section.count("<tr>") == 3


def test_without_images_a_finding_is_told_all_the_same(make_outcome: Make) -> None:
    finding = described(make_outcome())
    section = found_section(scan_page(Outcome(make_outcome(findings=(finding,)).result)))
    assert finding.sentence in section
    assert "<img " not in section


@pytest.mark.parametrize("turn", [np.diag([-1.0, 1.0, 1.0]), np.diag([1.0, -1.0, -1.0])], ids=["LAS", "RPI"])
def test_slices_run_from_feet_to_head_and_lead_to_their_slice(make_outcome: Make, turn: np.ndarray) -> None:
    outcome = make_outcome(turn)
    code = "LAS" if turn[0, 0] < 0 else "RPI"
    result = outcome.result.model_copy(update={"input": outcome.result.input.model_copy(update={"orientation": code})})
    html = scan_page(Outcome(result, outcome.scan, outcome.heatmap, outcome.brain, outcome.expected))
    blocks = [int(i) for i in re.findall(r'data-slice="(\d+)"', html)]
    assert blocks == sorted(blocks)
    heights = [float(h) for h in re.findall(r'<rect class="bar"[^>]*width="[\d.]+" height="([\d.]+)"/></g>', html)]
    assert abs(blocks[int(np.argmax(heights))] - data_of(html)["start"][2]) <= 1


def test_a_scan_far_out_is_drawn_at_the_edge_and_says_so(make_outcome: Make) -> None:
    html = scan_page(make_outcome(score=900.0))
    assert "this scan 900 – off this axis" in html


def test_what_limits_a_verdict_stands_under_it(make_outcome: Make) -> None:
    text = Page(scan_page(make_outcome(in_training=True, approximate=True, notes=("A note.",)))).text
    card = text[: text.index("p-value")]
    assert "in training" in card
    assert "approximate thresholds" in card
    assert "A note." in card
    usual = Page(scan_page(make_outcome())).text
    assert "in training" not in usual
    assert "approximate" not in usual


def test_a_judged_scan_without_images_still_has_its_page(make_outcome: Make) -> None:
    text = Page(scan_page(Outcome(result=make_outcome().result))).text
    assert "The score among the normals" in text
    assert "There is no image to show" in text


@pytest.mark.slow
def test_a_whole_scan_of_noise_stays_below_five_megabytes(make_outcome: Make) -> None:
    shape = (170, 205, 145)
    rng = np.random.default_rng(0)
    small = make_outcome(shape=shape)
    assert small.scan is not None
    assert small.brain is not None
    assert small.heatmap is not None
    assert small.expected is not None
    noisy = small.scan.voxels + rng.normal(scale=30.0, size=shape).astype(np.float32)
    scan = type(small.scan)(noisy, small.scan.geometry, "noise", small.scan.source)
    maps = {name: rng.normal(size=shape).astype(np.float32) for name in ("a-signed", "b-signed")}
    html = scan_page(Outcome(small.result, scan, small.heatmap, small.brain, small.expected, maps))
    assert len(html.encode()) < 5_000_000


def test_rendering_needs_no_torch() -> None:
    code = (
        "import sys, anomri.report.page, anomri.report.cohort, anomri.report.folder, anomri.report.figures\n"
        "assert not {'torch', 'lightning_fabric', 'SimpleITK', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_outline_of_a_brain_is_shown_on_the_head_it_was_cut_out_of_and_never_on_what_lies_inside_it(
    make_outcome: Make,
) -> None:
    def outlines(outcome: Outcome) -> int:
        return scan_page(outcome).count("with the outline of the brain")

    head = make_outcome(brain_from="extracted")
    assert head.scan is not None
    assert head.brain is not None
    assert outlines(head) == 1
    assert outlines(make_outcome(brain_from="given")) == 0
    kept = np.where(head.brain.mask, head.scan.voxels, np.float32(0.0))
    assert outlines(dataclasses.replace(head, scan=dataclasses.replace(head.scan, voxels=kept))) == 0
