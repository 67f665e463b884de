"""A recipe: the recorded steps from a scan as read to a scan ready for a method, and the one function that runs them.

mask → orient → crop → register → measure quality → correct bias → resample → normalise → erode. Only resampling
interpolates; registration moves the world under the voxels instead. `fit`, `calibrate`, `score` and every benchmark
call `prepare`, so there is one path. A recipe for single slices has another mask and no template, see `head`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator

from anomri.core.geometry import Geometry, orientation_code
from anomri.core.history import History
from anomri.core.prepared import Prepared
from anomri.core.region import Region
from anomri.core.scan import Scan
from anomri.errors import InputError, PreparationFailed
from anomri.io.template import icbm_template
from anomri.preparation import bias as bias_step
from anomri.preparation import crop as crop_step
from anomri.preparation import head as head_step
from anomri.preparation import intensity as intensity_step
from anomri.preparation import mask as mask_step
from anomri.preparation import orient as orient_step
from anomri.preparation import register as register_step
from anomri.preparation import resample as resample_step
from anomri.preparation.itk import one_thread
from anomri.preparation.track import Track
from anomri.quality import classify, measure, measure_slice

__all__ = ["RECIPES", "Recipe", "prepare", "recipe_named"]

_TISSUE_SEED = 0
_MARGIN_VOXELS = 3
# Version of the metrics, whose package keeps none.
_QUALITY_VERSION = 3
# Two programs that write the same grid differ by rounding alone.
_GRID_TOLERANCE_MM = 0.1


class Recipe(BaseModel):
    """Settings of a preparation; its digest stands in every model and calibration.

    Parameters
    ----------
    registration : ``affine`` or ``rigid`` to the ICBM template; ``box`` for single slices, whose head is brought to the
        middle of the grid and scaled to its size (`head.to_box`).
    least_correlation, least_overlap : a registration below either is PreparationFailed (see `register.Alignment`).
    bias : whether N4 is applied.
    spacing_mm, shape : of the prepared grid; centred on the template's brain, for slices on the origin.
    intensity, percentiles, ceiling, landmarks : see `intensity.normalise`.
    erode_mm : how deep below the mask's surface the examined region begins.

    Raises
    ------
    InputError : landmarks that do not fit the kind of intensity.
    """

    # Fields stay as they are: every model keeps the digest of its recipe.

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    registration: Literal["affine", "rigid", "box"] = "affine"
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
        versions = ",".join(f"{step.__name__}={step.VERSION}" for step in steps)
        versions += f",quality={_QUALITY_VERSION}"
        return hashlib.sha256(f"{self.model_dump_json()}|{versions}".encode()).hexdigest()

    @property
    def for_slices(self) -> bool:
        """Whether it prepares single slices; otherwise volumes."""
        return self.registration == "box"

    def unfit(self, geometry: Geometry) -> str:
        """Why a scan of this grid is none for this recipe; empty where it is one."""
        if self.for_slices and not (geometry.shape[2] == 1 and orientation_code(geometry.affine)[2] in "SI"):
            size = " × ".join(map(str, geometry.shape))
            return f"it has {size} voxels, and the model is for single axial slices"
        if not self.for_slices and geometry.shape[2] == 1:
            return "it is a single slice, and the model is for volumes"
        return ""

    @property
    def grid(self) -> Geometry:
        """The prepared grid: RAS+, isotropic, its centre on the centre of the template's brain (slices: the origin)."""
        if self.for_slices:
            affine = np.diag([self.spacing_mm] * 3 + [1.0])
            affine[:3, 3] = -self.spacing_mm * (np.array(self.shape) - 1) / 2.0
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


