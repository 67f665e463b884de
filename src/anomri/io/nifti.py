"""NIfTI-1 and NIfTI-2, single files and pairs, either byte order, plain or gzip.

The header is checked here, field by field, before nibabel decodes its quaternion; the voxels are decoded by `decode`.

References
----------
NIfTI-1: Cox et al., *A (sort of) new image data format standard*, OHBM 2004, and the comments of nifti1.h.
NIfTI-2: nifti2.h, 2011.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomri.errors import InputError
from anomri.io.decode import decode
from anomri.io.guard import REMEDY_GEOMETRY, Image, agreed_affine, check_affine, check_shape, image_of
from anomri.io.names import pair_names
from anomri.io.stream import ByteStream, opened

__all__ = ["is_nifti", "read_nifti"]

READER = "anomri.nifti 1"
MAX_DIM = 32767
MILLIMETRE, UNKNOWN_UNIT = 2, 0
UNITS = {1: "metres", 3: "micrometres"}
MAGICS = {b"n+1\0": (1, False), b"ni1\0": (1, True), b"n+2\0": (2, False), b"ni2\0": (2, True)}
HEADER_BYTES = {1: 348, 2: 540}
# NIfTI-2 guards its magic number against text conversion.
NEWLINE_GUARD = b"\r\n\x1a\n"
NUMERIC = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
OTHER_TYPES = {
    1: "one-bit values", 32: "complex values", 128: "RGB colours", 1536: "128-bit floats",
    1792: "complex values", 2048: "complex values", 2304: "RGBA colours",
}  # fmt: skip
# Unknown, scanner, aligned, Talairach, MNI, another template.
XFORM_CODES = range(6)
REMEDY_HEADER = "Repair the header or convert the scan again from its source."


@dataclass(frozen=True, eq=False, slots=True)
class _Layout:
    """What the header says, checked. `offset` counts from the start of the file that holds the voxels."""

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    stored: np.dtype[Any]
    offset: int
    slope: float
    inter: float
    paired: bool
    notes: tuple[str, ...]

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * self.stored.itemsize


def is_nifti(head: bytes) -> bool:
    """Whether a file's first bytes are those of a NIfTI header."""
    return _version(head) is not None or _is_cut_header(head)


def read_nifti(stream: ByteStream, *, max_voxels: int) -> Image:
    """Read one 3D image.

    Raises
    ------
    InputError : see the codes in this package's `read`.
    """
    layout = _parse(stream, max_voxels=max_voxels)
    if not layout.paired:
        stream.expect(layout.offset + layout.n_bytes)
        voxels = _voxels(stream, layout)
        stream.finish()
        notes, digest = list(stream.notes), stream.sha256
    else:
        stream.finish()
        with opened(_partner(stream.path), hasher=stream.hasher) as data:
            data.expect(layout.offset + layout.n_bytes)
            voxels = _voxels(data, layout)
            data.finish()
            notes, digest = list(data.notes), data.sha256
    notes += layout.notes
    return image_of(voxels, layout.affine, format="nifti", reader=READER, sha256=digest, notes=notes)


def _version(head: bytes) -> tuple[int, bool, str] | None:
    """Version, whether the voxels lie in a second file, and the byte order."""
    for order in "<>":
        if len(head) >= 348 and head[:4] == struct.pack(f"{order}i", 348) and head[344:348] in MAGICS:
            version, paired = MAGICS[head[344:348]]
            return (1, paired, order) if version == 1 else None
        if len(head) >= 540 and head[:4] == struct.pack(f"{order}i", 540) and head[4:8] in MAGICS:
            version, paired = MAGICS[head[4:8]]
            return (2, paired, order) if version == 2 and head[8:12] == NEWLINE_GUARD else None
    return None


def _is_cut_header(head: bytes) -> bool:
    for order in "<>":
        for size in HEADER_BYTES.values():
            if 4 <= len(head) < size and head[:4] == struct.pack(f"{order}i", size):
                return True
    return False


# Any bits may stand in a header; what they mean is checked, not warned about.
@np.errstate(all="ignore")
def _parse(stream: ByteStream, *, max_voxels: int) -> _Layout:
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    found = _version(stream.head)
    if found is None:
        if stream.broken is not None:
            raise stream.broken
        raise InputError("the file ends inside its header", remedy="Copy it again.", code="truncated")
    version, paired, order = found
    # nibabel's headers carry no types.
    kind: Any = Nifti1Header if version == 1 else Nifti2Header
    header = kind(stream.head[: HEADER_BYTES[version]], endianness=order, check=False)
    shape = _shape(header)
    stored = _stored_type(header, order)
    check_shape(shape, max_voxels=max_voxels)
    offset = _offset(header, paired=paired, version=version)
    if not paired:
        _check_extensions(stream.head, start=HEADER_BYTES[version], end=offset, order=order)
    slope, inter = _scaling(header)
    affine, notes = _affine(header, shape)
    return _Layout(shape, affine, stored, offset, slope, inter, paired, notes)


