"""Quality of pseudo-normal images on cases with a known answer; `ssim` is checked with the simulators."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

from anomri.errors import InputError
from anomri.metrics.pseudo_normal import gradient_ratio, mae, restoration, ssim

IMAGE = np.random.default_rng(0).random((16, 16, 16)).astype(np.float32)
MASK = np.zeros(IMAGE.shape, bool)
MASK[3:13, 3:13, 3:13] = True


def test_an_image_equals_itself():
    assert mae(IMAGE, IMAGE, MASK) == 0.0
    assert ssim(IMAGE, IMAGE, MASK, 1.0) == pytest.approx(1.0)
    assert gradient_ratio(IMAGE, IMAGE, MASK, spacing_mm=(1.0, 1.0, 1.0)) == pytest.approx(1.0)


def test_a_shift_of_the_intensity_and_a_blur_are_measured_as_what_they_are():
    assert mae(IMAGE, IMAGE + 2, MASK) == pytest.approx(2.0, rel=1e-5)
    assert gradient_ratio(IMAGE, IMAGE + 2, MASK, spacing_mm=(1.0, 1.0, 1.0)) == pytest.approx(1.0, rel=1e-4)
    blurs = [gradient_ratio(IMAGE, ndimage.gaussian_filter(IMAGE, s), MASK, spacing_mm=(1.0,) * 3) for s in (0.5, 1, 2)]
    assert 1 > blurs[0] > blurs[1] > blurs[2] > 0


def test_the_gradient_ratio_is_that_of_ramps():
    x = np.arange(16.0)[:, None, None] * np.ones((1, 16, 16))
    assert gradient_ratio(x, 0.25 * x, MASK, spacing_mm=(0.5, 1.0, 1.0)) == pytest.approx(0.25)


def test_correction_and_preservation_are_apart():
    lesion = np.zeros(IMAGE.shape, bool)
    lesion[5:7, 5:7, 5:7] = True
    with_lesion = IMAGE + 4.0 * lesion
    assert restoration(IMAGE, with_lesion, with_lesion, lesion, MASK) == pytest.approx((4.0, 4.0, 0.0), rel=1e-5)
    made = IMAGE + 1.0 * lesion + 0.5 * ~lesion
    assert restoration(IMAGE, with_lesion, made, lesion, MASK) == pytest.approx((1.0, 4.0, 0.5), rel=1e-5)


def test_what_has_no_voxel_is_undefined():
    nothing = np.zeros(IMAGE.shape, bool)
    assert math.isnan(mae(IMAGE, IMAGE, nothing))
    assert math.isnan(ssim(IMAGE, IMAGE, nothing, 1.0))
    flat = np.ones(IMAGE.shape)
    assert math.isnan(gradient_ratio(flat, IMAGE, MASK, spacing_mm=(1.0, 1.0, 1.0)))
    assert math.isnan(restoration(IMAGE, IMAGE, IMAGE, nothing, MASK).correction)
    with pytest.raises(InputError):
        mae(IMAGE, IMAGE[1:], MASK)
