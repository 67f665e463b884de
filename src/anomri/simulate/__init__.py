"""Known defects on real scans, and made scans of brains and of an object that is none: from a seed, with the truth."""

from __future__ import annotations

from anomri.simulate.anatomy import CSF, GREY, WHITE, Anatomy, TissueMaps, anatomy
from anomri.simulate.artefacts import ARTEFACTS, ArtefactEntry
from anomri.simulate.corrupt import SEVERITIES, corrupt, replay
from anomri.simulate.lesions import Sign, lesion
from anomri.simulate.phantom import phantom
from anomri.simulate.simulated import Record, Simulated

__all__ = [
    "ARTEFACTS",
    "CSF",
    "GREY",
    "SEVERITIES",
    "WHITE",
    "Anatomy",
    "ArtefactEntry",
    "Record",
    "Sign",
    "Simulated",
    "TissueMaps",
    "anatomy",
    "corrupt",
    "lesion",
    "phantom",
    "replay",
]
