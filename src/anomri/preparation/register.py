"""Affine or rigid registration of a brain to the ICBM template: repeatable, and judged.

Mattes mutual information on all voxels of two pyramid levels (8 and 4 mm), one thread, no random sampling.

References
----------
Mattes D. et al., IEEE TMI 22(1), 120–128, 2003. Fonov V. et al., NeuroImage 54, 313–327, 2011.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from anomri.core.geometry import Geometry, carry, whole_voxels
from anomri.errors import PreparationFailed
from anomri.io.template import icbm_template
from anomri.preparation.crop import crop
from anomri.preparation.itk import from_itk, one_thread, to_itk, transform_of, world_matrix

__all__ = ["VERSION", "Alignment", "register", "tissue_maps"]

VERSION = 2
_GRID_MM = 2.0
_JUDGE_SPACING_MM = 3.0


@dataclass(frozen=True, eq=False, slots=True)
class Alignment:
    """A registration and how good it is.

    Parameters
    ----------
    world : (4, 4) matrix from the scan's world to the template's, RAS mm.
    correlation : of scan and template inside both brains, both smoothed with σ = 2 mm; −1 to 1. For any contrast the
        multiple correlation of the scan with the template's tissue maps, whatever value each tissue has; 0 to 1.
    upright : `correlation` less the largest one the brain would have turned front to back, upside down, or both;
        a brain that lies as its header says is well above 0.
    overlap : Dice of the two brain masks, 0 to 1.
    scale : cube root of the determinant of `world`.
    stretch : largest over smallest singular value of `world`.
    rotation_deg : angle of the rotation in `world`.
    """

    world: NDArray[np.float64]
    correlation: float
    upright: float
    overlap: float
    scale: float
    stretch: float
    rotation_deg: float


def register(
    voxels: NDArray[np.float32],
    mask: NDArray[np.bool_],
    geometry: Geometry,
    *,
    kind: Literal["affine", "rigid"] = "affine",
    any_contrast: bool = False,
) -> Alignment:
    """Find the matrix that brings a brain to the template.

    Parameters
    ----------
    voxels : (X, Y, Z), 0 outside the mask.
    kind : ``affine`` 12 parameters, ``rigid`` 6.
    any_contrast : the scan need not be T1-weighted. The search is the same, mutual information asks for no contrast;
        `correlation` and `upright` are judged by tissues.

    Returns
    -------
    The alignment with its quality; judging it is the caller's business.

    Raises
    ------
    PreparationFailed : there is no signal, or the search for a matrix broke down.
    """
    bright = float(np.percentile(voxels[mask][::7], 99))
    if not bright > 0:
        raise PreparationFailed("there is no signal inside the mask", remedy="Check the mask.", code="no_signal")
    scaled = np.clip(voxels / bright, 0.0, 1.2)
    with one_thread():
        found = _search(scaled, mask, geometry, kind)
    world = np.linalg.inv(world_matrix(found)).astype(np.float64)
    return _judged(world, scaled, mask, geometry, any_contrast=any_contrast)


def tissue_maps(geometry: Geometry, world: NDArray[np.float64]) -> NDArray[np.float32]:
    """The template's CSF, grey and white matter on a scan's grid, (3, X, Y, Z), 0 beyond the template.

    Parameters
    ----------
    geometry : the scan's grid, free of shear.
    world : (4, 4) matrix from the scan's world to the template's.
    """
    there = to_itk(np.zeros(geometry.shape, dtype=np.uint8), geometry)
    maps = np.empty((3, *geometry.shape), dtype=np.float32)
    with one_thread():
        for values, image in zip(maps, _tissue_images(), strict=True):
            carried = sitk.Resample(image, there, transform_of(world), sitk.sitkLinear, 0.0, sitk.sitkFloat32)
            values[:] = from_itk(carried)
    return maps


@lru_cache(maxsize=1)
def _tissue_images() -> tuple[Any, ...]:
    template = icbm_template()
    x, y, z = template.geometry.shape
    # With a border of zeros the maps fall to 0 within a voxel, and nothing goes on beyond them.
    padded = (
        crop(m, template.geometry, (-1, -1, -1), (x + 2, y + 2, z + 2))
        for m in (template.csf, template.grey, template.white)
    )
    return tuple(to_itk(values, geometry) for values, geometry in padded)


def _search(
    scaled: NDArray[np.float32], mask: NDArray[np.bool_], geometry: Geometry, kind: Literal["affine", "rigid"]
) -> Any:
    """The transform from the template's world to the scan's."""
    # Averaged to about 2 mm first: the levels see nothing finer, and smoothing the native grid would cost seconds.
    factors = [max(1, whole_voxels(_GRID_MM, s)) for s in geometry.spacing_mm]
    moving = sitk.BinShrink(to_itk(scaled, geometry), factors)
    moving_mask = sitk.BinShrink(to_itk(mask.astype(np.float32), geometry), factors)
    fixed, fixed_mask = _fixed()
    start = sitk.CenteredTransformInitializer(
        fixed_mask,
        moving_mask,
        sitk.AffineTransform(3) if kind == "affine" else sitk.Euler3DTransform(),
        sitk.CenteredTransformInitializerFilter.MOMENTS,
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([4, 2])
    method.SetSmoothingSigmasPerLevel([4.0, 2.0])
    method.SetSmoothingSigmasAreSpecifiedInPhysicalUnits(True)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 0.005, 100, relaxationFactor=0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(start, inPlace=False)
    try:
        found = method.Execute(fixed, moving)
    except RuntimeError as error:
        raise PreparationFailed(
            "the registration to the template broke down", remedy="Check the scan and its header.", code="registration"
        ) from error
    linear: Any = sitk.AffineTransform(3) if kind == "affine" else sitk.Euler3DTransform()
    plain: Any = found.GetNthTransform(0) if isinstance(found, sitk.CompositeTransform) else found
    linear.SetFixedParameters(plain.GetFixedParameters())
    linear.SetParameters(plain.GetParameters())
    return linear


@lru_cache(maxsize=1)
def _fixed() -> tuple[Any, Any]:
    template = icbm_template()
    factors = [round(_GRID_MM)] * 3
    image = sitk.BinShrink(to_itk(template.t1w, template.geometry), factors)
    return image, sitk.BinShrink(to_itk(template.brain.astype(np.float32), template.geometry), factors)


@lru_cache(maxsize=2)
def _coarse_template(any_contrast: bool) -> tuple[Geometry, NDArray[np.float32], NDArray[np.bool_]]:
    """Grid, template (1, X, Y, Z) or tissue maps (3, X, Y, Z), and brain."""
    template = icbm_template()
    shape = tuple(int(np.ceil(n / _JUDGE_SPACING_MM)) for n in template.geometry.shape)
    affine = template.geometry.affine.copy()
    affine[:3, :3] *= _JUDGE_SPACING_MM
    grid = Geometry((shape[0], shape[1], shape[2]), affine)
    brain = carry(template.brain.astype(np.float32), template.geometry, grid) > 0.5
    maps = (template.csf, template.grey, template.white) if any_contrast else (template.t1w,)
    smooth = [carry(ndimage.gaussian_filter(m, 2.0), template.geometry, grid) for m in maps]
    return grid, np.stack(smooth), brain


def _judged(
    world: NDArray[np.float64],
    scaled: NDArray[np.float32],
    mask: NDArray[np.bool_],
    geometry: Geometry,
    *,
    any_contrast: bool,
) -> Alignment:
    grid, template, brain = _coarse_template(any_contrast)
    sigma = [2.0 / s for s in geometry.spacing_mm]
    carried = carry(ndimage.gaussian_filter(scaled, sigma, truncate=2.5), geometry, grid, world)
    inside = carry(mask.astype(np.float32), geometry, grid, world) > 0.5
    both = inside & brain
    correlation = _correlation(carried, inside, template, brain)
    turned = max(_correlation(*_turned(carried, inside, axes), template, brain) for axes in ((1,), (2,), (1, 2)))
    overlap = float(2 * both.sum() / max(int(inside.sum() + brain.sum()), 1))
    left, singular, right = np.linalg.svd(world[:3, :3])
    rotation = left @ right
    angle = float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))
    return Alignment(
        world=world,
        correlation=correlation,
        upright=correlation - turned,
        overlap=overlap,
        scale=float(np.cbrt(abs(np.linalg.det(world[:3, :3])))),
        stretch=float(singular[0] / singular[-1]),
        rotation_deg=angle,
    )


def _correlation(
    scan: NDArray[np.float32], inside: NDArray[np.bool_], template: NDArray[np.float32], brain: NDArray[np.bool_]
) -> float:
    both = inside & brain
    if both.sum() <= 100:
        return 0.0
    values, known = scan[both].astype(np.float64), template[:, both].astype(np.float64)
    if len(known) > 1:
        # The mixture of tissues that comes closest to the values; its correlation with them is never negative.
        mixed = np.vstack([known, np.ones(len(values))])
        weights, *_ = np.linalg.lstsq(mixed.T, values, rcond=None)
        known = np.asarray(weights @ mixed, dtype=np.float64)[None]
    with np.errstate(all="ignore"):
        correlation = float(np.corrcoef(values, known[0])[0, 1])
    return correlation if np.isfinite(correlation) else 0.0


def _turned(
    scan: NDArray[np.float32], inside: NDArray[np.bool_], axes: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Scan and mask mirrored along axes, within the box of the mask so that the brain keeps its place."""
    if not inside.any():
        return scan, inside
    box = ndimage.find_objects(inside.astype(np.int8))[0]
    turned, mask = np.zeros_like(scan), np.zeros_like(inside)
    turned[box], mask[box] = np.flip(scan[box], axes), np.flip(inside[box], axes)
    return turned, mask
