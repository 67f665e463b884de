"""Lesion by lesion: which are found, and how many false findings that costs.

A lesion is a 26-connected component of the truth, a candidate one of the map above a threshold; its score is its
largest value. Components below 10 mm³ are ignored in both directions: such a lesion is not missed, a candidate that
touches it is not false, and such a candidate is nothing.

Reference: Chakraborty, *Observer Performance Methods for Diagnostic Imaging*, 2017, chapter 9 (FROC).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anomri.metrics.overlap import box_of, same_shape

__all__ = [
    "FROC_RATES",
    "Candidates",
    "Froc",
    "Lesions",
    "Matched",
    "candidates_of",
    "contrasts_of",
    "froc",
    "froc_sensitivities_of",
    "lesions_of",
    "match_candidates",
    "match_lesions",
]

FloatMap = NDArray[np.floating]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]
FalseOn = Literal["normals", "patients"]

MINIMUM_MM3 = 10.0
# False positives per scan at which sensitivity is read.
FROC_RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
# What counts as a hit: this share of the lesion covered, or the candidate's centroid within this distance of it.
HIT_SHARE = 0.1
HIT_MM = 2.0
STRICT_IOU = 0.1


class Lesions(NamedTuple):
    """Components of a mask: labels (1 … n kept, −1 ignored, 0 none), volumes of the n kept, number ignored."""

    labels: Ints
    volumes_ml: Floats
    ignored: int


class Candidates(NamedTuple):
    """Components of a map above a threshold that are large enough.

    Of their k voxels `places` (k,), in the order of the flat grid, and `labels` (k,), 1 … m; of the m candidates
    `scores`, `sizes` and `centres` (m, axes) in voxels; how many were ignored; the shape of the grid.
    """

    places: Ints
    labels: Ints
    scores: Floats
    sizes: Ints
    centres: Floats
    ignored: int
    shape: tuple[int, ...]


class Matched(NamedTuple):
    """What a map found in one scan.

    `lesion_scores` and `lesion_ml` are (L,) of the lesions, the score being that of the best candidate that hits one,
    −inf where none does; `false_scores` (F,) of the candidates that hit nothing; the others count what was ignored.
    """

    lesion_scores: Floats
    lesion_ml: Floats
    false_scores: Floats
    ignored_lesions: int
    ignored_candidates: int


class Froc(NamedTuple):
    """Share of lesions found at each of `FROC_RATES` false positives per scan, and the mean of these shares."""

    sensitivity: tuple[float, ...]
    mean: float


def lesions_of(mask: Mask, *, spacing_mm: tuple[float, ...], minimum_mm3: float = MINIMUM_MM3) -> Lesions:
    """The components of a mask that are large enough."""
    box, labels, mm3 = _components(mask, spacing_mm)
    kept = mm3 >= minimum_mm3
    renamed = np.concatenate([[0], np.where(kept, np.cumsum(kept), -1)])
    whole = np.zeros(mask.shape, dtype=np.int64)
    whole[box] = renamed[labels]
    return Lesions(whole, mm3[kept] / 1000.0, int((~kept).sum()))


def candidates_of(
    values: FloatMap, threshold: float, *, spacing_mm: tuple[float, ...], minimum_mm3: float = MINIMUM_MM3
) -> Candidates:
    """The components of ``values > threshold``; parameters as for `match_lesions`."""
    box, labels, mm3 = _components(values > threshold, spacing_mm)
    kept = mm3 >= minimum_mm3
    m = int(kept.sum())
    renamed = np.concatenate([[0], np.where(kept, np.cumsum(kept), 0)])[labels]
    inside = np.nonzero(renamed)
    label = renamed[inside]
    at = [own + part.start for own, part in zip(inside, box, strict=True)]
    sizes = np.bincount(label, minlength=m + 1)[1:]
    scores = np.full(m + 1, -np.inf)
    places = np.ravel_multi_index(at, values.shape).astype(np.int64)
    np.maximum.at(scores, label, values.ravel()[places])
    centres = [np.bincount(label, weights=axis, minlength=m + 1)[1:] / sizes for axis in at]
    return Candidates(
        places=places,
        labels=label,
        scores=scores[1:],
        sizes=sizes,
        centres=np.stack(centres, axis=1),
        ignored=int((~kept).sum()),
        shape=values.shape,
    )


def contrasts_of(
    image: NDArray[np.floating],
    lesions: Lesions,
    brain: Mask,
    *,
    spacing_mm: tuple[float, ...],
    ring_mm: float = 5.0,
) -> Floats:
    """How much each lesion stands out: |mean inside − mean around| ÷ standard deviation around.

    Parameters
    ----------
    image : the scan.
    lesions : of `lesions_of`; what lies around a lesion is the brain within `ring_mm` of it, no lesion among it.
    brain : where the scan is tissue.

    Returns
    -------
    (n,) in the order of the lesions, ≥ 0; `nan` where fewer than two voxels lie around one, or all are equal.

    Raises
    ------
    InputError : the shapes differ.
    """
    same_shape(image, brain)
    same_shape(image, lesions.labels)
    free = brain & (lesions.labels == 0)
    reach = [int(np.ceil(ring_mm / s)) for s in spacing_mm]
    out = np.full(lesions.volumes_ml.size, np.nan)
    for i, place in enumerate(ndimage.find_objects(np.maximum(lesions.labels, 0), max_label=out.size)):
        box = tuple(slice(max(s.start - r, 0), s.stop + r) for s, r in zip(place, reach, strict=True))
        own = lesions.labels[box] == i + 1
        around = image[box][free[box] & (ndimage.distance_transform_edt(~own, sampling=spacing_mm) <= ring_mm)]
        if around.size > 1 and around.min() < around.max():
            out[i] = abs(image[box][own].mean(dtype=np.float64) - around.mean(dtype=np.float64)) / around.std(
                dtype=np.float64
            )
    return out


def match_lesions(
    values: FloatMap, lesion: Mask, threshold: float, *, spacing_mm: tuple[float, ...], strict: bool = False
) -> Matched:
    """Match the components of ``values > threshold`` with those of the truth.

    Parameters
    ----------
    values : map, `nan` where nothing was examined; of a refused scan `nan` everywhere.
    lesion : truth, empty for a normal scan.
    threshold : of the candidates; low enough that 8 false positives per scan are reached, the same for all scans.
    spacing_mm : between voxel centres, one an axis.
    strict : a hit is an intersection over union of at least 0.1, instead of 10 % of the lesion covered or the
        candidate's centroid within 2 mm of it. A candidate may hit several lesions.

    Raises
    ------
    InputError : the shapes differ.
    """
    same_shape(values, lesion)
    found = candidates_of(values, threshold, spacing_mm=spacing_mm)
    return match_candidates(found, lesions_of(lesion, spacing_mm=spacing_mm), spacing_mm=spacing_mm, strict=strict)


def match_candidates(
    found: Candidates, truth: Lesions, *, spacing_mm: tuple[float, ...], strict: bool = False
) -> Matched:
    """`match_lesions` where both are known."""
    n, m = truth.volumes_ml.size, found.scores.size
    labels = truth.labels.ravel()
    # Row 0 stands for all ignored lesions, column 0 for what is no candidate.
    shared = np.zeros((n + 1, m + 1), dtype=np.int64)
    below = labels[found.places]
    np.add.at(shared, (np.maximum(below[below != 0], 0), found.labels[below != 0]), 1)
    sizes = np.bincount(labels[labels > 0], minlength=n + 1)
    candidate_sizes = np.concatenate([[0], found.sizes])
    excused = shared[0] > 0
    if strict:
        hit = shared >= STRICT_IOU * (sizes[:, None] + candidate_sizes - shared)
    else:
        near = _centroids_near(found, truth, spacing_mm)
        hit = (shared >= HIT_SHARE * sizes[:, None]) | near
        excused |= near[0]
    hit[0] = False
    hit[:, 0] = False
    false = ~hit.any(axis=0) & ~excused
    scores = np.concatenate([[-np.inf], found.scores])
    return Matched(
        lesion_scores=np.where(hit[1:], scores, -np.inf).max(axis=1, initial=-np.inf),
        lesion_ml=truth.volumes_ml,
        false_scores=found.scores[false[1:]],
        ignored_lesions=truth.ignored,
        ignored_candidates=found.ignored,
    )


def froc(patients: Sequence[Matched], normals: Sequence[Matched], *, false_on: FalseOn) -> Froc:
    """Sensitivity for lesions against false positives per scan.

    Parameters
    ----------
    patients : one a scan with lesions.
    normals : one a normal scan.
    false_on : whose false positives count, and whose scans they are divided by.

    Returns
    -------
    `Froc`: of all thresholds with at most so many false positives per scan the largest sensitivity, lesions of all
    patients pooled; `nan` without a lesion, or without a scan to count false positives on.
    """
    weights = np.ones(len(patients) + len(normals))
    shares = froc_sensitivities_of(patients, normals, false_on=false_on)(weights)
    return Froc(tuple(shares.tolist()), float(shares.mean()))


def froc_sensitivities_of(
    patients: Sequence[Matched], normals: Sequence[Matched], *, false_on: FalseOn
) -> Callable[[Floats], Floats]:
    """`froc` as a function of weights of the scans: (..., patients + normals) → (..., rates).

    Sensitivity only grows where a lesion is found, so that the scores of lesions are all the thresholds that count.
    """
    counted = np.arange(len(patients) + len(normals)) >= len(patients)
    if false_on == "patients":
        counted = ~counted
    scans = [*patients, *normals]
    levels = np.unique(np.concatenate([np.zeros(0), *(p.lesion_scores for p in patients)]))
    levels = levels[levels > -np.inf]
    nothing = np.zeros(levels.size, dtype=np.int64)
    # (scans, levels): what each scan has at or above each level.
    hits = np.array([*(_at_or_above(p.lesion_scores, levels) for p in patients), *[nothing] * len(normals)])
    alarms = np.array(
        [_at_or_above(s.false_scores, levels) if c else nothing for s, c in zip(scans, counted, strict=True)]
    )
    sizes = np.array([*(p.lesion_scores.size for p in patients), *[0] * len(normals)])

    def sensitivities(weights: Floats) -> Floats:
        lesions, number = weights @ sizes, weights[..., counted].sum(-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            found, false = weights @ hits / lesions[..., None], weights @ alarms / number[..., None]
        best = [np.where(false <= rate, found, 0.0).max(axis=-1, initial=0.0) for rate in FROC_RATES]
        defined = (lesions > 0) & (number > 0)
        return np.where(defined[..., None], np.stack(best, axis=-1), np.nan)

    return sensitivities


def _at_or_above(scores: Floats, levels: Floats) -> Ints:
    """(k,) number of scores at or above each of the levels."""
    return scores.size - np.searchsorted(np.sort(scores), levels)


def _components(mask: Mask, spacing_mm: tuple[float, ...]) -> tuple[tuple[slice, ...], NDArray[np.int32], Floats]:
    """The box of a mask, the labels 1 … n of its 26-connected components in it, and their volumes in mm³."""
    box = box_of(mask)
    labels, n = ndimage.label(mask[box], structure=np.ones((3,) * mask.ndim, dtype=bool))
    voxels = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    return box, labels, voxels.astype(np.float64) * float(np.prod(spacing_mm))


def _centroids_near(found: Candidates, truth: Lesions, spacing_mm: tuple[float, ...]) -> Mask:
    """(n + 1, m + 1) whether a candidate's centroid lies within `HIT_MM` of a lesion; row 0 of an ignored one."""
    m = found.scores.size
    near = np.zeros((truth.volumes_ml.size + 1, m + 1), dtype=bool)
    if m == 0:
        return near
    reach = [range(-int(HIT_MM / s), int(HIT_MM / s) + 1) for s in spacing_mm]
    offsets = np.array([o for o in itertools.product(*reach) if np.linalg.norm(np.multiply(o, spacing_mm)) <= HIT_MM])
    places = np.rint(found.centres).astype(int)[:, None] + offsets
    valid = ((places >= 0) & (places < found.shape)).all(axis=-1)
    at = tuple(np.clip(places, 0, np.array(found.shape) - 1).transpose(2, 0, 1))
    labels = np.where(valid, truth.labels[at], 0)
    candidate, _ = np.nonzero(labels)
    near[np.maximum(labels[labels != 0], 0), candidate + 1] = True
    return near
