"""All adapters by name, and the sets that were looked at and left out."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from anomri.datasets.adapter import Adapter, list_records
from anomri.datasets.brains import BRAINS
from anomri.datasets.lesions import LESIONS
from anomri.datasets.pelvis import PELVIS
from anomri.datasets.quality import QUALITY
from anomri.datasets.record import Listing
from anomri.datasets.samples import SAMPLES
from anomri.datasets.slices import SLICES
from anomri.errors import InputError

__all__ = ["DATASETS", "LEFT_OUT", "find_adapter", "list_dataset"]

DATASETS: Mapping[str, Adapter] = MappingProxyType(
    {adapter.name: adapter for adapter in (*BRAINS, *LESIONS, *QUALITY, *PELVIS, *SLICES, *SAMPLES)}
)
# Name → why there is no adapter.
LEFT_OUT: Mapping[str, str] = MappingProxyType(
    {
        "MSSEG 2016": "no public source that can be cited describes its folders; use a BIDS copy with `bids`",
        "MSSEG 2015 (ISBI)": "its layout was not verified",
        "Kirby 21 as KKI2009-##": "the names do not say which two scans are of one person",
        "ADNI after preprocessing, and as DICOM": "only the names of original NIfTI files were verified",
        "UK Biobank": "delivered in bulk zips whose layout each application chooses",
        "BR35H": "no patients and mixed contrasts: leakage cannot be excluded",
        "BraTS before 2020": "its layout was not verified",
    }
)


def find_adapter(name: str) -> Adapter:
    """An adapter by its name.

    Raises
    ------
    InputError : there is none (`unknown_dataset`).
    """
    if name not in DATASETS:
        close = difflib.get_close_matches(name, DATASETS, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise InputError(
            f"there is no data set {name!r}",
            remedy=f"{hint}`anomri datasets` lists them.",
            code="unknown_dataset",
        )
    return DATASETS[name]


def list_dataset(name: str, folder: Path) -> Listing:
    """What a folder holds of a data set; raises as `find_adapter` and `list_records`."""
    return list_records(find_adapter(name), folder)
