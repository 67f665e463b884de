"""Settings of iterative mask refinement, and the named ones."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from anomri.methods.method import Config, Preset

__all__ = ["MULTIPLE", "PRESETS", "IterMaskConfig"]

# The networks halve a side four times.
MULTIPLE = 16


class IterMaskConfig(Config):
    """Settings of `IterMask`; the defaults are the published ones in 3D, but for the path.

    Parameters
    ----------
    dimensions : 3 for whole volumes; 2 for axial slices, one at a time.
    grid : voxels the network sees, cropped or padded about the centre; multiples of 16 (X and Y in 2D). None: the
        prepared grid, padded.
    width : channels of the first stage.
    dropout : share of single values dropped in training; of the 3D network.
    window : values are standardised within the brain and clipped to ±window; air is −window.
    guide : high frequencies with the amplitudes of the low ones set to 1 (``published``) or removed (``highpass``).
    full_mask : share of the training samples whose whole brain is hidden, as it is when a test begins.
    loss : mean squared error over ``all`` voxels, as published, or over the hidden ones (``hidden``).
    flip : mirror each training sample left–right with probability ½.
    epochs, batch_size, learning_rate, drop_at, dropped_rate : of the training; from the share `drop_at` of the epochs
        on the rate is `dropped_rate`.
    path : ``published`` makes a pass at every step of phase A; ``fast`` at twelve of a hundred, denser towards the end.
    steps : n of phase A.
    limit, least_r2 : of the curve's fit; see `anomri.metrics.slope.SlopeRule`.
    normal_share, normal_quantile : of γ; see `anomri.metrics.slope.normal_slope`.
    most_passes : of phase B.
    score : ``final_mask_size`` as a share of the brain, ``mean_error`` inside the brain, or ``top``: the mean of the
        `top_fraction` of the largest errors of the last pass.
    top_fraction : of the examined region.
    holdout : share of the subjects kept out of training; they choose the epoch and give γ.
    least_normals : fewer are refused.
    """

    reading_only: ClassVar[frozenset[str]] = frozenset({"most_passes", "score", "top_fraction"})

    dimensions: Literal[2, 3] = 3
    grid: tuple[int, int, int] | None = (192, 192, 192)
    width: int = Field(default=16, ge=2)
    dropout: float = Field(default=0.2, ge=0.0, lt=1.0)
    window: float = Field(default=3.0, gt=0.0)
    guide: Literal["published", "highpass"] = "published"
    full_mask: float = Field(default=0.0, ge=0.0, le=1.0)
    loss: Literal["all", "hidden"] = "all"
    flip: bool = False
    epochs: int = Field(default=500, ge=1)
    batch_size: int = Field(default=2, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0.0)
    drop_at: float = Field(default=0.6, ge=0.0, le=1.0)
    dropped_rate: float = Field(default=1e-4, gt=0.0)
    path: Literal["published", "fast"] = "fast"
    steps: int = Field(default=100, ge=10)
    limit: float = Field(default=10.0, gt=0.0)
    least_r2: float = Field(default=0.85, le=1.0)
    normal_share: float = Field(default=0.02, gt=0.0, lt=1.0)
    normal_quantile: float = Field(default=0.9, gt=0.0, lt=1.0)
    most_passes: int = Field(default=50, ge=1)
    score: Literal["final_mask_size", "mean_error", "top"] = "final_mask_size"
    top_fraction: float = Field(default=0.002, gt=0.0, le=1.0)
    holdout: float = Field(default=0.2, gt=0.0, lt=1.0)
    least_normals: int = Field(default=5, ge=5)

    @model_validator(mode="after")
    def _sides_can_be_halved(self) -> IterMaskConfig:
        if self.grid is not None and any(n % MULTIPLE or n < MULTIPLE for n in self.grid[: self.dimensions]):
            raise ValueError(f"grid {self.grid}: a side is not a multiple of {MULTIPLE}")
        return self


_SMALL = IterMaskConfig(
    grid=None,
    width=8,
    dropout=0.0,
    full_mask=0.1,
    loss="hidden",
    flip=True,
    epochs=40,
    batch_size=1,
    learning_rate=2e-3,
    dropped_rate=2e-4,
)
# The published 150 000 steps at one rate: the drop never comes.
_SLICES = IterMaskConfig(
    dimensions=2, grid=(128, 128, 1), width=32, epochs=200, batch_size=32, learning_rate=1e-4, drop_at=1.0
)
# One slice a subject: many more epochs make as many steps.
_PICTURES = _SMALL.model_copy(update={"dimensions": 2, "width": 16, "epochs": 40, "batch_size": 8})
_TINY = _SMALL.model_copy(update={"width": 2, "epochs": 8, "steps": 20, "score": "top"})

PRESETS: dict[str, Preset] = {
    "itermask-small": Preset(
        _SMALL, "brain-t1", "3D at 2 mm; half a second a scan and epoch on one core with bfloat16"
    ),
    "itermask3d": Preset(
        IterMaskConfig(path="published"), "itermask-published", "published size and path at 1 mm; needs a GPU"
    ),
    "itermask2d": Preset(_SLICES, "brain-t1", "published 2D network, slice by slice at 2 mm; needs a GPU"),
    "itermask-slices": Preset(_PICTURES, "slices-2d", "of single slices"),
    "itermask-tiny": Preset(_TINY, "brain-t1", "for tests: seconds"),
}
