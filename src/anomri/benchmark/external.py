"""A row whose scores and heatmaps were made elsewhere: a folder, so that any program in any language can join.

    FOLDER/scores.csv             case_id,score   one line a case; higher is more abnormal
    FOLDER/<case_id>.nii.gz       optional: the heatmap on the case's own grid, finite everywhere

``anomri benchmark … --write-cases FOLDER`` writes the cases as NIfTI files, simulated ones included, without their
labels, together with ``folds.csv``, which says who may train for whom.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anomri.benchmark.preparing import Ready, load_ready
from anomri.core.geometry import carry
from anomri.errors import InputError
from anomri.io.formats import read_image

__all__ = ["external_maps", "external_scores"]

FloatMap = NDArray[np.float32]


def external_scores(folder: Path, ready: Sequence[Ready]) -> Mapping[str, float]:
    """Score of every case, by its id; ``inf`` and an empty cell stand for a scan that the program refused.

    A case that anomri itself could not prepare needs no line; without one it counts as refused.

    Raises
    ------
    InputError : no such table, a case without a line, or a score that is no number.
    """
    table = folder / "scores.csv"
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(
            "the folder of heatmaps has no scores.csv",
            remedy="Write one line case_id,score a case.",
            code="external_scores",
        ) from error
    found: dict[str, float] = {}
    for row in rows:
        text = (row.get("score") or "inf").strip()
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if np.isnan(value) or value == -np.inf:
            raise InputError(
                f"score {text!r} of {row.get('case_id')} is not a number",
                remedy="Write inf where your program refused a scan.",
                code="external_scores",
            )
        found[(row.get("case_id") or "").strip()] = value
    missing = sorted({r.case.case_id for r in ready if r.file is not None} - set(found))
    if missing:
        raise InputError(
            f"scores.csv has no line for {len(missing)} cases, the first is {missing[0]}",
            remedy="Score every case that --write-cases wrote.",
            code="external_scores",
        )
    return {r.case.case_id: found.get(r.case.case_id, float("inf")) for r in ready}


def external_maps(folder: Path, ready: Sequence[Ready]) -> Mapping[str, FloatMap]:
    """Heatmap values inside the examined region of the prepared grid, where the folder has a heatmap.

    Raises
    ------
    InputError : a heatmap cannot be read, or lies beside the scan.
    """
    maps: dict[str, FloatMap] = {}
    for one in ready:
        path = folder / f"{one.case.case_id}.nii.gz"
        if one.file is None or not path.is_file():
            continue
        prepared = load_ready(one)
        image = read_image(path)
        home, world = prepared.scan.geometry, prepared.history.world
        covered = carry(np.ones(image.voxels.shape, dtype=np.float32), image.geometry, home, world)
        if not (covered[prepared.region.mask] > 0).all():
            raise InputError(
                f"the heatmap of {one.case.case_id} does not cover the brain",
                remedy="Write it on the case's own grid.",
                code="external_map",
            )
        maps[one.case.case_id] = carry(image.voxels, image.geometry, home, world, outside="edge")[prepared.region.mask]
    return maps
