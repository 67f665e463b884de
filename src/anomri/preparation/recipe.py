"""Recipes: the settings of a preparation, their digest, the grid they end on, and those that are shipped."""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from anomri.core.geometry import Geometry, orientation_code
from anomri.errors import InputError
from anomri.io.template import icbm_template
from anomri.preparation import bias as bias_step
from anomri.preparation import body as body_step
from anomri.preparation import crop as crop_step
from anomri.preparation import head as head_step
from anomri.preparation import intensity as intensity_step
from anomri.preparation import mask as mask_step
from anomri.preparation import orient as orient_step
from anomri.preparation import register as register_step
from anomri.preparation import resample as resample_step

__all__ = ["QUALITY_VERSION", "RECIPES", "Recipe", "recipe_named"]

# Version of the metrics, whose package keeps none.
QUALITY_VERSION = 4


class Recipe(BaseModel):
    """Settings of a preparation; its digest stands in every model and calibration.

    Parameters
    ----------
    registration : ``affine`` or ``rigid`` to the ICBM template, for T1-weighted brains; ``affine-any`` for brains of
        any contrast, which differs in how the registration is judged; ``box`` for single slices, whose head is brought
        to the middle of the grid and scaled to its size (`head.to_box`); ``body`` for stacks of axial slices of a body,
        which is brought to the middle (`body.to_middle`).
    least_correlation, least_overlap : a registration below either is PreparationFailed (see `register.Alignment`).
    bias : whether N4 is applied.
    spacing_mm, shape : of the prepared grid; centred on the template's brain, for slices and bodies on the origin.
    slice_mm : distance of the slices of a body on the prepared grid; `spacing_mm` where None.
    intensity, percentiles, ceiling, landmarks : see `intensity.normalise`.
    erode_mm : how deep below the mask's surface the examined region begins.

    Raises
    ------
    InputError : landmarks that do not fit the kind of intensity.
    """

    # Every model keeps the digest of its recipe: a field that is added later is left out of it where it is None.

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    registration: Literal["affine", "rigid", "affine-any", "box", "body"] = "affine"
    least_correlation: float = 0.25
    least_overlap: float = 0.75
    bias: bool = True
    spacing_mm: float
    shape: tuple[int, int, int]
    intensity: Literal["percentile", "zscore", "histogram", "minmax"]
    percentiles: tuple[float, float] = (1.0, 99.0)
    ceiling: float | None = 1.5
    landmarks: tuple[float, ...] = ()
    erode_mm: float
    slice_mm: float | None = None

    @model_validator(mode="after")
    def _landmarks_where_they_are_needed(self) -> Recipe:
        if self.intensity == "histogram":
            intensity_step.verify_landmarks(self.landmarks)
        elif self.landmarks:
            raise InputError(
                f"landmarks for intensity {self.intensity!r}", remedy="Only histogram takes some.", code="landmarks"
            )
        return self

    @property
    def sha256(self) -> str:
        """Digest of the settings and of the version of every step."""
        steps = [bias_step, crop_step, intensity_step, mask_step, orient_step, register_step, resample_step]
        if self.for_slices:
            steps = [crop_step, head_step, intensity_step, mask_step, orient_step, resample_step]
        elif self.for_bodies:
            steps = [bias_step, body_step, crop_step, intensity_step, orient_step, resample_step]
        versions = ",".join(f"{step.__name__}={step.VERSION}" for step in steps)
        versions += f",quality={QUALITY_VERSION}"
        later = {"slice_mm"} if self.slice_mm is None else set()
        return hashlib.sha256(f"{self.model_dump_json(exclude=later)}|{versions}".encode()).hexdigest()

    @property
    def for_slices(self) -> bool:
        """Whether it prepares single slices; otherwise volumes."""
        return self.registration == "box"

    @property
    def for_bodies(self) -> bool:
        """Whether it prepares stacks of slices of a body; otherwise brains, or heads in single slices."""
        return self.registration == "body"

    def unfit(self, geometry: Geometry) -> str:
        """Why a scan of this grid is none for this recipe; empty where it is one."""
        if self.for_slices and not (geometry.shape[2] == 1 and orientation_code(geometry.affine)[2] in "SI"):
            size = " × ".join(map(str, geometry.shape))
            return f"it has {size} voxels, and the model is for single axial slices"
        if self.for_bodies:
            return body_step.not_axial(geometry)
        if not self.for_slices and geometry.shape[2] == 1:
            return "it is a single slice, and the model is for volumes"
        return ""

    @property
    def grid(self) -> Geometry:
        """The prepared grid: RAS+, its centre on the centre of the template's brain (slices and bodies: the origin)."""
        if self.for_slices or self.for_bodies:
            steps = np.array([self.spacing_mm, self.spacing_mm, self.spacing_mm])
            if self.slice_mm is not None:
                steps[2] = self.slice_mm
            affine = np.diag([*steps, 1.0])
            affine[:3, 3] = -steps * (np.array(self.shape) - 1) / 2.0
            return Geometry(self.shape, affine)
        template = icbm_template()
        start, shape = crop_step.box_of(template.brain, 0)
        centre = template.geometry.affine[:3, :3] @ (np.array(start) + (np.array(shape) - 1) / 2.0)
        centre = centre + template.geometry.affine[:3, 3]
        centre[0] = 0.0  # the mid-sagittal plane lies between two voxels, so that a flip along X is exact
        affine = np.diag([self.spacing_mm] * 3 + [1.0])
        affine[:3, 3] = centre - self.spacing_mm * (np.array(self.shape) - 1) / 2.0
        return Geometry(self.shape, affine)


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(name="brain-t1", spacing_mm=2.0, shape=(80, 96, 80), intensity="percentile", erode_mm=3.0),
        Recipe(
            name="brain-any",
            registration="affine-any",
            # T1, T2 and FLAIR of a real brain reach 0.66 to 0.79, turned over at most 0.33.
            least_correlation=0.4,
            spacing_mm=2.0,
            shape=(80, 96, 80),
            intensity="percentile",
            erode_mm=3.0,
        ),
        Recipe(
            name="pelvis-t2",
            registration="body",
            spacing_mm=1.5,
            slice_mm=3.0,
            shape=(256, 256, 96),
            intensity="percentile",
            erode_mm=6.0,
        ),
        Recipe(
            name="autoencoder-published",
            registration="rigid",
            least_correlation=0.15,
            least_overlap=0.6,
            bias=False,
            spacing_mm=1.0,
            shape=(160, 192, 96),
            intensity="minmax",
            ceiling=None,
            erode_mm=3.0,
        ),
        Recipe(
            name="itermask-published",
            registration="rigid",
            least_correlation=0.15,
            least_overlap=0.6,
            bias=False,
            spacing_mm=1.0,
            shape=(192, 192, 192),
            intensity="zscore",
            ceiling=None,
            erode_mm=3.0,
        ),
        Recipe(
            name="slices-2d",
            registration="box",
            bias=False,
            spacing_mm=1.0,
            shape=(128, 128, 1),
            intensity="percentile",
            erode_mm=2.0,
        ),
    )
}


def recipe_named(name: str) -> Recipe:
    """A shipped recipe.

    Raises
    ------
    InputError : no such recipe.
    """
    if name not in RECIPES:
        raise InputError(f"there is no recipe {name!r}", remedy=f"Known: {', '.join(RECIPES)}.", code="unknown_recipe")
    return RECIPES[name]
