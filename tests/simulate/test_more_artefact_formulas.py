"""The artefacts of slices, lines and fields of view against their formulas, worked out another way."""

from __future__ import annotations

import numpy as np
import pytest

from anomri.simulate.artefacts.artefact import Clean, noise_sd
from anomri.simulate.artefacts.clip import ClipDrawn, QuantiseDrawn, apply_clip, apply_quantise
from anomri.simulate.artefacts.cropped import SHARE, draw_cropped
from anomri.simulate.artefacts.gibbs import GibbsDrawn, apply_gibbs
from anomri.simulate.artefacts.lines import COUNT, LinesDrawn, apply_lines, draw_lines
from anomri.simulate.artefacts.low_resolution import LowResolutionDrawn, apply_low_resolution
from anomri.simulate.artefacts.orientation import (
    FlipDrawn,
    OrientationDrawn,
    apply_flip,
    apply_orientation,
    draw_orientation,
)
from anomri.simulate.artefacts.slices import (
    DropDrawn,
    ShiftDrawn,
    UnevenDrawn,
    apply_drop,
    apply_shift,
    apply_uneven,
    draw_uneven,
)
from anomri.simulate.artefacts.void import VoidDrawn, apply_void
from anomri.simulate.artefacts.wrap import WrapDrawn, apply_wrap
from anomri.simulate.artefacts.zipper import ZipperDrawn, apply_zipper


def seen(voxels: np.ndarray, *, spacing_mm=(1.0, 1.0, 1.0), stripped=False, brain=None) -> Clean:
    values = np.asarray(voxels, dtype=np.float32)
    return Clean(
        voxels=values,
        brain=np.ones(values.shape, dtype=bool) if brain is None else brain,
        spacing_mm=spacing_mm,
        orientation="RAS",
        white_signal=100.0,
        stripped=stripped,
        csf_signal=20.0,
        affine=np.eye(4),
    )


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).uniform(50.0, 100.0, (8, 10, 12))


def test_a_bad_line_is_one_factor_in_a_slow_fourier_transform(noise):
    n = noise.shape[1]
    forward = np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n)
    gain = np.ones(n, dtype=complex)
    gain[3], gain[-4] = 0.0, 1j
    expected = np.abs(np.einsum("ij,ajb->aib", np.conj(forward.T) @ np.diag(gain) @ forward / n, noise))
    drawn = LinesDrawn(axis=1, lines=(3, -4), gains=((0.0, 0.0), (0.0, 1.0)))
    np.testing.assert_allclose(apply_lines(seen(noise), drawn), expected, rtol=1e-4)


def test_bad_lines_have_their_number_and_stay_off_the_centre():
    clean = seen(np.ones((96, 96, 4)))
    for severity, count in enumerate(COUNT, start=1):
        for seed in range(10):
            lines = draw_lines(clean, severity, np.random.default_rng(seed)).lines
            assert len(set(lines)) == count
            assert min(map(abs, lines)) >= 3
    assert all(abs(draw_lines(clean, 1, np.random.default_rng(s)).lines[0]) > 0.55 * 48 for s in range(10))


def test_truncation_leaves_what_lies_below_its_limit():
    x = np.arange(64)
    low, high = np.cos(2 * np.pi * 8 * x / 64), np.cos(2 * np.pi * 20 * x / 64)
    image = 100.0 + 10.0 * low[:, None, None] + 10.0 * high[:, None, None] + np.zeros((64, 4, 4))
    made = apply_gibbs(seen(image), GibbsDrawn(kept=0.5, noise_sd=0.0, noise_seed=0))
    np.testing.assert_allclose(made[:, 0, 0], 100.0 + 10.0 * low, atol=1e-4)


def test_an_edge_rings_by_nine_per_cent():
    image = np.where(np.arange(256) < 128, 100.0, 200.0)[:, None, None] * np.ones((256, 1, 1))
    made = apply_gibbs(seen(image), GibbsDrawn(kept=0.25, noise_sd=0.0, noise_seed=0))
    # The overshoot of a truncated Fourier series at a step, found by Wilbraham and Gibbs.
    assert made.max() == pytest.approx(200.0 + 0.0895 * 100.0, abs=0.8)