@one_thread()
def prepare(
    scan: Scan,
    recipe: Recipe,
    *,
    mask: Region | None = None,
    covariates: Mapping[str, float] | None = None,
    subject: str = "",
    timings: dict[str, float] | None = None,
) -> Prepared:
    """Run a recipe on one scan.

    Parameters
    ----------
    mask : the brain where the user or a network knows it; found from the background of a stripped scan otherwise.
    covariates : ``age`` and ``sex`` where known.
    timings : seconds a step are added here, for measurements.

    Returns
    -------
    The prepared scan with its history; the same bytes for the same input.

    Raises
    ------
    PreparationFailed : a slice for a recipe of volumes or the other way round, the mask is implausible, the
        registration failed, or the values do not vary.
    InputError : `mask` lies on another grid.
    """
    unfit = recipe.unfit(scan.geometry)
    if unfit:
        raise PreparationFailed(unfit, remedy="Use a model that was made for such scans.", code="dimensions")
    track = Track(scan.geometry, timings)
    brain = _brain(scan, mask, recipe, track)
    native, inside, geometry = _cut_out(scan, brain, track)
    native, added = intensity_step.from_zero(native, inside)
    if added:
        track.step("zero", intensity_step.VERSION, value_change="the darkest value set to 0", added=added)
    if recipe.for_slices:
        world = _boxed(inside, geometry, recipe, track)
        quality = measure_slice(native, inside, geometry.spacing_mm)
        track.step("quality", _QUALITY_VERSION)
    else:
        world = _registered(native, inside, geometry, recipe, track)
        quality = _measured(native, inside, geometry, world, track)
    if recipe.bias:
        native, strength = bias_step.correct_bias(native, inside, geometry)
        track.step("bias", bias_step.VERSION, value_change="divided by the N4 field", log_range=strength)
    carried, within = _resampled(native, inside, Geometry(geometry.shape, world @ geometry.affine), recipe.grid, track)
    values = intensity_step.normalise(
        carried,
        within,
        recipe.intensity,
        percentiles=recipe.percentiles,
        ceiling=recipe.ceiling,
        landmarks=recipe.landmarks,
    )
    track.step("intensity", intensity_step.VERSION, value_change=recipe.intensity)
    region = mask_step.erode_mm(within, recipe.grid.spacing_mm, recipe.erode_mm)
    if not region.any():
        raise PreparationFailed("no voxel lies deep enough to be examined", remedy="Check the mask.", code="mask_empty")
    track.step("erode", mask_step.VERSION)
    return Prepared(
        scan=Scan(values, recipe.grid, scan.scan_id, scan.source, scan.sequence),
        region=Region(region, recipe.grid, "examined", "erode"),
        history=History(steps=tuple(track.steps)),
        quality=quality,
        brain=brain,
        inside=Region(within, recipe.grid, "brain", "resample"),
        covariates={} if covariates is None else dict(covariates),
        subject=subject,
    )


def _brain(scan: Scan, given: Region | None, recipe: Recipe, track: Track) -> Region:
    """The whole brain on the scan's own grid; of a single slice the whole head."""
    if given is None and recipe.for_slices:
        brain = Region(head_step.head_mask(scan.voxels), scan.geometry, "head", "head_mask")
    elif given is None:
        brain = Region(mask_step.stripped_mask(scan.voxels), scan.geometry, "brain", "stripped_mask")
    elif scan.geometry.same_grid(given.geometry, _GRID_TOLERANCE_MM):
        brain = given
    else:
        raise InputError(
            "the mask does not lie on the scan's grid", remedy="Resample it to the scan's grid.", code="mask_grid"
        )
    if recipe.for_slices:
        track.step("mask", head_step.VERSION, value_change="0 outside the mask", share=float(brain.mask.mean()))
        return brain
    volume = mask_step.verify_volume(brain.mask, scan.geometry)
    track.step("mask", mask_step.VERSION, value_change="0 outside the mask", volume_ml=volume)
    return brain


