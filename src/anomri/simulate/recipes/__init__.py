"""Artefacts of published evaluations, exactly as they were made there: for comparison, not for their realism."""

from __future__ import annotations

from anomri.simulate.artefacts.artefact import ArtefactEntry
from anomri.simulate.recipes import itermask3d, two_stage

__all__ = ["RECIPES"]

RECIPES: dict[str, ArtefactEntry] = {
    "tokens-motion": ArtefactEntry(
        two_stage.draw_motion,
        two_stage.apply_motion,
        two_stage.MotionRecipe,
        1,
        "two-stage tokens: motion of 30 degrees and 50 mm, ten times",
        levels=1,
    ),
    "tokens-spike": ArtefactEntry(
        two_stage.draw_spike, two_stage.apply_spike, two_stage.SpikeRecipe, 1, "two-stage tokens: 7 spikes", levels=1
    ),
    "tokens-ghosting": ArtefactEntry(
        two_stage.draw_ghosting,
        two_stage.apply_ghosting,
        two_stage.GhostingRecipe,
        1,
        "two-stage tokens: 2 to 4 ghosts",
        levels=1,
    ),
    "tokens-noise": ArtefactEntry(
        two_stage.draw_noise,
        two_stage.apply_noise,
        two_stage.NoiseRecipe,
        1,
        "two-stage tokens: noise of 600 raw units",
        levels=1,
    ),
    "tokens-blur": ArtefactEntry(
        two_stage.draw_blur,
        two_stage.apply_blur,
        two_stage.BlurRecipe,
        1,
        "two-stage tokens: Gaussian of 6, 6, 2 voxels",
        levels=1,
    ),
    "tokens-square": ArtefactEntry(
        two_stage.draw_square,
        two_stage.apply_square,
        two_stage.SquareRecipe,
        1,
        "two-stage tokens: a bright block in the middle",
        levels=1,
        local=True,
    ),
    "itermask3d-top-chunk": ArtefactEntry(
        itermask3d.draw_nothing,
        itermask3d.apply_top_chunk,
        itermask3d.Nothing,
        1,
        "IterMask3D: 30 slices missing at the end",
        levels=1,
        local=True,
    ),
    "itermask3d-middle-chunk": ArtefactEntry(
        itermask3d.draw_nothing,
        itermask3d.apply_middle_chunk,
        itermask3d.Nothing,
        1,
        "IterMask3D: 30 slices missing in the middle",
        levels=1,
        local=True,
    ),
    "itermask3d-bias": ArtefactEntry(
        itermask3d.draw_nothing, itermask3d.apply_bias, itermask3d.Nothing, 1, "IterMask3D: bias field", levels=1
    ),
    "itermask3d-spike": ArtefactEntry(
        itermask3d.draw_nothing, itermask3d.apply_spike, itermask3d.Nothing, 1, "IterMask3D: one spike", levels=1
    ),
    "itermask3d-ghosting": ArtefactEntry(
        itermask3d.draw_nothing, itermask3d.apply_ghosting, itermask3d.Nothing, 1, "IterMask3D: ghosting", levels=1
    ),
    "itermask3d-noise": ArtefactEntry(
        itermask3d.draw_seeded, itermask3d.apply_noise, itermask3d.Seeded, 1, "IterMask3D: k-space noise", levels=1
    ),
    "itermask3d-zipper": ArtefactEntry(
        itermask3d.draw_seeded,
        itermask3d.apply_zipper,
        itermask3d.Seeded,
        1,
        "IterMask3D: three bands of noise",
        levels=1,
        local=True,
    ),
}
