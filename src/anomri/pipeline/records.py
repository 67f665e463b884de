"""What a result says of its input, its model and the programs behind it; what a calibration keeps of a normal."""

from __future__ import annotations

from importlib import metadata

import numpy as np

from anomri.calibration import Normal
from anomri.core.prepared import Prepared
from anomri.core.reading import Reading
from anomri.core.result import InputRecord, ModelRecord
from anomri.core.scan import Scan
from anomri.extraction import EXTRACTION
from anomri.models import Model

__all__ = ["input_record", "model_record", "normal_of", "versions"]

_PACKAGES = ("anomri", "numpy", "scipy", "SimpleITK", "nilearn", "scikit-learn", "torch")


def input_record(scan: Scan) -> InputRecord:
    """What a result says of its input."""
    return InputRecord(
        sha256=scan.source.sha256,
        format=scan.source.format,
        shape=scan.geometry.shape,
        spacing_mm=scan.geometry.spacing_mm,
        orientation=scan.source.orientation,
    )


def model_record(model: Model) -> ModelRecord:
    """What a result says of its model."""
    return ModelRecord(
        name=model.name,
        version=model.version,
        sha256=model.sha256,
        cohort=model.card.cohort,
        validation=model.card.validation,
        licence=model.card.licence,
    )


def versions() -> dict[str, str]:
    """Versions of the packages whose numbers a result rests on."""
    # Read from what is installed, because importing torch to ask for its version would cost seconds.
    return {name: metadata.version(name) for name in _PACKAGES}


def normal_of(prepared: Prepared, reading: Reading, fold: int) -> Normal:
    """A normal scan as a calibration keeps it, with its reading by a model that had not seen it."""
    return Normal(
        scan_id=prepared.scan.scan_id,
        subject=prepared.subject,
        image_sha256=prepared.scan.source.image_sha256,
        score=reading.score,
        peak=None if reading.map is None else float(np.nanmax(reading.map)),
        fold=fold,
        full_head=prepared.brain.made_by == EXTRACTION,
    )
