"""The demo's examples: made on the spot from the template's tissue maps, with known defects.

Simulated brains are judged by a model of simulated brains (`demo-brain`), because a model of real scans should
rightly find them odd.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from anomri.core.result import Verdict
from anomri.core.scan import Scan
from anomri.io.template import icbm_template
from anomri.simulate import GREY, WHITE, Anatomy, Sign, TissueMaps, anatomy, corrupt, lesion, phantom

__all__ = ["DEMO_SPACING_MM", "Example", "demo_normal", "examples", "tissue_maps"]

# Coarser than a real 1 mm scan, so that the demo is over in a minute or two on two cores.
DEMO_SPACING_MM = (1.3, 1.7)
_SEVERITY = 4
# A ghost in quadrature with the image leaves next to nothing in the magnitude of a stripped scan. The demo shows
# defects that can be seen: an artefact that changes the brain by less than this share of its signal is drawn again.
_LEAST_CHANGE = 0.05
_LESION_ML = 15.0
_ALARM: frozenset[Verdict] = frozenset({"warn", "fail"})
_NO_FAIL: frozenset[Verdict] = frozenset({"pass", "warn"})
_REFUSED: frozenset[Verdict] = frozenset({"out_of_scope"})
_SUBJECTS_PER_SEED = 8


@dataclass(frozen=True, eq=False, slots=True)
class Example:
    """A scan of the demo and the verdicts that would be right for it."""

    name: str
    scan: Scan
    expected: frozenset[Verdict]


def tissue_maps() -> TissueMaps:
    """The ICBM tissue maps as the simulator takes them."""
    template = icbm_template()
    return TissueMaps(grey=template.grey, white=template.white, csf=template.csf, geometry=template.geometry)


def demo_normal(maps: TissueMaps, subject: int) -> Anatomy:
    """Simulated normal number `subject` of the demo's population; its voxel size lies in `DEMO_SPACING_MM`."""
    spacing = float(np.random.default_rng([subject, 1]).uniform(*DEMO_SPACING_MM))
    return anatomy(maps, seed=subject, spacing_mm=spacing)


def examples(seed: int) -> Iterator[Example]:
    """Two normals, four defects and an object that is no brain.

    Parameters
    ----------
    seed : ≥ 0; the subjects of different seeds differ, and none of them trained `demo-brain`.

    Yields
    ------
    Seven examples: ``normal-1``, ``normal-2``, ``motion``, ``ghosting`` and ``missing-part`` of severity 4,
    ``lesion`` of 15 ml at full grey–white contrast (bright for even seeds, dark for odd ones), ``no-brain``.
    """
    maps = tissue_maps()
    subjects = [1_000_000 + _SUBJECTS_PER_SEED * seed + i for i in range(_SUBJECTS_PER_SEED)]
    for number, subject in enumerate(subjects[:2], start=1):
        yield Example(f"normal-{number}", demo_normal(maps, subject).scan, _NO_FAIL)
    for kind, subject in zip(("motion", "ghosting", "missing"), subjects[2:5], strict=True):
        brain = demo_normal(maps, subject)
        yield Example("missing-part" if kind == "missing" else kind, _with_artefact(brain, kind, subject), _ALARM)
    brain = demo_normal(maps, subjects[5])
    yield Example("lesion", _with_lesion(brain, subjects[5], "dark" if seed % 2 else "bright"), _ALARM)
    yield Example("no-brain", phantom(subjects[6]), _REFUSED)


def _with_artefact(brain: Anatomy, kind: str, subject: int) -> Scan:
    draws = (corrupt(brain.scan, kind, severity=_SEVERITY, seed=subject + n, brain=brain.brain) for n in count())
    return next(made.scan for made in draws if made.record.measured["nrmse"] >= _LEAST_CHANGE)


def _with_lesion(brain: Anatomy, seed: int, sign: Sign) -> Scan:
    voxels = brain.scan.voxels
    grey, white = (float(np.median(voxels[brain.labels == tissue])) for tissue in (GREY, WHITE))
    made = lesion(
        brain.scan,
        volume_ml=_LESION_ML,
        contrast=1.0,
        sign=sign,
        seed=seed,
        brain=brain.brain,
        grey_white_difference=white - grey,
        candidates=brain.labels == WHITE,
    )
    return replace(made.scan, sequence=brain.scan.sequence)
