"""All objects of one result, in memory and as files."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydicom import Dataset

from anomri.core.heatmap import Heatmap, parts_above
from anomri.core.outcome import Outcome
from anomri.core.result import Result
from anomri.dicom.document import encapsulated_pdf
from anomri.dicom.identity import identity_of, stamp
from anomri.dicom.images import findings_segmentation, heatmap_map, preview_picture
from anomri.dicom.report import Parts, structured_report
from anomri.dicom.source import SourceSeries, matched
from anomri.errors import InputError
from anomri.io.write import write_folder
from anomri.report.figures import preview_png

__all__ = ["FILES", "dicom_results", "write_dicom"]

FILES = ("report.dcm", "preview.dcm", "heatmap.dcm", "findings.dcm", "document.dcm")


def dicom_results(
    outcome: Outcome, source: SourceSeries, *, created: datetime, pdf: bytes | None = None
) -> dict[str, Dataset]:
    """A result as DICOM objects, each in a series of its own in the source's study.

    Parameters
    ----------
    source : the series that was judged, as `read_source` finds it.
    created : when the objects are made, in local time; a repeat with the same time gives the same bytes.
    pdf : a report to put inside an object; None for none.

    Returns
    -------
    By name: ``report`` (structured report), ``preview`` (picture), ``heatmap`` (Parametric Map, where there is one),
    ``findings`` (Segmentation, where there are some), ``document`` (PDF, where one was given).

    Raises
    ------
    InputError : the heatmap does not hold the findings that the result names (`findings`), it lies on another grid
        (`other_grid`), or an attribute of the source is not what the standard allows (`series_header`).
    """
    heatmap, result = outcome.heatmap, outcome.result
    if heatmap is not None and (source.geometry is None or not matched(heatmap.geometry, source.geometry)):
        raise InputError(
            "the heatmap lies on another grid than the series",
            remedy="Give the series that was scored.",
            code="other_grid",
        )
    parts = _parts(result, heatmap)
    identity = identity_of(outcome, source)
    made: dict[str, Any] = {}
    try:
        made["preview"] = preview_picture(preview_png(outcome), source, identity)
        if heatmap is not None:
            made["heatmap"] = heatmap_map(heatmap, result, source, identity)
            if parts:
                made["findings"] = findings_segmentation(parts, heatmap, result.model, source, identity)
        if pdf is not None:
            made["document"] = encapsulated_pdf(pdf, source, identity)
        made["report"] = structured_report(
            result,
            parts,
            heatmap,
            source,
            identity,
            segmentation=made.get("findings"),
            others=[made[name] for name in ("heatmap", "preview") if name in made],
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"the header of the series cannot be carried over ({error})",
            remedy="Export the series again, with its header whole.",
            code="series_header",
        ) from error
    return {name: stamp(made[name], created, identity) for name in sorted(made)}


def write_dicom(objects: Mapping[str, Dataset], folder: str | Path) -> tuple[Path, ...]:
    """Write objects as ``NAME.dcm`` into a folder; those of an earlier result go.

    Raises
    ------
    EnvironmentProblem : as `anomri.io.write.write_folder`.
    """
    folder = Path(folder)
    files = {f"{name}.dcm": _bytes(made) for name, made in objects.items()}
    write_folder(folder, files, replaces=FILES)
    return tuple(folder / name for name in FILES if name in files)


def _parts(result: Result, heatmap: Heatmap | None) -> Parts:
    level = None if result.thresholds is None else result.thresholds.finding_level
    if heatmap is None or level is None:
        return ()
    parts = parts_above(heatmap, level)
    if [finding.peak for finding, _ in parts] != [finding.peak for finding in result.findings]:
        raise InputError(
            "the heatmap does not hold the findings that the result names",
            remedy="Score the scan again.",
            code="findings",
        )
    return tuple((named, voxels) for named, (_, voxels) in zip(result.findings, parts, strict=True))


def _bytes(made: Dataset) -> bytes:
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
