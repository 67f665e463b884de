"""A brain moved by a known matrix is brought back; one that does not fit is judged so."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial.transform import Rotation
from threadpoolctl import threadpool_info, threadpool_limits

from anomri.core.geometry import Geometry, apply_affine, carry
from anomri.errors import PreparationFailed
from anomri.io.template import icbm_template
from anomri.preparation.itk import one_thread
from anomri.preparation.register import Alignment, register, tissue_maps

# Template world → scan world: what a real head does to an average one.
MOVED = np.eye(4)
MOVED[:3, :3] = Rotation.from_euler("xyz", [6, -4, 5], degrees=True).as_matrix() @ np.diag([0.93, 0.95, 0.97])
MOVED[:3, 3] = (6.0, -9.0, 12.0)
RIGID = np.eye(4)
RIGID[:3, :3] = Rotation.from_euler("xyz", [-5, 3, 7], degrees=True).as_matrix()
RIGID[:3, 3] = (-5.0, 8.0, 3.0)
UPSIDE_DOWN = np.diag([-1.0, 1.0, -1.0, 1.0])


def scan_of(world: np.ndarray, spacing_mm: float = 2.0) -> tuple[np.ndarray, np.ndarray, Geometry]:
    """The template seen through `world` on a grid of its own, with some noise; its mask and grid."""
    template = icbm_template()
    brain = apply_affine(template.geometry.affine, np.argwhere(template.brain[::4, ::4, ::4]) * 4.0)
    here = apply_affine(world, brain)
    low, high = here.min(axis=0) - 8, here.max(axis=0) + 8
    shape = np.ceil((high - low) / spacing_mm).astype(int) + 1
    affine = np.diag([spacing_mm] * 3 + [1.0])
    affine[:3, 3] = low
    grid = Geometry((int(shape[0]), int(shape[1]), int(shape[2])), affine)
    voxels = np.indices(grid.shape).reshape(3, -1).T.astype(float)
    home = np.linalg.inv(template.geometry.affine) @ np.linalg.inv(world) @ affine
    index = apply_affine(home, voxels).T
    values = ndimage.map_coordinates(template.t1w, index, order=1).reshape(grid.shape)
    inside = ndimage.map_coordinates(template.brain.astype(np.float32), index, order=1).reshape(grid.shape) > 0.5
    noise = 1 + 0.03 * np.random.default_rng(0).normal(size=grid.shape)
    return np.where(inside, 700 * values * noise, 0.0).astype(np.float32), inside, grid


def surface_error_mm(found: Alignment, world: np.ndarray) -> np.ndarray:
    """How far from its place a point of the template's surface ends, after the move and the way back."""
    template = icbm_template()
    shell = template.brain & ~ndimage.binary_erosion(template.brain)
    points = apply_affine(template.geometry.affine, np.argwhere(shell)[::50].astype(float))
    return np.linalg.norm(apply_affine(found.world, apply_affine(world, points)) - points, axis=1)


@pytest.fixture(scope="module")
def moved() -> tuple[np.ndarray, np.ndarray, Geometry]:
    return scan_of(MOVED)


@pytest.fixture(scope="module")
def aligned(moved) -> Alignment:
    return register(*moved)


def test_a_known_affine_is_recovered_at_the_surface_of_the_brain(aligned):
    error = surface_error_mm(aligned, MOVED)
    assert error.mean() < 1.0
    assert error.max() < 2.0


def test_a_good_registration_is_judged_good_and_its_measures_are_those_of_the_matrix(aligned):
    assert aligned.correlation > 0.9
    assert aligned.overlap > 0.95
    sizes = np.array([0.93, 0.95, 0.97])
    assert aligned.scale == pytest.approx(1 / np.cbrt(sizes.prod()), rel=0.01)
    assert aligned.stretch == pytest.approx(0.97 / 0.93, rel=0.02)
    turn = np.degrees(
        Rotation.from_matrix(Rotation.from_euler("xyz", [6, -4, 5], degrees=True).as_matrix()).magnitude()
    )
    assert aligned.rotation_deg == pytest.approx(turn, abs=0.7)


def test_the_same_scan_gives_the_same_matrix_to_the_last_bit(moved, aligned):
    # With two threads SimpleITK sums in the order in which they end, so both runs must have been on one.
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    again = register(*moved)
    assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == before
    assert again.world.tobytes() == aligned.world.tobytes()
    assert (again.correlation, again.overlap) == (aligned.correlation, aligned.overlap)


def test_the_template_s_tissue_lies_on_the_scan_s_grid_as_carrying_it_would_bring_it():
    template = icbm_template()
    turned = Rotation.from_euler("xyz", [8, -5, 12], degrees=True).as_matrix() @ np.diag([-2.5, 3.1, 2.2])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turned, -turned @ np.array([33.0, 40.0, 45.0])
    grid = Geometry((66, 80, 90), affine)
    found = tissue_maps(grid, MOVED)
    for values, tissue in zip(found, (template.csf, template.grey, template.white), strict=True):
        np.testing.assert_allclose(values, carry(tissue, template.geometry, grid, np.linalg.inv(MOVED)), atol=1e-4)
    assert found.max() > 0.9


def test_on_one_thread_blas_is_too_and_gets_its_threads_back():
    def threads() -> list[int]:
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    with threadpool_limits(limits=2, user_api="blas"):
        before = threads()
        with one_thread():
            assert set(threads()) == {1}
        assert threads() == before


def test_a_rigid_registration_keeps_sizes():
    found = register(*scan_of(RIGID), kind="rigid")
    linear = found.world[:3, :3]
    np.testing.assert_allclose(linear.T @ linear, np.eye(3), atol=1e-6)
    assert surface_error_mm(found, RIGID).max() < 2.0


def test_an_upside_down_brain_is_judged_much_worse(aligned):
    found = register(*scan_of(UPSIDE_DOWN @ MOVED))
    assert found.correlation < 0.5 * aligned.correlation
    assert found.overlap < aligned.overlap - 0.03


def test_a_mask_without_signal_is_no_brain(moved):
    voxels, inside, grid = moved
    with pytest.raises(PreparationFailed) as error:
        register(np.zeros_like(voxels), inside, grid)
    assert error.value.code == "no_signal"
