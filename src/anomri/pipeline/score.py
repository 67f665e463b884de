"""The verb `score`: one scan, one model, one outcome. Returns values, writes nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from anomri.calibration import Judgement
from anomri.core.geometry import orientation_code
from anomri.core.heatmap import Heatmap, slice_scores
from anomri.core.outcome import Outcome
from anomri.core.prepared import Prepared
from anomri.core.reading import FloatMap, Reading
from anomri.core.region import Region
from anomri.core.result import BrainFrom, Driver, Finding, InputRecord, Result, SliceScore, Verdict
from anomri.core.scan import Scan
from anomri.errors import AnomriError, PreparationFailed, about_scan
from anomri.extraction.defaced import defacing
from anomri.models import Model
from anomri.models.fusion import fused_reading, shares, standardised
from anomri.pipeline.brain import brain_of
from anomri.pipeline.findings import described_findings
from anomri.pipeline.records import input_record, model_record, versions
from anomri.pipeline.words import deviations, judged_reason, limits
from anomri.preparation import prepare
from anomri.scope import second_look

__all__ = ["NO_SCAN_TO_JUDGE", "model_record", "read_branches", "score", "unreadable"]

# Codes of readers: the file is sound, and what it holds is no scan that can be judged.
NO_SCAN_TO_JUDGE = frozenset(
    {
        "duplicate_slices",
        "geometry_conflict",
        "missing_slices",
        "not_a_volume",
        "not_mri",
        "not_one_volume",
        "sheared",
        "too_thin",
        "uneven_slices",
        "units",
    }
)


def score(
    scan: Scan,
    model: Model,
    *,
    mask: Region | None = None,
    covariates: Mapping[str, float] | None = None,
    alarm_rate: float | None = None,
    timings: dict[str, float] | None = None,
) -> Outcome:
    """Judge one scan.

    Parameters
    ----------
    mask : the brain, where the user knows it. The brain of a full head is cut out where none is given; the verdict on
        one is at most warn unless full heads are among the normals it is judged against.
    covariates : ``age`` (years) and ``sex`` (0 female, 1 male) where known.
    alarm_rate : fail at p ≤ this, warn at p ≤ twice this; the model's own where None.
    timings : seconds a stage are added here, for measurements.

    Returns
    -------
    The outcome on the scan's own grid. A scan that cannot be prepared or is not what the model was made for comes
    back as ``out_of_scope`` with the reason; it is never passed.

    Raises
    ------
    CalibrationError : the rate is finer than the model's normals can promise.
    ModelError : the model is not calibrated.
    InputError : the mask lies on another grid.
    """
    with about_scan(scan.scan_id):
        calibration = model.calibrated()
        calibration.thresholds(alarm_rate)
        clock = _Clock(timings)
        found = brain_of(scan, model.recipe, mask)
        clock.lap("brain")
        if found.reasons:
            return _refused(scan, model, found.reasons, brain=mask, brain_from=found.came_from)
        try:
            prepared = prepare(scan, model.recipe, mask=found.region, covariates=covariates, timings=timings)
        except PreparationFailed as failure:
            cause = f"{failure.cause}. {failure.remedy}"
            return _refused(scan, model, (cause,), brain=found.region, brain_from=found.came_from)
        clock.restart()
        reasons = second_look(prepared, model.scope)
        if reasons:
            return _refused(scan, model, reasons, brain=prepared.brain, brain_from=found.came_from, prepared=prepared)
        readings = read_branches(model, prepared)
        clock.lap("examine")
        fused = fused_reading(readings, model.scalings)
        known = calibration.in_training(scan.source.image_sha256)
        of_site = calibration.of_site(scan.source.image_sha256)
        if known is not None:
            judgement, value = calibration.judge_normal(known, alarm_rate), known.score
        elif of_site is not None:
            # Its own score is by a model that had not seen it; the final one may have been adapted to it.
            judgement, value = calibration.judge(of_site.score, alarm_rate), of_site.score
        else:
            judgement, value = calibration.judge(fused.score, alarm_rate), fused.score
        heatmap, expected, maps = _home(prepared, fused, scan, model)
        clock.lap("heatmap")
        level = judgement.thresholds.finding_level
        findings: tuple[Finding, ...] = ()
        if heatmap is not None and level is not None:
            findings = described_findings(heatmap, level, prepared, model.recipe, readings, model.scalings)
        clock.lap("findings")
        drivers = _drivers(model, readings, shares({n: r.score for n, r in readings.items()}, model.scalings), prepared)
        outcome = Outcome(
            result=_result(
                scan,
                model,
                prepared,
                judgement,
                value,
                drivers,
                findings,
                heatmap,
                brain_from=found.came_from,
                full_head=found.full_head,
            ),
            scan=scan,
            heatmap=heatmap,
            brain=prepared.brain,
            expected=expected,
            maps=maps,
            expected_by=_expected_by(prepared, fused, readings, findings),
        )
        clock.lap("judge")
        return outcome


def read_branches(model: Model, prepared: Prepared) -> dict[str, Reading]:
    """Each branch's reading of one prepared scan, by the branch's name."""
    return {b.record.name: b.method.examine(prepared, seed=model.card.seed) for b in model.branches}


def unreadable(scan_id: str, error: AnomriError, model: Model, *, sha256: str = "") -> Outcome:
    """The outcome of a file that gave no scan: a row with the reason, never a verdict on it.

    Out of scope where the file was understood and holds something else than a scan (several volumes, two geometries
    that disagree), unreadable in every other case.
    """
    calibration = model.calibrated()
    return Outcome(
        result=Result(
            scan_id=scan_id,
            input=InputRecord(sha256=sha256, format="unknown"),
            model=model_record(model),
            verdict="out_of_scope" if error.code in NO_SCAN_TO_JUDGE else "unreadable",
            reason=f"{error.cause} ({error.code}). {error.remedy}",
            n_normals=len(calibration.normals),
            reference_scores=calibration.reference_scores,
            versions=versions(),
        )
    )


class _Clock:
    def __init__(self, timings: dict[str, float] | None) -> None:
        self._timings = timings
        self._since = time.perf_counter()

    def restart(self) -> None:
        self._since = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        if self._timings is not None:
            self._timings[name] = self._timings.get(name, 0.0) + now - self._since
        self._since = now


def _refused(
    scan: Scan,
    model: Model,
    reasons: tuple[str, ...],
    *,
    brain: Region | None,
    brain_from: BrainFrom | None,
    prepared: Prepared | None = None,
) -> Outcome:
    calibration = model.calibrated()
    sentence = "; ".join(reasons)
    return Outcome(
        result=Result(
            scan_id=scan.scan_id,
            input=input_record(scan),
            model=model_record(model),
            verdict="out_of_scope",
            reason=f"This scan is not what the model was made for: {sentence}",
            n_normals=len(calibration.normals),
            reference_scores=calibration.reference_scores,
            brain_from=brain_from,
            drivers=(Driver(kind="scope", branch="scope", share=1.0, score=float(len(reasons))),),
            quality={} if prepared is None else dict(prepared.quality),
            notes=(*_contrast(scan, model), *scan.source.notes),
            versions=versions(),
        ),
        scan=scan,
        brain=brain,
    )


def _home(
    prepared: Prepared, fused: Reading, scan: Scan, model: Model
) -> tuple[Heatmap | None, FloatMap | None, dict[str, FloatMap]]:
    undo = prepared.history.undo
    heatmap = None
    if fused.map is not None:
        values = undo(fused.map)
        brain = prepared.brain.mask
        values[~brain] = np.nan
        examined = Region(np.isfinite(values), scan.geometry, "examined", "undo")
        heatmap = Heatmap(
            values, scan.geometry, examined, fused.map_scale, "+".join(b.record.name for b in model.branches)
        )
    expected = None if fused.expected is None else undo(fused.expected)
    return heatmap, expected, {name: undo(values) for name, values in fused.maps.items()}


def _expected_by(
    prepared: Prepared, fused: Reading, readings: Mapping[str, Reading], findings: tuple[Finding, ...]
) -> dict[str, FloatMap]:
    """What branches expected on which a finding rests and whose image is not that of the fused reading."""
    named = {f.branch: readings[f.branch].expected for f in findings if f.branch is not None}
    return {
        name: prepared.history.undo(expected)
        for name, expected in named.items()
        if expected is not None and expected is not fused.expected
    }


def _drivers(
    model: Model, readings: Mapping[str, Reading], share: Mapping[str, float], prepared: Prepared
) -> tuple[Driver, ...]:
    drivers = []
    for branch in model.branches:
        name = branch.record.name
        reading = readings[name]
        drivers.append(
            Driver(
                kind="local" if reading.map is not None else "quality",
                branch=name,
                share=share[name],
                score=reading.score,
                standardised=standardised(reading.score, model.scalings[name]) if len(model.branches) > 1 else None,
                metrics=deviations(reading.values, prepared.quality),
            )
        )
    return tuple(sorted(drivers, key=lambda d: (-d.share, d.branch)))


def _result(
    scan: Scan,
    model: Model,
    prepared: Prepared,
    judgement: Judgement,
    value: float,
    drivers: tuple[Driver, ...],
    findings: tuple[Finding, ...],
    heatmap: Heatmap | None,
    *,
    brain_from: BrainFrom | None,
    full_head: bool,
) -> Result:
    calibration = model.calibrated()
    in_training = scan.source.image_sha256 in {training.image_sha256 for training in model.card.training}
    own_normal = calibration.in_training(scan.source.image_sha256) is not None
    in_calibration = own_normal or calibration.of_site(scan.source.image_sha256) is not None
    held = full_head and not calibration.of_full_heads
    verdict: Verdict = "warn" if held and judgement.verdict == "fail" else judgement.verdict
    limiting = limits(
        judgement,
        model.card,
        age=prepared.covariates.get("age"),
        known=in_training or in_calibration,
        site_calibrated=calibration.kind == "site",
        held=held,
        extracted_ml=prepared.brain.volume_ml if brain_from == "extracted" else None,
    )
    defaced = defacing(scan, prepared.brain).note if full_head else None
    axis = _axial_axis(scan)
    return Result(
        scan_id=scan.scan_id,
        input=input_record(scan),
        model=model_record(model),
        verdict=verdict,
        reason=judged_reason(
            verdict,
            judgement,
            value,
            drivers,
            findings,
            in_training=in_training,
            in_calibration=in_calibration,
        ),
        score=value,
        robust_z=judgement.robust_z,
        p_value=judgement.p_value,
        p_value_interval=judgement.p_value_interval,
        n_normals=len(judgement.reference_scores),
        reference_scores=judgement.reference_scores,
        in_training=in_training,
        # A normal of the calibration is judged among its like, where the scores were not moved.
        approximate=calibration.approximate and not own_normal,
        brain_from=brain_from,
        drivers=drivers,
        thresholds=judgement.thresholds,
        slices=() if heatmap is None else _slices(slice_scores(heatmap, axis)),
        slice_axis=axis,
        findings=findings,
        quality=dict(prepared.quality),
        notes=(*limiting, *([] if defaced is None else [defaced]), *_contrast(scan, model), *scan.source.notes),
        versions=versions(),
    )


def _contrast(scan: Scan, model: Model) -> tuple[str, ...]:
    """A note where header or name of a scan state another contrast than that of the model."""
    known = model.card.sequence
    if scan.sequence is None or known is None or scan.sequence == known:
        return ()
    return (f"header or name say that this scan is {scan.sequence}, and the model knows {known}",)


def _axial_axis(scan: Scan) -> int:
    code = orientation_code(scan.geometry.affine)
    return next(axis for axis in range(3) if code[axis] in "SI")


def _slices(scores: NDArray[np.float64]) -> tuple[SliceScore, ...]:
    return tuple(SliceScore(index=i, score=float(s)) for i, s in enumerate(scores) if np.isfinite(s))
