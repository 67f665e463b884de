"""Numbers and data as a page writes them; text goes through `anomri.io.names.shown`."""

from __future__ import annotations

import json
import math

__all__ = ["json_for_script", "number", "percent"]


def json_for_script(data: object) -> str:
    """JSON that may stand inside a script element: ASCII, without ``<``, ``>`` and ``&``.

    Raises
    ------
    ValueError : a number is not finite.
    """
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def number(value: float | None, digits: int = 3) -> str:
    """A number to `digits` significant digits, with a true minus sign; an en dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        text = f"{value:.{decimals}f}"
    else:
        text = f"{value:.{digits - 1}e}"
    return text.replace("-", "−")


def percent(rate: float) -> str:
    """A share as a percentage, e.g. ``63 %``; two significant digits below 10 %."""
    return f"{rate * 100:.0f} %" if rate >= 0.0995 else f"{rate * 100:.2g} %"
