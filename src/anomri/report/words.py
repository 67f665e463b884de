"""The words a page uses for verdicts, scales and drivers: one place, so that every page says the same."""

from __future__ import annotations

from dataclasses import dataclass

from anomri.core.result import Verdict

__all__ = ["DISCLAIMER", "DRIVERS", "SCALE", "VERDICTS", "VerdictWords"]

DISCLAIMER = "Research use only. Not a medical device."


@dataclass(frozen=True, slots=True)
class VerdictWords:
    """How a verdict is told.

    Parameters
    ----------
    title : the verdict as a heading.
    short : one or two words, for tables and figures.
    next_step : what the reader may do about it.
    rank : 0 is the most urgent.
    """

    title: str
    short: str
    next_step: str
    rank: int


VERDICTS: dict[Verdict, VerdictWords] = {
    "fail": VerdictWords(
        "Abnormal",
        "abnormal",
        "Look at the places and measures named below before this scan is used.",
        0,
    ),
    "warn": VerdictWords(
        "Borderline",
        "borderline",
        "Worth a look: normal scans reach such a score now and then.",
        1,
    ),
    "unreadable": VerdictWords(
        "Not judged: unreadable",
        "unreadable",
        "Export or copy the file again. It has no score, and it does not count as normal.",
        2,
    ),
    "out_of_scope": VerdictWords(
        "Not judged: out of scope",
        "out of scope",
        "Check that contrast, body part and coverage are those the model was made for, or choose a model made for "
        "this scan. It does not count as normal.",
        3,
    ),
    "pass": VerdictWords(
        "Within the normal range",
        "normal",
        "Nothing stands out from the normals the model has seen. That is no proof of health.",
        4,
    ),
}

SCALE = {
    "raw": "raw abnormality (the method's own scale)",
    "z": "z (standard deviations of normal scans)",
    "p": "p scale (higher is rarer in normal scans)",
}

DRIVERS = {
    "local": "places in the image that look unlike the normals",
    "quality": "image quality",
    "scope": "how unlike the model's normals the scan is as a whole",
}
