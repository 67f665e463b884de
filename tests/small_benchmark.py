"""A benchmark on nine tiny brains, with a preparation that leaves a scan where it is and takes milliseconds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from anomri.benchmark.protocol import Artefacts, DataUse, Lesions, MethodRow, Protocol
from anomri.core.history import Grid, History, Step
from anomri.core.prepared import Prepared
from anomri.core.region import Region
from anomri.core.scan import Scan
from anomri.datasets.site_a import LOCKED, SUBJECTS
from anomri.errors import InputError
from anomri.io.write import write_nifti
from anomri.preparation import Recipe
from anomri.quality import METRICS
from synthetic import GRID, prepared_population

__all__ = ["FREE", "REFUSED", "ROWS", "Site", "fake_prepare", "small_protocol", "write_site"]

FREE = tuple(s for s in SUBJECTS if s not in LOCKED)[:9]
# A scan whose brightest voxel lies beyond this cannot be prepared.
REFUSED = 50.0
ROWS = (
    MethodRow(name="atlas", methods=("zatlas",), presets=("zatlas-tiny",)),
    MethodRow(name="quality", methods=("iqm1c",), presets=("iqm1c-tiny",)),
)


@dataclass(frozen=True)
class Site:
    """Where the scans and a finished run of `small_protocol` lie."""

    data: dict[str, Path]
    out: Path


def write_site(folder: Path) -> None:
    """Nine people, and two whom no benchmark may read."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [*FREE, *LOCKED[:2]]
    for name, person in zip(names, prepared_population(len(names), 3), strict=True):
        write_nifti(folder / f"{name}_T1w.nii.gz", person.scan.voxels, GRID)
    lines = [f"{name}\t{20 + 3 * i}\t{'mf'[i % 2]}\tcontrol" for i, name in enumerate(names)]
    (folder / "participants.tsv").write_text("\n".join(["participant_id\tage\tgender\tgroup", *lines]) + "\n")


def small_protocol(**changes: object) -> Protocol:
    """Two artefacts, one lesion of either sign, three folds."""
    fields: dict[str, object] = {
        "name": "small",
        "title": "Small",
        "question": "Does it hold?",
        "data": (DataUse(set="t1w-site-a"),),
        "recipe": "brain-t1",
        "folds": 3,
        "seeds": (0, 1),
        "artefacts": Artefacts(kinds=("noise", "blur"), severities=(5,)),
        "lesions": Lesions(volumes_ml=(2.0,), contrasts=(3.0,)),
        "subjects_per_cell": 4,
        "rates": (0.01, 0.2),
        "methods": ROWS,
    }
    return Protocol.model_validate(fields | changes)


def fake_prepare(scan: Scan, recipe: Recipe, **_known: object) -> Prepared:
    """Stays on the scan's own grid; what it measures are statistics of the scan."""
    del recipe
    if scan.voxels.max() > REFUSED:
        raise InputError("too bright", remedy="", code="bright")
    inside = scan.voxels > 0.02
    labels, _ = ndimage.label(inside)
    inside = labels == 1 + np.bincount(labels.ravel())[1:].argmax()
    values = scan.voxels[inside]
    white, grey, csf = np.percentile(values, [85, 50, 15])
    grid = Grid.of(scan.geometry)
    measured = {"white": float(white), "grey_to_white": float(grey / white), "csf_to_white": float(csf / white)}
    step = Step(name="quality", version=1, before=grid, after=grid, measured=measured)
    region = ndimage.binary_erosion(inside, iterations=2)
    return Prepared(
        scan=replace(scan, voxels=np.where(inside, scan.voxels, 0).astype(np.float32)),
        region=Region(region, scan.geometry, "examined", "test"),
        history=History(steps=(step,)),
        quality=_quality(scan.voxels, inside),
        brain=Region(inside, scan.geometry, "brain", "test"),
        inside=Region(inside, scan.geometry, "brain", "test"),
    )


def _quality(voxels: np.ndarray, inside: np.ndarray) -> Mapping[str, float | None]:
    rough = ndimage.laplace(voxels)[inside].std()
    seed = int.from_bytes(hashlib.sha256(voxels.tobytes()).digest()[:4], "big")
    rng = np.random.default_rng(seed)
    return {name: float(rough * (1 + i % 3) * (1 + 0.02 * rng.normal())) for i, name in enumerate(METRICS)}
