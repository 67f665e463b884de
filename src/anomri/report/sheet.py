"""A sheet of paper to draw on in millimetres from its upper left corner: text that wraps, lines, bars, pictures.

Every size, font and colour is given, so that no user's style changes a sheet. matplotlib is imported when a sheet is
made, because a page on screen needs none.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from anomri.io.names import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["A4_MM", "FONT", "Sheet", "drawable", "wrapped"]

A4_MM = (210.0, 297.0)
FONT = "DejaVu Sans"
_MM_PER_INCH, _MM_PER_POINT = 25.4, 25.4 / 72.0
# Distance of two lines of a paragraph as a share of the size of its letters.
_LEADING = 1.45


class Sheet:
    """One A4 page; x grows to the right and y down, both in mm, and texts hang from their y."""

    def __init__(self) -> None:
        from matplotlib.figure import Figure

        self.figure: Figure = Figure(figsize=(A4_MM[0] / _MM_PER_INCH, A4_MM[1] / _MM_PER_INCH), facecolor="white")
        self._axes: Axes = self.figure.add_axes((0.0, 0.0, 1.0, 1.0))
        self._axes.set_axis_off()
        self._axes.set_xlim(0.0, A4_MM[0])
        self._axes.set_ylim(A4_MM[1], 0.0)

    def text(
        self, x: float, y: float, text: str, *, size: float, colour: str, bold: bool = False, align: str = "left"
    ) -> None:
        """One line, as it is; `align` says which end of it stands at `x`."""
        options: dict[str, Any] = {"ha": align, "va": "top", "fontweight": "bold" if bold else "normal"}
        # No mathematics: a $ in a scan's name is a $.
        self._axes.text(x, y, drawable(text), fontsize=size, color=colour, family=FONT, parse_math=False, **options)

    def paragraph(
        self, x: float, y: float, width: float, text: str, *, size: float, colour: str, bold: bool = False
    ) -> float:
        """Text in as many lines as it takes; returns the y below it."""
        step = size * _MM_PER_POINT * _LEADING
        for line in wrapped(text, width, size=size, bold=bold):
            self.text(x, y, line, size=size, colour=colour, bold=bold)
            y += step
        return y

    def line(
        self,
        start: tuple[float, float],
        stop: tuple[float, float],
        *,
        colour: str,
        width: float = 0.6,
        style: str = "-",
    ) -> None:
        """A straight line `width` points thick."""
        ends = ([start[0], stop[0]], [start[1], stop[1]])
        self._axes.plot(*ends, color=colour, linewidth=width, linestyle=style, solid_capstyle="butt", marker="")

    def box(self, x: float, y: float, width: float, height: float, *, colour: str) -> None:
        """A filled rectangle."""
        from matplotlib.patches import Rectangle

        self._axes.add_patch(Rectangle((x, y), width, height, facecolor=colour, edgecolor="none"))

    def dot(self, x: float, y: float, *, colour: str, size: float = 4.5) -> None:
        """A filled circle `size` points across."""
        self._axes.plot([x], [y], marker="o", color=colour, markersize=size, markeredgewidth=0.0)

    def picture(self, x: float, y: float, width: float, height: float, pixels: NDArray[Any]) -> None:
        """(rows, columns, 3) in 0–1, or (rows, columns) in 0–255, stretched to a rectangle."""
        place = (x / A4_MM[0], 1.0 - (y + height) / A4_MM[1], width / A4_MM[0], height / A4_MM[1])
        axes = self.figure.add_axes(place)
        axes.set_axis_off()
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, aspect="auto", interpolation="bilinear", resample=True)


def wrapped(text: str, width: float, *, size: float, bold: bool = False) -> list[str]:
    """The lines of a text no wider than `width` mm; a word that is wider by itself is broken.

    Parameters
    ----------
    size : of the letters, points.
    """
    lines: list[str] = []
    line = ""
    for word in _words(drawable(text).split(), width, size, bold):
        longer = f"{line} {word}" if line else word
        if line and _width_mm(longer, size, bold) > width:
            lines.append(line)
            line = word
        else:
            line = longer
    return [*lines, line]


def drawable(text: str) -> str:
    """The text with its number for each letter that the font lacks: it has no Chinese, and 脑-01 is \\u8111-01."""
    known = _font(False).get_charmap().keys() & _font(True).get_charmap().keys()
    letters = visible(text)
    return "".join(c if ord(c) in known else c.encode("unicode_escape").decode("ascii") for c in letters)


def _words(words: Sequence[str], width: float, size: float, bold: bool) -> list[str]:
    parts: list[str] = []
    for word in words:
        rest = word
        while _width_mm(rest, size, bold) > width:
            fits = max(1, next(n for n in range(len(rest), -1, -1) if _width_mm(rest[:n], size, bold) <= width))
            parts.append(rest[:fits])
            rest = rest[fits:]
        if rest:
            parts.append(rest)
    return parts


@cache
def _font(bold: bool) -> Any:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return get_font(findfont(FontProperties(family=FONT, weight="bold" if bold else "normal")))


@cache
def _letter_points(letter: str, bold: bool) -> float:
    """Width of a letter whose size is one point."""
    from matplotlib.ft2font import LoadFlags

    font = _font(bold)
    font.set_size(100.0, 72.0)
    return float(font.load_char(ord(letter), flags=LoadFlags.NO_HINTING).linearHoriAdvance) / 65536.0 / 100.0


def _width_mm(text: str, size: float, bold: bool) -> float:
    return float(np.sum([_letter_points(letter, bold) for letter in text])) * size * _MM_PER_POINT
