"""A single slice from a picture: PNG, JPEG, TIFF, or (in `npy`) a NumPy array of rows and columns.

A picture says neither how large a pixel is nor where the patient's left is. It becomes one slice of 1 mm pixels, its
first row in front and its first column on the patient's right, which is how axial slices are shown: so it stands
upright in every viewer. A note says so.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from anomri.errors import InputError
from anomri.io.decode import as_float32
from anomri.io.guard import Image, check_shape, image_of
from anomri.io.stream import ByteStream

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["PICTURES", "PICTURE_FORMATS", "read_picture", "slice_of"]

READER = "anomri.picture 1"
ASSUMED = "a picture has no spacing and no orientation: 1 mm a pixel is assumed, and left and right are unknown"
MAX_FILE_BYTES = 1 << 28
# ITU-R BT.601, of red, green, blue.
LUMA = (0.299, 0.587, 0.114)
# JPEG gives the channels of a grey image differences of a few steps.
COLOURED_STEPS = 32
GREY_MODES = ("1", "L", "I;16", "I;16B", "I;16L", "I", "F")


def _starts(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magics)


PICTURES: dict[str, Callable[[bytes], bool]] = {
    "png": _starts(b"\x89PNG\r\n\x1a\n"),
    "jpeg": _starts(b"\xff\xd8\xff"),
    "tiff": _starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
_EXIF_ORIENTATION = 0x0112
# Formats of single slices.
PICTURE_FORMATS = (*PICTURES, "npy", "npz")


def read_picture(stream: ByteStream, *, max_voxels: int) -> Image:
    """Read one PNG, JPEG or TIFF: grey as stored, up to 16 bits; colours as their luminance; no transparency.

    Raises
    ------
    InputError : see the codes in this package's `read`.
    """
    name = next(name for name, knows in PICTURES.items() if knows(stream.head))
    content = stream.rest(MAX_FILE_BYTES)
    stream.finish()
    rows, notes = _decoded(content, name, max_voxels)
    return slice_of(rows, name, stream, notes)


def _decoded(content: bytes, name: str, max_voxels: int) -> tuple[NDArray[Any], list[str]]:
    """(rows, columns) of real numbers, and what was noticed."""
    from PIL import Image as pillow  # volumes need none
    from PIL import ImageOps

    try:
        with warnings.catch_warnings():
            # Odd metadata say nothing of the pixels; a picture of too many pixels is told by its size below.
            warnings.simplefilter("ignore")
            with pillow.open(BytesIO(content), formats=(name.upper(),)) as picture:
                columns, rows = picture.size
                check_shape((columns, rows, 1), max_voxels=max_voxels)
                frames = getattr(picture, "n_frames", 1)
                if frames > 1:
                    raise InputError(
                        f"the file holds {frames} pictures", remedy="Give each in its own file.", code="not_one_volume"
                    )
                deep = ";16" in str(picture.tile) and picture.mode not in GREY_MODES
                upright = ImageOps.exif_transpose(picture)
                turned = picture.getexif().get(_EXIF_ORIENTATION, 1) != 1
                values, notes = _grey(picture if upright is None else upright)
    except (InputError, MemoryError):
        raise
    except pillow.DecompressionBombError as error:
        raise InputError(
            "the picture declares more pixels than a scan has", remedy="Check the file.", code="too_large"
        ) from error
    # Damaged files raise whatever the decoder of their format stumbles over.
    except Exception as error:
        raise InputError(
            f"the {name.upper()} is damaged, cut off or of an unknown kind",
            remedy="Copy or export it again.",
            code="damaged",
        ) from error
    notes += ["16-bit colours were read with 8 bits"] if deep else []
    return values, [*notes, *(["the picture was turned as its EXIF data say"] if turned else [])]


def _grey(picture: Picture) -> tuple[NDArray[Any], list[str]]:
    notes = []
    if "transparency" in picture.info or picture.mode in ("LA", "PA", "La", "RGBA", "RGBa"):
        notes.append("transparency was dropped")
    if picture.mode in GREY_MODES:
        return np.array(picture), notes
    if picture.mode in ("LA", "La"):
        return np.array(picture.getchannel(0)), notes
    # A palette with transparent entries, or premultiplied colours, must not be laid over black.
    whole = picture.convert("RGBA") if picture.mode in ("P", "PA", "RGBa") else picture
    colours = np.array(whole.convert("RGB"))
    apart = np.ptp(colours, axis=2)
    if not apart.any():
        return colours[..., 0], notes
    coloured = int(np.count_nonzero(apart >= COLOURED_STEPS))
    if coloured:
        notes.append(f"{coloured} pixels are coloured (text or marks?); their luminance was taken")
    red, green, blue = (np.float32(share) * colours[..., n] for n, share in enumerate(LUMA))
    return red + green + blue, notes


def slice_of(rows: NDArray[Any], name: str, stream: ByteStream, notes: list[str]) -> Image:
    """The single slice that (rows, columns) show; see the module."""
    voxels = np.ascontiguousarray(as_float32(rows.T[:, :, None]))
    x, y, _ = voxels.shape
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[:2, 3] = (x - 1) / 2.0, (y - 1) / 2.0
    notes = [*stream.notes, ASSUMED, *notes]
    return image_of(voxels, affine, format=name, reader=READER, sha256=stream.sha256, notes=notes)
