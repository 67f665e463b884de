"""Running a recipe: the one function that turns a scan as read into a scan ready for a method.

mask → orient → crop → register → measure quality → correct bias → resample → normalise → erode. Only resampling
interpolates; registration moves the world under the voxels instead. `fit`, `calibrate`, `score` and every benchmark
call `prepare`, so there is one path. Recipes for single slices and for bodies have other masks and no template, see
`head` and `body`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from anomri.core.geometry import Geometry
from anomri.core.history import History
from anomri.core.prepared import Prepared
from anomri.core.region import Region
from anomri.core.scan import Scan
from anomri.errors import InputError, PreparationFailed
from anomri.preparation import bias as bias_step
from anomri.preparation import body as body_step
from anomri.preparation import crop as crop_step
from anomri.preparation import head as head_step
from anomri.preparation import intensity as intensity_step
from anomri.preparation import mask as mask_step
from anomri.preparation import orient as orient_step
from anomri.preparation import register as register_step
from anomri.preparation import resample as resample_step
from anomri.preparation.itk import one_thread
from anomri.preparation.recipe import QUALITY_VERSION, Recipe
from anomri.preparation.track import Track
from anomri.quality import classify, measure, measure_without_tissue

__all__ = ["prepare"]

_TISSUE_SEED = 0
_MARGIN_VOXELS = 3
# Two programs that write the same grid differ by rounding alone.
_GRID_TOLERANCE_MM = 0.1


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
    mask : the brain or body where the user or a network knows it; otherwise found as the recipe's kind of scan asks.
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
    if recipe.for_slices or recipe.for_bodies:
        place = _boxed if recipe.for_slices else _centred
        world = place(inside, geometry, recipe, track)
        quality = measure_without_tissue(native, inside, geometry.spacing_mm)
        track.step("quality", QUALITY_VERSION)
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
    erode = body_step.erode_in_plane if recipe.for_bodies else mask_step.erode_mm
    region = erode(within, recipe.grid.spacing_mm, recipe.erode_mm)
    if not region.any():
        raise PreparationFailed("no voxel lies deep enough to be examined", remedy="Check the mask.", code="mask_empty")
    track.step("erode", mask_step.VERSION)
    return Prepared(
        scan=Scan(values, recipe.grid, scan.scan_id, scan.source, scan.sequence),
        region=Region(region, recipe.grid, "examined", "erode"),
        history=History(steps=tuple(track.steps)),
        quality=quality,
        brain=brain,
        inside=Region(within, recipe.grid, "body" if recipe.for_bodies else "brain", "resample"),
        covariates={} if covariates is None else dict(covariates),
        subject=subject,
    )


def _brain(scan: Scan, given: Region | None, recipe: Recipe, track: Track) -> Region:
    """The whole brain on the scan's own grid; of a single slice the whole head, of a pelvis the whole body."""
    if given is None and recipe.for_slices:
        brain = Region(head_step.head_mask(scan.voxels), scan.geometry, "head", "head_mask")
    elif given is None and recipe.for_bodies:
        brain = Region(body_step.body_mask(scan.voxels, scan.geometry), scan.geometry, "body", "body_mask")
    elif given is None:
        brain = Region(mask_step.stripped_mask(scan.voxels), scan.geometry, "brain", "stripped_mask")
    elif scan.geometry.same_grid(given.geometry, _GRID_TOLERANCE_MM):
        brain = given
    else:
        raise InputError(
            "the mask does not lie on the scan's grid", remedy="Resample it to the scan's grid.", code="mask_grid"
        )
    if recipe.for_slices or recipe.for_bodies:
        version = head_step.VERSION if recipe.for_slices else body_step.VERSION
        track.step("mask", version, value_change="0 outside the mask", share=float(brain.mask.mean()))
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
    kind, any_contrast = recipe.registration, recipe.registration == "affine-any"
    aligned = register_step.register(
        native, inside, geometry, kind="rigid" if kind == "rigid" else "affine", any_contrast=any_contrast
    )
    if aligned.correlation < recipe.least_correlation or aligned.overlap < recipe.least_overlap:
        raise PreparationFailed(
            f"the registration to the template failed (correlation {aligned.correlation:.2f}, "
            f"overlap {aligned.overlap:.2f}; at least {recipe.least_correlation:.2f} and "
            f"{recipe.least_overlap:.2f} are needed)",
            remedy="Check that it is an upright adult brain of the model's contrast, cut out well, and its header.",
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


def _centred(inside: NDArray[np.bool_], geometry: Geometry, recipe: Recipe, track: Track) -> NDArray[np.float64]:
    """(4, 4) matrix that brings a body to the middle of the grid."""
    world = body_step.to_middle(inside, geometry, recipe.grid)
    moved = Geometry(geometry.shape, world @ geometry.affine)
    _, (x, y, _) = crop_step.box_of(inside, 0)
    track.step(
        "body",
        body_step.VERSION,
        moved,
        world=world,
        width_mm=x * geometry.spacing_mm[0],
        depth_mm=y * geometry.spacing_mm[1],
        fullness=float(inside.any(axis=2).sum()) / (x * y),
    )
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
    track.step("quality", QUALITY_VERSION, csf_to_white=csf / white, grey_to_white=grey / white, white=white)
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
