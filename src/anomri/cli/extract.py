"""`anomri extract`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from anomri.cli.terminal import say

__all__ = ["Program", "extract"]


class Program(StrEnum):
    """Programs of others that find brains."""

    hd_bet = "hd-bet"


def extract(
    scan: Annotated[Path, typer.Option("--input", "-i", help="The head: one volume.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Output folder.")],
    stripped: Annotated[bool, typer.Option("--stripped", help="Write the scan without what is no brain, too.")] = False,
    program: Annotated[
        Program | None, typer.Option("--with", help="Let HD-BET find it: your own, with its weights on this machine.")
    ] = None,
) -> None:
    """Find the brain of a full head.

    Writes a mask on the scan's own grid, which --mask takes, and a picture of its outline in three planes: look at it.
    What cannot be a brain is refused, with the cause. Of a scan without a skull the mask is what is not background.
    It is said where the head was defaced or the air around it set to one value.

    \b
    anomri extract -i head.nii.gz -o brains
    anomri score -i head.nii.gz --mask brains/head_mask.nii.gz -o results
    """
    import numpy as np

    from anomri.extraction import extract as find
    from anomri.extraction.defaced import defacing
    from anomri.extraction.hdbet import extract_with_hdbet
    from anomri.io import read, write_nifti
    from anomri.io.write import write_bytes
    from anomri.report.outline import outline_png

    head = read(scan)
    found = find(head) if program is None else extract_with_hdbet(head)
    out.mkdir(parents=True, exist_ok=True)
    mask = found.brain.mask
    files = {f"{head.scan_id}_mask.nii.gz": mask}
    if stripped:
        files[f"{head.scan_id}_brain.nii.gz"] = np.where(mask, head.voxels, np.float32(0.0))
    for file, values in files.items():
        write_nifti(out / file, values, head.geometry)
        say(str(out / file))
    picture = out / f"{head.scan_id}_mask.png"
    write_bytes(picture, outline_png(head, found.brain))
    say(str(picture))
    how = "it was stripped before" if found.stripped else "cut out of the head"
    say(f"{found.brain.volume_ml:.0f} ml, {how}", error=True)
    note = None if found.stripped else defacing(head, found.brain).note
    if note is not None:
        say(note, error=True)
