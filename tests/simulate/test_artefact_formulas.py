"""Every artefact against its formula, worked out another way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from anomri.simulate import ARTEFACTS, corrupt
from anomri.simulate.artefacts.artefact import Clean, noise_sd
from anomri.simulate.artefacts.bias import BiasDrawn, apply_bias
from anomri.simulate.artefacts.blur import BlurDrawn, apply_blur
from anomri.simulate.artefacts.ghosting import GhostingDrawn, apply_ghosting
from anomri.simulate.artefacts.missing import SHARE
from anomri.simulate.artefacts.motion import MotionDrawn, apply_motion, four_shears
from anomri.simulate.artefacts.noise import NoiseDrawn, apply_noise
from anomri.simulate.artefacts.spike import SpikeDrawn, apply_spike


def seen(voxels: np.ndarray, *, spacing_mm=(1.0, 1.0, 1.0), stripped=False, brain=None) -> Clean:
    values = np.asarray(voxels, dtype=np.float32)
    return Clean(
        voxels=values,
        brain=np.ones(values.shape, dtype=bool) if brain is None else brain,
        spacing_mm=spacing_mm,
        orientation="RAS",
        white_signal=100.0,
        csf_signal=20.0,
        affine=np.eye(4),
        stripped=stripped,
    )


def test_a_ghost_of_a_point_lies_where_the_formula_puts_it():
    # 24 lines, every fourth modulated: ghosts of half the depth at 12 ± 6, the point itself stays.
    image = np.zeros((3, 24, 2))
    image[1, 12, 0] = 10.0
    ghosted = apply_ghosting(seen(image), GhostingDrawn(axis=1, depth=0.4, period=4, phase=0.7))
    expected = np.zeros_like(image)
    expected[1, [6, 12, 18], 0] = [2.0, 10.0, 2.0]
    np.testing.assert_allclose(ghosted, expected, atol=1e-5)


def test_ghosting_is_the_modulation_of_lines_in_a_slow_fourier_transform():
    rng = np.random.default_rng(0)
    image = rng.uniform(0.0, 5.0, (1, 9, 1))
    n, a, period, phase = 9, 0.7, 3, 1.1
    k = np.arange(-4, 5)
    forward = np.exp(-2j * np.pi * np.outer(k, np.arange(n)) / n)
    lines = forward @ image[0, :, 0] * (1.0 + a * np.cos(2.0 * np.pi * k / period + phase))
    expected = np.abs(np.conj(forward.T) @ lines / n)
    ghosted = apply_ghosting(seen(image), GhostingDrawn(axis=1, depth=a, period=period, phase=phase))
    np.testing.assert_allclose(ghosted[0, :, 0], expected, rtol=1e-5)


def test_a_spike_is_one_wrong_point_of_the_full_k_space():
    rng = np.random.default_rng(1)
    image = rng.uniform(50.0, 100.0, (6, 8, 5))
    drawn = SpikeDrawn(amplitude=7.0, points=((1, -2, 0), (-2, 3, 1)), phases=(0.3, 2.0))
    spectrum = np.fft.fftn(image)
    for point, phase in zip(drawn.points, drawn.phases, strict=True):
        spectrum[point] += 7.0 * image.size * np.exp(1j * phase)
    np.testing.assert_allclose(apply_spike(seen(image), drawn), np.abs(np.fft.ifftn(spectrum)), rtol=1e-5)


def test_stripes_of_one_spike_have_the_amplitude_that_was_asked_for():
    image = np.full((4, 16, 4), 100.0)
    striped = apply_spike(seen(image), SpikeDrawn(amplitude=10.0, points=((0, 4, 0),), phases=(0.0,)))
    # Along y the wave is 1, i, −1, −i.
    np.testing.assert_allclose(striped[0, :4, 0], [110.0, np.hypot(100, 10), 90.0, np.hypot(100, 10)], rtol=1e-6)


@pytest.mark.parametrize("signal", [0.0, 30.0])
def test_noise_has_the_moments_of_the_rice_distribution(signal):
    sd = 10.0
    noisy = apply_noise(seen(np.full((60, 60, 60), signal)), NoiseDrawn(sd=sd, noise_seed=3)).astype(np.float64)
    # E[M²] = A² + 2σ² and E[M⁴] = A⁴ + 8A²σ² + 8σ⁴.
    assert np.mean(noisy**2) == pytest.approx(signal**2 + 2 * sd**2, rel=0.01)
    assert np.mean(noisy**4) == pytest.approx(signal**4 + 8 * signal**2 * sd**2 + 8 * sd**4, rel=0.02)
    if signal == 0.0:
        assert noisy.mean() == pytest.approx(sd * np.sqrt(np.pi / 2.0), rel=0.01)


def test_noise_is_estimated_from_the_finest_detail():
    rng = np.random.default_rng(2)
    smooth = 500.0 + 50.0 * np.sin(np.linspace(0.0, 6.0, 41))[:, None, None] * np.ones((41, 40, 39))
    noisy = smooth + 12.0 * rng.standard_normal(smooth.shape)
    assert noise_sd(seen(noisy)) == pytest.approx(12.0, rel=0.03)
    assert noise_sd(seen(noisy, brain=np.zeros(noisy.shape, dtype=bool))) == 0.0


def test_blur_is_a_gaussian_of_the_stated_width():
    image = np.zeros((1, 41, 1))
    image[0, 20, 0] = 100.0
    drawn = BlurDrawn(sigma_mm=3.0, noise_sd=0.0, noise_seed=0)
    blurred = apply_blur(seen(image, spacing_mm=(500.0, 1.5, 500.0)), drawn)[0, :, 0]
    x = (np.arange(41) - 20) * 1.5
    expected = 100.0 * 1.5 * np.exp(-(x**2) / 18.0) / np.sqrt(2.0 * np.pi * 9.0)
    np.testing.assert_allclose(blurred, expected, atol=2e-4)


def test_blur_gives_back_the_noise_it_takes_and_leaves_no_dark_rim():
    rng = np.random.default_rng(3)
    brain = np.linalg.norm(np.indices((44, 44, 44)) - 21.5, axis=0) < 18
    noisy = np.where(brain, 1000.0 + 20.0 * rng.standard_normal(brain.shape), 0.0)
    clean = seen(noisy, stripped=True, brain=brain)
    blurred = apply_blur(clean, BlurDrawn(sigma_mm=2.0, noise_sd=noise_sd(clean), noise_seed=1))
    assert noise_sd(seen(blurred, brain=brain)) == pytest.approx(20.0, rel=0.1)
    rim = brain & ~ndimage.binary_erosion(brain)
    assert blurred[rim].mean() == pytest.approx(1000.0, rel=0.01)


def test_a_bias_field_is_the_exponential_of_legendre_products():
    coefficients = np.zeros((4, 4, 4))
    coefficients[1, 0, 0], coefficients[0, 2, 1] = 0.5, -0.3
    drawn = BiasDrawn.model_validate({"coefficients": coefficients.tolist()})
    biased = apply_bias(seen(np.full((5, 7, 9), 10.0)), drawn)
    x, y, z = (np.linspace(-1, 1, n) for n in (5, 7, 9))
    field = 0.5 * x[:, None, None] - 0.3 * ((3 * y**2 - 1) / 2)[None, :, None] * z[None, None, :]
    np.testing.assert_allclose(biased, 10.0 * np.exp(field), rtol=1e-5)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_the_missing_part_has_the_share_of_the_brain_that_was_asked_for(severity, head, brain):
    shares = [
        corrupt(head, "missing", severity=severity, seed=seed, brain=brain).core.sum() / brain.sum()
        for seed in range(5)
    ]
    # Whole planes of a small head are coarse.
    assert np.median(shares) == pytest.approx(SHARE[severity - 1], rel=0.35)


def motion(image: np.ndarray, *, events: tuple[int, ...], poses: list[tuple[float, ...]], spacing=(1.0, 1.0, 1.0)):
    drawn = MotionDrawn.model_validate(
        {
            "axis": 1,
            "lower": (0, 0, 0),
            "shape": image.shape,
            "events": events,
            "poses": poses,
            "centre": [(n - 1) / 2.0 for n in image.shape],
        }
    )
    return apply_motion(seen(image, spacing_mm=spacing), drawn)


def blob(shape, spacing, centre_mm, width_mm=(4.0, 5.0, 4.5), turn=None) -> np.ndarray:
    """A Gaussian blob whose rotation is known exactly."""
    grid = np.stack(
        np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)], indexing="ij"), -1
    )
    offset = grid @ np.eye(3) if turn is None else grid @ turn.as_matrix()
    return 100.0 * np.exp(-0.5 * np.sum(((offset - np.asarray(centre_mm)) / width_mm) ** 2, axis=-1))


@settings(deadline=None, max_examples=10)
@given(st.tuples(*[st.floats(-6.0, 6.0)] * 3), st.tuples(*[st.floats(-3.0, 3.0)] * 3))
def test_a_scan_read_in_one_pose_is_the_head_in_that_pose(turn_deg, move_mm):
    shape, spacing, centre = (48, 54, 50), (1.3, 1.1, 1.2), np.array([3.0, -4.0, 2.0])
    turn = Rotation.from_rotvec(turn_deg, degrees=True)
    still = blob(shape, spacing, centre)
    pose = (*move_mm, *turn.as_rotvec())
    # All lines belong to the second segment.
    moved = motion(still, events=(0,), poses=[(0.0,) * 6, pose], spacing=spacing)
    grid_shift = turn.inv().apply(move_mm)
    expected = blob(shape, spacing, centre + grid_shift, turn=turn)
    np.testing.assert_allclose(moved, expected, atol=0.02)


@settings(deadline=None, max_examples=50)
@given(
    st.tuples(*[st.floats(-0.12, 0.12)] * 3), st.tuples(*[st.floats(0.5, 3.0)] * 3), st.tuples(*[st.floats(-5, 5)] * 3)
)
def test_four_shears_compose_to_the_motion_with_small_slopes(turn, spacing, shift):
    scale = np.diag(spacing)
    back = np.linalg.inv(scale) @ Rotation.from_rotvec(turn).as_matrix() @ scale
    matrix, offset = np.eye(3), np.zeros(3)
    shears = four_shears(back, np.array(shift))
    for shear in shears:
        step = np.eye(3)
        step[shear.axis] += shear.slopes
        unit = np.zeros(3)
        unit[shear.axis] = shear.shift
        # Applied in order, the sampling maps nest: the first shear's map is the outermost.
        offset = offset + matrix @ unit
        matrix = matrix @ step
    np.testing.assert_allclose(matrix, back, atol=1e-9)
    np.testing.assert_allclose(offset, shift, atol=1e-9)
    largest = max(abs(s) for shear in shears for s in shear.slopes)
    assert largest <= 2.0 * np.abs(back - np.eye(3)).max() + 1e-12


def test_lines_read_before_an_event_are_untouched_and_later_ones_shifted():
    rng = np.random.default_rng(4)
    image = rng.uniform(10.0, 20.0, (6, 16, 5))
    # The head moves 2 voxels along y before the last four lines, k = 4 … 7: a phase ramp on those alone.
    moved = motion(image, events=(12,), poses=[(0.0,) * 6, (0.0, 2.0, 0.0, 0.0, 0.0, 0.0)])
    k = np.fft.fftfreq(16, 1 / 16)
    ramp = np.where(k >= 4, np.exp(-2j * np.pi * k * 2.0 / 16), 1.0)
    expected = np.abs(np.fft.ifft(np.fft.fft(image, axis=1) * ramp[None, :, None], axis=1))
    np.testing.assert_allclose(moved, expected, rtol=1e-5)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_the_centre_of_k_space_is_read_in_the_reference_pose(severity, head, brain):
    for seed in range(5):
        drawn = MotionDrawn.model_validate(
            corrupt(head, "motion", severity=severity, seed=seed, brain=brain).record.drawn
        )
        centre = sum(event <= drawn.shape[drawn.axis] // 2 for event in drawn.events)
        assert drawn.poses[centre] == (0.0,) * 6
        assert sum(any(pose) for pose in drawn.poses) == len(drawn.events)
        largest = (0.2, 0.5, 1.0, 2.5, 5.0)[severity - 1]
        for pose in drawn.poses:
            assert np.linalg.norm(pose[:3]) <= largest + 1e-9
            assert np.rad2deg(np.linalg.norm(pose[3:])) <= largest + 1e-9


def test_every_artefact_has_a_line_of_help():
    assert all(entry.summary for entry in ARTEFACTS.values())
