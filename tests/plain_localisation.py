"""Localisation as its definitions say, on whole grids, one case and one threshold at a time: slow, and an oracle."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

__all__ = ["Plain", "aupimo", "case_figures", "froc", "level", "matched", "pooled", "spro", "strata"]

CUBE = np.ones((3, 3, 3), bool)


class Plain(NamedTuple):
    """A case on its grid; `nan` where nothing was examined."""

    values: np.ndarray
    truth: np.ndarray
    spacing_mm: tuple[float, float, float]


def level(normals: Sequence[Plain], allowed_ml: float) -> float:
    """The lowest value that lets through at most so much a scan."""
    every = np.concatenate([n.values[~np.isnan(n.values)] for n in normals])
    ml = np.prod(normals[0].spacing_mm) / 1000
    for value in np.unique(every)[::-1]:
        if (every >= value).sum() * ml / len(normals) > allowed_ml + 1e-9:
            return float(value)
    return -np.inf


def parts(mask: np.ndarray, spacing_mm: Sequence[float]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Components of 10 mm³ or more, and the others."""
    labels, n = ndimage.label(mask, CUBE)
    every = [labels == i + 1 for i in range(n)]
    large = [p.sum() * np.prod(spacing_mm) >= 10 for p in every]
    return [p for p, ok in zip(every, large, strict=True) if ok], [
        p for p, ok in zip(every, large, strict=True) if not ok
    ]


def matched(case: Plain, threshold: float, *, strict: bool) -> tuple[list[float], list[float]]:
    """Score of each lesion (−inf where missed) and of each false candidate."""
    lesions, specks = parts(case.truth, case.spacing_mm)
    candidates, _ = parts(case.values > threshold, case.spacing_mm)

    def hits(candidate: np.ndarray, lesion: np.ndarray) -> bool:
        both = (candidate & lesion).sum()
        if strict:
            return bool(both >= 0.1 * (candidate | lesion).sum())
        return bool(both >= 0.1 * lesion.sum()) or near(candidate, lesion)

    def near(candidate: np.ndarray, lesion: np.ndarray) -> bool:
        centre = np.rint(np.argwhere(candidate).mean(axis=0))
        away = (np.argwhere(lesion) - centre) * case.spacing_mm
        return bool((np.linalg.norm(away, axis=1) <= 2.0).any())

    def excused(candidate: np.ndarray) -> bool:
        return any((candidate & s).any() or (not strict and near(candidate, s)) for s in specks)

    scores = [
        max((float(case.values[c].max()) for c in candidates if hits(c, lesion)), default=-np.inf) for lesion in lesions
    ]
    false = [
        float(case.values[c].max())
        for c in candidates
        if not any(hits(c, lesion) for lesion in lesions) and not excused(c)
    ]
    return scores, false


def froc(patients: Sequence[tuple[list[float], list[float]]], counted: Sequence[list[float]]) -> list[float]:
    """Sensitivity at each rate, false candidates being those of the counted scans."""
    hits = np.array([s for scores, _ in patients for s in scores])
    false = np.array([s for scores in counted for s in scores])
    thresholds = [*np.unique(np.concatenate([hits[hits > -np.inf], false])), np.inf]
    return [
        max((hits >= t).mean() for t in thresholds if (false >= t).sum() / len(counted) <= rate or t == np.inf)
        for rate in (0.125, 0.25, 0.5, 1, 2, 4, 8)
    ]


def pooled(cases: Sequence[Plain]) -> tuple[float, float]:
    """Average precision of the examined voxels, and the best Dice."""
    values = np.concatenate([c.values.ravel() for c in cases])
    truth = np.concatenate([c.truth.ravel() for c in cases])
    seen = ~np.isnan(values)
    precision, best, before = 0.0, 0.0, 0
    for value in np.unique(values[truth & seen])[::-1]:
        above = seen & (values >= value)
        hit = (above & truth).sum()
        precision += (hit - before) / (truth & seen).sum() * hit / above.sum()
        best = max(best, 2 * hit / (above.sum() + truth.sum()))
        before = hit
    if not (truth & seen).any():
        precision = np.nan
    return float(precision), float(best)


