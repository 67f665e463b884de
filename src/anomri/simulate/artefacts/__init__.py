"""One file per artefact, and the table of them all."""

from __future__ import annotations

from anomri.simulate.artefacts.artefact import ArtefactEntry
from anomri.simulate.artefacts.bias import BiasDrawn, apply_bias, draw_bias
from anomri.simulate.artefacts.blur import BlurDrawn, apply_blur, draw_blur
from anomri.simulate.artefacts.ghosting import GhostingDrawn, apply_ghosting, draw_ghosting
from anomri.simulate.artefacts.missing import MissingDrawn, apply_missing, draw_missing
from anomri.simulate.artefacts.motion import MotionDrawn, apply_motion, draw_motion
from anomri.simulate.artefacts.noise import NoiseDrawn, apply_noise, draw_noise
from anomri.simulate.artefacts.spike import SpikeDrawn, apply_spike, draw_spike

__all__ = ["ARTEFACTS", "ArtefactEntry"]

ARTEFACTS: dict[str, ArtefactEntry] = {
    "motion": ArtefactEntry(draw_motion, apply_motion, MotionDrawn, 1, "rigid head motion between k-space lines"),
    "ghosting": ArtefactEntry(draw_ghosting, apply_ghosting, GhostingDrawn, 1, "periodic ghosts along phase encoding"),
    "spike": ArtefactEntry(draw_spike, apply_spike, SpikeDrawn, 1, "stripes from wrong k-space points"),
    "noise": ArtefactEntry(draw_noise, apply_noise, NoiseDrawn, 1, "Rician noise"),
    "blur": ArtefactEntry(draw_blur, apply_blur, BlurDrawn, 1, "Gaussian blur at the scan's own noise level"),
    "bias": ArtefactEntry(draw_bias, apply_bias, BiasDrawn, 1, "smooth multiplicative field"),
    "missing": ArtefactEntry(draw_missing, apply_missing, MissingDrawn, 1, "block or side of air", local=True),
}
