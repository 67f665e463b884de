"""The test artefacts of a published two-stage token system, as its code makes them: one strength each.

They act on the scan's own units, whatever those are: the noise is in raw units of a scanner whose tissue lies in the
hundreds. Motion, spikes and ghosting are those of TorchIO 0.20 (real parts, linear interpolation), worked out here from
their definitions.

References
----------
Pérez-García F., Sparks R., Ourselin S., "TorchIO", Computer Methods and Programs in Biomedicine 208 (2021), 106236.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage
from scipy.spatial.transform import Rotation

from anomri.simulate.artefacts.artefact import Clean, Drawn, FloatArray

__all__ = [
    "BlurRecipe",
    "GhostingRecipe",
    "MotionRecipe",
    "NoiseRecipe",
    "SpikeRecipe",
    "SquareRecipe",
    "add_spikes",
    "apply_blur",
    "apply_ghosting",
    "apply_motion",
    "apply_noise",
    "apply_spike",
    "apply_square",
    "draw_blur",
    "draw_ghosting",
    "draw_motion",
    "draw_noise",
    "draw_spike",
    "draw_square",
    "invert_planes",
]

Matrix = NDArray[np.float64]
Triple = tuple[float, float, float]
# Between patients' left and scanners' right: NIfTI worlds are RAS, the transforms of motion are drawn in LPS.
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

MOVES, DEGREES, TRANSLATION_MM, PERTURBATION = 10, 30.0, 50.0, 0.3
SPIKES, SPIKE_INTENSITY = 7, 0.95
GHOSTS, GHOST_AXES, GHOST_INTENSITY, GHOST_RESTORE = (2, 4), (0, 1), 2.0, 0.02
NOISE_MEAN, NOISE_SD = 2000.0, 600.0
BLUR_VOXELS = (6.0, 6.0, 2.0)
SQUARE, SQUARE_FACTOR = (20, 20, 3), 5.0


class MotionRecipe(Drawn):
    """Rotations in degrees and translations in mm about the world's origin, and when each begins (0–1)."""

    degrees: tuple[Triple, ...]
    translations_mm: tuple[Triple, ...]
    times: tuple[float, ...]


class SpikeRecipe(Drawn):
    """Positions as shares of k-space, intensity as a share of its largest entry."""

    positions: tuple[Triple, ...]
    intensity: float


class GhostingRecipe(Drawn):
    """Every `ghosts`-th plane along `axis`."""

    ghosts: int
    axis: int


class NoiseRecipe(Drawn):
    """`mean` in the scan's units."""

    mean: float
    noise_seed: int


class BlurRecipe(Drawn):
    """Nothing is drawn."""


class SquareRecipe(Drawn):
    """Nothing is drawn."""


def draw_motion(_clean: Clean, _severity: int, rng: np.random.Generator) -> MotionRecipe:
    """Rotations within ±30°, translations within ±50 mm, ten of them, at times almost evenly spread."""
    step = 1.0 / (MOVES + 1)
    times = step * np.arange(1, MOVES + 1) + rng.uniform(-step * PERTURBATION, step * PERTURBATION, MOVES)
    return MotionRecipe.model_validate(
        {
            "degrees": rng.uniform(-DEGREES, DEGREES, (MOVES, 3)).tolist(),
            "translations_mm": rng.uniform(-TRANSLATION_MM, TRANSLATION_MM, (MOVES, 3)).tolist(),
            "times": times.tolist(),
        }
    )


def apply_motion(clean: Clean, drawn: MotionRecipe) -> FloatArray:
    """Slabs of k-space along the third axis from the head in one pose after another; the centre from the still head."""
    size = clean.voxels.shape[2]
    # The segment that holds the centre is read from the still head, and its pose takes the still head's segment.
    late = [number for number, time in enumerate(drawn.times) if time > 0.5]
    centre = late[0] if late else len(drawn.times)
    pose_of = list(range(len(drawn.times) + 1))
    pose_of[0], pose_of[centre] = pose_of[centre], pose_of[0]
    ends = [*(int(size * time) for time in drawn.times), size]
    spectrum = np.empty(clean.voxels.shape, dtype=np.complex64)
    begin = 0
    for pose, end in zip(pose_of, ends, strict=True):
        if end > begin:
            moved = clean.voxels if pose == 0 else _in_pose(clean, drawn, pose - 1)
            # Slabs lie along one axis, so the image need be transformed along that one alone.
            lines = fft.fftshift(fft.fft(moved, axis=2, workers=1), axes=2)
            spectrum[:, :, begin:end] = lines[:, :, begin:end]
        begin = max(begin, end)
    return np.asarray(fft.ifft(fft.ifftshift(spectrum, axes=2), axis=2, workers=1).real, dtype=np.float32)


def _in_pose(clean: Clean, drawn: MotionRecipe, number: int) -> FloatArray:
    x, y, z = np.deg2rad(drawn.degrees[number])
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("ZXY", [z, x, y]).as_matrix()
    pose[:3, 3] = drawn.translations_mm[number]
    to_world = LPS @ clean.affine
    index = np.linalg.inv(to_world) @ pose @ to_world
    lowest = float(clean.voxels.min())
    moved: FloatArray = ndimage.affine_transform(
        clean.voxels, index[:3, :3], index[:3, 3], order=1, mode="constant", cval=lowest
    )
    return moved


