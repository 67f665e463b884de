"""An outcome with two findings on an oblique grid, and the DICOM series it was made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomri.core.geometry import Geometry
from anomri.core.heatmap import Heatmap, findings_above
from anomri.core.outcome import Outcome
from anomri.core.region import Region
from anomri.core.result import Driver, InputRecord, ModelRecord, Result, Thresholds
from anomri.core.scan import Scan, Source
from dicom_slices import ROOT, series, write

LEVEL = 4.0
PATIENT: dict[str, Any] = {
    "SpecificCharacterSet": "ISO_IR 100",
    "PatientName": "Müßig^Jörg",
    "PatientID": "MARK-42",
    "PatientBirthDate": "19700102",
    "PatientSex": "M",
    "StudyDate": "20261001",
    "StudyTime": "101500",
    "StudyID": "7",
    "AccessionNumber": "A-11",
    "ReferringPhysicianName": "Doe^Jane",
    "StudyDescription": "MRI head",
    "FrameOfReferenceUID": f"{ROOT}9",
    "Manufacturer": "Maker",
    "ManufacturerModelName": "Magnet 3T",
}


@dataclass(frozen=True)
class Case:
    """A result and the folder of its series."""

    outcome: Outcome
    folder: Path
    voxels: np.ndarray
    geometry: Geometry


def oblique(shape: tuple[int, int, int] = (20, 24, 14), turn_deg: float = 20.0) -> Geometry:
    """Voxels of 1.1 × 0.9 × 2.5 mm, LAS, turned about the feet–head axis, away from the origin."""
    angle = np.deg2rad(turn_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-1.1, 0.9, 2.5])
    affine[:3, 3] = (31.0, -18.0, -12.5)
    return Geometry(shape, affine)


def outcome_on(geometry: Geometry, voxels: np.ndarray, **changes: Any) -> Outcome:
    """Two findings: 4 × 3 × 2 voxels that peak at 9, and 4 × 2 × 3 that peak at 6."""
    heat = np.random.default_rng(3).uniform(0.0, 3.0, geometry.shape).astype(np.float32)
    heat[4:8, 10:13, 3:5], heat[12:16, 15:17, 8:11] = 5.0, 4.5
    heat[5, 11, 4], heat[13, 16, 9] = 9.0, 6.0
    heat[:2] = np.nan
    examined = Region(np.isfinite(heat), geometry, "examined", "test")
    heatmap = Heatmap(heat, geometry, examined, "z", "zatlas")
    fields: dict[str, Any] = {
        "scan_id": "sub-17_T1w",
        "input": InputRecord(sha256="a" * 64, format="nifti", shape=geometry.shape, orientation="LAS"),
        "model": ModelRecord(name="brain-t1", version="1", sha256="b" * 64, cohort="45 adults", licence="CC0-1.0"),
        "verdict": "fail",
        "reason": "A bright place – brighter than in any normal.",
        "score": 6.25,
        "robust_z": 5.5,
        "p_value": 1 / 46,
        "p_value_interval": (0.0005, 0.077),
        "n_normals": 45,
        "reference_scores": tuple(np.linspace(1.0, 4.0, 45).tolist()),
        "thresholds": Thresholds(warn=3.7, fail=4.0, warn_rate=0.1, fail_rate=0.05, finding_level=LEVEL),
        "drivers": (Driver(kind="local", branch="zatlas", share=1.0, score=6.25),),
        "findings": findings_above(heatmap, LEVEL),
        "notes": ("The model is calibrated on one scanner.",),
        "versions": {"anomri": "0.1.0"},
    }
    scan = Scan(voxels.astype(np.float32), geometry, "sub-17_T1w", Source("array", "test", "c" * 64, "c" * 64, "LAS"))
    brain = Region(np.ones(geometry.shape, dtype=bool), geometry, "brain", "test")
    return Outcome(Result(**{**fields, **changes}), scan, heatmap, brain)


def write_case(folder: Path, geometry: Geometry) -> Case:
    """An outcome on a grid, and its series in `folder`."""
    voxels = np.random.default_rng(1).integers(0, 2000, geometry.shape).astype(np.uint16)
    write(folder, series(voxels, geometry.affine, **PATIENT))
    return Case(outcome_on(geometry, voxels), folder, voxels, geometry)


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return write_case(tmp_path_factory.mktemp("series"), oblique())


@pytest.fixture
def refused() -> Callable[..., Result]:
    def make(**changes: Any) -> Result:
        outcome = outcome_on(oblique(), np.zeros(oblique().shape))
        none: dict[str, Any] = dict.fromkeys(("score", "robust_z", "p_value", "p_value_interval", "thresholds"))
        fields = {"verdict": "unreadable", "reason": "A slice is missing.", "drivers": (), "findings": (), **none}
        return outcome.result.model_copy(update={**fields, **changes})

    return make
