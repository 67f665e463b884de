"""Image quality: tissue classes and metrics of the native voxels, as pure functions of arrays."""

from anomri.quality.metrics import METRICS, MetricDefinition, measure, measure_without_tissue
from anomri.quality.tissue import CSF, GREY, WHITE, Tissue, classify

__all__ = [
    "CSF",
    "GREY",
    "METRICS",
    "WHITE",
    "MetricDefinition",
    "Tissue",
    "classify",
    "measure",
    "measure_without_tissue",
]