def test_truncation_and_thick_slices_give_back_the_noise_they_take():
    rng = np.random.default_rng(1)
    noisy = 1000.0 + 20.0 * rng.standard_normal((60, 60, 60))
    clean = seen(noisy)
    sd = noise_sd(clean)
    made = apply_gibbs(clean, GibbsDrawn(kept=0.4, noise_sd=sd, noise_seed=1))
    assert made.std() == pytest.approx(20.0, rel=0.05)
    thick = LowResolutionDrawn(axis=1, thickness=3.0, start=-1.0, noise_sd=sd, noise_seed=1)
    assert apply_low_resolution(clean, thick).std() == pytest.approx(20.0, rel=0.05)


def test_thick_slices_are_means_with_straight_lines_between():
    image = np.zeros((1, 12, 1))
    image[0, :, 0] = np.arange(12.0) ** 2
    made = apply_low_resolution(
        seen(image), LowResolutionDrawn(axis=1, thickness=3.0, start=0.0, noise_sd=0.0, noise_seed=0)
    )
    means = image[0, :, 0].reshape(4, 3).mean(axis=1)
    expected = np.interp(np.arange(12), [1, 4, 7, 10], means)
    np.testing.assert_allclose(made[0, :, 0], expected, rtol=1e-5)


def test_wrap_around_is_leaving_out_lines_of_k_space(noise):
    # A field of view of half the size is every second line of k-space.
    made = apply_wrap(seen(noise), WrapDrawn(axis=1, first=2, last=7))
    sampled = np.fft.fft(np.roll(noise, -2, axis=1), axis=1)[:, ::2]
    np.testing.assert_allclose(made[:, 2:7], np.abs(np.fft.ifft(sampled, axis=1)), rtol=1e-5)
    assert not made[:, :2].any()
    assert not made[:, 7:].any()


def test_a_zipper_alternates_along_phase_and_leaves_all_other_rows(noise):
    drawn = ZipperDrawn(readout=0, phase=1, row=3, width=2, strength=500.0, noise_seed=1)
    made = apply_zipper(seen(noise), drawn)
    change = made - noise.astype(np.float32)
    assert not change[:3].any()
    assert not change[5:].any()
    # Strong enough that a negative leak turns the sign: what is left of it is |x − leak|.
    leak = np.abs(np.random.default_rng(1).standard_normal((2, 10, 12), dtype=np.float32)) * 500.0
    np.testing.assert_allclose(made[3:5, ::2], noise[3:5, ::2] + leak[:, ::2], rtol=1e-4)
    np.testing.assert_allclose(made[3:5, 1::2], np.abs(noise[3:5, 1::2] - leak[:, 1::2]), rtol=1e-3, atol=1e-2)


def test_slices_lose_gain_and_move_as_stated(noise):
    clean = seen(noise)
    dropped = apply_drop(clean, DropDrawn(axis=2, slices=(4, 6), lost=0.6, noise_sd=0.0, noise_seed=0))
    expected = noise.copy()
    expected[:, :, [4, 6]] *= 0.4
    np.testing.assert_allclose(dropped, expected, rtol=1e-5)
    gains = tuple(1.0 + 0.01 * n for n in range(12))
    np.testing.assert_allclose(
        apply_uneven(clean, UnevenDrawn(axis=2, gains=gains)), noise * np.array(gains), rtol=1e-5
    )
    moved = apply_shift(clean, ShiftDrawn(axis=2, along=0, slices=(5,), voxels=-3))
    expected = noise.copy()
    expected[:, :, 5] = np.roll(noise[:, :, 5], -3, axis=0)
    np.testing.assert_array_equal(moved, expected.astype(np.float32))


