"""Published recipes against the library they were made with, and against their definitions written out slowly."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from anomri.io import array_scan
from anomri.simulate import RECIPES, corrupt
from anomri.simulate.artefacts.artefact import Clean
from anomri.simulate.recipes import itermask3d, two_stage
from anomri.simulate.recipes.itermask3d import Nothing, Seeded, normalised
from anomri.simulate.recipes.two_stage import GhostingRecipe, MotionRecipe, SpikeRecipe


def seen(voxels: np.ndarray, *, brain=None, affine=None, spacing_mm=(1.0, 1.0, 1.0)) -> Clean:
    values = np.asarray(voxels, dtype=np.float32)
    return Clean(
        voxels=values,
        brain=np.ones(values.shape, dtype=bool) if brain is None else brain,
        spacing_mm=spacing_mm,
        orientation="RAS",
        white_signal=100.0,
        stripped=False,
        csf_signal=20.0,
        affine=np.eye(4) if affine is None else affine,
    )


@pytest.fixture(scope="module")
def blob() -> np.ndarray:
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in (24, 30, 28)], indexing="ij")
    ball = 300.0 * np.exp(-6.0 * (x**2 + 1.4 * y**2 + 0.8 * (z - 0.1) ** 2))
    return np.where(ball > 10.0, ball, 0.0).astype(np.float32)


def test_motion_spike_and_ghosting_equal_the_library(blob):
    torchio = pytest.importorskip("torchio")
    import torch

    affine = np.diag([-1.5, 1.4, 1.6, 1.0])
    affine[:3, 3] = [17.0, -20.0, -22.0]
    image = torchio.Subject(x=torchio.ScalarImage(tensor=torch.from_numpy(blob.copy())[None], affine=affine))
    clean = seen(blob, affine=affine, spacing_mm=(1.5, 1.4, 1.6))

    moves = MotionRecipe(
        degrees=((10.0, -5.0, 20.0), (0.0, 0.0, -12.0), (3.0, 4.0, 5.0)),
        translations_mm=((2.0, -3.0, 1.0), (0.0, 4.0, 0.0), (-2.0, 1.0, 3.0)),
        times=(0.3, 0.48, 0.8),
    )
    library = torchio.transforms.Motion(
        degrees={"x": np.array(moves.degrees)},
        translation={"x": np.array(moves.translations_mm)},
        times={"x": np.array(moves.times)},
        image_interpolation={"x": "linear"},
    )
    expected = library(image).x.data[0].numpy()
    np.testing.assert_allclose(two_stage.apply_motion(clean, moves), expected, atol=0.01 * blob.max())

    spikes = SpikeRecipe(positions=((0.3, 0.4, 0.45), (0.7, 0.2, 0.6)), intensity=0.4)
    library = torchio.transforms.Spike({"x": np.array(spikes.positions)}, {"x": spikes.intensity})
    expected = library(image).x.data[0].numpy()
    np.testing.assert_allclose(two_stage.apply_spike(clean, spikes), expected, atol=1e-3 * blob.max())

    library = torchio.transforms.Ghosting({"x": 3}, {"x": 1}, {"x": 2.0}, {"x": 0.02})
    expected = library(image).x.data[0].numpy()
    made = two_stage.apply_ghosting(clean, GhostingRecipe(ghosts=3, axis=1))
    np.testing.assert_allclose(made, expected, atol=1e-4 * blob.max())


def test_noise_blur_and_square_are_as_written():
    rng = np.random.default_rng(0)
    clean = seen(rng.uniform(100.0, 200.0, (40, 40, 21)))
    noisy = two_stage.apply_noise(clean, two_stage.NoiseRecipe(mean=-500.0, noise_seed=1)) - clean.voxels
    assert noisy.mean() == pytest.approx(-500.0, abs=15.0)
    assert noisy.std() == pytest.approx(600.0, rel=0.02)
    squared = two_stage.apply_square(clean, two_stage.SquareRecipe())
    changed = squared != clean.voxels
    assert changed.sum() == 20 * 20 * 3
    assert squared[changed].mean() == pytest.approx(5.0 * clean.voxels[changed].mean(), rel=1e-5)
    assert len(np.unique(squared[changed])) == 1


def test_what_is_drawn_lies_where_the_recipe_says():
    clean = seen(np.ones((4, 4, 4)))
    for seed in range(20):
        rng = np.random.default_rng(seed)
        moves = two_stage.draw_motion(clean, 1, rng)
        assert len(moves.times) == 10
        assert np.all(np.diff(moves.times) > 0)
        assert np.abs(moves.degrees).max() <= 30.0
        assert np.abs(moves.translations_mm).max() <= 50.0
        spikes = two_stage.draw_spike(clean, 1, rng)
        assert len(spikes.positions) == 7
        assert abs(spikes.intensity) <= 0.95
        ghosts = two_stage.draw_ghosting(clean, 1, rng)
        assert ghosts.ghosts in (2, 3, 4)
        assert ghosts.axis in (0, 1)
        assert abs(two_stage.draw_noise(clean, 1, rng).mean) <= 2000.0


@pytest.fixture(scope="module")
def volume() -> Clean:
    """Thin in two directions, on the second axis the recipe's own grid of 192."""
    rng = np.random.default_rng(1)
    brain = np.zeros((12, 192, 10), dtype=bool)
    brain[2:-2, 20:170, 1:-1] = True
    return seen(np.where(brain, rng.uniform(50.0, 150.0, brain.shape), 0.0), brain=brain)


