"""The verb `calibrate`: judge a finished model's scores against the normals of a site.

With `adapt` the model itself is moved to the site first, as far as that needs no training: weights of networks stay,
statistics of normals move. Each normal is then scored by a model that was moved to the others.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from anomri import io
from anomri.calibration import Normal, align_to_site, smallest_rate, threshold_interval
from anomri.core.prepared import Prepared
from anomri.core.result import Thresholds
from anomri.datasets.splits import folds_by_subject
from anomri.errors import CalibrationError, DataLeak, InputError, OutputConflict
from anomri.models import Model, require_replaceable, write_calibrated, write_model
from anomri.models.fusion import fused_reading
from anomri.pipeline.adapt import adapted, refuse_rigid
from anomri.pipeline.gather import Dropped, FitInput, gather
from anomri.pipeline.processes import each
from anomri.pipeline.records import normal_of
from anomri.pipeline.score import read_branches
from anomri.scope import second_look

__all__ = ["CalibrateSummary", "calibrate", "scored", "scored_by_the_others"]

# So that a model is moved by at least three subjects where four are given.
_FOLDS = 4


@dataclass(frozen=True, eq=False, slots=True)
class CalibrateSummary:
    """What a calibration ended with.

    Parameters
    ----------
    n_normals : scans of the site that were used.
    fail_interval : 95 % interval of the fail threshold; None where the alignment is approximate.
    smallest_rate : the smallest false-alarm rate this number of normals can promise.
    """

    model: Model
    n_normals: int
    thresholds: Thresholds
    fail_interval: tuple[float, float] | None
    smallest_rate: float
    approximate: bool
    dropped: tuple[Dropped, ...]


def calibrate(
    model: Model,
    scans: Sequence[FitInput],
    out: Path,
    *,
    site: str,
    alarm_rate: float | None = None,
    adapt: bool = False,
    jobs: int = 1,
    report: Callable[[str], None] = lambda _line: None,
) -> CalibrateSummary:
    """Recalibrate a model on the normal scans of a site and write it as a new model.

    Parameters
    ----------
    scans : of healthy subjects at the site; none may have trained the model.
    adapt : move the statistics of its branches to the site, too.

    Raises
    ------
    CalibrationError : the model was already calibrated to a site, none of the scans is in scope, or fewer than four
        subjects are given to adapt it by.
    ModelError : one of its branches cannot be adapted.
    DataLeak : a scan trained the model; found before any is prepared.
    OutputConflict : `out` is the folder of the model itself, or holds something that is no model.
    """
    if model.calibrated().kind != "cross-validated":
        # Said before an hour of preparing scans, not after it.
        raise CalibrationError(
            f"model {model.name} already stands on the normals of a site ({model.calibrated().site})",
            remedy="Start from the model as it was fitted.",
            code="not_cross_validated",
        )
    if model.folder is not None and out.resolve() == model.folder.resolve():
        raise OutputConflict(
            "the new model would replace the one it is made from", remedy="Choose another folder.", code="same_model"
        )
    require_replaceable(out)
    if adapt:
        refuse_rigid(model)
        # Too few people to leave some out raise here, too.
        folds_by_subject([scan.subject for scan in scans], _FOLDS, seed=model.card.seed)
    _refuse_training_scans(model, scans, jobs)
    work = out.with_name(out.name + ".fit")
    prepared, dropped = gather(scans, model.recipe, work / "prepared", jobs=jobs, report=report)
    kept: list[Prepared] = []
    out_of_scope = list(dropped)
    for scan in prepared:
        reasons = second_look(scan, model.scope)
        if reasons:
            out_of_scope.append(Dropped(scan.scan.scan_id, "; ".join(reasons)))
            report(f"{scan.scan.scan_id} left out: {'; '.join(reasons)}")
        else:
            kept.append(scan)
    if not kept:
        raise CalibrationError(
            "none of the scans is what the model was made for", remedy="See the reasons above.", code="no_normals"
        )
    own = model.calibrated()
    if adapt:
        normals = scored_by_the_others(model, kept, report)
        moved = write_model(adapted(model, kept, site=site), work / "adapted")
        own, model = own.model_copy(update={"model_sha256": moved.content_sha256}), moved
    else:
        normals = [scored(model, scan, 0, report) for scan in kept]
    calibration = align_to_site(own, normals, site=site, alarm_rate=alarm_rate)
    # A rate that cannot be promised raises here, before anything is written.
    thresholds = calibration.thresholds()
    written = write_calibrated(model, calibration, out)
    for part in ("prepared", "adapted"):
        shutil.rmtree(work / part, ignore_errors=True)
    with suppress(OSError):
        work.rmdir()
    interval = None
    if not calibration.approximate:
        interval = threshold_interval(calibration.reference_scores, calibration.alarm_rate)
    return CalibrateSummary(
        model=written,
        n_normals=len(normals),
        thresholds=thresholds,
        fail_interval=interval,
        smallest_rate=smallest_rate(len(normals)),
        approximate=calibration.approximate,
        dropped=tuple(out_of_scope),
    )


def scored_by_the_others(model: Model, kept: Sequence[Prepared], report: Callable[[str], None]) -> list[Normal]:
    """Each normal scored by the model moved to the other folds."""
    folds = folds_by_subject([scan.subject for scan in kept], _FOLDS, seed=model.card.seed)
    normals = []
    for fold in range(_FOLDS):
        others = adapted(model, [scan for scan, f in zip(kept, folds, strict=True) if f != fold], site="")
        normals += [scored(others, scan, fold, report) for scan, f in zip(kept, folds, strict=True) if f == fold]
    return normals


def scored(model: Model, scan: Prepared, fold: int, report: Callable[[str], None]) -> Normal:
    """A normal with its score by a model."""
    reading = fused_reading(read_branches(model, scan), model.scalings)
    report(f"{scan.scan.scan_id} scored")
    return normal_of(scan, reading, fold)


def _refuse_training_scans(model: Model, scans: Sequence[FitInput], jobs: int) -> None:
    # Reading takes seconds where preparing takes minutes, so a scan that may not be here is told at once.
    known = {scan.image_sha256 for scan in model.card.training}
    known |= {normal.image_sha256 for normal in model.calibrated().normals}
    for given, digest in zip(scans, each(_image_digest, scans, jobs), strict=True):
        if digest in known:
            raise DataLeak(
                "a scan that trained the model cannot calibrate it for a site",
                remedy="Leave it out.",
                scan=given.scan_id,
            )


def _image_digest(given: FitInput) -> str | None:
    try:
        return io.read(given.path, members=given.members, scan_id=given.scan_id).source.image_sha256
    except InputError:
        # Left out, with its reason, when the scans are prepared.
        return None
