"""From a score to a p-value, a threshold and a verdict, by the scores of normal scans."""

from anomri.calibration.normals import Calibration, Judgement, Normal
from anomri.calibration.site import align_to_site
from anomri.calibration.tail import (
    finding_level,
    normals_needed,
    p_value,
    p_value_interval,
    robust_z,
    smallest_rate,
    threshold,
    threshold_interval,
    verdict,
)

__all__ = [
    "Calibration",
    "Judgement",
    "Normal",
    "align_to_site",
    "finding_level",
    "normals_needed",
    "p_value",
    "p_value_interval",
    "robust_z",
    "smallest_rate",
    "threshold",
    "threshold_interval",
    "verdict",
]