def test_chunks_are_thirty_slices_at_the_stated_place(volume):
    for made, first in (
        (itermask3d.apply_top_chunk(volume, Nothing()), 20),
        (itermask3d.apply_middle_chunk(volume, Nothing()), 80),
    ):
        expected = volume.voxels.copy()
        expected[:, first : first + 30] = 0.0
        np.testing.assert_array_equal(made, expected)


def change(volume: Clean, made: np.ndarray) -> np.ndarray:
    """The recipe's result on its own normalised volume."""
    before, spread = normalised(volume)
    return before + (made - volume.voxels) / spread


def test_the_bias_field_has_its_stated_centre_and_corners():
    clean = seen(np.random.default_rng(0).uniform(50.0, 150.0, (9, 9, 9)))
    before, _ = normalised(clean)
    field = (change(clean, itermask3d.apply_bias(clean, Nothing())) + 3.0) / (before + 3.0)
    # As measured on the published code: 1.105, 7.39 and 0.549.
    assert field[4, 4, 4] == pytest.approx(1.105, abs=1e-3)
    assert field[8, 8, 8] == pytest.approx(7.39, abs=0.01)
    assert field[0, 0, 0] == pytest.approx(0.549, abs=1e-3)


def test_the_spike_is_one_wave_of_four_times_the_largest_entry(volume):
    before, _ = normalised(volume)
    spectrum = np.fft.fftshift(np.fft.fftn(before.astype(np.float64)))
    flat = spectrum.ravel()
    spectrum[tuple(int(0.45 * n) for n in before.shape)] += 4.0 * flat[np.argmax(flat.real)]
    expected = np.fft.ifftn(np.fft.ifftshift(spectrum)).real
    np.testing.assert_allclose(change(volume, itermask3d.apply_spike(volume, Nothing())), expected, atol=2e-3)


def test_every_fourth_plane_is_inverted_but_for_two(volume):
    before, _ = normalised(volume)
    made = change(volume, itermask3d.apply_ghosting(volume, Nothing()))
    planes = [np.fft.fftshift(np.fft.fft(v[4:8, :, 4:6], axis=1), axes=1) for v in (made, before)]
    own = np.median((planes[0] / planes[1]).real, axis=(0, 2))
    assert own[96] == pytest.approx(1.0, abs=1e-3)
    assert own[0] == pytest.approx(-1.0, abs=1e-2)
    assert own[100] == pytest.approx(-1.0, abs=1e-2)
    assert own[101] == pytest.approx(1.0, abs=1e-2)


def test_kspace_noise_lies_within_its_share_and_leaves_the_middle_rows():
    rng = np.random.default_rng(2)
    clean = seen(rng.uniform(50.0, 150.0, (32, 16, 2)))
    before, _ = normalised(clean)
    made = change(clean, itermask3d.apply_noise(clean, Seeded(noise_seed=5)))
    for z in range(2):
        old = np.fft.fftshift(np.fft.fft2(before[:, :, z]))
        added = np.fft.fftshift(np.fft.fft2(made[:, :, z])) - old
        # The image's real part halves what has no mirror image, so the noise of a row may only be smaller.
        assert np.abs(added.real).max() <= 0.003 * np.abs(old.real).max() * 1.01
        np.testing.assert_allclose(added[16], 0.0, atol=1e-3)
        assert np.abs(added[8]).max() > 0


def test_zipper_bands_hold_noise_over_the_slice_s_range_and_nothing_else_changes(volume):
    made = change(volume, itermask3d.apply_zipper(volume, Seeded(noise_seed=0)))
    before, _ = normalised(volume)
    inside = np.zeros(192, dtype=bool)
    for first in (60, 90, 120):
        inside[first : first + 5] = True
    np.testing.assert_allclose(made[:, ~inside], before[:, ~inside], atol=1e-5)
    bands = made[:, inside, 5]
    assert bands.min() >= before[:, :, 5].min() - 1e-4
    assert bands.max() <= before[:, :, 5].max() + 1e-4
    # Uniform: mean in the middle of the range, spread a √12th of it.
    span = before[:, :, 5].max() - before[:, :, 5].min()
    assert bands.std() == pytest.approx(span / np.sqrt(12.0), rel=0.15)


# Those of the two-stage system act on raw units, and say so.
@pytest.mark.parametrize("kind", [kind for kind in RECIPES if kind.startswith("itermask3d")])
def test_a_recipe_changes_the_scan_alike_whatever_its_units(kind):
    rng = np.random.default_rng(3)
    voxels = rng.uniform(50.0, 150.0, (12, 40, 10)).astype(np.float32)
    brain = np.ones(voxels.shape, dtype=bool)
    one, ten = (
        corrupt(array_scan(voxels * factor, np.eye(4)), kind, severity=1, seed=0, brain=brain) for factor in (1.0, 10.0)
    )
    np.testing.assert_allclose(ten.scan.voxels, 10.0 * one.scan.voxels, rtol=1e-3, atol=2.0)


def test_recipes_are_named_after_their_source():
    prefixes = [kind.split("-")[0] for kind in RECIPES]
    assert [name for name, _ in itertools.groupby(prefixes)] == ["tokens", "itermask3d"]
