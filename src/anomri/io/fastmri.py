"""HDF5 in the layouts of fastMRI: a reconstruction, or the k-space it is made from.

`reconstruction_rss` or `reconstruction_esc` is taken as it is. Otherwise `kspace` is brought to an image by the centred
inverse Fourier transform and the root of the sum of squares over the coils, and cut to the reconstructed field of view.

Slices are taken for axial ones with the patient's back in the first row, as in fastMRI's brains, and the right in the
first column: the file says neither, and a note says so. Spacings come from the ISMRMRD header.

HDF5 can fetch data from other files and load filters: links out of the file, data sets that lie elsewhere and filters
beyond those of the library are refused before a value is read.

References
----------
Zbontar J. et al., fastMRI: an open dataset and benchmarks for accelerated MRI, arXiv:1811.08839, 2018.
Inati S. J. et al., ISMRM raw data format, Magn. Reson. Med. 77:411, 2017.
Roemer P. B. et al., The NMR phased array, Magn. Reson. Med. 16:192, 1990 (root of the sum of squares).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from anomri.errors import InputError
from anomri.io.decode import as_float32
from anomri.io.guard import Image, check_affine, check_shape, image_of
from anomri.io.ismrmrd import MAX_XML_BYTES, bad_header, spaces_of
from anomri.io.stream import DEFLATE_RATIO, ByteStream

__all__ = ["is_hdf5", "read_fastmri"]

READER = "anomri.fastmri 1"
MAGIC = b"\x89HDF\r\n\x1a\n"
RECONSTRUCTIONS = ("reconstruction_rss", "reconstruction_esc")
# Numbers of the library's own filters that shrink or check, and that of h5py's LZF.
FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}
MAX_CHUNK_BYTES = 1 << 28
ASSUMED = "HDF5 gives no orientation: axial slices without gaps are assumed, and left and right are unknown"


def is_hdf5(head: bytes) -> bool:
    """Whether a file's first bytes are those of an HDF5 file."""
    return head.startswith(MAGIC)


def read_fastmri(stream: ByteStream, *, max_voxels: int) -> Image:
    """Read one scan.

    Raises
    ------
    InputError : see the codes in this package's `read`.
    """
    import h5py  # other formats need none

    if stream.is_gzip:
        raise InputError("the HDF5 file is packed by gzip", remedy="Unpack it.", code="unsupported_layout")
    try:
        with stream.file() as file, h5py.File(file, "r") as hdf:
            voxels, affine, notes = _scan(hdf, stream.size, max_voxels)
    except (InputError, MemoryError):
        raise
    # What h5py raises on a damaged file depends on where the damage is.
    except Exception as error:
        raise InputError(
            "the HDF5 file is damaged, cut off or of an unknown kind", remedy="Copy it again.", code="damaged"
        ) from error
    stream.rest(stream.size)
    stream.finish()
    notes = [*stream.notes, *notes]
    return image_of(voxels, affine, format="hdf5", reader=READER, sha256=stream.sha256, notes=notes)


def _scan(hdf: Any, size: int, max_voxels: int) -> tuple[NDArray[np.float32], NDArray[np.float64], list[str]]:
    # Asking the file whether it holds a name would follow a link out of it.
    links = list(hdf)
    header = _header(hdf) if "ismrmrd_header" in links else {}
    name = next((name for name in (*RECONSTRUCTIONS, "kspace") if name in links), None)
    if name is None:
        raise InputError(
            "the HDF5 file holds neither a reconstruction nor k-space in the layout of fastMRI",
            remedy=f"Name the images {RECONSTRUCTIONS[0]} (slices × rows × columns).",
            code="unsupported_layout",
        )
    data = _data_set(hdf, name)
    if name == "kspace":
        planes, pixel_mm, notes = _from_kspace(data, header, size, max_voxels)
    else:
        planes, notes = _reconstruction(data, size, max_voxels), []
        pixel_mm = [
            _ratio(header, "recon_field_x", "recon_matrix_x"),
            _ratio(header, "recon_field_y", "recon_matrix_y"),
        ]
    row_mm, column_mm = pixel_mm
    slice_mm = _ratio(header, "recon_field_z", "recon_matrix_z")
    affine, of_geometry = _affine(planes.shape, row_mm, column_mm, slice_mm)
    check_affine(affine)
    voxels: NDArray[np.float32] = np.ascontiguousarray(planes.transpose(2, 1, 0))
    return voxels, affine, [ASSUMED, f"read from {name}", *notes, *of_geometry]


