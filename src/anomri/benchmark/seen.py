"""What the maps of one seed say: of the normal scans, and of each abnormal case by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomri.benchmark.maps import Allowances, Heatmaps, Mapped, levels_of
from anomri.benchmark.results import Results
from anomri.metrics.lesionwise import Matched, candidates_of, lesions_of, match_candidates
from anomri.metrics.localisation import top_hit
from anomri.metrics.overlap import dice, iou, margin_of, surface_distance_95_mm
from anomri.metrics.regions import Cover, aupimo_of, cover_of
from anomri.metrics.thresholds import otsu_threshold, robust_z_threshold
from anomri.metrics.voxel import RankedVoxels, count_ranked, count_voxels, oracle_dice, voxel_average_precision

__all__ = ["Normals", "Seen", "Voxels", "normals_of", "seen_of"]

FloatMap = NDArray[np.float32]
_UNDEFINED = float("nan")


@dataclass(frozen=True, eq=False, slots=True)
class Normals:
    """What the normal scans say once, for every case and cell.

    Parameters
    ----------
    levels : threshold by fold and by the false positive allowed.
    low : threshold of FROC candidates, one for all scans.
    outside : (n,) values of each scan that has a map, ascending.
    spilt : realised false positive a scan, by the amount allowed; each scan at the level that other folds set.
    matched, strict : of every normal scan in the order of the cases, by either rule of a hit; a refused one has a false
        finding that no threshold removes.
    """

    levels: Mapping[tuple[int, float], float]
    low: float
    outside: tuple[FloatMap, ...]
    spilt: Mapping[float, float]
    matched: tuple[Matched, ...]
    strict: tuple[Matched, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Seen:
    """What a map says of one abnormal case, for every cell it stands in.

    Parameters
    ----------
    figures : of the case alone, by metric; `nan` where it has none.
    found : whether each of its lesions is hit at the honest operating point.
    """

    figures: Mapping[str, float]
    matched: Matched
    strict: Matched
    found: tuple[bool, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Voxels:
    """What the figures of all voxels of a cell together need of a case."""

    ranked: RankedVoxels
    cover: Cover


def normals_of(results: Results, maps: Heatmaps, allowances: Allowances) -> Normals:
    """Levels from the normals, and what the normals have above them."""
    healthy = [r.case.case_id for r in results.ready if not r.case.abnormal]
    found = {case: maps[case] for case in healthy if case in maps.known}
    levels = levels_of(tuple(found.values()), results.fold_of, allowances)
    low = min(level for (_, allowed), level in levels.items() if allowed == allowances.lax)
    alarm = Matched(np.zeros(0), np.zeros(0), np.array([np.inf]), 0, 0)
    spilt: dict[float, list[float]] = {allowed: [] for allowed in allowances.amounts}
    for case, m in found.items():
        for allowed, values in spilt.items():
            values.append((m.inside > levels[results.fold_of[case], allowed]).sum() * m.per_voxel(allowances))
    both = [_matched(found[case], found[case].values, low) if case in found else (alarm, alarm) for case in healthy]
    return Normals(
        levels=levels,
        low=low,
        outside=tuple(m.ranked.outside for m in found.values()),
        spilt={allowed: float(np.mean(values)) for allowed, values in spilt.items()},
        matched=tuple(loose for loose, _ in both),
        strict=tuple(strict for _, strict in both),
    )


def seen_of(m: Mapped, normals: Normals, fold: int, allowances: Allowances) -> tuple[Seen, Voxels]:
    """Figures of a case of that fold; a refused scan marks nothing: its lesions are missed."""
    values, truth, spacing_mm = m.values, m.ground.truth, m.ground.spacing_mm
    honest = normals.levels[fold, allowances.honest]
    ranked = m.ranked
    hit, chance, distance = 0.0, _UNDEFINED, _UNDEFINED
    if not m.refused:
        hit, chance, distance = top_hit(values, truth, spacing_mm=spacing_mm)
    seen, lesion = m.listed
    counts = count_ranked([ranked])
    region = m.ground.region
    far = (truth | ~margin_of(truth, spacing_mm=spacing_mm))[region]
    apart = count_voxels([m.inside[far]], [truth[region][far]])
    figures = {
        "top finding in lesion": hit,
        "chance of it": chance,
        "distance of top finding, mm": distance,
        "voxel average precision, mean": voxel_average_precision(counts).value,
        "voxel average precision outside a margin of 5 mm, mean": voxel_average_precision(apart).value,
        "dice, threshold from normals": dice(seen > honest, lesion),
        **{
            f"dice, threshold from normals, {allowances.named(amount)}": dice(
                seen > normals.levels[fold, amount], lesion
            )
            for amount in (allowances.strict, allowances.lax)
        },
        "dice, scan's own threshold": dice(seen > robust_z_threshold(seen), lesion),
        "dice, scan's own threshold, otsu": dice(seen > otsu_threshold(seen), lesion),
        "oracle dice, per subject": oracle_dice(counts).dice,
        "iou, threshold from normals": iou(seen > honest, lesion),
        "surface distance 95 %, mm": surface_distance_95_mm(values > honest, truth, spacing_mm=spacing_mm),
        "aupimo": aupimo_of(ranked, normals.outside),
    }
    loose, strict = _matched(m, values, normals.low)
    hits, _ = _matched(m, values, honest)
    return (
        Seen(figures, loose, strict, tuple((hits.lesion_scores > -np.inf).tolist())),
        Voxels(ranked, cover_of(values, truth, spacing_mm=spacing_mm)),
    )


def _matched(m: Mapped, values: FloatMap, level: float) -> tuple[Matched, Matched]:
    """Its lesions and the candidates above a level, matched by either rule of a hit."""
    truth = lesions_of(m.ground.truth, spacing_mm=m.ground.spacing_mm)
    found = candidates_of(values, level, spacing_mm=m.ground.spacing_mm)
    loose, strict = (
        match_candidates(found, truth, spacing_mm=m.ground.spacing_mm, strict=hard) for hard in (False, True)
    )
    return loose, strict
