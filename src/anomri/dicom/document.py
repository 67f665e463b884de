"""The PDF report inside a DICOM object."""

from __future__ import annotations

from typing import Any

from highdicom.base import SOPClass
from pydicom import Dataset
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from anomri.dicom.identity import Identity
from anomri.dicom.source import SourceSeries

__all__ = ["encapsulated_pdf"]


def encapsulated_pdf(pdf: bytes, source: SourceSeries, identity: Identity) -> Any:
    """An Encapsulated PDF in a series of its own."""
    head = source.instances[0]
    made: Any = SOPClass(
        study_instance_uid=head.StudyInstanceUID,
        sop_class_uid=EncapsulatedPDFStorage,
        modality="DOC",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **identity.series("document"),
    )
    made.copy_patient_and_study_information(head)
    made.ConversionType = "WSD"
    made.AcquisitionDateTime = None
    made.BurnedInAnnotation = "YES"
    made.RecognizableVisualFeatures = "NO"
    made.DocumentTitle = "anomri report: research use only"
    made.ConceptNameCodeSequence = []
    made.SourceInstanceSequence = [_reference(instance) for instance in source.instances]
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    # The length says where the document ends where a byte is added to make it even.
    made.EncapsulatedDocumentLength = len(pdf)
    made.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    return made


def _reference(instance: Any) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = instance.SOPClassUID
    item.ReferencedSOPInstanceUID = instance.SOPInstanceUID
    return item
