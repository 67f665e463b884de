"""Small NIfTI files, sound or broken field by field."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from anomri.errors import AnomriError
from anomri.io import read

SHAPE = (8, 9, 10)


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 1000, SHAPE).astype(np.int16)


@pytest.fixture
def nifti_bytes(values: np.ndarray) -> Callable[..., bytes]:
    """Build a file: `data` stored as it is, header fields overwritten after nibabel made a sound header."""

    def build(data: np.ndarray | None = None, *, order: str = "<", version: int = 1, **fields: Any) -> bytes:
        stored = values if data is None else data
        kind = {1: nib.Nifti1Header, 2: nib.Nifti2Header}[version]
        header = kind(endianness=order)
        header.set_data_shape(stored.shape)
        header.set_data_dtype(stored.dtype)
        header["vox_offset"] = {1: 352, 2: 544}[version]
        header["scl_slope"], header["scl_inter"] = 1, 0
        affine = np.array([[-1.0, 0, 0, 90], [0, 1.5, 0, -70], [0, 0, 2, -50], [0, 0, 0, 1]])
        header.set_qform(affine, code=1)
        header.set_sform(affine, code=1)
        header.set_xyzt_units("mm")
        for name, value in fields.items():
            if isinstance(value, dict):
                for index, item in value.items():
                    header[name][index] = item
            else:
                header[name] = value
        body = stored.astype(stored.dtype.newbyteorder(order)).tobytes(order="F")
        return bytes(header.binaryblock) + bytes(4) + body

    return build


@pytest.fixture
def code_of(tmp_path: Path) -> Callable[..., str]:
    """The code with which reading these bytes is refused."""

    def code(content: bytes, name: str = "scan.nii", **options: Any) -> str:
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(AnomriError) as caught:
            read(path, **options)
        assert caught.value.scan is not None
        assert caught.value.remedy.endswith(".")
        return caught.value.code

    return code
