"""The only place that knows file formats: reading scans by their content, guards, names, atomic writing."""

from anomri.io.array import array_scan
from anomri.io.formats import read
from anomri.io.mask import read_mask
from anomri.io.participants import Participants, read_participants, subject_of
from anomri.io.protocol import ProtocolReference, read_protocol
from anomri.io.walk import Found, find_images
from anomri.io.write import write_bytes, write_csv, write_json, write_nifti, write_text

__all__ = [
    "Found",
    "Participants",
    "ProtocolReference",
    "array_scan",
    "find_images",
    "read",
    "read_mask",
    "read_participants",
    "read_protocol",
    "subject_of",
    "write_bytes",
    "write_csv",
    "write_json",
    "write_nifti",
    "write_text",
]
