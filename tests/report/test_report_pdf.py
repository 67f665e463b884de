"""The PDF of one scan: what it says, that nothing depends on the clock or a user's style, and that text fits."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from anomri.core.outcome import Outcome
from anomri.core.result import Finding, Result
from anomri.report.pdf import scan_pdf
from anomri.report.sheet import A4_MM, Sheet, drawable, wrapped

Make = Callable[..., Outcome]
Said = Callable[[Outcome], str]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Callable[[Outcome], str]:
    """The lines that are drawn, joined."""
    lines: list[str] = []
    draw = Sheet.text

    def listen(self: Sheet, x: float, y: float, text: str, **options: Any) -> None:
        lines.append(text)
        assert 0.0 <= y < A4_MM[1] - 8.0
        draw(self, x, y, text, **options)

    monkeypatch.setattr(Sheet, "text", listen)

    def say(outcome: Outcome) -> str:
        lines.clear()
        scan_pdf(outcome)
        return " ".join(lines)

    return say


def pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type /Page\b", pdf))


def test_it_says_verdict_reason_figures_findings_quality_and_model(make_outcome: Make, said: Said):
    outcome = make_outcome()
    text = said(outcome)
    assert pages(scan_pdf(outcome)) == 2
    assert text.count("Research use only. Not a medical device.") == 2
    assert len(outcome.result.findings) == 1
    for words in (
        "Fail",
        "A bright place of 1.9 ml",
        "6.20",
        "0.0217",
        "24 mm right, 28 mm back, 20 mm up",
        "0.710",
        "brain-t1 0.1.0",
    ):
        assert words in text, words
    assert "usually means noise" in text
    assert outcome.result.model.sha256 in text


def test_each_finding_is_told_in_words(make_outcome: Make, said: Said):
    finding = (
        make_outcome()
        .result.findings[0]
        .model_copy(update={"direction": "brighter", "region": "on the right, centred 20 mm below the surface"})
    )
    text = said(make_outcome(findings=(finding,)))
    assert f"{finding.sentence}." in text
    assert "Pictures: this scan, what was expected" in text


def test_the_same_bytes_whatever_the_clock_and_the_users_style(make_outcome: Make):
    first = scan_pdf(make_outcome())
    assert b"CreationDate" not in first
    with mpl.rc_context(
        {"pdf.fonttype": 3, "pdf.compression": 0, "font.size": 20, "savefig.bbox": "tight", "lines.marker": "o"}
    ):
        assert scan_pdf(make_outcome()) == first


@pytest.mark.parametrize("with_scan", [True, False])
def test_a_refused_scan_has_one_page(
    make_outcome: Make, make_refused: Callable[..., Result], said: Said, with_scan: bool
):
    outcome = Outcome(make_refused("out_of_scope"), scan=make_outcome().scan if with_scan else None)
    assert pages(scan_pdf(outcome)) == 1
    text = said(outcome)
    assert "Out of scope" in text
    assert "Findings" not in text


def test_what_does_not_fit_is_said(make_outcome: Make, said: Said):
    findings = tuple(
        Finding(centroid_mm=(0.0, 0.0, float(i)), volume_mm3=80.0, peak=50.0 - i, mean=5.0) for i in range(30)
    )
    notes = tuple(f"Note {i} " + "which goes on for longer than a line " * 5 for i in range(40))
    text = said(make_outcome(findings=findings, notes=notes, reason="A long reason. " * 200))
    assert re.search(r"\d+ more stand in result.json", text)
    assert "all of it stands in result.json" in text
    assert text.count("more stand in result.json") == 2
    assert "Model and scan" in text


def test_a_hostile_name_is_text(make_outcome: Make):
    assert scan_pdf(make_outcome(scan_id="$\\frac{\u202e<b>漢", reason="$x$ (a\\b) 漢字")).startswith(b"%PDF")


def test_another_program_finds_the_words(make_outcome: Make, tmp_path: Path):
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed")
    path = tmp_path / "report.pdf"
    path.write_bytes(scan_pdf(make_outcome(reason="Costs $5 – says (a\\b).")))
    text = subprocess.run(["pdftotext", "-layout", str(path), "-"], capture_output=True, check=True).stdout.decode()
    assert "Costs $5 – says (a\\b)." in text
    assert "24 mm right, 28 mm back, 20 mm up" in text


@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x17F), max_size=120), st.sampled_from([False, True]))
def test_no_line_is_wider_than_asked_and_no_letter_is_lost(text: str, bold: bool):
    lines = wrapped(text, 40.0, size=9.0, bold=bold)
    assert "".join("".join(lines).split()) == "".join(drawable(text).split())
    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    for line in lines:
        if line.strip():
            width_points = np.ptp(TextPath((0, 0), line, size=9.0, prop=font).vertices[:, 0])
            assert width_points * 25.4 / 72.0 < 40.0 + 1.0
