"""What every page of the PDF shares: colours, margins, headings."""

from __future__ import annotations

from anomri.core.result import Verdict
from anomri.report.sheet import Sheet

__all__ = [
    "BAR",
    "BOTTOM",
    "FAIL",
    "GROUND",
    "HUES",
    "INK",
    "LEFT",
    "LINE",
    "RIGHT",
    "SOFT",
    "WARN",
    "WIDTH",
    "first_upper",
    "heading",
]

INK, SOFT, LINE, GROUND = "#1c2024", "#5b636b", "#dad7d0", "#f1efea"
BAR, WARN, FAIL = "#b9c2ca", "#b07c00", "#b3261e"
HUES: dict[Verdict, str] = {
    "pass": "#00694d",
    "warn": "#8a6100",
    "fail": "#b3261e",
    "out_of_scope": "#0a5f9e",
    "unreadable": "#8b4270",
}
# Margins, mm; below the bottom stands nothing but the foot.
LEFT, RIGHT, BOTTOM = 17.0, 193.0, 281.0
WIDTH = RIGHT - LEFT


def heading(page: Sheet, y: float, text: str) -> float:
    """The title of a section; returns the y below it."""
    page.text(LEFT, y, text, size=11.0, colour=INK, bold=True)
    return y + 7.0


def first_upper(text: str) -> str:
    """The text with its first letter as that of a sentence."""
    return text[:1].upper() + text[1:]
