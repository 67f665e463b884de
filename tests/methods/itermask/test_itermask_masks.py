"""What is hidden in training, and the image that guides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomri.methods.itermask.masks import gaussian_cloud, high_frequency


def ellipsoid(shape: tuple[int, ...], radii: tuple[float, ...]) -> np.ndarray:
    away = [((np.arange(n) - (n - 1) / 2) / r) ** 2 for n, r in zip(shape, radii, strict=True)]
    return sum(np.meshgrid(*away, indexing="ij")) < 1.0


def closed_rule(image: np.ndarray, spacing_mm: tuple[float, ...], *, kind: str) -> np.ndarray:
    """The rule as written: the full transform, every bin by its distance to the middle."""
    spectrum = np.fft.fftshift(np.fft.fftn(image.astype(np.float64)))
    at = [np.fft.fftshift(np.fft.fftfreq(n, d=s)) for n, s in zip(image.shape, spacing_mm, strict=True)]
    distance = np.sqrt(sum(np.square(a) for a in np.meshgrid(*at, indexing="ij")))
    cut_off = 15 / 192 if image.ndim == 3 else 15 / 240
    low = distance < cut_off - 1e-12
    amplitude = np.where(low, 1.0 if kind == "published" else 0.0, np.abs(spectrum))
    return np.real(np.fft.ifftn(np.fft.ifftshift(amplitude * np.exp(1j * np.angle(spectrum)))))


@pytest.mark.parametrize("kind", ["published", "highpass"])
@pytest.mark.parametrize("shape", [(32, 48, 16), (31, 27, 33), (30, 17)])
def test_it_follows_the_rule_on_any_grid(kind, shape):
    image = np.random.default_rng(0).normal(2.0, 1.0, size=shape).astype(np.float32)
    found = high_frequency(image, spacing_mm=(2.0,) * len(shape), kind=kind)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, closed_rule(image, (2.0,) * len(shape), kind=kind), atol=1e-4)


def test_a_delta_keeps_all_but_a_small_ball():
    delta = np.zeros((48, 48, 48), dtype=np.float32)
    delta[20, 11, 30] = 1.0
    # All its amplitudes are 1, so that setting the low ones to 1 changes nothing.
    np.testing.assert_allclose(high_frequency(delta, spacing_mm=(4.0,) * 3), delta, atol=1e-6)
    low = delta - high_frequency(delta, spacing_mm=(4.0,) * 3, kind="highpass")
    assert low.max() == pytest.approx(low[20, 11, 30])
    assert low[20, 11, 30] == pytest.approx(13_997 / 48**3, rel=1e-3)


@pytest.mark.parametrize(("bins", "kept"), [(14, False), (15, True), (16, True)])
def test_a_wave_survives_from_the_cut_off_on(bins, kept):
    wave = np.broadcast_to(np.cos(2 * np.pi * bins * np.arange(192) / 192)[:, None, None], (192, 8, 8))
    wave = wave.astype(np.float32)
    found = high_frequency(wave, spacing_mm=(1.0, 24.0, 24.0), kind="highpass")
    np.testing.assert_allclose(found, wave if kept else 0.0, atol=1e-5)


def test_the_published_grid_loses_the_published_number_of_bins():
    noise = np.random.default_rng(0).standard_normal((192, 192, 192)).astype(np.float32)
    spectrum = np.abs(np.fft.rfftn(high_frequency(noise, spacing_mm=(1.0,) * 3, kind="highpass")))
    # Half a spectrum: the plane z = 0 stands once, every other plane of the ball for two.
    inside = spectrum[:, :, :97] < 1e-1
    assert 2 * int(inside.sum()) - int(inside[:, :, 0].sum()) == 13_997


def test_the_cut_off_is_a_length_whatever_the_grid():
    fine = np.random.default_rng(1).standard_normal((64, 64)).astype(np.float32)
    for spacing, period_px in ((1.0, 32), (2.0, 16)):
        wave = np.broadcast_to(np.cos(2 * np.pi * np.arange(64) / period_px), (64, 64)).astype(np.float32)
        assert np.abs(high_frequency(wave, spacing_mm=(spacing,) * 2, kind="highpass")).max() < 1e-5
    assert np.abs(high_frequency(fine, spacing_mm=(1.0,) * 2, kind="highpass")).max() > 1.0


def test_clouds_have_the_published_sizes():
    brain = ellipsoid((160, 192, 160), (62, 78, 80))
    assert 1.5e6 < brain.sum() < 1.75e6
    rng = np.random.default_rng(0)
    shares = np.array([gaussian_cloud(brain, spacing_mm=1.0, rng=rng).sum() / brain.sum() for _ in range(60)])
    # Of 240 draws: median 5.8 %, mean 11 %, at most 70 %.
    assert 0.03 < np.median(shares) < 0.10
    assert 0.07 < shares.mean() < 0.16
    assert 0.15 < shares.max() < 0.8
    assert shares.min() > 0.0005


test_clouds_have_the_published_sizes = pytest.mark.slow(test_clouds_have_the_published_sizes)


def test_clouds_keep_their_size_in_millimetres():
    fine, coarse = ellipsoid((96, 96, 96), (44, 44, 44)), ellipsoid((48, 48, 48), (22, 22, 22))
    medians = []
    for brain, spacing in ((fine, 1.0), (coarse, 2.0)):
        rng = np.random.default_rng(5)
        medians.append(np.median([gaussian_cloud(brain, spacing_mm=spacing, rng=rng).mean() for _ in range(25)]))
    assert medians[1] == pytest.approx(medians[0], rel=0.35)


@settings(deadline=None, max_examples=15, derandomize=True)
@given(st.integers(0, 10_000), st.sampled_from([(33, 21, 27), (25, 30)]), st.sampled_from([1.0, 2.0]))
def test_a_cloud_lies_in_the_brain_on_any_grid_and_hides_something(seed, shape, spacing):
    brain = np.zeros(shape, dtype=bool)
    brain[(slice(2, -3),) * len(shape)] = True
    cloud = gaussian_cloud(brain, spacing_mm=spacing, rng=np.random.default_rng(seed))
    assert cloud.shape == shape
    assert cloud.any()
    assert not (cloud & ~brain).any()


def test_a_cloud_at_the_edge_does_not_come_back_on_the_other_side():
    brain = np.ones((128, 16, 16), dtype=bool)
    near = np.zeros_like(brain)
    near[:4] = True
    for seed in range(20):
        rng = np.random.default_rng(seed)
        cloud = gaussian_cloud(near | (np.arange(128) > 100)[:, None, None], spacing_mm=2.0, rng=rng)
        # A cloud is one heap of at most 4 × √10 × 8 mm about its centre.
        assert not (cloud[:4].any() and cloud[120:].any())


def test_clouds_differ_from_draw_to_draw_and_repeat_with_the_seed():
    brain = np.ones((24, 24, 24), dtype=bool)
    one, other = (gaussian_cloud(brain, spacing_mm=2.0, rng=np.random.default_rng(s)) for s in (1, 2))
    again = gaussian_cloud(brain, spacing_mm=2.0, rng=np.random.default_rng(1))
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(one, again)
