"""DICOM: the series of a folder or an archive, and the one scan that each of them is."""

from anomri.io.dicom.elements import is_dicom
from anomri.io.dicom.read import Described, describe_series, read_dicom, read_series
from anomri.io.dicom.series import Series, find_series

__all__ = ["Described", "Series", "describe_series", "find_series", "is_dicom", "read_dicom", "read_series"]
