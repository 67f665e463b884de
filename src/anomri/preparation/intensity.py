"""Put the intensities of scans of one contrast on one scale.

References
----------
Nyúl L. G., Udupa J. K., Zhang X., IEEE TMI 19(2), 143–150, 2000 (histogram matching by landmarks).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from anomri.errors import InputError, PreparationFailed

__all__ = ["LANDMARK_PERCENTILES", "VERSION", "from_zero", "normalise", "verify_landmarks"]

VERSION = 2
LANDMARK_PERCENTILES = (1.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 99.0)

# A few negative voxels are ripples of a resampling; more are a scan that was normalised before.
_MOST_NEGATIVE = 0.05
_DARKEST_PERCENTILE = 0.1

Kind = Literal["percentile", "zscore", "histogram", "minmax"]


def from_zero(voxels: NDArray[np.float32], mask: NDArray[np.bool_]) -> tuple[NDArray[np.float32], float]:
    """A scan that was normalised before (z-scores), on a scale that begins at 0 again; any other as it is.

    Metrics and bias correction need a scale on which twice the value is twice the signal. Its zero is lost, and the
    darkest voxels, which are close to it, take its place.

    Returns
    -------
    (X, Y, Z) voxels, 0 outside the mask, and what was added: 0 where nothing had to be.
    """
    inside = voxels[mask]
    if np.count_nonzero(inside < 0) <= _MOST_NEGATIVE * inside.size:
        return voxels, 0.0
    darkest = np.float32(np.percentile(inside, _DARKEST_PERCENTILE))
    return np.where(mask, np.maximum(voxels - darkest, np.float32(0.0)), np.float32(0.0)), -float(darkest)


def normalise(
    voxels: NDArray[np.float32],
    mask: NDArray[np.bool_],
    kind: Kind,
    *,
    percentiles: tuple[float, float] = (1.0, 99.0),
    ceiling: float | None = 1.5,
    landmarks: tuple[float, ...] = (),
) -> NDArray[np.float32]:
    """Scale a scan's values inside its mask.

    Parameters
    ----------
    kind : ``percentile`` the two percentiles become 0.1 and 1; ``zscore`` mean 0 and SD 1; ``histogram`` piecewise
        linear through `landmarks` at `LANDMARK_PERCENTILES`; ``minmax`` the volume's minimum and maximum become 0
        and 1, background included (the published autoencoder).
    percentiles : for ``percentile``, taken inside the mask.
    ceiling : larger results are cut here (for ``percentile`` and ``histogram``); None keeps them.
    landmarks : for ``histogram``, one value for each of `LANDMARK_PERCENTILES`, increasing.

    Returns
    -------
    (X, Y, Z) float32, 0 outside the mask. With ``percentile`` dark tissue lies near 0.1, apart from the background.

    Raises
    ------
    PreparationFailed : the values do not vary.
    """
    inside = voxels[mask]
    if kind == "minmax":
        low, high = float(voxels.min()), float(voxels.max())
        _require_range(low, high)
        return np.where(mask, (voxels - low) / (high - low), 0.0).astype(np.float32)
    if kind == "zscore":
        mean, sd = float(inside.mean(dtype=np.float64)), float(inside.std(dtype=np.float64))
        _require_range(0.0, sd)
        return np.where(mask, (voxels - mean) / sd, 0.0).astype(np.float32)
    if kind == "percentile":
        low, high = (float(p) for p in np.percentile(inside, percentiles))
        _require_range(low, high)
        scaled = 0.1 + 0.9 * (voxels - low) / (high - low)
    else:
        found = np.percentile(inside, LANDMARK_PERCENTILES)
        _require_range(float(found[0]), float(found[-1]))
        scaled = _through_landmarks(voxels, found, np.array(landmarks))
    scaled = np.maximum(scaled, 0.0)
    if ceiling is not None:
        scaled = np.minimum(scaled, ceiling)
    return np.where(mask, scaled, 0.0).astype(np.float32)


def verify_landmarks(landmarks: tuple[float, ...]) -> None:
    """Raise `InputError` unless there is one landmark for each of `LANDMARK_PERCENTILES`, and they increase."""
    if len(landmarks) != len(LANDMARK_PERCENTILES) or not np.all(np.diff(landmarks) > 0):
        raise InputError(
            f"{len(landmarks)} landmarks that do not fit the {len(LANDMARK_PERCENTILES)} percentiles",
            remedy="Give one for each percentile, increasing.",
            code="landmarks",
        )


def _through_landmarks(
    voxels: NDArray[np.float32], found: NDArray[np.floating], wanted: NDArray[np.floating]
) -> NDArray[np.float64]:
    keep = np.concatenate([[True], np.diff(found) > 0])
    found, wanted = found[keep], wanted[keep]
    scaled = np.interp(voxels, found, wanted)
    # Beyond the outer landmarks the nearest slope goes on, so that a bright lesion stays bright.
    first = (wanted[1] - wanted[0]) / (found[1] - found[0])
    last = (wanted[-1] - wanted[-2]) / (found[-1] - found[-2])
    scaled = np.where(voxels < found[0], wanted[0] + (voxels - found[0]) * first, scaled)
    return np.asarray(np.where(voxels > found[-1], wanted[-1] + (voxels - found[-1]) * last, scaled))


def _require_range(low: float, high: float) -> None:
    if not high > low:
        raise PreparationFailed("the values inside the mask do not vary", remedy="Check the scan.", code="no_contrast")
