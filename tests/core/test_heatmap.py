"""Findings and slice scores against maps made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from anomri.core.geometry import Geometry
from anomri.core.heatmap import Heatmap, findings_above, slice_scores
from anomri.core.region import Region
from anomri.errors import InputError

# 2 × 2 × 3 mm, the first axis runs to the left.
GRID = Geometry((10, 12, 8), np.array([[-2.0, 0, 0, 10.0], [0, 2.0, 0, -5.0], [0, 0, 3.0, 7.0], [0, 0, 0, 1.0]]))
VOXEL_MM3 = 12.0


def heatmap(values: np.ndarray) -> Heatmap:
    examined = np.isfinite(values)
    return Heatmap(values.astype(np.float32), GRID, Region(examined, GRID, "examined", "test"), "z", "test")


def flat(level: float = 0.0) -> np.ndarray:
    values = np.full(GRID.shape, level)
    values[0] = np.nan
    return values


def test_a_finding_states_volume_peak_mean_and_the_centre_of_its_excess():
    values = flat()
    values[3, 4, 2], values[4, 4, 2] = 5.0, 7.0
    (finding,) = findings_above(heatmap(values), 3.0, smallest_mm3=0.0)
    assert finding.volume_mm3 == pytest.approx(2 * VOXEL_MM3)
    assert finding.peak == 7.0
    assert finding.mean == 6.0
    # Excess 2 at x voxel 3 and 4 at x voxel 4: centre at voxel 3 + 2/3, which is 10 − 2 · 3.667 mm.
    assert finding.centroid_mm == pytest.approx((10 - 2 * (3 + 2 / 3), -5 + 2 * 4, 7 + 3 * 2))


def test_voxels_that_touch_by_a_corner_are_one_finding():
    values = flat()
    values[3, 4, 2] = values[4, 5, 3] = 5.0
    assert len(findings_above(heatmap(values), 3.0, smallest_mm3=0.0)) == 1
    values[4, 5, 3], values[5, 6, 4] = 0.0, 5.0
    assert len(findings_above(heatmap(values), 3.0, smallest_mm3=0.0)) == 2


def test_findings_come_strongest_first_and_small_ones_are_dropped():
    values = flat()
    values[2:4, 2:4, 2] = 5.0  # 48 mm³
    values[2:4, 7:9, 2:4] = 4.0  # 96 mm³
    values[7, 2, 6] = 9.0
    found = findings_above(heatmap(values), 3.0, smallest_mm3=0.0)
    assert [f.peak for f in found] == [9.0, 5.0, 4.0]
    assert [f.peak for f in findings_above(heatmap(values), 3.0, smallest_mm3=50.0)] == [4.0]


def test_a_value_at_the_level_is_no_finding_and_the_unknown_is_none_either():
    assert findings_above(heatmap(flat(3.0)), 3.0, smallest_mm3=0.0) == ()
    assert findings_above(heatmap(flat(0.0)), 3.0) == ()


def test_a_negative_level_finds_what_lies_above_it():
    values = flat(-2.0)
    values[5, 5, 5] = -0.5
    (finding,) = findings_above(heatmap(values), -1.0, smallest_mm3=0.0)
    assert finding.peak == -0.5


def test_slice_scores_are_the_largest_values_of_each_slice():
    values = flat()
    values[:, :, 6:] = np.nan
    values[3, 4, 2], values[5, 5, 4] = 5.0, -1.0
    expected = [0.0, 0.0, 5.0, 0.0, 0.0, 0.0, np.nan, np.nan]
    np.testing.assert_array_equal(slice_scores(heatmap(values)), expected)
    along_x = slice_scores(heatmap(values), axis=0)
    assert along_x.shape == (10,)
    assert np.isnan(along_x[0])
    assert along_x[3] == 5.0


def test_a_heatmap_off_its_grid_is_refused():
    other = Geometry(GRID.shape, np.eye(4))
    region = Region(np.ones(GRID.shape, bool), GRID, "examined", "test")
    with pytest.raises(InputError):
        Heatmap(np.zeros((2, 2, 2), np.float32), GRID, region, "z", "test")
    with pytest.raises(InputError):
        Heatmap(np.zeros(GRID.shape, np.float32), other, region, "z", "test")


def test_a_heatmap_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        heatmap(flat()).values[1, 1, 1] = 3.0
