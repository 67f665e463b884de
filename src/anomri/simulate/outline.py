"""The outline of a real lesion, small enough to lie in a record."""

from __future__ import annotations

import base64
import zlib

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy import ndimage

from anomri.errors import InputError

__all__ = ["Outline", "outline_of"]

BoolArray = NDArray[np.bool_]


class Outline(BaseModel):
    """One connected shape.

    Parameters
    ----------
    shape : of the box around it.
    spacing_mm : of the box.
    bits : its voxels, packed, deflated and in base 64.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    bits: str

    def mask(self) -> BoolArray:
        """(X, Y, Z) bool, True inside.

        Raises
        ------
        InputError : the bits do not hold a shape of this size.
        """
        count = int(np.prod(self.shape))
        try:
            packed = np.frombuffer(zlib.decompress(base64.b64decode(self.bits, validate=True)), dtype=np.uint8)
            mask = np.unpackbits(packed, count=count).reshape(self.shape).astype(np.bool_)
        except (ValueError, zlib.error) as error:
            raise InputError(
                "the record holds a damaged outline", remedy="Make the scan again from its seed.", code="record"
            ) from error
        return mask


def outline_of(mask: BoolArray, spacing_mm: tuple[float, float, float]) -> Outline:
    """Outline of the largest connected part of a lesion mask, wherever it lies and on whatever grid.

    Parameters
    ----------
    mask : (X, Y, Z) bool.
    spacing_mm : voxel size of the mask.

    Raises
    ------
    InputError : the mask is empty or no volume.
    """
    if mask.ndim != 3 or mask.dtype != np.bool_ or not mask.any():
        raise InputError("a lesion shape that is no mask", remedy="Give a 3D boolean mask.", code="mask_empty")
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    part = labels == sizes.argmax()
    box = ndimage.find_objects(part.astype(np.uint8))[0]
    cut = part[box]
    bits = base64.b64encode(zlib.compress(np.packbits(cut).tobytes(), 9)).decode("ascii")
    x, y, z = cut.shape
    return Outline(shape=(x, y, z), spacing_mm=spacing_mm, bits=bits)
