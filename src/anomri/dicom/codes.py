"""Codes of our own for what the standard has none for; its own come from `pydicom.sr.codedict`."""

from __future__ import annotations

from typing import Any

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept

__all__ = ["coding_schemes", "own"]

_SCHEME = "99ANOMRI"
_MEANINGS = {
    "abnormality": "Abnormality, higher is more abnormal",
    "brighter": "Brighter than expected",
    "darker": "Darker than expected",
    "direction": "Beside what was expected",
    "p-value": "Share of normal scans at least as abnormal",
    "peak": "Place of the largest abnormality",
    "robust-z": "Robust standard deviations above the median of normals",
    "scan": "Scan as a whole",
    "score": "Abnormality score, higher is more abnormal",
    "unusual-place": "Place unlike that of normal scans",
    "verdict": "Verdict on the scan",
    # The verdicts by the words of result.json.
    "pass": "Pass: within the usual range of normal scans",
    "warn": "Warn: at the edge of the usual range of normal scans",
    "fail": "Fail: outside the usual range of normal scans",
    "out_of_scope": "Out of scope: the model was not made for the scan",
    "unreadable": "Unreadable: the scan could not be read",
}


def own(name: str) -> Any:
    """A code of our scheme; a verdict is one by its word in `result.json`."""
    return CodedConcept(value=name, scheme_designator=_SCHEME, meaning=_MEANINGS[name])


def coding_schemes() -> list[Any]:
    """Says in an object whose our codes are."""
    return [CodingSchemeIdentificationItem(_SCHEME, name="Codes of anomri", responsible_organization="anomri")]
