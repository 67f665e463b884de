from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft, ndimage

from anomri.errors import InputError
from anomri.quality import METRICS, classify, measure

SPACING = (2.0, 2.0, 2.0)
Quality = dict[str, float | None]


def examine(brain: Any, voxels: Any, mask: Any = None) -> Quality:
    mask = brain.mask if mask is None else mask
    labels = classify(voxels, mask, brain.priors, seed=0).labels
    return measure(voxels, mask, labels, SPACING, air=None)


@pytest.fixture(scope="module")
def normals(make_phantom: Callable[..., Any]) -> list[Quality]:
    return [examine(brain, brain.voxels) for brain in (make_phantom(seed) for seed in range(4))]


def motion(voxels: Any) -> Any:
    """Four moves of up to 3 mm and 2° between k-space lines along Y; the centre of k-space stays."""
    spectrum = fft.fft(voxels, axis=1)
    line = fft.fftfreq(voxels.shape[1], 1.0 / voxels.shape[1])
    for low, high, shift, degrees in (
        (8, 16, 0.7, 1.0),
        (16, 30, -1.2, -2.0),
        (-20, -9, 1.5, 1.5),
        (-46, -20, -0.8, 1),
    ):
        moved = ndimage.rotate(voxels, degrees, axes=(0, 1), reshape=False, order=3)
        moved = ndimage.shift(moved, (0, shift, shift / 2), order=3)
        chosen = (line >= low) & (line < high)
        spectrum[:, chosen] = fft.fft(moved, axis=1)[:, chosen]
    return np.abs(fft.ifft(spectrum, axis=1))


def ghost(voxels: Any) -> Any:
    line = fft.fftfreq(voxels.shape[1], 1.0 / voxels.shape[1])
    gain = 1.0 + 0.2 * np.cos(2.0 * np.pi * line / 4 + 0.5)
    return np.abs(fft.ifft(fft.fft(voxels, axis=1) * gain[:, None], axis=1))


def spike(voxels: Any) -> Any:
    spectrum = fft.fftn(voxels)
    spectrum[12, 9, 7] += 0.1 * voxels.size * 1000.0
    return np.abs(fft.ifftn(spectrum))


def noise(voxels: Any) -> Any:
    draw = np.random.default_rng(1).standard_normal((2, *voxels.shape)) * 100.0
    return np.hypot(voxels + draw[0], draw[1])


def blur(voxels: Any) -> Any:
    return ndimage.gaussian_filter(voxels, 0.6)


def bias(voxels: Any) -> Any:
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in voxels.shape), indexing="ij")
    return voxels * np.exp(0.35 * x - 0.3 * y**2)


def missing(voxels: Any) -> Any:
    out = voxels.copy()
    out[12:27, 16:37, 25:43] = np.abs(np.random.default_rng(2).standard_normal((15, 21, 18))) * 20
    return out


def dropped_slice(voxels: Any) -> Any:
    out = voxels.copy()
    out[:, :, 29] *= 0.6
    return out


@pytest.mark.parametrize(
    ("defect", "higher", "lower"),
    [
        (motion, ["ghost_y", "line_ripple"], ["edge_slope"]),
        (ghost, ["ghost_y"], []),
        (spike, ["spectral_peak"], ["white_signal_to_noise"]),
        (noise, ["noise_level", "energy_high"], ["white_signal_to_noise", "correlation_length_x"]),
        (blur, ["correlation_length_x"], ["noise_level", "energy_high", "edge_slope", "curvature"]),
        (bias, ["field_range", "bright_tail"], []),
        (missing, ["intensity_asymmetry", "centre_offset"], ["darkest_block", "dark_tail"]),
        (dropped_slice, ["slice_jump", "slice_difference"], []),
    ],
    ids=lambda item: getattr(item, "__name__", None),
)  # fmt: skip
def test_each_defect_moves_its_metrics_beyond_every_normal(
    normals: list[Quality], make_phantom: Callable[..., Any], defect: Any, higher: list[str], lower: list[str]
) -> None:
    brain = make_phantom(10)
    spoilt = examine(brain, (defect(brain.voxels) * brain.mask).astype(np.float32))
    for name in higher:
        assert spoilt[name] > max(quality[name] for quality in normals), name  # type: ignore[operator,type-var]
    for name in lower:
        assert spoilt[name] < min(quality[name] for quality in normals), name  # type: ignore[operator,type-var]


def test_a_part_missing_from_the_mask_shows_in_its_shape(
    normals: list[Quality], make_phantom: Callable[..., Any]
) -> None:
    brain = make_phantom(10)
    mask = brain.mask.copy()
    mask[12:27, 16:37, 25:43] = False
    spoilt = examine(brain, brain.voxels * mask, mask)
    for name in ("shape_asymmetry", "surface_excess"):
        assert spoilt[name] > max(quality[name] for quality in normals), name  # type: ignore[operator,type-var]
    for name in ("ellipsoid_fill", "brain_volume"):
        assert spoilt[name] < min(quality[name] for quality in normals), name  # type: ignore[operator,type-var]


def test_every_metric_of_the_table_is_measured_in_its_order(normals: list[Quality]) -> None:
    for quality in normals:
        assert list(quality) == list(METRICS)
        for name, value in quality.items():
            assert (value is None) == METRICS[name].needs_air, name


def test_every_row_says_what_either_side_means() -> None:
    for name, row in METRICS.items():
        assert row.title, name
        assert row.formula, name
        assert row.reference, name
        assert row.low_means, name
        assert row.high_means, name
        assert not (row.needs_air and row.in_score), name


