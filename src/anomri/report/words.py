"""The words a page uses for verdicts, scales and branches: one place, so that every page says the same.

A verdict is called what `result.json` calls it, and is followed by one sentence; no page has a second set of names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from anomri.core.result import Driver, Result, Verdict
from anomri.io.picture import PICTURE_FORMATS
from anomri.quality import METRICS
from anomri.report.text import number, percent

__all__ = [
    "ABOUT_FINDINGS",
    "DISCLAIMER",
    "LOOKS_AT",
    "PICTURES",
    "SCALE",
    "VERDICTS",
    "VerdictWords",
    "branches",
    "how_the_score_arises",
    "meaning",
    "metric_title",
    "next_step",
]

# Left and right of these are unknown.
PICTURES = PICTURE_FORMATS
DISCLAIMER = "Research use only. Not a medical device."


@dataclass(frozen=True, slots=True)
class VerdictWords:
    """How a verdict is told.

    Parameters
    ----------
    word : the verdict of `result.json`, as one reads it.
    sentence : what it means, without a full stop.
    rank : 0 is the most urgent.
    """

    word: str
    sentence: str
    rank: int


VERDICTS: dict[Verdict, VerdictWords] = {
    "fail": VerdictWords("fail", "outside the usual range of normal scans", 0),
    "warn": VerdictWords("warn", "at the edge of the usual range of normal scans", 1),
    "unreadable": VerdictWords("unreadable", "not judged, because the file could not be read", 2),
    "out_of_scope": VerdictWords("out of scope", "not judged, because the model was not made for it", 3),
    "pass": VerdictWords("pass", "within the usual range of normal scans", 4),
}

_NEXT_STEP: dict[Verdict, str] = {
    "unreadable": "Export or copy the file again. It has no score, and it does not count as normal.",
    "out_of_scope": "Check that contrast, body part and coverage are those the model was made for, or choose a model "
    "made for this scan. It does not count as normal.",
    "pass": "A pass is no proof of health: the model looks for what departs from its normals, and for nothing else.",
}

SCALE = {
    "raw": "raw abnormality (the method's own scale)",
    "z": "z (standard deviations of normal scans)",
    "p": "p scale (higher is rarer in normal scans)",
}

# Of the pictures and words of findings, what they leave open.
ABOUT_FINDINGS = (
    "The size is that of the part above the level (outlined in the expected image), not that of a lesion. Darker or "
    "brighter is the scan beside what the branch expected, on average over that part. Depth is that of the centre, "
    "below the surface of the brain's mask. The tissue is what an average brain has there, after an affine "
    "registration that leaves cortical folds some millimetres apart."
)

LOOKS_AT = {
    "local": "places in the image",
    "quality": "the image as a whole",
    "scope": "whether the model was made for the scan",
}


def meaning(result: Result) -> str:
    """What the verdict of a result means, without a full stop."""
    if _held_back(result):
        return "held back: the score is that of a fail"
    return VERDICTS[result.verdict].sentence


def next_step(result: Result) -> str:
    """What the reader may do about a verdict, in one sentence or two."""
    limits = result.thresholds
    if result.verdict == "fail" or _held_back(result):
        return "Look at the places and measures named below before this scan is used."
    if result.verdict != "warn" or limits is None:
        return _NEXT_STEP[result.verdict]
    return f"Worth a look: {percent(limits.warn_rate)} of normal scans score this high or higher."


def _held_back(result: Result) -> bool:
    limits = result.thresholds
    return result.verdict == "warn" and limits is not None and result.score is not None and result.score > limits.fail


def branches(result: Result) -> tuple[Driver, ...]:
    """The drivers that are branches of the model; what refuses a scan is none."""
    return tuple(driver for driver in result.drivers if driver.kind != "scope")


def how_the_score_arises(result: Result) -> str:
    """How the scores of the branches make that of the scan; empty where the result does not tell."""
    found = [(d.standardised, d.branch) for d in branches(result) if d.standardised is not None]
    if not found or result.score is None:
        return ""
    scale = (
        "Standardised: how many standard deviations the logarithm of the branch's score lies above the mean of normals"
    )
    largest, branch = max(found)
    if math.isclose(largest, result.score, rel_tol=1e-6, abs_tol=1e-9):
        return f"{scale}. The largest is the scan's score: {number(largest)}, by {branch}."
    return (
        f"{scale}. The largest is a scan's score. The model knows this scan: it is judged by the "
        f"{number(result.score)} of a model that had not seen it, while the values here are the final model's."
    )


def metric_title(name: str) -> str:
    """What a quality metric is called; its own name where it is none of ours."""
    return METRICS[name].title if name in METRICS else name
