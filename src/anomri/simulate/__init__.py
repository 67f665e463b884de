"""Known defects on real scans, and made scans of brains and of an object that is none: from a seed, with the truth."""

from __future__ import annotations

from anomri.simulate.anatomy import CSF, GREY, WHITE, Anatomy, TissueMaps, anatomy
from anomri.simulate.artefacts import ARTEFACTS, ArtefactEntry
from anomri.simulate.corrupt import KINDS, SEVERITIES, corrupt, focal_lesion, replay
from anomri.simulate.lesions import Sign, lesion
from anomri.simulate.outline import Outline, outline_of
from anomri.simulate.phantom import phantom
from anomri.simulate.recipes import RECIPES
from anomri.simulate.simulated import Record, Simulated
from anomri.simulate.structure import STRUCTURE

__all__ = [
    "ARTEFACTS",
    "CSF",
    "GREY",
    "KINDS",
    "RECIPES",
    "SEVERITIES",
    "STRUCTURE",
    "WHITE",
    "Anatomy",
    "ArtefactEntry",
    "Outline",
    "Record",
    "Sign",
    "Simulated",
    "TissueMaps",
    "anatomy",
    "corrupt",
    "focal_lesion",
    "lesion",
    "outline_of",
    "phantom",
    "replay",
]
