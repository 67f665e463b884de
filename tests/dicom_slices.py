"""DICOM slices of an array, written by pydicom, sound or with anything changed: what tests of the reader read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from anomri.io.dicom.header import ENHANCED, MR

ROOT = "1.2.826.0.1.3680043.8.498."
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

__all__ = ["LPS", "ROOT", "enhanced", "series", "write"]


def series(voxels: np.ndarray, affine: np.ndarray, **changes: Any) -> list[Dataset]:
    """One data set a slice.

    Parameters
    ----------
    voxels : (X, Y, Z) integers of 8, 16 or 32 bits; columns are the first axis.
    affine : (4, 4) voxel → RAS mm.
    changes : attributes of every slice.
    """
    out = []
    for z in range(voxels.shape[2]):
        one = _image(voxels[:, :, z].T, sop_class=MR, number=z + 1)
        one.ImagePositionPatient = _texts((LPS @ affine @ [0, 0, z, 1])[:3])
        one.ImageOrientationPatient, one.PixelSpacing, one.SliceThickness = _grid(affine)
        _change(one, changes)
        out.append(one)
    return out


def enhanced(voxels: np.ndarray, affine: np.ndarray, *, order: Iterable[int] | None = None, **changes: Any) -> Dataset:
    """One enhanced image whose frames are the slices, in an order of their own."""
    order = list(range(voxels.shape[2]) if order is None else order)
    one = _image(voxels[:, :, order].transpose(2, 1, 0), sop_class=ENHANCED[0], number=1)
    one.NumberOfFrames = len(order)
    measures, directions, shared = Dataset(), Dataset(), Dataset()
    directions.ImageOrientationPatient, measures.PixelSpacing, measures.SliceThickness = _grid(affine)
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [directions]
    one.SharedFunctionalGroupsSequence = [shared]
    one.PerFrameFunctionalGroupsSequence = []
    for z in order:
        position, frame = Dataset(), Dataset()
        position.ImagePositionPatient = _texts((LPS @ affine @ [0, 0, z, 1])[:3])
        frame.PlanePositionSequence = [position]
        one.PerFrameFunctionalGroupsSequence.append(frame)
    _change(one, changes)
    return one


def write(folder: Path, images: Iterable[Dataset], *, syntax: str = ExplicitVRLittleEndian, name: str = "IM") -> Path:
    """Write each into a file of its own, compressed where the transfer syntax asks for it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        if syntax.startswith(("1.2.840.10008.1.2.4", "1.2.840.10008.1.2.5")):
            image.compress(syntax, generate_instance_uid=False)
        image.file_meta.TransferSyntaxUID = syntax
        image.save_as(folder / f"{name}{number:04}", enforce_file_format=True)
    return folder


def _image(pixels: np.ndarray, *, sop_class: str, number: int) -> Dataset:
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.SOPClassUID, one.SOPInstanceUID = sop_class, f"{ROOT}4.{number}"
    one.StudyInstanceUID, one.SeriesInstanceUID = f"{ROOT}1", f"{ROOT}2"
    one.Modality, one.SeriesNumber, one.InstanceNumber = "MR", 7, number
    one.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    one.Rows, one.Columns = pixels.shape[-2:]
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated = one.BitsStored = pixels.dtype.itemsize * 8
    one.HighBit, one.PixelRepresentation = one.BitsStored - 1, int(pixels.dtype.kind == "i")
    one.PixelData = np.ascontiguousarray(pixels).tobytes()
    one["PixelData"].VR = "OW"
    return one


def _grid(affine: np.ndarray) -> tuple[list[str], list[str], str]:
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    directions = (LPS @ affine)[:3, :2] / lengths[:2]
    return _texts(directions.T.ravel()), _texts([lengths[1], lengths[0]]), _texts([lengths[2]])[0]


def _texts(values: Iterable[float]) -> list[str]:
    # A decimal string has at most 16 characters.
    return [next(text for digits in range(14, 5, -1) if len(text := f"{v:.{digits}g}") <= 16) for v in values]


def _change(image: Dataset, changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        if value is None:
            delattr(image, name)
        else:
            setattr(image, name, value)
