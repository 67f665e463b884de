"""The pictures of a result: heatmap, findings and preview, each as the kind of DICOM image made for it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from highdicom import AlgorithmIdentificationSequence, VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from highdicom.sc import SCImage
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentDescription
from numpy.typing import NDArray
from PIL import Image
from pydicom.sr.codedict import codes

from anomri.core.heatmap import Heatmap
from anomri.core.result import Finding, ModelRecord, Result
from anomri.dicom.codes import own
from anomri.dicom.identity import Identity
from anomri.dicom.source import SourceSeries
from anomri.report.display import heat_range
from anomri.report.words import SCALE

__all__ = ["findings_segmentation", "heatmap_map", "preview_picture"]


def heatmap_map(heatmap: Heatmap, result: Result, source: SourceSeries, identity: Identity) -> Any:
    """A Parametric Map: the heatmap's own numbers frame by frame as the series; 0 where nothing was examined."""
    values = np.nan_to_num(heatmap.values, nan=0.0)
    span = heat_range(heatmap, None if result.thresholds is None else result.thresholds.finding_level)
    made = ParametricMap(
        source.instances,
        source.frames_of(values, heatmap.geometry),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[
            RealWorldValueMapping(
                lut_label=heatmap.scale.upper(),
                lut_explanation=SCALE[heatmap.scale][:64],
                unit=codes.UCUM.NoUnits,
                value_range=(float(values.min()), float(values.max())),
                slope=1.0,
                intercept=0.0,
                quantity_definition=own("abnormality"),
            )
        ],
        # The colours of every other picture of the result span the same.
        voi_lut_transformations=[
            VOILUTTransformation(window_center=(span.low + span.high) / 2.0, window_width=span.high - span.low)
        ],
        content_label="HEATMAP",
        content_description="Higher is more abnormal; 0 where nothing was examined",
        **identity.series("heatmap"),
    )
    _set_side(made)
    return made


def findings_segmentation(
    parts: tuple[tuple[Finding, NDArray[np.intp]], ...],
    heatmap: Heatmap,
    model: ModelRecord,
    source: SourceSeries,
    identity: Identity,
) -> Any:
    """A binary Segmentation: segment n is the nth finding."""
    labels = np.zeros(heatmap.geometry.shape, dtype=np.uint8 if len(parts) < 256 else np.uint16)
    for number, (_, voxels) in enumerate(parts, start=1):
        labels[tuple(voxels.T)] = number
    algorithm = AlgorithmIdentificationSequence(
        name=f"anomri {model.name}"[:64],
        family=codes.DCM.ArtificialIntelligence,
        version=model.version[:64],
        parameters={"model sha256": model.sha256},
    )
    return Segmentation(
        source.instances,
        source.frames_of(labels, heatmap.geometry),
        "BINARY",
        [
            SegmentDescription(
                segment_number=number,
                segment_label=f"Finding {number}",
                segmented_property_category=codes.SCT.SpatialAndRelationalConcept,
                segmented_property_type=own("unusual-place"),
                algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm_identification=algorithm,
                tracking_uid=identity.uid("finding", number),
                tracking_id=f"finding {number}",
            )
            for number in range(1, len(parts) + 1)
        ],
        content_label="FINDINGS",
        content_description="Places above the level that normal scans hardly exceed"[:64],
        **identity.series("findings"),
    )


def preview_picture(preview: bytes, source: SourceSeries, identity: Identity) -> Any:
    """An RGB Secondary Capture of the result's preview, a PNG."""
    made: Any = SCImage.from_ref_dataset(
        source.instances[0],
        np.asarray(Image.open(io.BytesIO(preview)).convert("RGB")),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        **identity.series("preview"),
    )
    made.copy_patient_and_study_information(source.instances[0])
    _set_side(made)
    # Three planes stand side by side: there is no one orientation.
    made.PatientOrientation = None
    made.BurnedInAnnotation = "YES"
    made.RecognizableVisualFeatures = "NO"
    return made


def _set_side(made: Any) -> None:
    # Of a body part that there are two of the standard asks for it; empty means that it is not known.
    if "Laterality" not in made:
        made.Laterality = None
