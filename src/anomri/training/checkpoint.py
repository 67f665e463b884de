"""One file from which a training goes on: tensors, and beside them counters and curves as JSON.

The JSON stands in the metadata of the safetensors file, so that a single rename replaces everything at once: a reader
finds the old checkpoint or the new one, never halves of both.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from anomri.errors import EnvironmentProblem, ModelError

__all__ = ["read_checkpoint", "write_checkpoint"]

_FORMAT = "anomri-training-1"


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
    """Replace the checkpoint at `path`, so that a kill at any moment leaves either the old or the new one.

    Parameters
    ----------
    tensors : by name; their values at the time of the call.
    record : anything JSON can hold; floats survive bit by bit.

    Raises
    ------
    EnvironmentProblem : the disk does not take it.
    """
    partial = path.with_name(path.name + ".partial")
    metadata = {"format": _FORMAT, "record": json.dumps(record, allow_nan=False)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, partial, metadata=metadata)
        _flush(partial)
        partial.replace(path)
        _flush(path.parent)
    except (OSError, SafetensorError) as error:
        raise EnvironmentProblem(
            f"the checkpoint {path.name} could not be written ({error})",
            remedy="Make room on the disk or choose another folder.",
            code="checkpoint_write",
        ) from error


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and record of the checkpoint at `path`, None where there is none.

    Raises
    ------
    ModelError : the file is damaged or not one of ours.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise ValueError("another format")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            return tensors, json.loads(metadata["record"])
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise ModelError(
            f"the checkpoint {path.name} cannot be read ({error})",
            remedy="Delete it and train again.",
            code="checkpoint",
        ) from error


def _flush(path: Path) -> None:
    """Make the disk hold a file's bytes, or a folder's names, before going on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
