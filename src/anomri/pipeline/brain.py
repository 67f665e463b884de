"""Where the brain of a scan lies: in the mask given, in all that a stripped scan holds, or cut out of a full head."""

from __future__ import annotations

from dataclasses import dataclass

from anomri.core.region import Region
from anomri.core.result import BrainFrom
from anomri.core.scan import Scan
from anomri.errors import PreparationFailed
from anomri.extraction import extract
from anomri.preparation import Recipe
from anomri.scope import first_look

__all__ = ["FoundBrain", "brain_of"]


@dataclass(frozen=True, eq=False, slots=True)
class FoundBrain:
    """A brain and how it was come by.

    Parameters
    ----------
    region : on the scan's own grid; None where the recipe finds head or body itself, or the scan is out of scope.
    came_from : None where `region` is.
    full_head : whether the scan holds more than the brain.
    reasons : why the scan is out of scope; empty where it is in.
    """

    region: Region | None
    came_from: BrainFrom | None
    full_head: bool
    reasons: tuple[str, ...]


def brain_of(scan: Scan, recipe: Recipe, given: Region | None = None) -> FoundBrain:
    """The brain that a scan is judged by, as every verb finds it.

    Parameters
    ----------
    recipe : what the scan will be prepared with.
    given : the brain, where the user knows it.
    """
    look = first_look(scan, recipe, masked=given is not None)
    if given is not None:
        return FoundBrain(given, "given", not look.stripped, look.reasons)
    if not look.reasons:
        return FoundBrain(look.foreground, None if look.foreground is None else "stripped", False, ())
    if not look.perhaps_head:
        return FoundBrain(None, None, False, look.reasons)
    try:
        return FoundBrain(extract(scan).brain, "extracted", True, ())
    except PreparationFailed as failure:
        return FoundBrain(None, None, True, (*look.reasons, failure.cause))
