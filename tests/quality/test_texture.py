from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import ndimage

from anomri.quality.texture import correlation_length_mm, diagonal_noise, focus_entropy, shrink, texture_metrics


def test_shrink_is_a_binary_erosion() -> None:
    mask = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((14, 15, 16)), 2.0) > 0
    assert np.array_equal(shrink(mask), ndimage.binary_erosion(mask))
    assert not shrink(np.ones((2, 5, 5), dtype=bool)).any()


def test_diagonal_noise_finds_the_noise_under_a_smooth_image() -> None:
    x, y, z = np.meshgrid(*(np.linspace(0, 1, 40),) * 3, indexing="ij")
    noise = 0.07 * np.random.default_rng(0).standard_normal(x.shape)
    values = (x + 2 * y * z + noise).astype(np.float32)
    assert diagonal_noise(values, np.ones(x.shape, dtype=bool)) == pytest.approx(0.07, rel=0.03)


def test_diagonal_noise_of_one_block_is_its_alternating_sum() -> None:
    block = np.random.default_rng(1).standard_normal((2, 2, 2))
    values = np.tile(block, (5, 5, 5)).astype(np.float32)
    total = sum((-1) ** (i + j + k) * block[i, j, k] for i, j, k in product(range(2), repeat=3))
    expected = 1.4826 * abs(total) / np.sqrt(8)
    assert diagonal_noise(values, np.ones(values.shape, dtype=bool)) == pytest.approx(expected, rel=1e-5)


def test_diagonal_noise_ignores_what_lies_outside_the_mask() -> None:
    values = np.random.default_rng(2).standard_normal((30, 30, 30)).astype(np.float32)
    mask = np.zeros(values.shape, dtype=bool)
    mask[5:25, 5:25, 5:25] = True
    spoilt = np.where(mask, values, 1e6).astype(np.float32)
    assert diagonal_noise(spoilt, mask) == diagonal_noise(values, mask)
    assert diagonal_noise(values, np.zeros_like(mask)) is None


def test_focus_entropy_of_one_voxel_and_of_a_flat_box() -> None:
    one = np.zeros((6, 6, 6), dtype=np.float32)
    one[2, 3, 4] = 5.0
    assert focus_entropy(one) == pytest.approx(0.0, abs=1e-6)
    assert focus_entropy(np.full((6, 6, 6), 3.0, dtype=np.float32)) == pytest.approx(1.0, rel=1e-5)


def test_focus_entropy_of_two_values_by_hand() -> None:
    values = np.array([3.0, 4.0, 0.0, 0.0], dtype=np.float32).reshape(4, 1, 1)
    share = np.array([0.6, 0.8])
    assert focus_entropy(values) == pytest.approx(-(share * np.log(share)).sum() / (2 * np.log(2)), rel=1e-6)


@pytest.mark.parametrize(("axis", "spacing"), [(0, 0.9), (1, 1.0), (2, 1.4)])
def test_correlation_length_is_that_of_the_smoothing(axis: int, spacing: float) -> None:
    sigma_mm = 2.2
    noise = np.random.default_rng(3).standard_normal((60, 60, 60))
    values = ndimage.gaussian_filter1d(noise, sigma_mm / spacing, axis=axis, mode="wrap").astype(np.float32)
    found = correlation_length_mm(values, np.ones(values.shape, dtype=bool), axis, spacing)
    assert found == pytest.approx(sigma_mm * np.sqrt(8 * np.log(2)), rel=0.05)


def test_correlation_length_is_undefined_where_neighbours_differ_by_rule() -> None:
    x, y, z = np.indices((10, 10, 10))
    board = ((x + y + z) % 2).astype(np.float32)
    everywhere = np.ones(board.shape, dtype=bool)
    assert correlation_length_mm(board, everywhere, 0, 1.0) is None
    assert correlation_length_mm(np.ones_like(board), everywhere, 0, 1.0) is None


def test_edge_metrics_match_their_definitions() -> None:
    spacing = (1.0, 1.5, 2.0)
    rng = np.random.default_rng(4)
    values = (1.0 + ndimage.gaussian_filter(rng.standard_normal((16, 17, 18)), 1.0)).astype(np.float32)
    mask = np.zeros(values.shape, dtype=bool)
    mask[2:-2, 2:-2, 2:-2] = True
    labels = np.where(mask, 2 + (values > np.median(values)), 0).astype(np.uint8)
    found = texture_metrics(np.where(mask, values, 0).astype(np.float32), mask, labels, spacing)

    inner = ndimage.binary_erosion(mask)
    slopes = np.gradient(values.astype(np.float64), *spacing)
    squared = sum(slope**2 for slope in slopes)
    variance = values[inner].astype(np.float64).var()
    assert found["gradient_energy"] == pytest.approx(squared[inner].mean() / variance, rel=1e-4)
    laplacian = sum(
        ndimage.correlate1d(values.astype(np.float64), [1, -2, 1], axis=a) / s**2 for a, s in enumerate(spacing)
    )
    assert found["curvature"] == pytest.approx(laplacian[inner].std() / np.sqrt(variance), rel=1e-4)

    cross = ndimage.generate_binary_structure(3, 1)
    white, grey = labels == 3, labels == 2
    border = (white & ndimage.binary_dilation(grey, cross)) | (grey & ndimage.binary_dilation(white, cross))
    step = np.median(values[white]) - np.median(values[grey])
    assert found["edge_slope"] == pytest.approx(np.sqrt(squared)[border & inner].mean() / step, rel=1e-4)
    assert found["dark_tail"] == pytest.approx(np.percentile(values[mask], 10) / np.median(values[mask]), rel=1e-5)
    assert found["bright_tail"] == pytest.approx(np.percentile(values[mask], 99) / np.median(values[mask]), rel=1e-5)


def test_entropy_of_evenly_spread_intensities_is_six_bits() -> None:
    values = np.random.default_rng(5).permutation(np.linspace(0.5, 1.5, 27000)).reshape(30, 30, 30).astype(np.float32)
    mask = np.ones(values.shape, dtype=bool)
    found = texture_metrics(values, mask, mask.astype(np.uint8), (1.0, 1.0, 1.0))
    assert found["intensity_entropy"] == pytest.approx(6.0, abs=0.01)
