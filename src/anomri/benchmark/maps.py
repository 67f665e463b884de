"""The heatmaps of a row on their grids, and the levels that normal scans of other folds put through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from anomri.benchmark.grounds import Ground, Grounds
from anomri.benchmark.results import Results
from anomri.metrics.thresholds import thresholds_at_false_positive
from anomri.metrics.voxel import RankedVoxels, rank_voxels
from anomri.preparation import Recipe

__all__ = ["SLICES", "VOLUMES", "Allowances", "Heatmaps", "Mapped", "allowances_of", "levels_of", "map_of"]

FloatMap = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Allowances:
    """How much false positive a normal scan may have on average: the honest operating point and its neighbours.

    Parameters
    ----------
    unit : what the amounts are in: ml of a volume, or per cent of the examined pixels of a slice.
    lax : so low that the candidates of the FROC reach 8 false positives a scan.
    """

    unit: str
    strict: float
    honest: float
    lax: float

    @property
    def amounts(self) -> tuple[float, float, float]:
        """All three."""
        return self.strict, self.honest, self.lax

    def named(self, amount: float) -> str:
        """``1 ml``."""
        return f"{amount:g} {self.unit}"


VOLUMES = Allowances("ml", strict=0.1, honest=1.0, lax=5.0)
# 0.1 ml and 1 ml are about these shares of a brain; of a slice, 1 ml would be a tenth.
SLICES = Allowances("% of pixels", strict=0.01, honest=0.1, lax=1.0)


def allowances_of(recipe: Recipe) -> Allowances:
    """What normals of a preparation may have."""
    return SLICES if recipe.for_slices else VOLUMES


@dataclass(frozen=True, eq=False, slots=True)
class Mapped:
    """A case with its map.

    Parameters
    ----------
    inside : (n,) values of the examined voxels in the order of the grid; `nan` where there is no map of the scan.
    """

    ground: Ground
    inside: FloatMap

    @property
    def refused(self) -> bool:
        """Whether there is no map; nothing is marked then."""
        return bool(np.isnan(self.inside).all())

    @property
    def values(self) -> FloatMap:
        """(X, Y, Z) the map, `nan` where nothing was examined."""
        values = np.full(self.ground.shape, np.nan, dtype=np.float32)
        values[self.ground.region] = self.inside
        return values

    @property
    def listed(self) -> tuple[FloatMap, Mask]:
        """(m,) values and truth of the examined voxels, then of the lesion's voxels that were not examined (`nan`)."""
        region, truth = self.ground.region, self.ground.truth
        missed = np.full(np.count_nonzero(truth & ~region), np.nan, dtype=np.float32)
        return (
            np.concatenate([self.inside, missed]),
            np.concatenate([truth[region], np.ones(missed.size, dtype=bool)]),
        )

    @property
    def ranked(self) -> RankedVoxels:
        """Its voxels by value."""
        return rank_voxels(*self.listed)

    def per_voxel(self, allowances: Allowances) -> float:
        """How much one voxel is, in the unit of the allowances."""
        return self.ground.voxel_ml if allowances.unit == "ml" else 100.0 / self.inside.size


class Heatmaps:
    """Maps of one seed, each read when it is asked for."""

    def __init__(self, results: Results, seed: int, grounds: Grounds) -> None:
        self._results, self._seed, self._grounds = results, seed, grounds
        self.known = _known(results, seed)

    def __getitem__(self, case: str) -> Mapped:
        ground = self._grounds[case]
        values = map_of(self._results, self._seed, case)
        if values is None:
            values = np.full(np.count_nonzero(ground.region), np.nan, dtype=np.float32)
        return Mapped(ground, values)


def map_of(results: Results, seed: int, case: str) -> FloatMap | None:
    """(n,) map values inside the examined region, in the order of its voxels; None where the case has no map."""
    for path in results.maps.get(seed, ()):
        with safe_open(path, framework="numpy") as file:
            if case in file.keys():  # noqa: SIM118, the file is no mapping
                values: FloatMap = file.get_tensor(case).astype(np.float32)
                return values
    return None


def _known(results: Results, seed: int) -> frozenset[str]:
    """The cases that have a map."""
    names: set[str] = set()
    for path in results.maps.get(seed, ()):
        with safe_open(path, framework="numpy") as file:
            names |= set(file.keys())
    return frozenset(names)


def levels_of(
    normals: Sequence[Mapped], fold_of: Mapping[str, int], allowances: Allowances
) -> dict[tuple[int, float], float]:
    """Threshold of each fold by the amount of false positive allowed, from the normals of the other folds alone."""
    found: dict[tuple[int, float], float] = {}
    for fold in sorted(set(fold_of.values())):
        others = [m for m in normals if fold_of[m.ground.ready.case.case_id] != fold]
        levels = thresholds_at_false_positive(
            [m.inside for m in others], [m.per_voxel(allowances) for m in others], allowed=allowances.amounts
        )
        found |= {(fold, amount): level for amount, level in zip(allowances.amounts, levels, strict=True)}
    return found
