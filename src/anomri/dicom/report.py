"""The verdict as a structured report (TID 1500) that an archive can search and a viewer can show.

One group of measurements is of the scan as a whole, one of each finding. A finding refers to its segment and has two
points in the patient, its centre and its peak.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    ReferencedSegment,
    RelationshipTypeValues,
    Scoord3DContentItem,
    SourceImageForMeasurementGroup,
    SourceSeriesForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from anomri.core.geometry import apply_affine
from anomri.core.heatmap import Heatmap
from anomri.core.result import Finding, Result
from anomri.dicom.codes import own
from anomri.dicom.identity import DISCLAIMER, Identity
from anomri.dicom.source import SourceSeries, to_lps

__all__ = ["structured_report"]

Parts = tuple[tuple[Finding, np.ndarray], ...]


def structured_report(
    result: Result,
    parts: Parts,
    heatmap: Heatmap | None,
    source: SourceSeries,
    identity: Identity,
    *,
    segmentation: Any,
    others: Sequence[Any],
) -> Any:
    """A Comprehensive 3D SR.

    Parameters
    ----------
    parts : the findings with their voxels on the grid of `heatmap`; none without a heatmap.
    segmentation : of the findings; None where there are none.
    others : further objects of the result that belong to the evidence.
    """
    algorithm = AlgorithmIdentification(
        name=f"anomri {result.model.name}",
        version=result.model.version,
        parameters=[f"model sha256 {result.model.sha256}", f"scan sha256 {result.input.sha256}"],
        family=codes.DCM.ArtificialIntelligence,
        manufacturer="anomri",
    )
    groups = [_of_scan(result, source, identity, algorithm)]
    if heatmap is not None:
        groups += [
            _of_finding(number, finding, _peak_of(voxels, heatmap), segmentation, source, identity, algorithm)
            for number, (finding, voxels) in enumerate(parts, start=1)
        ]
    observer = ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=identity.uid("device"), name="anomri", manufacturer_name="anomri", model_name=identity.model
        ),
    )
    report = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer),
        procedure_reported=codes.cid100.MRIUnspecifiedBodyRegion,
        imaging_measurements=groups,
    )
    return Comprehensive3DSR(
        [*source.instances, *([] if segmentation is None else [segmentation]), *others],
        report[0],
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **identity.series("report"),
    )


def _of_scan(result: Result, source: SourceSeries, identity: Identity, algorithm: Any) -> Any:
    measured = (("score", result.score), ("p-value", result.p_value), ("robust-z", result.robust_z))
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=identity.uid("scan"), identifier="scan"),
        finding_type=own("scan"),
        algorithm_id=algorithm,
        measurements=[
            Measurement(name=own(name), value=value, unit=codes.UCUM.NoUnits)
            for name, value in measured
            if value is not None
        ],
        qualitative_evaluations=[QualitativeEvaluation(name=own("verdict"), value=own(result.verdict))],
    )
    group[0].ContentSequence.extend(_comment(text) for text in (result.reason, *result.notes, DISCLAIMER))
    # Last, because whoever prints a report would have to search for the reason behind a few hundred images.
    group[0].ContentSequence.extend(
        SourceImageForMeasurementGroup(str(i.SOPClassUID), str(i.SOPInstanceUID)) for i in source.instances
    )
    return group


def _of_finding(
    number: int,
    finding: Finding,
    peak_mm: tuple[float, float, float],
    segmentation: Any,
    source: SourceSeries,
    identity: Identity,
    algorithm: Any,
) -> Any:
    abnormality = own("abnormality")
    measured = [
        Measurement(codes.SCT.Volume, finding.volume_mm3, codes.UCUM.CubicMillimeter),
        Measurement(abnormality, finding.peak, codes.UCUM.NoUnits, derivation=codes.SCT.Maximum),
        Measurement(abnormality, finding.mean, codes.UCUM.NoUnits, derivation=codes.SCT.Mean),
    ]
    if finding.depth_mm is not None:
        measured.append(Measurement(codes.SCT.Depth, finding.depth_mm, codes.UCUM.Millimeter))
    said = [] if finding.direction is None else [QualitativeEvaluation(own("direction"), own(finding.direction))]
    group = VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=identity.uid("finding", number), identifier=f"finding {number}"),
        referenced_segment=ReferencedSegment(
            str(segmentation.SOPClassUID),
            str(segmentation.SOPInstanceUID),
            number,
            source_series=SourceSeriesForSegmentation(str(source.instances[0].SeriesInstanceUID)),
        ),
        finding_type=own("unusual-place"),
        algorithm_id=algorithm,
        finding_sites=_site(finding),
        measurements=measured,
        qualitative_evaluations=said,
    )
    frame = str(source.instances[0].FrameOfReferenceUID)
    for name, place in ((codes.DCM.Center, finding.centroid_mm), (own("peak"), peak_mm)):
        group[0].ContentSequence.append(
            Scoord3DContentItem(
                name=name,
                graphic_type="POINT",
                graphic_data=np.array([to_lps(place)]),
                frame_of_reference_uid=frame,
                relationship_type=RelationshipTypeValues.CONTAINS,
            )
        )
    group[0].ContentSequence.append(_comment(f"{finding.sentence}."))
    return group


def _site(finding: Finding) -> list[Any] | None:
    """The brain, and its side; None for a finding elsewhere, which has no depth below the brain's surface."""
    if finding.depth_mm is None:
        return None
    if finding.side == "midline":
        return [FindingSite(codes.SCT.Brain, topographical_modifier=codes.SCT.Midline)]
    sides = {"left": codes.SCT.Left, "right": codes.SCT.Right, None: None}
    return [FindingSite(codes.SCT.Brain, laterality=sides[finding.side])]


def _comment(text: str) -> Any:
    return TextContentItem(codes.DCM.Comment, text, relationship_type=RelationshipTypeValues.CONTAINS)


def _peak_of(voxels: np.ndarray, heatmap: Heatmap) -> tuple[float, float, float]:
    at = voxels[np.argmax(heatmap.values[tuple(voxels.T)])]
    x, y, z = apply_affine(heatmap.geometry.affine, at[None].astype(np.float64))[0]
    return float(x), float(y), float(z)