@settings(max_examples=3, deadline=None)
@given(factor=st.floats(1e-4, 1e5))
def test_a_global_factor_changes_no_metric(phantom: Any, factor: float) -> None:
    air = ~ndimage.binary_dilation(phantom.mask, iterations=2)
    scan = with_air(phantom)
    plain = measure(scan, phantom.mask, phantom.truth, SPACING, air=air)
    scaled = measure(scan * np.float32(factor), phantom.mask, phantom.truth, SPACING, air=air)
    for name in METRICS:
        assert scaled[name] == pytest.approx(plain[name], rel=2e-3, abs=2e-4), name


def with_air(phantom: Any) -> Any:
    draw = np.random.default_rng(3).standard_normal((2, *phantom.mask.shape)) * 20.0
    return np.where(phantom.mask, phantom.voxels, np.hypot(*draw)).astype(np.float32)


def test_a_slightly_finer_grid_hardly_changes_a_metric(make_phantom: Callable[..., Any]) -> None:
    brain = make_phantom(4)
    zoom = 1.08
    smooth = ndimage.gaussian_filter(brain.clean, 1.0)
    finer = ndimage.zoom(smooth, zoom, order=3).astype(np.float32)
    mask = ndimage.zoom(brain.mask.astype(np.float32), zoom, order=1) > 0.5
    labels = ndimage.zoom(brain.truth, zoom, order=0)
    labels[mask & (labels == 0)] = 1
    width = tuple(2.0 * (n - 1) / (m - 1) for n, m in zip(brain.mask.shape, mask.shape, strict=True))
    coarse = measure(smooth, brain.mask, brain.truth, SPACING, air=None)
    fine = measure(finer, mask, labels, (width[0], width[1], width[2]), air=None)
    for name in (
        "correlation_length_x",
        "gradient_energy",
        "brain_volume",
        "surface_excess",
        "field_range",
        "edge_slope",
    ):
        assert fine[name] == pytest.approx(coarse[name], rel=0.12), name
    for name in ("energy_low", "energy_middle"):
        assert fine[name] == pytest.approx(coarse[name], abs=0.15), name


def test_air_metrics_need_air(phantom: Any) -> None:
    scan = with_air(phantom)
    air = ~ndimage.binary_dilation(phantom.mask, iterations=2)
    quality = measure(scan, phantom.mask, phantom.truth, SPACING, air=air)
    assert all(quality[name] is not None for name in METRICS)
    white = float(np.median(scan[phantom.truth == 3]))
    assert quality["air_noise"] == pytest.approx(20.0 / white, rel=0.02)
    assert quality["foreground_background_energy"] == pytest.approx(
        np.median(scan[phantom.mask].astype(float) ** 2) / np.median(scan[air].astype(float) ** 2)
    )
    for empty in (None, np.zeros_like(air)):
        bare = measure(scan, phantom.mask, phantom.truth, SPACING, air=empty)
        assert all((bare[name] is None) == row.needs_air for name, row in METRICS.items())
    blank = measure(np.where(phantom.mask, scan, 0), phantom.mask, phantom.truth, SPACING, air=air)
    assert blank["air_noise"] is None


def test_a_ghost_beside_the_brain_shows_in_the_air(phantom: Any) -> None:
    scan = with_air(phantom)
    air = ~ndimage.binary_dilation(phantom.mask, iterations=2)
    before = measure(scan, phantom.mask, phantom.truth, SPACING, air=air)["air_ghost"]
    after = measure(ghost(scan).astype(np.float32), phantom.mask, phantom.truth, SPACING, air=air)["air_ghost"]
    assert before is not None
    assert after is not None
    assert after > before + 0.005


def test_what_is_undefined_is_none(phantom: Any) -> None:
    box = (slice(25, 35), slice(33, 43), slice(25, 35))
    mask = np.zeros_like(phantom.mask)
    mask[box] = True
    labels = np.where(mask, 3, 0).astype(np.uint8)
    quality = measure(phantom.voxels, mask, labels, SPACING, air=None)
    assert quality["grey_white_ratio"] is None
    assert quality["joint_variation"] is None
    assert quality["edge_slope"] is None
    assert quality["ghost_y"] is None
    assert quality["white_share"] == 1.0


def test_what_cannot_be_measured_is_refused(phantom: Any) -> None:
    good = phantom.voxels, phantom.mask, phantom.truth
    cases = {
        "mask_empty": (good[0], np.zeros_like(phantom.mask), good[2]),
        "no_white": (good[0], good[1], np.minimum(good[2], 2)),
        "geometry": (good[0][1:], good[1], good[2]),
    }
    for code, (voxels, mask, labels) in cases.items():
        with pytest.raises(InputError) as caught:
            measure(voxels, mask, labels, SPACING, air=None)
        assert caught.value.code == code


def test_the_input_is_left_alone(phantom: Any) -> None:
    before = phantom.voxels.copy(), phantom.mask.copy(), phantom.truth.copy()
    measure(phantom.voxels, phantom.mask, phantom.truth, SPACING, air=None)
    for was, now in zip(before, (phantom.voxels, phantom.mask, phantom.truth), strict=True):
        assert np.array_equal(was, now)


@pytest.mark.parametrize("shape", [(1, 1, 1), (40, 40, 1)])
def test_a_degenerate_mask_gives_none_and_no_warning(shape: tuple[int, int, int]) -> None:
    labels = np.full(shape, 3, dtype=np.uint8)
    quality = measure(np.ones(shape, dtype=np.float32), labels > 0, labels, SPACING, air=None)
    assert quality["ghost_y"] is None
    assert quality["white_signal_to_noise"] is None
    assert all(value is None or np.isfinite(value) for value in quality.values())
