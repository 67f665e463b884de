"""The scores of the normal scans a model judges against, as they go to `calibration.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from anomri.calibration import tail
from anomri.core.result import Thresholds
from anomri.errors import CalibrationError

__all__ = ["Calibration", "Judgement", "Normal"]


class Normal(BaseModel):
    """One normal scan, scored by a model that had not seen it.

    Parameters
    ----------
    scan_id, subject, image_sha256 : which scan, of whom, and the digest of its image, as in its `Source`.
    score : its scan score.
    peak : the largest value of its heatmap on the prepared grid; None where the model does not localise.
    fold : the fold whose model scored it.
    full_head : its brain was cut out of a full head.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    scan_id: str
    subject: str
    image_sha256: str
    score: float
    peak: float | None = None
    fold: int
    full_head: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a calibration says of one score; the fields are those of `Result` of the same names."""

    verdict: Literal["pass", "warn", "fail"]
    p_value: float
    p_value_interval: tuple[float, float]
    robust_z: float | None
    thresholds: Thresholds
    reference_scores: tuple[float, ...]
    notes: tuple[str, ...]


class Calibration(BaseModel):
    """Out-of-fold scores of normal scans, and the model they stand for.

    Parameters
    ----------
    normals : at least one, no scan twice.
    model_sha256, recipe_sha256 : digests of the model (weights and configuration, without calibration) and its recipe.
    site : where the normals come from.
    alarm_rate : R in (0, 0.5): fail at p ≤ R, warn at p ≤ 2R.
    kind : ``cross-validated``: the model's own training scans, each scored by the fold model that had not seen it;
        ``site``: scans of another site, scored by the final model.
    approximate : the scores were moved to a site from too few of its normals; no rate is promised.
    site_normals : the scans of the site that the model's own normals were moved towards; empty where `normals` are of
        the site itself, or there is none.
    location, scale : a normal's score s is worth location + scale · s at the site.
    peak_location, peak_scale : the same for peaks.

    Raises
    ------
    CalibrationError : no normals, one of them twice, only some with a peak, a rate out of range, or a scale ≤ 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    normals: tuple[Normal, ...] = Field(repr=False)
    model_sha256: str
    recipe_sha256: str
    site: str
    alarm_rate: float = 0.05
    kind: Literal["cross-validated", "site"] = "cross-validated"
    approximate: bool = False
    site_normals: tuple[Normal, ...] = Field(default=(), repr=False)
    location: float = 0.0
    scale: float = 1.0
    peak_location: float = 0.0
    peak_scale: float = 1.0

    @model_validator(mode="after")
    def _can_stand_for_a_rate(self) -> Calibration:
        tail.check_alarm_rate(self.alarm_rate)
        if not self.normals:
            raise CalibrationError("a calibration without normal scans", remedy="Give some.", code="no_normals")
        if len({n.image_sha256 for n in self.normals}) < len(self.normals):
            raise CalibrationError(
                "the same normal scan stands twice in a calibration", remedy="Give each scan once.", code="duplicate"
            )
        if len({n.peak is None for n in self.normals}) > 1:
            raise CalibrationError(
                "only some of the normal scans have a peak", remedy="Score all with one model.", code="peaks"
            )
        if self.scale <= 0 or self.peak_scale <= 0:
            raise CalibrationError("a scale that is not positive", remedy="Calibrate again.", code="scale")
        return self

    def verify(self, *, model_sha256: str, recipe_sha256: str) -> None:
        """Refuse a model or a recipe these scores were not made with.

        Raises
        ------
        CalibrationError : a digest differs.
        """
        for what, ours, given in (
            ("model", self.model_sha256, model_sha256),
            ("recipe", self.recipe_sha256, recipe_sha256),
        ):
            if ours != given:
                raise CalibrationError(
                    f"this calibration was made for another {what} ({ours[:12]}…, not {given[:12]}…)",
                    remedy="Calibrate this model, or use the calibration that came with it.",
                    code=f"other_{what}",
                )

    def in_training(self, image_sha256: str) -> Normal | None:
        """The normal with this image, if it is one of them."""
        return next((n for n in self.normals if n.image_sha256 == image_sha256), None)

    def of_site(self, image_sha256: str) -> Normal | None:
        """The normal of the site with this image, if the calibration was moved towards it."""
        return next((n for n in self.site_normals if n.image_sha256 == image_sha256), None)

    @property
    def of_full_heads(self) -> bool:
        """Whether most normals of the site, or of the model, are full heads, so that one can be judged like them."""
        normals = self.site_normals or self.normals
        return 2 * sum(n.full_head for n in normals) > len(normals)

    @property
    def reference_scores(self) -> tuple[float, ...]:
        """The normals' scores as they are worth at the site, sorted: what a score is compared with."""
        return tuple(sorted(self.location + self.scale * n.score for n in self.normals))

    def finding_level(self, rate: float | None = None) -> float | None:
        """The heatmap value a normal scan exceeds anywhere with probability ≤ `rate` (the alarm rate where None).

        Returns
        -------
        None where the model does not localise.

        Raises
        ------
        CalibrationError : the rate is finer than these normals can show.
        """
        rate = self.alarm_rate if rate is None else rate
        peaks = [self.peak_location + self.peak_scale * n.peak for n in self.normals if n.peak is not None]
        return tail.finding_level(peaks, rate) if peaks else None

    def thresholds(self, rate: float | None = None) -> Thresholds:
        """Scores above which a scan fails and is warned of, at `rate` (the alarm rate where None).

        Raises
        ------
        CalibrationError : the rate is finer than these normals can show, or not in (0, 0.5).
        """
        rate = self.alarm_rate if rate is None else rate
        tail.check_alarm_rate(rate)
        # The finer rate first: where it cannot be shown the error must name the one that was asked for.
        fail = tail.threshold(self.reference_scores, rate)
        return Thresholds(
            warn=tail.threshold(self.reference_scores, 2.0 * rate),
            fail=fail,
            warn_rate=2.0 * rate,
            fail_rate=rate,
            finding_level=self.finding_level(rate),
        )

    def judge(self, score: float, rate: float | None = None) -> Judgement:
        """All that these normals say of a scan that is none of them.

        Parameters
        ----------
        score : the scan's score by the final model.
        rate : of false alarms; the calibration's own where None.

        Raises
        ------
        CalibrationError : the score is not finite, or the rate is finer than these normals can show.
        """
        rate = self.alarm_rate if rate is None else rate
        reference = self.reference_scores
        thresholds = self.thresholds(rate)
        p = tail.p_value(score, reference)
        notes = [note for note in (tail.rate_note(rate, len(reference)),) if note is not None]
        if self.approximate:
            notes.append(
                f"The scores were moved to {self.site} from too few of its normal scans; "
                "the false-alarm rate there is approximate and not promised."
            )
        return Judgement(
            verdict=tail.verdict(p, rate),
            p_value=p,
            p_value_interval=tail.p_value_interval(score, reference),
            robust_z=tail.robust_z(score, reference),
            thresholds=thresholds,
            reference_scores=reference,
            notes=tuple(notes),
        )

    def judge_normal(self, normal: Normal, rate: float | None = None) -> Judgement:
        """What these normals say of one of them, by its own out-of-fold score.

        It is one of the n it is compared with, so its p is at least 2 / (n + 1): a little conservative, and judged by
        the same thresholds as every other scan. A calibration moved to a site judges it where it came from.

        Raises
        ------
        CalibrationError : it is none of them, or the rate is finer than these normals can show.
        """
        if self.in_training(normal.image_sha256) is None:
            raise CalibrationError(
                f"{normal.scan_id} is not one of these normal scans", remedy="Judge its score.", code="not_a_normal"
            )
        home = {"approximate": False, "location": 0.0, "scale": 1.0, "peak_location": 0.0, "peak_scale": 1.0}
        return Calibration(**{**dict(self), **home}).judge(normal.score, rate)