def spro(cases: Sequence[Plain], normals: Sequence[Plain], limit: float = 0.05) -> float:
    """Area under the saturated overlap, trapezium by trapezium."""
    outside = np.concatenate([c.values[~c.truth & ~np.isnan(c.values)] for c in (*cases, *normals)])
    lesions = [
        (c.values[part], min(part.sum(), 1000 / np.prod(c.spacing_mm)))
        for c in cases
        for part in parts(c.truth, c.spacing_mm)[0]
    ]
    every = np.unique(np.concatenate([v[~np.isnan(v)] for v, _ in lesions] + [outside]))[::-1]
    points = [(0.0, 0.0)]
    for t in every:
        points.append(((outside >= t).mean(), float(np.mean([min((v >= t).sum() / most, 1) for v, most in lesions]))))
        if points[-1][0] > limit:
            break
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x1 > x0:
            end = min(x1, limit)
            area += (end - x0) * (y0 + (y0 + (y1 - y0) * (end - x0) / (x1 - x0))) / 2
    if points[-1][0] < limit:
        area += (limit - points[-1][0]) * points[-1][1]
    return float(area / limit)


def aupimo(case: Plain, normals: Sequence[Plain], low: float = 1e-5, high: float = 1e-4) -> float:
    """Recall over the logarithm of the normals' mean rate; `nan` where so few voxels cannot show the lower end."""
    seen = [n.values[~np.isnan(n.values)] for n in normals]
    if 1 / (len(seen) * max(own.size for own in seen)) > low:
        return np.nan
    area = 0.0
    for value in case.values[case.truth & ~np.isnan(case.values)]:
        rate = np.mean([(own >= value).mean() for own in seen])
        area += np.log(high / min(max(rate, low), high)) / np.log(high / low)
    return float(area / case.truth.sum())


def case_figures(case: Plain, levels: tuple[float, float, float]) -> dict[str, float]:
    """Figures of one case by itself; `levels` for 0.1, 1 and 5 ml."""
    strict, honest, lax = levels
    values, truth, mm = case
    away = ndimage.distance_transform_edt(~truth, sampling=mm)
    seen = ~np.isnan(values)
    hit, chance, far = 0.0, np.nan, np.nan
    if seen.any():
        sigma = [3.0 / (2 * np.sqrt(2 * np.log(2))) / s for s in mm]
        total, weight = (
            ndimage.gaussian_filter(np.where(seen, x, 0).astype(np.float32), sigma, truncate=3.0)
            for x in (values, np.ones_like(values))
        )
        smooth = np.where(seen, total / np.where(seen, weight, 1), -np.inf)
        top = smooth == smooth.max()
        hit, chance, far = (away <= 5)[top].mean(), (away <= 5)[seen].mean(), away[top].mean()
    margin = np.where((away <= 5) & ~truth, np.nan, values)

    def dice(t: float) -> float:
        return float(2 * ((values > t) & truth).sum() / ((values > t).sum() + truth.sum()))

    marked = values > honest
    return {
        "top finding in lesion": float(hit),
        "chance of it": float(chance),
        "distance of top finding, mm": float(far),
        "voxel average precision, mean": pooled([case])[0],
        "voxel average precision outside a margin of 5 mm, mean": pooled([Plain(margin, truth, mm)])[0],
        "dice, threshold from normals": dice(honest),
        "dice, threshold from normals, 0.1 ml": dice(strict),
        "dice, threshold from normals, 5 ml": dice(lax),
        "oracle dice, per subject": pooled([case])[1],
        "iou, threshold from normals": float((marked & truth).sum() / (marked | truth).sum()),
        "surface distance 95 %, mm": surface_distance(marked, truth, mm),
    }


def surface_distance(marked: np.ndarray, truth: np.ndarray, mm: Sequence[float]) -> float:
    """The larger 95th percentile of both directions; of lesions above 1 ml alone."""
    if truth.sum() * np.prod(mm) <= 1000 or not marked.any():
        return np.nan
    edges = [m & ~ndimage.binary_erosion(m) for m in (marked, truth)]
    return float(
        max(
            np.percentile(ndimage.distance_transform_edt(~other, sampling=mm)[own], 95)
            for own, other in (edges, edges[::-1])
        )
    )


def strata(cases: Sequence[Plain], levels: Sequence[float]) -> dict[str, float]:
    """Share of lesions found at each case's own level, by volume."""
    found: dict[str, list[bool]] = {}
    for case, own in zip(cases, levels, strict=True):
        scores, _ = matched(case, own, strict=False)
        for lesion, score in zip(parts(case.truth, case.spacing_mm)[0], scores, strict=True):
            ml = lesion.sum() * np.prod(case.spacing_mm) / 1000
            name = "< 0.1 ml" if ml < 0.1 else "0.1–1 ml" if ml < 1 else "1–10 ml"
            found.setdefault(name, []).append(score > -np.inf)
    return {name: float(np.mean(hits)) for name, hits in found.items()}
