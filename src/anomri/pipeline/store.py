"""Prepared scans on disk, so that a fit that was killed does not prepare them again.

One safetensors file a scan; the history and the numbers travel as JSON in its header.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_tensors

from anomri.core.history import History
from anomri.core.prepared import Prepared
from anomri.core.region import Region
from anomri.core.scan import Scan, Source
from anomri.io.write import write_bytes

__all__ = ["STORE_VERSION", "load_prepared", "save_prepared"]

# Of what is written: grows with every field, so that who remembers by name that a scan is prepared prepares it anew.
STORE_VERSION = 2


def save_prepared(prepared: Prepared, path: Path) -> None:
    """Write a prepared scan, whole or not at all."""
    record = {
        "scan_id": prepared.scan.scan_id,
        "sequence": prepared.scan.sequence,
        "source": asdict(prepared.scan.source),
        "history": json.loads(prepared.history.model_dump_json()),
        "quality": dict(prepared.quality),
        "brain": [prepared.brain.name, prepared.brain.made_by],
        "inside": [prepared.inside.name, prepared.inside.made_by],
        "region": [prepared.region.name, prepared.region.made_by],
        "covariates": dict(prepared.covariates),
        "subject": prepared.subject,
    }
    arrays: dict[str, np.ndarray] = {
        "voxels": np.ascontiguousarray(prepared.scan.voxels),
        "region": np.packbits(prepared.region.mask),
        "brain": np.packbits(prepared.brain.mask),
        "inside": np.packbits(prepared.inside.mask),
    }
    write_bytes(path, save_tensors(arrays, metadata={"record": json.dumps(record, sort_keys=True)}))


def load_prepared(path: Path) -> Prepared | None:
    """A prepared scan as it was saved, bit for bit; None where it is missing, not whole, or of another version."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            record = json.loads(file.metadata()["record"])
            voxels, region, brain, inside = (file.get_tensor(n) for n in ("voxels", "region", "brain", "inside"))
        # A folder that an older version left behind may hold another record.
        history = History.model_validate(record["history"])
        source = Source(**{**record["source"], "notes": tuple(record["source"]["notes"])})
    except (SafetensorError, KeyError, TypeError, ValueError):
        return None
    grid, original = history.prepared, history.original
    return Prepared(
        scan=Scan(voxels, grid, record["scan_id"], source, record["sequence"]),
        region=Region(_unpacked(region, grid.shape), grid, *record["region"]),
        history=history,
        quality=record["quality"],
        brain=Region(_unpacked(brain, original.shape), original, *record["brain"]),
        inside=Region(_unpacked(inside, grid.shape), grid, *record["inside"]),
        covariates=record["covariates"],
        subject=record["subject"],
    )


def _unpacked(bits: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    return np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).astype(bool)
