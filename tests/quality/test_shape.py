from __future__ import annotations

import numpy as np
import pytest

from anomri.quality.shape import shape_metrics, slice_metrics

SPACING = (1.0, 1.25, 1.6)


def ellipsoid(radii_mm: tuple[float, float, float] = (40.0, 40.0, 40.0)) -> np.ndarray:
    sizes = [int(2 * r / s) + 5 for r, s in zip(radii_mm, SPACING, strict=True)]
    axes = [(np.arange(n) - (n - 1) / 2) * s / r for n, s, r in zip(sizes, SPACING, radii_mm, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    mask: np.ndarray = x**2 + y**2 + z**2 <= 1
    return mask


def test_a_ball_is_a_ball() -> None:
    mask = ellipsoid()
    found = shape_metrics(np.ones(mask.shape, dtype=np.float32), mask, SPACING)
    assert found["brain_volume"] == pytest.approx(4 / 3 * np.pi * 40**3 / 1000, rel=0.01)
    assert found["surface_excess"] == pytest.approx(1.0, abs=0.03)
    assert found["ellipsoid_fill"] == pytest.approx(1.0, abs=0.01)
    assert found["shape_asymmetry"] == pytest.approx(0.0, abs=0.01)
    assert found["intensity_asymmetry"] == pytest.approx(0.0, abs=1e-5)
    assert found["centre_offset"] == pytest.approx(0.0, abs=1e-5)
    assert found["darkest_block"] == pytest.approx(1.0)


def test_any_ellipsoid_fills_its_ellipsoid() -> None:
    mask = ellipsoid((45.0, 60.0, 35.0))
    assert shape_metrics(np.ones(mask.shape, dtype=np.float32), mask, SPACING)["ellipsoid_fill"] == pytest.approx(
        1.0, abs=0.01
    )


def test_a_missing_octant_shows_everywhere() -> None:
    mask = ellipsoid()
    x, y, z = (n // 2 for n in mask.shape)
    mask[x:, y:, z:] = False
    found = shape_metrics(np.ones(mask.shape, dtype=np.float32), mask, SPACING)
    assert found["ellipsoid_fill"] < 0.97  # type: ignore[operator]
    assert found["shape_asymmetry"] > 0.05  # type: ignore[operator]
    assert found["surface_excess"] > 1.05  # type: ignore[operator]


def test_one_bright_side_moves_centre_and_balance_by_hand() -> None:
    mask = ellipsoid()
    values = np.ones(mask.shape, dtype=np.float32)
    values[(mask.shape[0] + 1) // 2 :] = 1.5
    found = shape_metrics(values, mask, SPACING)
    # The centre of a half ball lies 3/8 of the radius away from the plane; weights 1 and 1.5.
    assert found["centre_offset"] == pytest.approx(0.5 / 2.5 * 3 / 8, rel=0.05)
    assert found["intensity_asymmetry"] == pytest.approx(0.5 / 1.25, rel=0.1)


def test_a_dark_hole_is_the_darkest_block() -> None:
    mask = ellipsoid()
    values = np.ones(mask.shape, dtype=np.float32)
    centre = tuple(slice(n // 2 - 8, n // 2 + 8) for n in mask.shape)
    values[centre] = 0.05
    assert shape_metrics(values, mask, SPACING)["darkest_block"] == pytest.approx(0.05)


def test_one_weak_slice_is_found_by_its_weakness() -> None:
    mask = ellipsoid()
    labels = np.where(mask, 3, 0).astype(np.uint8)
    values = (mask * (1 + 0.01 * np.random.default_rng(0).standard_normal(mask.shape))).astype(np.float32)
    quiet = slice_metrics(values, labels)
    values[:, :, 20] *= 0.8
    loud = slice_metrics(values, labels)
    assert quiet["slice_jump"] < 0.003  # type: ignore[operator]
    assert loud["slice_jump"] == pytest.approx(0.2, rel=0.03)
    assert loud["slice_difference"] > 5 * quiet["slice_difference"]  # type: ignore[operator]
    assert loud["slice_unrest"] == pytest.approx(quiet["slice_unrest"], rel=0.5)


def test_alternating_slices_are_unrest() -> None:
    mask = ellipsoid()
    labels = np.where(mask, 3, 0).astype(np.uint8)
    values = mask.astype(np.float32)
    values[:, ::2] *= 1.1
    # Departure of ±0.1 at each slice; the robust SD of two equally frequent values is 1.4826 · 0.1.
    assert slice_metrics(values, labels)["slice_unrest"] == pytest.approx(0.148, rel=0.05)


def test_too_few_slices_are_not_compared() -> None:
    values = np.ones((6, 6, 6), dtype=np.float32)
    assert set(slice_metrics(values, np.full(values.shape, 3, dtype=np.uint8)).values()) == {None}
