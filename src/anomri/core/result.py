"""The verdict on one scan, as it goes to disk: `result.json`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

__all__ = [
    "SCHEMA_VERSION",
    "BrainFrom",
    "Driver",
    "Finding",
    "InputRecord",
    "MetricDeviation",
    "ModelRecord",
    "Result",
    "SliceScore",
    "Thresholds",
    "TissueShares",
    "Verdict",
]

SCHEMA_VERSION = 1

Verdict = Literal["pass", "warn", "fail", "out_of_scope", "unreadable"]
BrainFrom = Literal["stripped", "given", "extracted"]
JUDGED = ("pass", "warn", "fail")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class InputRecord(_Record):
    """The file as it was found."""

    sha256: str
    format: str
    shape: tuple[int, int, int] | None = None
    spacing_mm: tuple[float, float, float] | None = None
    orientation: str | None = None


class ModelRecord(_Record):
    """The model that judged; `cohort` and `validation` are the two sentences of its card that every page repeats."""

    name: str
    version: str
    sha256: str
    cohort: str = ""
    validation: str = ""
    licence: str = ""


class TissueShares(_Record):
    """What an average brain has where a finding lies; the three add up to 1."""

    csf: float
    grey: float
    white: float


class Finding(_Record):
    """A connected part of the heatmap above a level that a healthy scan exceeds anywhere with probability ≤ α.

    `centroid_mm` is in the scan's world (RAS, mm); `peak` and `mean` are on the heatmap's scale. `branch` is the one
    that contributes most to the heatmap there, and `direction` is how the scan differs from what that branch expected.
    `region` says in words where the finding lies: what `side`, `depth_mm` (of the centre, below the surface of the
    brain's mask) and `tissue` (the template's) say in numbers. `template_mm` is the centre in the template's world.
    What is not known is None.
    """

    centroid_mm: tuple[float, float, float]
    volume_mm3: float
    peak: float
    mean: float
    direction: Literal["darker", "brighter"] | None = None
    region: str | None = None
    side: Literal["left", "right", "midline"] | None = None
    depth_mm: float | None = None
    tissue: TissueShares | None = None
    template_mm: tuple[float, float, float] | None = None
    branch: str | None = None

    @property
    def sentence(self) -> str:
        """How large it is, darker or brighter, and where; without a full stop."""
        ml = self.volume_mm3 / 1000.0
        size = f"{ml:.0f}" if ml >= 9.95 else f"{ml:.1f}" if ml >= 0.995 else f"{ml:.2g}"
        differs = f"is {self.direction} than expected" if self.direction else "departs from what the normals show there"
        if self.region is not None:
            return f"A region of {size} ml {differs}, {self.region}"
        x, y, z = (round(c) for c in self.centroid_mm)
        return f"A region of {size} ml around ({x}, {y}, {z}) mm {differs}"


class MetricDeviation(_Record):
    """One image quality metric beside its range in the normals that trained the model.

    `deviation` counts robust standard deviations from the normals' median; `usually_means` says in a few words what
    a value on that side usually comes from.
    """

    name: str
    value: float
    normal_low: float
    normal_high: float
    deviation: float
    usually_means: str


class Driver(_Record):
    """What a verdict rests on. The shares of all drivers add up to 1.

    `standardised` says how far the branch's score lies from those of normal scans, on the scale all branches share: the
    largest one is the scan's score. None for a model of a single branch, whose score is the scan's as it is.
    """

    kind: Literal["local", "quality", "scope"]
    branch: str
    share: float
    score: float
    standardised: float | None = None
    metrics: tuple[MetricDeviation, ...] = ()


class Thresholds(_Record):
    """Scores at which the verdict turns, and the false-alarm rates they stand for."""

    warn: float
    fail: float
    warn_rate: float
    fail_rate: float
    finding_level: float | None = None


class SliceScore(_Record):
    """Largest heatmap value in one axial slice; `index` counts along the input's own axis closest to feet–head."""

    index: int
    score: float


class Result(_Record):
    """Everything anomri says of one scan.

    `score`, `p_value`, `robust_z` are null where the scan was not scored. `p_value_interval` is the 95 % interval
    of the p-value given how few normals stand behind it. `reference_scores` are the out-of-fold scores of the normals
    the scan was judged against, sorted. A scan that trained the model is marked `in_training`, and judged by
    its own out-of-fold score where the calibration holds it; where not, the reason says that it looks more normal than
    it may be. `brain_from` says whether the scan held the brain alone, a mask was given, or the brain was cut out of a
    full head; null where no brain was looked for or none was found.
    """

    schema_version: int = SCHEMA_VERSION
    scan_id: str
    input: InputRecord
    model: ModelRecord
    verdict: Verdict
    reason: str
    score: float | None = None
    robust_z: float | None = None
    p_value: float | None = None
    p_value_interval: tuple[float, float] | None = None
    n_normals: int
    reference_scores: tuple[float, ...]
    in_training: bool = False
    approximate: bool = False
    brain_from: BrainFrom | None = None
    drivers: tuple[Driver, ...] = ()
    thresholds: Thresholds | None = None
    slices: tuple[SliceScore, ...] = ()
    slice_axis: int | None = None
    findings: tuple[Finding, ...] = ()
    quality: dict[str, float | None] = {}
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = {}

    @model_validator(mode="after")
    def _a_verdict_has_a_score_and_a_refusal_a_reason(self) -> Result:
        if self.verdict in JUDGED and (self.score is None or self.p_value is None or self.thresholds is None):
            raise ValueError(f"verdict {self.verdict!r} without score, p_value and thresholds")
        if self.verdict == "unreadable" and self.score is not None:
            raise ValueError("an unreadable scan has no score")
        if not self.reason:
            raise ValueError("a result without a reason")
        return self