def test_slices_follow_the_thickest_voxels_or_run_from_feet_to_head():
    cubes, slabs = seen(np.ones((6, 7, 8))), seen(np.ones((6, 7, 8)), spacing_mm=(1.0, 3.0, 1.0))
    assert draw_uneven(cubes, 3, np.random.default_rng(0)).axis == 2
    assert draw_uneven(slabs, 3, np.random.default_rng(0)).axis == 1


def test_saturation_and_grey_levels_are_those_of_the_formula(noise):
    clean = seen(noise)
    np.testing.assert_allclose(apply_clip(clean, ClipDrawn(limit=80.0)), np.minimum(noise, 80.0), rtol=1e-6)
    levels = np.unique(apply_quantise(clean, QuantiseDrawn(bits=3, largest=91.0)))
    np.testing.assert_allclose(levels, 13.0 * np.round(levels / 13.0), rtol=1e-5)
    assert levels.max() == pytest.approx(91.0)


def test_a_half_turn_and_a_flip_put_voxels_on_voxels(noise):
    middle = tuple((n - 1) / 2.0 for n in noise.shape)
    turned = apply_orientation(
        seen(noise), OrientationDrawn(turn=(np.pi, 0.0, 0.0), centre=middle, other_sequence=False)
    )
    np.testing.assert_allclose(turned, noise[:, ::-1, ::-1], rtol=1e-5)
    flipped = apply_flip(seen(noise), FlipDrawn(axis=0, twice_centre=noise.shape[0] - 1))
    np.testing.assert_array_equal(flipped, noise[::-1].astype(np.float32))


def test_a_turned_point_lies_where_the_rotation_puts_it():
    image = np.zeros((41, 41, 9))
    image[30, 20, 4] = 100.0
    quarter = OrientationDrawn(turn=(0.0, 0.0, np.pi / 2), centre=(20.0, 20.0, 4.0), other_sequence=False)
    turned = apply_orientation(seen(image), quarter)
    assert np.unravel_index(turned.argmax(), turned.shape) == (20, 30, 4)


def test_only_the_last_severity_is_of_another_sequence():
    clean = seen(np.ones((5, 6, 7)))
    drawn = [draw_orientation(clean, s, np.random.default_rng(1)) for s in (1, 2, 3, 4, 5)]
    np.testing.assert_allclose([np.rad2deg(np.linalg.norm(d.turn)) for d in drawn], [5, 12, 25, 180, 180])
    assert [d.other_sequence for d in drawn] == [False] * 4 + [True]


def test_a_void_carries_signal_and_destroys_it_only_near_the_object():
    image = np.full((40, 90, 40), 100.0)
    near = VoidDrawn(centre=(20, 45, 20), radius_mm=3.0, shift_mm=4.0, readout=1)
    made = apply_void(seen(image), near)
    offset = np.indices(image.shape) - np.array([20, 45, 20])[:, None, None, None]
    distance = np.linalg.norm(offset, axis=0)
    assert made[distance < 1.0].max() < 60.0
    np.testing.assert_array_equal(made[distance > 30.0], 100.0)
    assert made.max() > 110.0
    # What is carried is neither lost nor made: what is missing is what the object and dephasing took.
    kept = np.where(distance <= 3.0, 0.0, np.exp(-1.0 / (1.0 + np.exp(-(1.5 - distance / 3.0) / 0.08))))
    assert made.sum() == pytest.approx((100.0 * kept).sum(), rel=2e-4)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_the_share_of_the_head_s_height_that_is_missing_is_the_severity_s(severity):
    brain = np.zeros((20, 20, 120), dtype=bool)
    brain[2:-2, 2:-2, 10:110] = True
    clean = seen(brain.astype(float), brain=brain)
    shares = []
    for seed in range(10):
        drawn = draw_cropped(clean, severity, np.random.default_rng(seed))
        if drawn.axis == 2:
            shares.append(1.0 - (min(drawn.last, 110) - max(drawn.first, 10)) / 100.0)
    np.testing.assert_allclose(shares, SHARE[severity - 1], atol=0.011)
