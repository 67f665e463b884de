"""What k-space tells: energy by frequency, lone peaks, and lines that repeat, by one Fourier transform.

An acquisition fault strikes whole lines of k-space. A ghost N/n voxels away multiplies the lines by a cosine of period
n, motion between lines breaks the smooth fall of energy from line to line, a spike is one point far above its peers.
The anatomy averages out: the mean log power of a line runs over thousands of cells, so it is smooth to about a percent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from anomri.core.geometry import whole_voxels
from anomri.quality.texture import shrink

__all__ = [
    "Lines",
    "ghost_amplitude",
    "line_profiles",
    "line_ripple",
    "line_spectrum",
    "line_steps",
    "spectral_metrics",
    "taper",
]

# Cycles per millimetre.
REFERENCE_BAND = (0.03, 0.08)
BANDS = {
    "energy_low": (0.08, 0.16),
    "energy_middle": (0.16, 0.26),
    "energy_high": (0.26, 0.38),
    "energy_highest": (0.38, 0.50),
}
SHELL_PER_MM = 0.01
# Below it anatomy rules, and single strong cells are normal.
PEAK_FROM_PER_MM = 0.06
LINES_FROM_PER_MM = 0.08
TAPER_MM = 3.0
# Shifts at which copies of the head are looked for; nearer ones are the anatomy's own.
GHOST_FROM_MM = 14.0
RIPPLE_MM = (5.0, 60.0)
# A spacing of 1 mm may be 0.9999999 mm in a header; what lies on a limit lies within it.
LIMIT_TOLERANCE_MM = 0.01
NEIGHBOURHOOD = 9

Volume = NDArray[np.float32]


@dataclass(frozen=True, eq=False, slots=True)
class Lines:
    """Mean log power of the k-space lines across one axis, and its cepstrum.

    Parameters
    ----------
    log_power : (n,) natural log, line 0 is the centre of k-space.
    shift_mm : (n // 2 + 1,) distances in the image.
    cepstrum : (n // 2 + 1,) amplitude by which the log power swings with the period that belongs to each distance.
    """

    log_power: NDArray[np.float64]
    shift_mm: NDArray[np.float64]
    cepstrum: NDArray[np.float64]


def taper(values: Volume, mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> Volume:
    """The image minus its mean, faded to 0 towards the border of the mask, so that the border leaves no edge."""
    weight = shrink(mask).astype(np.float32)
    for axis, spacing in enumerate(spacing_mm):
        width = 2 * whole_voxels(TAPER_MM / 2, spacing) + 1
        for _ in range(2):
            ndimage.uniform_filter1d(weight, width, axis=axis, output=weight, mode="constant")
    # Ramps from 0 at the border to 1: what the smoothing left just inside the border is half of full weight.
    np.clip(2.0 * weight - 1.0, 0.0, 1.0, out=weight)
    total = float(weight.sum(dtype=np.float64))
    mean = float((values * weight).sum(dtype=np.float64)) / total if total > 0 else 0.0
    return (values - np.float32(mean)) * weight


def spectral_metrics(
    values: Volume, mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> dict[str, float | None]:
    """Metrics of the spectrum of the brain.

    Parameters
    ----------
    values : (X, Y, Z) intensities of the mask's box.
    mask : (X, Y, Z).
    spacing_mm : distance between voxel centres along X, Y, Z.
    """
    names = (*BANDS, "spectral_peak", "ghost_x", "ghost_y", "ghost_z", "line_ripple", "line_steps")
    shape = tuple(fft.next_fast_len(n, real=True) for n in values.shape)
    faded = taper(values, mask, spacing_mm)
    if min(shape) < 16 or not np.any(faded):
        return dict.fromkeys(names)
    amplitude = np.abs(fft.rfftn(faded, s=shape, workers=1))
    radius = _radius(shape, spacing_mm)
    out: dict[str, float | None] = dict.fromkeys(names)
    out |= _shell_metrics(amplitude, radius)
    lines = line_profiles(amplitude, radius, shape, spacing_mm)
    out |= {f"ghost_{name}": ghost_amplitude(line) for name, line in zip("xyz", lines, strict=True)}
    out["line_ripple"] = max(line_ripple(line) for line in lines)
    out["line_steps"] = max(line_steps(line) for line in lines)
    return out


def _radius(shape: tuple[int, ...], spacing_mm: tuple[float, float, float]) -> Volume:
    """Distance of each cell of the half spectrum from the centre of k-space, cycles per mm."""
    along = [
        fft.fftfreq(shape[0], spacing_mm[0]),
        fft.fftfreq(shape[1], spacing_mm[1]),
        fft.rfftfreq(shape[2], spacing_mm[2]),
    ]
    x, y, z = (np.square(a, dtype=np.float32) for a in along)
    radius: Volume = np.sqrt(x[:, None, None] + y[None, :, None] + z[None, None, :])
    return radius


def _shell_metrics(amplitude: Volume, radius: Volume) -> dict[str, float | None]:
    shell = (radius * np.float32(1.0 / SHELL_PER_MM)).astype(np.int16)
    flat = shell.ravel()
    count = np.bincount(flat).astype(np.float64)
    mean = np.bincount(flat, weights=amplitude.ravel()) / np.maximum(count, 1.0)
    power = np.bincount(flat, weights=np.square(amplitude).ravel())

    def density(band: tuple[float, float]) -> float | None:
        rings = slice(round(band[0] / SHELL_PER_MM), round(band[1] / SHELL_PER_MM))
        cells = float(count[rings].sum())
        return float(power[rings].sum()) / cells if cells > 0 else None

    reference = density(REFERENCE_BAND)
    out: dict[str, float | None] = {}
    for name, band in BANDS.items():
        here = density(band)
        out[name] = None if not here or not reference else float(np.log10(here / reference))
    relative = amplitude / np.maximum(mean, np.finfo(np.float32).tiny).astype(np.float32)[shell]
    relative[radius < PEAK_FROM_PER_MM] = 0.0
    highest = float(relative.max())
    out["spectral_peak"] = float(np.log10(highest)) if highest > 0 else None
    return out


def line_profiles(
    amplitude: Volume, radius: Volume, shape: tuple[int, ...], spacing_mm: tuple[float, float, float]
) -> tuple[Lines, Lines, Lines]:
    """`Lines` across X, Y and Z from the half spectrum of a real image of the given shape."""
    floor = np.float32(amplitude.max()) * np.float32(1e-7)
    log_power = 2.0 * np.log(np.maximum(amplitude, floor))
    profiles = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        # Cells near the axis through the centre carry the anatomy; the same cells are left out of every line.
        across = radius.take(0, axis=axis) >= LINES_FROM_PER_MM
        weight = np.expand_dims(across, axis)
        line = np.where(weight, log_power, np.float32(0)).sum(axis=others, dtype=np.float64) / np.count_nonzero(across)
        n = shape[axis]
        full = line if len(line) == n else np.concatenate([line, line[1 : n - len(line) + 1][::-1]])
        # The half spectrum holds each line or its mirror image; a real image has the same power in both.
        full = (full + np.roll(full[::-1], 1)) / 2.0
        profiles.append(line_spectrum(full, spacing_mm[axis]))
    return (profiles[0], profiles[1], profiles[2])


def line_spectrum(log_power: NDArray[np.floating], spacing: float) -> Lines:
    """Cepstrum of one profile of mean log power (n,), symmetric about line 0.

    References
    ----------
    Bogert B. P., Healy M. J. R., Tukey J. W., Proc. Symp. Time Series Analysis, 209–243, 1963 (echoes in the cepstrum).
    """
    n = len(log_power)
    swing = np.asarray(fft.rfft(log_power - log_power.mean()).real * (2.0 / n), dtype=np.float64)
    return Lines(log_power.astype(np.float64), np.arange(len(swing), dtype=np.float64) * spacing, swing)


def ghost_amplitude(line: Lines) -> float:
    """Largest swing of the log power at one distance ≥ 14 mm, above that of the distances around it.

    A ghost of modulation depth a and phase φ that falls wholly onto the brain gives 2 · a · |cos φ|; what falls outside
    the mask is lost. A ghost in quadrature (cos φ = 0) leaves no trace of first order in a magnitude image.
    """
    far = line.shift_mm >= GHOST_FROM_MM - LIMIT_TOLERANCE_MM
    return float(np.abs(_excess(line)[far]).max()) if far.any() else 0.0


def line_ripple(line: Lines) -> float:
    """Root mean square of the narrow part of the cepstrum between 5 and 60 mm."""
    low, high = RIPPLE_MM
    near = (line.shift_mm >= low - LIMIT_TOLERANCE_MM) & (line.shift_mm <= high + LIMIT_TOLERANCE_MM)
    return float(np.sqrt(np.mean(np.square(_excess(line)[near])))) if near.any() else 0.0


def line_steps(line: Lines) -> float:
    """Root mean square of the second difference of the log power from line to line, away from the centre."""
    n = len(line.log_power)
    half = line.log_power[: n // 2 + 1]
    bend = half[:-2] - 2.0 * half[1:-1] + half[2:]
    # Two lines at the outer end stay out: at the highest frequency a line is its own mirror image.
    return float(np.sqrt(np.mean(np.square(bend[n // 16 : -2]))))


def _excess(line: Lines) -> NDArray[np.float64]:
    """The cepstrum minus its running median: copies are narrow, anatomy and resampling are broad."""
    smooth: NDArray[np.float64] = ndimage.median_filter(line.cepstrum, size=NEIGHBOURHOOD, mode="reflect")
    return line.cepstrum - smooth
