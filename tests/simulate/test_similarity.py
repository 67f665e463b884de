"""Distances between images against slow versions of their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from anomri.metrics.pseudo_normal import ssim
from anomri.simulate.similarity import box_of, nrmse


def test_the_root_mean_square_is_taken_inside_the_mask_alone():
    clean = np.zeros((3, 3, 3), dtype=np.float32)
    changed = clean.copy()
    changed[0, 0, 0], changed[2, 2, 2] = 3.0, 1000.0
    mask = np.zeros(clean.shape, dtype=bool)
    mask[0, 0, :2] = True
    assert nrmse(clean, changed, mask, 10.0) == pytest.approx(np.sqrt(9.0 / 2.0) / 10.0)


def test_similarity_equals_its_definition_window_by_window():
    rng = np.random.default_rng(0)
    a = rng.uniform(0.0, 100.0, (13, 12, 11)).astype(np.float32)
    b = (a + 20.0 * rng.standard_normal(a.shape)).astype(np.float32)
    values = []
    for x in range(3, 10):
        for y in range(3, 9):
            for z in range(3, 8):
                p, q = (i[x - 3 : x + 4, y - 3 : y + 4, z - 3 : z + 4].astype(float) / 80.0 for i in (a, b))
                covariance = np.mean((p - p.mean()) * (q - q.mean()))
                luminance = (2 * p.mean() * q.mean() + 1e-4) / (p.mean() ** 2 + q.mean() ** 2 + 1e-4)
                values.append(luminance * (2 * covariance + 9e-4) / (p.var() + q.var() + 9e-4))
    mask = np.zeros(a.shape, dtype=bool)
    mask[3:10, 3:9, 3:8] = True
    # The border of the mask's box is mirrored, so give the box the room the windows need.
    mask[0, 0, 0] = mask[-1, -1, -1] = True
    got = ssim(a, b, mask, 80.0) * mask.sum()
    assert got == pytest.approx(np.sum(values), abs=2.5)
    assert ssim(a, a, mask, 80.0) == pytest.approx(1.0)


def test_a_box_is_the_smallest_around_a_mask():
    mask = np.zeros((5, 6, 7), dtype=bool)
    mask[1, 2:4, 6] = True
    assert box_of(mask) == (slice(1, 2), slice(2, 4), slice(6, 7))
