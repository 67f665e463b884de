from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anomri.quality.contrast import fit_field, tissue_metrics


def test_a_known_polynomial_field_is_found() -> None:
    rng = np.random.default_rng(0)
    shape = (30, 34, 28)
    labels = rng.integers(1, 4, shape).astype(np.uint8)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    truth = np.exp(0.3 * x - 0.2 * y * z + 0.1 * z**3)
    levels = np.array([0.0, 0.3, 0.7, 1.0])
    values = (levels[labels] * truth * (1 + 0.03 * rng.standard_normal(shape))).astype(np.float32)
    values[rng.random(shape) < 0.02] = 3.0
    field = fit_field(values, labels)
    ratio = field / truth
    assert ratio.std() / ratio.mean() < 0.01
    assert np.median(field[labels >= 2]) == pytest.approx(1.0, abs=0.02)
    found = tissue_metrics(values / field, field, labels)
    assert found["field_range"] == pytest.approx(np.ptp(np.log(np.percentile(truth, (2, 98)))), rel=0.02)
    assert found["grey_white_ratio"] == pytest.approx(0.7, rel=0.01)
    assert found["csf_white_ratio"] == pytest.approx(0.3, rel=0.02)


def test_too_few_voxels_leave_a_flat_field() -> None:
    labels = np.zeros((10, 10, 10), dtype=np.uint8)
    labels[4:6, 4:6, 4:6] = 3
    assert (fit_field(np.ones(labels.shape, dtype=np.float32), labels) == 1).all()


def test_contrast_follows_the_definitions() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat(np.array([1, 2, 3], dtype=np.uint8), (1000, 3000, 2000)).reshape(10, 20, 30)
    spread, level = np.array([0, 0.08, 0.05, 0.03]), np.array([0, 0.3, 0.7, 1.0])
    flat = (level[labels] + spread[labels] * rng.standard_normal(labels.shape)).astype(np.float32)
    found = tissue_metrics(flat, np.ones_like(flat), labels)

    def sd(k: int) -> Any:
        return 1.4826 * np.median(np.abs(flat[labels == k] - np.median(flat[labels == k])))

    centre = [np.median(flat[labels == k]) for k in (1, 2, 3)]
    assert found["white_signal_to_noise"] == pytest.approx(centre[2] / sd(3), rel=1e-5)
    assert found["grey_signal_to_noise"] == pytest.approx(centre[1] / sd(2), rel=1e-5)
    assert found["csf_signal_to_noise"] == pytest.approx(centre[0] / sd(1), rel=1e-5)
    apart = centre[2] - centre[1]
    assert found["grey_white_contrast_to_noise"] == pytest.approx(apart / np.hypot(sd(2), sd(3)), rel=1e-5)
    assert found["joint_variation"] == pytest.approx((sd(2) + sd(3)) / apart, rel=1e-5)
    assert found["white_signal_to_noise"] == pytest.approx(1 / 0.03, rel=0.1)
    assert found["csf_share"] == pytest.approx(1 / 6)
    assert found["white_share"] == pytest.approx(1 / 3)
    assert found["field_range"] == 0.0


def test_a_class_that_is_absent_or_without_spread_has_no_ratio() -> None:
    labels = np.full((10, 10, 10), 3, dtype=np.uint8)
    found = tissue_metrics(np.ones(labels.shape, dtype=np.float32), np.ones(labels.shape, dtype=np.float32), labels)
    assert found["white_signal_to_noise"] is None
    assert found["grey_white_ratio"] is None
    assert found["joint_variation"] is None
