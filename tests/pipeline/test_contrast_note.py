"""Where a header or a name says another contrast than the model's, the result says so."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from anomri.core.scan import Scan
from anomri.io.array import array_scan
from anomri.models import Model
from anomri.pipeline import score
from brains import made_brain

# Fitting the model on made brains takes ten seconds.
pytestmark = pytest.mark.slow


def named(model: Model, names: str) -> Model:
    """The model, its training scans named by a pattern."""
    scans = tuple(
        scan.model_copy(update={"scan_id": names.format(number)}) for number, scan in enumerate(model.card.training)
    )
    return dataclasses.replace(model, card=model.card.model_copy(update={"training": scans}))


def said(scan: Scan, model: Model) -> bool:
    result = score(scan, model).result
    return any("this scan is T2w, and the model knows T1w" in note for note in result.notes)


@pytest.mark.parametrize(
    ("names", "sequence", "noted"),
    [
        ("sub-{}_T1w", "T2w", True),
        ("sub-{}_T1w", "T1w", False),
        ("sub-{}_T1w", None, False),
        ("scan{}", "T2w", False),
    ],
)
def test_another_contrast_than_the_models_is_a_note(
    fitted_brains: Any, names: str, sequence: str | None, noted: bool
) -> None:
    # Nothing to see: out of scope at the first look.
    empty = array_scan(np.zeros((16, 16, 16)), np.diag([4.0, 4.0, 4.0, 1.0]), sequence=sequence)
    assert said(empty, named(fitted_brains.model, names)) is noted


def test_a_judged_scan_has_the_note_too(fitted_brains: Any) -> None:
    scan = dataclasses.replace(made_brain(3).scan, sequence="T2w")
    assert said(scan, named(fitted_brains.model, "sub-{}_T1w"))
