"""A mask's measures on bodies whose values are known."""

from __future__ import annotations

import numpy as np
import pytest

from anomri.core.geometry import Geometry
from anomri.errors import PreparationFailed
from anomri.extraction.judge import measure_mask, verify_mask
from anomri.extraction.locate import Location

SPACING_MM, SIDE = 2.0, 90
HERE = Location(np.eye(4), 0.7, 0.4)


def grid() -> Geometry:
    affine = np.diag([SPACING_MM] * 3 + [1.0])
    affine[:3, 3] = -SPACING_MM * (SIDE - 1) / 2.0
    return Geometry((SIDE, SIDE, SIDE), affine)


def ball(radius_mm: float, centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    line = SPACING_MM * (np.arange(SIDE) - (SIDE - 1) / 2.0)
    x, y, z = np.meshgrid(*(line - c for c in centre_mm), indexing="ij")
    return np.sqrt(x**2 + y**2 + z**2) <= radius_mm


def test_a_ball_is_round_even_and_as_large_as_a_ball():
    mask = ball(65.0)
    measured = measure_mask(mask, grid(), HERE, mask)
    assert measured["volume_ml"] == pytest.approx(4.0 / 3.0 * np.pi * 6.5**3, rel=0.01)
    assert measured["roundness"] == pytest.approx(1.0, abs=0.02)
    assert measured["evenness"] == pytest.approx(1.0, abs=0.01)
    assert measured["agreement"] == 1.0
    assert measured["cut_off"] == 0.0


def test_a_ball_is_refused_and_a_ball_with_furrows_is_not():
    mask = ball(65.0)
    with pytest.raises(PreparationFailed, match="too smooth"):
        verify_mask(measure_mask(mask, grid(), HERE, mask))
    furrowed = mask.copy()
    furrowed[:, ::8] &= ball(61.0)[:, ::8]
    verify_mask(measure_mask(furrowed, grid(), HERE, furrowed))


def test_a_cube_is_less_round_than_a_ball():
    mask = np.zeros((SIDE,) * 3, dtype=bool)
    mask[20:70, 20:70, 20:70] = True
    # (π / 6)^(1/3) of its surface a ball needs; slanted faces are what the correction is for, and a cube has none.
    assert measure_mask(mask, grid(), HERE, mask)["roundness"] == pytest.approx(
        min(1.5 * np.cbrt(np.pi / 6.0), 1.0), rel=0.01
    )


def test_halves_are_told_apart_at_the_templates_mid_plane():
    moved = Location(np.array([[1.0, 0, 0, 20.0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), 0.7, 0.4)
    mask = ball(65.0)
    measured = measure_mask(mask, grid(), moved, mask)
    # A ball is cut at 20 mm from its middle: caps of heights r − 20 and r + 20.
    low, high = (np.pi * h**2 * (3.0 * 65.0 - h) / 3.0 for h in (45.0, 85.0))
    assert measured["evenness"] == pytest.approx(low / high, rel=0.05)
    with pytest.raises(PreparationFailed, match="halves"):
        verify_mask(measured)


def test_a_mask_that_runs_out_of_the_image_is_refused():
    mask = ball(65.0, (0.0, 0.0, 60.0))
    measured = measure_mask(mask, grid(), HERE, mask)
    assert measured["cut_off"] > 0.1
    with pytest.raises(PreparationFailed, match="ends inside the brain") as caught:
        verify_mask(measured)
    assert caught.value.code == "extraction"


def test_every_fault_is_named():
    good = measure_mask(ball(65.0), grid(), HERE, ball(65.0))
    bad = good | {"volume_ml": 300.0, "explained": 0.05}
    with pytest.raises(PreparationFailed) as caught:
        verify_mask(bad)
    assert "volume" in caught.value.cause
    assert "explained" in caught.value.cause
