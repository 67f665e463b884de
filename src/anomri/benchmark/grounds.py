"""What is true of a case whatever a method says of it; the same for every row and seed of one preparation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomri.benchmark.preparing import Ready, load_ready, load_truth
from anomri.metrics.lesionwise import contrasts_of, lesions_of
from anomri.metrics.strata import contrast_stratum, volume_stratum

__all__ = ["Ground", "Grounds"]

Mask = NDArray[np.bool_]
Bits = NDArray[np.uint8]


@dataclass(frozen=True, eq=False, slots=True)
class Ground:
    """Where a case was examined, and where it is abnormal.

    Parameters
    ----------
    examined, abnormal : masks as bits, on a grid of `shape`; of a refused scan nothing was examined.
    volumes, contrasts : the strata of each of its lesions.
    """

    ready: Ready
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    examined: Bits
    abnormal: Bits
    volumes: tuple[str, ...]
    contrasts: tuple[str, ...]

    @property
    def region(self) -> Mask:
        """(X, Y, Z) where the scan was examined."""
        return self._mask(self.examined)

    @property
    def truth(self) -> Mask:
        """(X, Y, Z) where it is abnormal, examined or not; empty for a normal scan."""
        return self._mask(self.abnormal)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    def _mask(self, bits: Bits) -> Mask:
        return np.unpackbits(bits, count=int(np.prod(self.shape))).reshape(self.shape).astype(bool)


class Grounds:
    """The grounds of all cases, each made when it is first asked for and then kept."""

    def __init__(self, ready: Sequence[Ready]) -> None:
        self._ready = {r.case.case_id: r for r in ready}
        some = next((r for r in ready if r.file is not None), None)
        # The truth of a refused scan was kept at the spacing of the others.
        self._spacing_mm = (1.0, 1.0, 1.0) if some is None else load_ready(some).scan.geometry.spacing_mm
        self._kept: dict[str, Ground] = {}

    def __getitem__(self, case: str) -> Ground:
        if case not in self._kept:
            self._kept[case] = self._made(self._ready[case])
        return self._kept[case]

    def _made(self, ready: Ready) -> Ground:
        truth = load_truth(ready)
        if ready.file is None:
            truth = np.zeros((1, 1, 1), dtype=bool) if truth is None else truth
            lesions = lesions_of(truth, spacing_mm=self._spacing_mm)
            return Ground(
                ready=ready,
                shape=truth.shape,
                spacing_mm=self._spacing_mm,
                examined=np.packbits(np.zeros_like(truth)),
                abnormal=np.packbits(truth),
                volumes=tuple(volume_stratum(ml) for ml in lesions.volumes_ml.tolist()),
                contrasts=("undefined",) * lesions.volumes_ml.size,
            )
        prepared = load_ready(ready)
        geometry, inside = prepared.scan.geometry, prepared.inside.mask
        truth = np.zeros(geometry.shape, dtype=bool) if truth is None else truth
        lesions = lesions_of(truth, spacing_mm=geometry.spacing_mm)
        seen = contrasts_of(prepared.scan.voxels, lesions, inside, spacing_mm=geometry.spacing_mm)
        return Ground(
            ready=ready,
            shape=geometry.shape,
            spacing_mm=geometry.spacing_mm,
            examined=np.packbits(prepared.region.mask),
            abnormal=np.packbits(truth),
            volumes=tuple(volume_stratum(ml) for ml in lesions.volumes_ml.tolist()),
            contrasts=tuple(contrast_stratum(contrast) for contrast in seen.tolist()),
        )