def _cut_out(scan: Scan, brain: Region, track: Track) -> tuple[NDArray[np.float32], NDArray[np.bool_], Geometry]:
    """Voxels (0 outside the brain), mask and grid in RAS+ order, cut down to the brain."""
    voxels, inside, geometry = orient_step.orient(scan.voxels, brain.mask, scan.geometry)
    track.step("orient", orient_step.VERSION, geometry)
    start, shape = crop_step.box_of(inside, _MARGIN_VOXELS)
    voxels, _ = crop_step.crop(voxels, geometry, start, shape)
    inside, geometry = crop_step.crop(inside, geometry, start, shape)
    track.step("crop", crop_step.VERSION, geometry)
    return np.where(inside, voxels, np.float32(0.0)), inside, geometry


def _registered(
    native: NDArray[np.float32], inside: NDArray[np.bool_], geometry: Geometry, recipe: Recipe, track: Track
) -> NDArray[np.float64]:
    """(4, 4) matrix from the scan's world to the template's."""
    assert recipe.registration != "box"
    aligned = register_step.register(native, inside, geometry, kind=recipe.registration)
    if aligned.correlation < recipe.least_correlation or aligned.overlap < recipe.least_overlap:
        raise PreparationFailed(
            f"the registration to the template failed (correlation {aligned.correlation:.2f}, "
            f"overlap {aligned.overlap:.2f}; at least {recipe.least_correlation:.2f} and "
            f"{recipe.least_overlap:.2f} are needed)",
            remedy="Check that the scan is an upright, skull-stripped adult brain, and its header.",
            code="registration",
        )
    track.step(
        "register",
        register_step.VERSION,
        Geometry(geometry.shape, aligned.world @ geometry.affine),
        world=aligned.world,
        correlation=aligned.correlation,
        upright=aligned.upright,
        overlap=aligned.overlap,
        scale=aligned.scale,
        stretch=aligned.stretch,
        rotation_deg=aligned.rotation_deg,
    )
    return aligned.world


def _boxed(inside: NDArray[np.bool_], geometry: Geometry, recipe: Recipe, track: Track) -> NDArray[np.float64]:
    """(4, 4) matrix that brings the head of a slice to the grid."""
    world = head_step.to_box(inside, geometry, recipe.grid)
    moved = Geometry(geometry.shape, world @ geometry.affine)
    _, (x, y, _) = crop_step.box_of(inside, 0)
    length = (x * geometry.spacing_mm[0], y * geometry.spacing_mm[1])
    fill = float(inside.sum()) / (x * y)
    track.step("box", head_step.VERSION, moved, world=world, scale=world[0, 0], aspect=length[0] / length[1], fill=fill)
    return world


def _measured(
    native: NDArray[np.float32],
    inside: NDArray[np.bool_],
    geometry: Geometry,
    world: NDArray[np.float64],
    track: Track,
) -> dict[str, float | None]:
    """Quality metrics of the native voxels."""
    try:
        tissue = classify(native, inside, register_step.tissue_maps(geometry, world), seed=_TISSUE_SEED)
        quality = measure(native, inside, tissue.labels, geometry.spacing_mm, air=None)
    except InputError as error:
        raise PreparationFailed(error.cause, remedy=error.remedy, code=error.code) from error
    csf, grey, white = (float(m) for m in tissue.means)
    if not white > 0:
        raise PreparationFailed("white matter is not brighter than 0", remedy="Check the scan.", code="no_white")
    track.step("quality", _QUALITY_VERSION, csf_to_white=csf / white, grey_to_white=grey / white, white=white)
    return quality


def _resampled(
    native: NDArray[np.float32], inside: NDArray[np.bool_], moved: Geometry, grid: Geometry, track: Track
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Voxels and mask on the model's grid."""
    values, within = resample_step.resample(native, inside, moved, grid)
    if not within.any():
        raise PreparationFailed("nothing of the brain lies on the model's grid", remedy="Check the scan's header.")
    change = "low-pass where the grid is coarser, linear interpolation, both weighted by the mask"
    track.step("resample", resample_step.VERSION, grid, value_change=change)
    return values, within
