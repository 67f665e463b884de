"""MGH and MGZ, the volumes of FreeSurfer: one frame, always big-endian, plain or gzip.

References
----------
The format: https://surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from anomri.errors import InputError
from anomri.io.axes import NO_ORIENTATION
from anomri.io.decode import decode
from anomri.io.guard import Image, check_affine, check_shape, image_of
from anomri.io.stream import ByteStream

__all__ = ["is_mgh", "read_mgh"]

READER = "anomri.mgh 1"
VERSION = b"\0\0\0\1"
DATA_AT = 284
MAX_DIM = 32767
TYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}
# Codes of the format, known or not supported; no other format begins like this.
MAX_TYPE = 10


def is_mgh(head: bytes) -> bool:
    """Whether a file's first bytes are those of an MGH header."""
    return head.startswith(VERSION) and (len(head) < 24 or int.from_bytes(head[20:24], "big") <= MAX_TYPE)


# Any bits may stand in a header; what they mean is checked, not warned about.
@np.errstate(all="ignore")
def read_mgh(stream: ByteStream, *, max_voxels: int) -> Image:
    """Read one 3D image.

    Raises
    ------
    InputError : see the codes in this package's `read`.
    """
    from nibabel.freesurfer.mghformat import MGHHeader

    if len(stream.head) < DATA_AT:
        if stream.broken is not None:
            raise stream.broken
        raise InputError("the file ends inside its header", remedy="Copy it again.", code="truncated")
    # nibabel gives a header without orientation the one that FreeSurfer assumes.
    kind_of_header: Any = MGHHeader
    header = kind_of_header(stream.head[:DATA_AT], check=False)
    *sizes, frames = (int(n) for n in header["dims"])
    if min(*sizes, frames) < 1 or max(sizes) > MAX_DIM:
        raise InputError(
            f"the header declares a size of {' × '.join(map(str, sizes))} and {frames} frames",
            remedy="Repair the header or convert the scan again from its source.",
            code="bad_header",
        )
    if frames > 1:
        raise InputError(f"the file holds {frames} volumes", remedy="Split it and give one.", code="not_one_volume")
    kind = int(header["type"])
    if kind not in TYPES:
        raise InputError(
            f"the image holds values of the type {kind}",
            remedy="Give a scan of real numbers (magnitude).",
            code="unsupported_type",
        )
    x, y, z = sizes
    check_shape((x, y, z), max_voxels=max_voxels)
    affine = np.asarray(header.get_affine(), dtype=np.float64)
    check_affine(affine)
    stored = np.dtype(TYPES[kind])
    stream.expect(DATA_AT + math.prod(sizes) * stored.itemsize)
    stream.skip(DATA_AT)
    voxels = decode(stream.take, (x, y, z), stored)
    # Scan parameters and the file's history follow; neither is needed.
    stream.finish(appendix=True)
    known = int.from_bytes(stream.head[28:30], "big", signed=True) > 0
    notes = [*stream.notes, *([] if known else [NO_ORIENTATION])]
    return image_of(voxels, affine, format="mgh", reader=READER, sha256=stream.sha256, notes=notes)
