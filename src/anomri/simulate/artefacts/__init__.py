"""One file per family of artefacts, and the table of them all."""

from __future__ import annotations

from anomri.simulate.artefacts.artefact import ArtefactEntry
from anomri.simulate.artefacts.bias import BiasDrawn, apply_bias, draw_bias
from anomri.simulate.artefacts.blur import BlurDrawn, apply_blur, draw_blur
from anomri.simulate.artefacts.clip import (
    ClipDrawn,
    QuantiseDrawn,
    apply_clip,
    apply_quantise,
    draw_clip,
    draw_quantise,
)
from anomri.simulate.artefacts.cropped import CroppedDrawn, apply_cropped, draw_cropped
from anomri.simulate.artefacts.ghosting import GhostingDrawn, apply_ghosting, draw_ghosting
from anomri.simulate.artefacts.gibbs import GibbsDrawn, apply_gibbs, draw_gibbs
from anomri.simulate.artefacts.lines import LinesDrawn, apply_lines, draw_lines
from anomri.simulate.artefacts.low_resolution import LowResolutionDrawn, apply_low_resolution, draw_low_resolution
from anomri.simulate.artefacts.missing import MissingDrawn, apply_missing, draw_missing
from anomri.simulate.artefacts.motion import MotionDrawn, apply_motion, draw_motion
from anomri.simulate.artefacts.noise import NoiseDrawn, apply_noise, draw_noise
from anomri.simulate.artefacts.orientation import (
    FlipDrawn,
    OrientationDrawn,
    apply_flip,
    apply_orientation,
    draw_flip,
    draw_orientation,
)
from anomri.simulate.artefacts.slices import (
    DropDrawn,
    ShiftDrawn,
    UnevenDrawn,
    apply_drop,
    apply_shift,
    apply_uneven,
    draw_drop,
    draw_shift,
    draw_uneven,
)
from anomri.simulate.artefacts.spike import SpikeDrawn, apply_spike, draw_spike
from anomri.simulate.artefacts.void import VoidDrawn, apply_void, core_void, draw_void
from anomri.simulate.artefacts.wrap import WrapDrawn, apply_wrap, draw_wrap
from anomri.simulate.artefacts.zipper import ZipperDrawn, apply_zipper, draw_zipper

__all__ = ["ARTEFACTS", "ArtefactEntry"]

ARTEFACTS: dict[str, ArtefactEntry] = {
    "motion": ArtefactEntry(draw_motion, apply_motion, MotionDrawn, 1, "rigid head motion between k-space lines"),
    "ghosting": ArtefactEntry(draw_ghosting, apply_ghosting, GhostingDrawn, 1, "periodic ghosts along phase encoding"),
    "spike": ArtefactEntry(draw_spike, apply_spike, SpikeDrawn, 1, "stripes from wrong k-space points"),
    "bad-line": ArtefactEntry(draw_lines, apply_lines, LinesDrawn, 1, "k-space lines lost or of a wrong phase"),
    "gibbs": ArtefactEntry(draw_gibbs, apply_gibbs, GibbsDrawn, 1, "ringing from truncated k-space"),
    "wrap": ArtefactEntry(draw_wrap, apply_wrap, WrapDrawn, 1, "wrap-around in a field of view that is too small"),
    "zipper": ArtefactEntry(draw_zipper, apply_zipper, ZipperDrawn, 1, "dashed line from a radio leak", local=True),
    "noise": ArtefactEntry(draw_noise, apply_noise, NoiseDrawn, 1, "Rician noise"),
    "blur": ArtefactEntry(draw_blur, apply_blur, BlurDrawn, 1, "Gaussian blur at the scan's own noise level"),
    "low-resolution": ArtefactEntry(
        draw_low_resolution, apply_low_resolution, LowResolutionDrawn, 1, "thick slices, interpolated back"
    ),
    "bias": ArtefactEntry(draw_bias, apply_bias, BiasDrawn, 1, "smooth multiplicative field"),
    "slice-drop": ArtefactEntry(draw_drop, apply_drop, DropDrawn, 1, "slices that lost their signal", local=True),
    "slice-intensity": ArtefactEntry(draw_uneven, apply_uneven, UnevenDrawn, 1, "uneven signal from slice to slice"),
    "slice-shift": ArtefactEntry(draw_shift, apply_shift, ShiftDrawn, 1, "slices shifted in their plane", local=True),
    "void": ArtefactEntry(
        draw_void, apply_void, VoidDrawn, 1, "signal void and pile-up from metal or air", local=True, core=core_void
    ),
    "cropped": ArtefactEntry(
        draw_cropped, apply_cropped, CroppedDrawn, 1, "an end of the head is not covered", local=True
    ),
    "missing": ArtefactEntry(draw_missing, apply_missing, MissingDrawn, 1, "block or side of air", local=True),
    "orientation": ArtefactEntry(
        draw_orientation, apply_orientation, OrientationDrawn, 1, "head turned, upside down, other sequence", moves=True
    ),
    "flip": ArtefactEntry(draw_flip, apply_flip, FlipDrawn, 1, "left for right; one strength", levels=1, moves=True),
    "clip": ArtefactEntry(draw_clip, apply_clip, ClipDrawn, 1, "saturated bright end"),
    "quantise": ArtefactEntry(draw_quantise, apply_quantise, QuantiseDrawn, 1, "few grey levels"),
}