def _data_set(hdf: Any, name: str) -> Any:
    """A data set all of whose bytes lie in this file, behind no filter but those known here."""
    import h5py

    if not isinstance(hdf.get(name, getlink=True), h5py.HardLink):
        raise _elsewhere()
    found = hdf[name]
    if not isinstance(found, h5py.Dataset):
        raise InputError(f"{name} is no array", remedy="Write it again.", code="unsupported_layout")
    if found.is_virtual or found.external:
        raise _elsewhere()
    stored = found.id.get_create_plist()
    filters = [stored.get_filter(n)[0] for n in range(stored.get_nfilters())]
    if any(number not in FILTERS for number in filters):
        raise InputError(
            f"{name} is compressed by a filter that anomri does not load",
            remedy=f"Write it with one of: {', '.join(FILTERS.values())}.",
            code="unsupported_layout",
        )
    return found


def _check_stored(data: Any, size: int) -> None:
    """All that the data set declares has been written, and the file can hold it."""
    declared = data.size * data.dtype.itemsize
    if data.chunks is None:
        complete, most = data.id.get_storage_size() >= declared, size
    else:
        pieces = math.prod(-(-n // chunk) for n, chunk in zip(data.shape, data.chunks, strict=True))
        packed = data.id.get_create_plist().get_nfilters() > 0
        complete, most = data.id.get_num_chunks() >= pieces, size * (DEFLATE_RATIO if packed else 1)
        if math.prod(data.chunks) * data.dtype.itemsize > MAX_CHUNK_BYTES:
            raise InputError(
                "the HDF5 file is stored in pieces too large to unpack",
                remedy="Write smaller chunks.",
                code="too_large",
            )
    if not complete or declared > most:
        raise InputError(
            f"the header declares {declared} bytes that the file does not hold",
            remedy="Copy or convert the file again.",
            code="truncated",
        )


def _reconstruction(data: Any, size: int, max_voxels: int) -> NDArray[np.float32]:
    """(slices, rows, columns) as stored."""
    if data.dtype.kind not in "uif":
        raise _not_real()
    if data.ndim != 3:
        raise _not_one_volume(data.shape)
    slices, rows, columns = data.shape
    check_shape((columns, rows, slices), max_voxels=max_voxels)
    _check_stored(data, size)
    planes = np.empty(data.shape, dtype=np.float32)
    for n in range(slices):
        planes[n] = as_float32(data[n])
    return planes


def _from_kspace(
    data: Any, header: dict[str, float], size: int, max_voxels: int
) -> tuple[NDArray[np.float32], list[float | None], list[str]]:
    """(slices, rows, columns) of magnitudes, size of a pixel along rows' and columns' index, and what was done.

    K-space is (slices, [coils,] rows, columns); readout runs along the rows' index, ISMRMRD's x.
    """
    if data.dtype.kind != "c":
        raise _not_real()
    if data.ndim not in (3, 4):
        raise _not_one_volume(data.shape)
    slices, rows, columns = (int(data.shape[axis]) for axis in (0, -2, -1))
    coils = data.shape[1] if data.ndim == 4 else 1
    check_shape((columns, rows, slices), max_voxels=max_voxels)
    # One slice of all coils is held at a time.
    if coils * rows * columns > max_voxels:
        raise InputError(
            f"one slice of k-space has {coils} coils of {rows} × {columns} values, more than {max_voxels}",
            remedy="Check the file; where it is sound, reconstruct it and give the image.",
            code="too_large",
        )
    _check_stored(data, size)
    # Lines of k-space stand 1 / (encoded field of view) apart, whatever was made of them later.
    pixel_mm = [
        header[f"encoded_field_{axis}"] / n if f"encoded_field_{axis}" in header else None
        for axis, n in (("x", rows), ("y", columns))
    ]
    kept = tuple(
        _cut(n, None if mm is None or f"recon_field_{axis}" not in header else header[f"recon_field_{axis}"] / mm)
        for axis, n, mm in zip("xy", (rows, columns), pixel_mm, strict=True)
    )
    planes = np.empty((slices, kept[0].stop - kept[0].start, kept[1].stop - kept[1].start), dtype=np.float32)
    measured = np.zeros(columns, dtype=bool)
    for n in range(slices):
        lines = data[n].reshape(coils, rows, columns)
        measured |= (lines != 0).any(axis=(0, 1))
        planes[n] = _root_sum_of_squares(lines)[kept]
    notes = [f"k-space was brought to an image: inverse Fourier transform, root of the sum of squares of {coils} coils"]
    if planes.shape[1:] != (rows, columns):
        notes.append(f"cut from {rows} × {columns} to {planes.shape[1]} × {planes.shape[2]} pixels")
    where = np.flatnonzero(measured)
    if where.size and (missing := int(where[-1] - where[0] + 1 - where.size)):
        notes.append(f"{missing} of {columns} lines of k-space were not measured: the image is aliased")
    return planes, pixel_mm, notes


def _root_sum_of_squares(lines: NDArray[Any]) -> NDArray[np.float32]:
    """(rows, columns) from the k-space of the coils, (coils, rows, columns), the centre of both in the middle."""
    axes = (1, 2)
    images = fft.fftshift(fft.ifft2(fft.ifftshift(lines, axes), axes=axes, norm="ortho", workers=1), axes)
    with np.errstate(all="ignore"):
        return as_float32(np.sqrt(np.square(np.abs(images)).sum(axis=0)))


def _cut(length: int, wanted: float | None) -> slice:
    """The middle of an axis, as long as the reconstruction's; all of it where that is longer or not known."""
    if wanted is None or not 1 <= round(wanted) <= length:
        return slice(0, length)
    first = (length - round(wanted)) // 2
    return slice(first, first + round(wanted))


def _ratio(header: dict[str, float], field: str, matrix: str) -> float | None:
    return header[field] / header[matrix] if field in header and matrix in header else None


def _affine(
    shape: tuple[int, ...], row_mm: float | None, column_mm: float | None, slice_mm: float | None
) -> tuple[NDArray[np.float64], list[str]]:
    slices, rows, columns = shape
    notes = []
    if row_mm is None or column_mm is None or slice_mm is None:
        row_mm = column_mm = slice_mm = 1.0
        notes.append("the file has no ISMRMRD header with a field of view: voxels of 1 mm are assumed")
    affine = np.diag([-column_mm, row_mm, slice_mm, 1.0])
    affine[:3, 3] = column_mm * (columns - 1) / 2.0, -row_mm * (rows - 1) / 2.0, -slice_mm * (slices - 1) / 2.0
    return affine, notes


def _header(hdf: Any) -> dict[str, float]:
    """``encoded_field_x``, ``recon_field_x`` … mm, ``recon_matrix_x`` …"""
    data = _data_set(hdf, "ismrmrd_header")
    if data.shape not in ((), (1,)) or data.dtype.kind not in "OSV":
        raise bad_header()
    if data.id.get_storage_size() > MAX_XML_BYTES:
        raise bad_header()
    text = data[()] if data.shape == () else data[0]
    return spaces_of(text if isinstance(text, bytes) else str(text).encode())


def _elsewhere() -> InputError:
    return InputError(
        "the HDF5 file names data outside itself", remedy="Write all data into one file.", code="outside_folder"
    )


def _not_real() -> InputError:
    return InputError(
        "the HDF5 file holds neither real images nor complex k-space",
        remedy="Give reconstructions of real numbers, or complex k-space.",
        code="unsupported_type",
    )


def _not_one_volume(shape: tuple[int, ...]) -> InputError:
    return InputError(
        f"the HDF5 array has the shape {' × '.join(map(str, shape)) or '()'}",
        remedy="Give slices × rows × columns; k-space may have coils behind the slices.",
        code="not_one_volume",
    )
