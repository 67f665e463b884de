"""The report of one scan on A4 pages, for those who print and archive: the verdict and where it comes from, then why,
and by which model. Nothing in the file depends on when it was made.
"""

from __future__ import annotations

import io

from anomri.core.outcome import Outcome
from anomri.core.result import Result
from anomri.io.names import shown
from anomri.report import words
from anomri.report.display import views_of
from anomri.report.pdf.layout import INK, LEFT, LINE, RIGHT, SOFT
from anomri.report.pdf.verdict import among_normals, facts, verdict
from anomri.report.pdf.where import findings, images
from anomri.report.pdf.why import branches, limits, model, quality
from anomri.report.sheet import Sheet, wrapped

__all__ = ["scan_pdf"]

_DPI = 220


def scan_pdf(outcome: Outcome) -> bytes:
    """A PDF of two A4 pages, of one where the scan was not examined; the same bytes for the same outcome.

    Parameters
    ----------
    outcome : of any verdict; what it lacks is left out.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_pdf import PdfPages

    buffer = io.BytesIO()
    title = f"anomri report: {shown(outcome.result.scan_id)}"
    # No user's style, and text that can be searched and copied.
    style = {n: v for n, v in mpl.rcParamsDefault.items() if n.startswith(("pdf.", "path.", "image.", "savefig."))}
    with (
        mpl.rc_context({**style, "pdf.fonttype": 42}),
        PdfPages(buffer, metadata={"CreationDate": None, "Title": title, "Creator": "anomri"}) as pages,
    ):
        sheets = _sheets(outcome)
        for at, sheet in enumerate(sheets, start=1):
            _frame(sheet, outcome.result, f"{at} / {len(sheets)}")
            pages.savefig(sheet.figure, dpi=_DPI)
    return buffer.getvalue()


def _frame(page: Sheet, result: Result, at: str) -> None:
    page.text(LEFT, 12.0, "anomri", size=11.0, colour=INK, bold=True)
    name = wrapped(result.scan_id, 120.0, size=8.5)[0]
    page.text(RIGHT, 12.6, name, size=8.5, colour=SOFT, align="right")
    page.line((LEFT, 285.0), (RIGHT, 285.0), colour=LINE)
    page.text(LEFT, 287.0, words.DISCLAIMER, size=8.0, colour=INK, bold=True)
    page.text(RIGHT, 287.0, at, size=8.0, colour=SOFT, align="right")


def _sheets(outcome: Outcome) -> list[Sheet]:
    result, first = outcome.result, Sheet()
    y = verdict(first, 21.0, result)
    y = facts(first, y + 6.0, result)
    y = among_normals(first, y + 6.0, result)
    views = views_of(outcome)
    y = images(first, y + 6.0, outcome, views)
    if outcome.heatmap is not None:
        y = findings(first, y + 6.0, outcome, views)
    if not words.branches(result):
        model(first, limits(first, y + 8.0, result), result)
        return [first]
    second = Sheet()
    y = branches(second, 24.0, result)
    y = quality(second, y, result)
    model(second, limits(second, y, result), result)
    return [first, second]