def _shape(header: Any) -> tuple[int, int, int]:
    dims = [int(n) for n in header["dim"]]
    if not 1 <= dims[0] <= 7:
        raise _bad_header(f"the header declares {dims[0]} dimensions")
    used = dims[1 : 1 + dims[0]]
    if min(used) < 1 or max(used) > MAX_DIM:
        raise _bad_header(f"the header declares a size of {' × '.join(map(str, used))}")
    volumes = math.prod(used[3:])
    if volumes > 1:
        raise InputError(
            f"the file holds {volumes} volumes",
            remedy="Split it and give one volume (for diffusion or functional series, the one without weighting).",
            code="not_one_volume",
        )
    x, y, z = [*used[:3], 1, 1][:3]
    return x, y, z


def _stored_type(header: Any, order: str) -> np.dtype[Any]:
    code, bits = int(header["datatype"]), int(header["bitpix"])
    if code not in NUMERIC:
        what = OTHER_TYPES.get(code, f"values of the unknown type {code}")
        raise InputError(
            f"the image holds {what}", remedy="Give a scan of real numbers (magnitude).", code="unsupported_type"
        )
    stored = np.dtype(order + NUMERIC[code])
    if bits != stored.itemsize * 8:
        raise _bad_header(f"the header declares {bits} bits for values of {stored.itemsize * 8}")
    return stored


def _offset(header: Any, *, paired: bool, version: int) -> int:
    offset = float(header["vox_offset"])
    least = 0 if paired else HEADER_BYTES[version] + 4
    if offset == 0:
        return least
    if not least <= offset < 2**62 or not offset.is_integer():
        raise _bad_header(f"the header puts the voxels at byte {offset:g}")
    return int(offset)


def _check_extensions(head: bytes, *, start: int, end: int, order: str) -> None:
    """Walk the extensions that lie in the head; none may reach beyond the first voxel."""
    if len(head) < start + 4 or head[start] == 0:
        return
    at = start + 4
    while at + 8 <= min(end, len(head)):
        size = struct.unpack_from(f"{order}i", head, at)[0]
        if size < 8 or at + size > end:
            raise _bad_header("a header extension reaches beyond its place")
        at += size


def _scaling(header: Any) -> tuple[float, float]:
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    # Zero means "not scaled" in the standard, NaN in what some programs write.
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0
    if not math.isfinite(slope) or not math.isfinite(inter):
        raise _bad_header(f"the header scales values by {slope:g} and adds {inter:g}")
    return slope, inter


def _affine(header: Any, shape: tuple[int, int, int]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The sform where its code is above 0, else the qform where its is, else voxel sizes alone; both must agree."""
    unit = int(header["xyzt_units"]) & 7
    if unit not in (MILLIMETRE, UNKNOWN_UNIT):
        raise InputError(
            f"the header gives lengths in {UNITS.get(unit, f'the unknown unit {unit}')}",
            remedy="Write the header in millimetres.",
            code="units",
        )
    sform = np.eye(4)
    sform[:3] = [header[row] for row in ("srow_x", "srow_y", "srow_z")]
    codes = {name: int(header[f"{name}_code"]) for name in ("sform", "qform")}
    by_sform, by_qform = codes["sform"] > 0, codes["qform"] > 0
    notes = tuple(
        f"the code of the {name} is {code}, which the standard does not know; "
        f"it was {'taken for the grid all the same' if code > 0 else 'left aside'}"
        for name, code in codes.items()
        if code not in XFORM_CODES
    )
    if by_sform:
        check_affine(sform)
        affine = agreed_affine(sform, _qform(header), shape) if by_qform else sform
    elif by_qform:
        affine = _qform(header)
    else:
        affine = np.asarray(header.get_base_affine(), dtype=np.float64)
        notes = (*notes, "the header gives no orientation; left and right are unknown")
    check_affine(affine)
    return affine, notes


def _qform(header: Any) -> NDArray[np.float64]:
    from nibabel.spatialimages import HeaderDataError

    fixed = header.copy()
    # The standard takes every pixdim[0] that is not negative for 1.
    fixed["pixdim"][0] = -1 if header["pixdim"][0] < 0 else 1
    try:
        return np.asarray(fixed.get_qform(), dtype=np.float64)
    except (HeaderDataError, ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        raise InputError("the qform is not a rotation", remedy=REMEDY_GEOMETRY, code="geometry") from error


def _partner(path: Path) -> Path:
    """The file with the voxels that belongs to a header file."""
    for name in pair_names(path.name):
        candidate = path.with_name(name)
        if candidate != path and candidate.is_file():
            return candidate
    raise InputError(
        "the file is a header without its .img file", remedy="Put the .img file beside it.", code="truncated"
    )


def _voxels(stream: ByteStream, layout: _Layout) -> NDArray[np.float32]:
    stream.skip(layout.offset)
    return decode(stream.take, layout.shape, layout.stored, slope=layout.slope, inter=layout.inter)


def _bad_header(cause: str) -> InputError:
    return InputError(cause, remedy=REMEDY_HEADER, code="bad_header")
