from __future__ import annotations

import numpy as np
import pytest
from scipy import fft, ndimage

from anomri.quality.spectrum import (
    ghost_amplitude,
    line_profiles,
    line_ripple,
    line_spectrum,
    line_steps,
    spectral_metrics,
    taper,
)

SHAPE = (48, 60, 40)
SPACING = (2.0, 2.0, 2.0)


def noise_image(seed: int, sigma: float = 0.0) -> np.ndarray:
    draw = np.random.default_rng(seed).standard_normal(SHAPE)
    return (ndimage.gaussian_filter(draw, sigma, mode="wrap") if sigma else draw).astype(np.float32)


def profiles_of(image: np.ndarray) -> tuple:  # type: ignore[type-arg]
    amplitude = np.abs(fft.rfftn(image))
    x, y, z = (np.square(fft.fftfreq(n, s)) for n, s in zip(SHAPE, SPACING, strict=True))
    radius = np.sqrt(x[:, None, None] + y[None, :, None] + z[None, None, :])[:, :, : SHAPE[2] // 2 + 1]
    return line_profiles(amplitude, radius.astype(np.float32), SHAPE, SPACING)


def test_line_power_is_the_mean_log_power_of_the_full_spectrum() -> None:
    image = noise_image(0, 0.8)
    power = np.log(np.abs(fft.fftn(image)) ** 2)
    frequency = [fft.fftfreq(n, s) for n, s in zip(SHAPE, SPACING, strict=True)]
    for axis, line in enumerate(profiles_of(image)):
        others = [a for a in range(3) if a != axis]
        across = np.hypot(*np.meshgrid(*(frequency[a] for a in others), indexing="ij")) >= 0.08
        by_line = np.moveaxis(power, axis, 0)
        slow = np.array([plane[across].mean() for plane in by_line])
        # The half spectrum counts the two planes that are their own mirror image twice as much.
        np.testing.assert_allclose(line.log_power, slow, atol=0.08)
        assert len(line.log_power) == SHAPE[axis]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("phase", [0.0, 2.5])
def test_a_ghost_shows_at_its_shift_with_its_strength(axis: int, phase: float) -> None:
    lines = SHAPE[axis]
    k = fft.fftfreq(lines, 1 / lines)
    gain = 1 + 0.2 * np.cos(2 * np.pi * k / 4 + phase)
    shape = [1, 1, 1]
    shape[axis] = lines
    spectrum = fft.fft(10.0 + noise_image(1), axis=axis) * gain.reshape(shape)
    image = np.abs(fft.ifft(spectrum, axis=axis))
    line = profiles_of((image - image.mean()).astype(np.float32))[axis]
    swing = np.abs(line.cepstrum)
    far = line.shift_mm >= 14
    assert line.shift_mm[far][np.argmax(swing[far])] == pytest.approx(lines / 4 * 2.0)
    assert ghost_amplitude(line) == pytest.approx(2 * 0.2 * abs(np.cos(phase)), rel=0.1)


def test_a_smooth_profile_has_neither_ghost_nor_ripple_nor_steps() -> None:
    k = fft.fftfreq(100)
    smooth = line_spectrum(5.0 - 20.0 * k**2, 1.0)
    assert ghost_amplitude(smooth) < 0.01
    assert line_ripple(smooth) < 0.05
    assert line_steps(smooth) < 0.01
    bad = 5.0 - 20.0 * k**2
    bad[[30, -30]] -= 2.0
    assert line_steps(line_spectrum(bad, 1.0)) == pytest.approx(
        np.sqrt((4 + 4 + 16) / len(np.arange(100 // 16, 49 - 2))), rel=0.05
    )


def test_the_cepstrum_is_the_amplitude_of_a_cosine() -> None:
    line = np.arange(80)
    found = line_spectrum(3.0 + 0.3 * np.cos(2 * np.pi * 20 * line / 80), 1.5)
    assert found.cepstrum[20] == pytest.approx(0.3)
    assert found.shift_mm[20] == pytest.approx(30.0)
    assert np.abs(np.delete(found.cepstrum, 20)).max() < 1e-12


def test_band_energies_follow_the_transfer_of_a_blur() -> None:
    mask = np.ones(SHAPE, dtype=bool)
    sharp, soft = noise_image(2), noise_image(2, 0.7)
    before, after = (spectral_metrics(v, mask, SPACING) for v in (sharp, soft))
    radius = 0.12
    expected = np.log10(np.exp(-((2 * np.pi * 1.4) ** 2) * (radius**2 - 0.06**2)))
    assert before["energy_low"] == pytest.approx(0.0, abs=0.05)
    assert after["energy_low"] is not None
    assert after["energy_low"] == pytest.approx(expected, abs=0.15)
    assert after["energy_middle"] < after["energy_low"]  # type: ignore[operator]


def test_a_lone_point_of_k_space_is_the_spectral_peak() -> None:
    mask = np.ones(SHAPE, dtype=bool)
    image = noise_image(3)
    quiet = spectral_metrics(image, mask, SPACING)["spectral_peak"]
    x, y, z = np.indices(SHAPE)
    wave = np.cos(2 * np.pi * (9 * x / 48 + 7 * y / 60 + 6 * z / 40)).astype(np.float32)
    loud = spectral_metrics(image + 0.5 * wave, mask, SPACING)["spectral_peak"]
    assert quiet is not None
    assert loud is not None
    # Of Rayleigh-distributed magnitudes the largest of n is about √(ln n) · 2/√π times the mean.
    assert quiet == pytest.approx(np.log10(np.sqrt(np.log(mask.size / 2)) * 2 / np.sqrt(np.pi)), abs=0.1)
    assert loud > quiet + 0.7


def test_the_taper_leaves_no_edge_and_no_mean() -> None:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[6:-6, 6:-6, 6:-6] = True
    faded = taper(np.where(mask, 7.0, 0.0).astype(np.float32), mask, SPACING)
    assert np.abs(faded).max() < 1e-4
    ramp = taper((np.arange(60, dtype=np.float32)[None, :, None] * mask).astype(np.float32), mask, SPACING)
    assert (ramp[~mask] == 0).all()
    assert np.abs(ramp.sum()) < 1e-2 * np.abs(ramp).sum()


def test_a_tiny_or_flat_image_has_no_spectrum() -> None:
    small = spectral_metrics(noise_image(0)[:10, :10, :10], np.ones((10, 10, 10), dtype=bool), SPACING)
    flat = spectral_metrics(np.zeros(SHAPE, dtype=np.float32), np.ones(SHAPE, dtype=bool), SPACING)
    assert set(small.values()) == {None}
    assert set(flat.values()) == {None}
