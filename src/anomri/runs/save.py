"""One outcome as a result folder.

``result.json`` is written last, so a folder that has one is complete. Nothing in it depends on when or where it was
written: the same outcome gives the same bytes.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from anomri.errors import EnvironmentProblem

if TYPE_CHECKING:
    from anomri.core.outcome import Outcome

__all__ = ["RESULT", "Keep", "remove", "save", "writing_to"]

Keep = Literal["all", "summary"]
RESULT = "result.json"
_OWN_FILES = (RESULT, "heatmap.nii.gz", "mask.nii.gz", "report.html", "report.pdf", "preview.png")


def save(outcome: Outcome, folder: str | Path, *, keep: Keep = "all") -> None:
    """Write an outcome as a result folder; an older result in it is replaced.

    Parameters
    ----------
    folder : made where it does not exist. It receives ``result.json``, ``report.html``, ``preview.png`` and, with
        ``keep="all"`` and as far as the outcome has them, ``heatmap.nii.gz`` (0 where nothing was examined),
        ``mask.nii.gz`` (the brain) and ``maps/``: the scan inside the brain, where it was examined, what the model
        expected, and the maps of the branches, all on the grid of the scan.
    keep : ``summary`` writes no images.

    Raises
    ------
    EnvironmentProblem : the disk is full, or the folder cannot be written.
    InputError : a map of a branch has a name that is taken or is no plain file name.
    """
    from anomri.io.write import write_bytes, write_json, write_nifti, write_text
    from anomri.report.figures import preview_png
    from anomri.report.folder import LAYERS, images_of, layers_of
    from anomri.report.page import scan_page

    folder = Path(folder)
    images = images_of(_without_face(outcome)) if keep == "all" else {}
    layers = layers_of(outcome) if keep == "all" else None
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _clear(folder)
        for name, (values, geometry) in sorted(images.items()):
            (folder / name).parent.mkdir(exist_ok=True)
            write_nifti(folder / name, values, geometry)
        if layers is not None:
            write_json(folder / LAYERS, layers.model_dump(mode="json"))
        write_text(folder / "report.html", scan_page(outcome))
        write_bytes(folder / "preview.png", preview_png(outcome))
        write_json(folder / RESULT, outcome.result.model_dump(mode="json"))


def remove(folder: Path) -> None:
    """Remove a result folder; anything in it that is not anomri's stays, and the folder with it.

    Raises
    ------
    EnvironmentProblem : the folder cannot be written.
    """
    with writing_to(folder):
        _clear(folder)
        for emptied in (folder / "maps", folder):
            if emptied.is_dir() and not any(emptied.iterdir()):
                emptied.rmdir()


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turn the system's errors of writing into one that says what to do.

    Raises
    ------
    EnvironmentProblem : no space, no permission, or a file where a folder should be.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise EnvironmentProblem(
            "the disk is full" if full else f"cannot write to {folder} ({error.strerror})",
            remedy="Free space and run again; finished scans are kept." if full else "Choose another output folder.",
            code="disk_full" if full else "not_writable",
        ) from error


def _clear(folder: Path) -> None:
    # The result goes first: without it the rest counts as unfinished.
    for name in _OWN_FILES:
        (folder / name).unlink(missing_ok=True)
    for old in [*(folder / "maps").glob("*.nii.gz"), folder / "maps" / "layers.json"]:
        old.unlink(missing_ok=True)


def _without_face(outcome: Outcome) -> Outcome:
    """The outcome with nothing of the scan outside the brain: there lies a face."""
    import numpy as np

    from anomri.core.scan import Scan

    if outcome.scan is None or outcome.brain is None:
        return replace(outcome, scan=None)
    scan = outcome.scan
    voxels = np.where(outcome.brain.mask, scan.voxels, np.float32(0))
    return replace(outcome, scan=Scan(voxels, scan.geometry, scan.scan_id, scan.source, scan.sequence))