def draw_spike(_clean: Clean, _severity: int, rng: np.random.Generator) -> SpikeRecipe:
    """The intensity is drawn between −0.95 and 0.95, and may be next to nothing."""
    return SpikeRecipe.model_validate(
        {
            "positions": rng.uniform(0.0, 1.0, (SPIKES, 3)).tolist(),
            "intensity": float(rng.uniform(-SPIKE_INTENSITY, SPIKE_INTENSITY)),
        }
    )


def apply_spike(clean: Clean, drawn: SpikeRecipe) -> FloatArray:
    """See `add_spikes`."""
    return add_spikes(clean.voxels, np.asarray(drawn.positions), drawn.intensity)


def add_spikes(voxels: FloatArray, positions: Matrix, intensity: float) -> FloatArray:
    """Add `intensity` times the entry with the largest real part to points of shifted k-space; the real part remains.

    Parameters
    ----------
    positions : (n, 3) in 0–1, from one end of k-space to the other.
    """
    spectrum = fft.fftshift(fft.fftn(voxels, workers=1))
    for position in positions:
        index = tuple(int(i) for i in np.floor(position * np.asarray(voxels.shape)))
        largest = spectrum.ravel()[int(np.argmax(spectrum.real))]
        spectrum[index] += largest * np.complex64(intensity)
    return np.asarray(fft.ifftn(fft.ifftshift(spectrum), workers=1).real, dtype=np.float32)


def draw_ghosting(_clean: Clean, _severity: int, rng: np.random.Generator) -> GhostingRecipe:
    """Two to four ghosts along the first or second axis."""
    return GhostingRecipe(
        ghosts=int(rng.integers(GHOSTS[0], GHOSTS[1] + 1)), axis=GHOST_AXES[int(rng.integers(len(GHOST_AXES)))]
    )


def apply_ghosting(clean: Clean, drawn: GhostingRecipe) -> FloatArray:
    """See `invert_planes`."""
    return invert_planes(
        clean.voxels, axis=drawn.axis, every=drawn.ghosts, intensity=GHOST_INTENSITY, restore=GHOST_RESTORE
    )


def invert_planes(voxels: FloatArray, *, axis: int, every: int, intensity: float, restore: float) -> FloatArray:
    """Multiply every n-th plane of shifted k-space with 1 − intensity, but for the centre; the real part remains.

    Parameters
    ----------
    restore : share of the planes around the centre that stay as they were.
    """
    size = voxels.shape[axis]
    gain = np.ones(size, dtype=np.float32)
    gain[::every] = 1.0 - intensity
    half = round(restore * size) // 2
    gain[size // 2 - half : size // 2 + half] = 1.0
    shape = [1, 1, 1]
    shape[axis] = size
    spectrum = fft.fft(voxels, axis=axis, workers=1)
    spectrum *= fft.ifftshift(gain).reshape(shape)
    return np.asarray(fft.ifft(spectrum, axis=axis, workers=1).real, dtype=np.float32)


def draw_noise(_clean: Clean, _severity: int, rng: np.random.Generator) -> NoiseRecipe:
    """The mean is drawn between −2000 and 2000, and any normalisation takes it away again."""
    return NoiseRecipe(mean=float(rng.uniform(-NOISE_MEAN, NOISE_MEAN)), noise_seed=int(rng.integers(2**62)))


def apply_noise(clean: Clean, drawn: NoiseRecipe) -> FloatArray:
    """x + mean + 600 · n, n standard normal: Gaussian, not Rician."""
    noise = np.random.default_rng(drawn.noise_seed).standard_normal(clean.voxels.shape, dtype=np.float32)
    return clean.voxels + np.float32(drawn.mean) + np.float32(NOISE_SD) * noise


def draw_blur(_clean: Clean, _severity: int, _rng: np.random.Generator) -> BlurRecipe:
    """Nothing is drawn."""
    return BlurRecipe()


def apply_blur(clean: Clean, _drawn: BlurRecipe) -> FloatArray:
    """Gaussian of 6, 6 and 2 voxels, whatever their size."""
    blurred: FloatArray = ndimage.gaussian_filter(clean.voxels, BLUR_VOXELS)
    return blurred


def draw_square(_clean: Clean, _severity: int, _rng: np.random.Generator) -> SquareRecipe:
    """Nothing is drawn."""
    return SquareRecipe()


def apply_square(clean: Clean, _drawn: SquareRecipe) -> FloatArray:
    """A block of 20 × 20 × 3 voxels in the middle has five times its own mean."""
    begin = [n // 2 - side // 2 for n, side in zip(clean.voxels.shape, SQUARE, strict=True)]
    block = tuple(slice(max(0, b), b + side) for b, side in zip(begin, SQUARE, strict=True))
    out = clean.voxels.copy()
    out[block] = np.float32(SQUARE_FACTOR * float(out[block].mean()))
    return out
