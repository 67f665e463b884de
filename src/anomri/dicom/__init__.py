"""A finished result as DICOM objects of the patient's study, for a viewer and an archive; needs the extra ``dicom``."""

try:
    import highdicom  # noqa: F401
except ImportError:
    from anomri.errors import MissingDependency

    raise MissingDependency("DICOM results need highdicom", remedy="Install anomri[dicom].") from None

from anomri.dicom.results import FILES, dicom_results, write_dicom
from anomri.dicom.source import SourceSeries, read_source

__all__ = ["FILES", "SourceSeries", "dicom_results", "read_source", "write_dicom"]
