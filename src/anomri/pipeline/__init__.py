"""The verbs: score, fit, calibrate. They return values; only `fit` and `calibrate` write, and only their model."""

from anomri.pipeline.calibrate import CalibrateSummary, calibrate
from anomri.pipeline.fit import FitSummary, ModelCardText, fit
from anomri.pipeline.gather import Dropped, FitInput
from anomri.pipeline.score import score, unreadable

__all__ = [
    "CalibrateSummary",
    "Dropped",
    "FitInput",
    "FitSummary",
    "ModelCardText",
    "calibrate",
    "fit",
    "score",
    "unreadable",
]
