"""`anomri simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomri.cli.options import Seed
from anomri.cli.terminal import say, say_table

if TYPE_CHECKING:
    from anomri.core.scan import Scan
    from anomri.simulate import Record, Simulated

__all__ = ["simulate"]


def simulate(
    scan: Annotated[Path | None, typer.Option("--input", "-i", help="The scan to change.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Output folder.")] = None,
    artefact: Annotated[str | None, typer.Option(metavar="KIND", help="A kind of the list.")] = None,
    severity: Annotated[int, typer.Option(help="1, barely visible, to 5, unusable.")] = 3,
    seed: Seed = 0,
    mask: Annotated[Path | None, typer.Option(help="Brain mask; needed unless the scan is skull-stripped.")] = None,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Make again what a record describes, instead of --artefact.")
    ] = None,
    list_kinds: Annotated[bool, typer.Option("--list", help="List the kinds and end.")] = False,
) -> None:
    """Give a scan a known artefact or lesion, to see whether a quality check finds it.

    Writes the changed scan, a mask of all voxels that changed, for a local kind a mask of its core, and a record from
    which the same scan can be made again. Outside the mask a skull-stripped scan stays 0; in a full head the whole
    image changes.

    \b
    anomri simulate --list
    anomri simulate -i scan.nii.gz -o made --artefact motion --severity 3 --seed 1
    anomri simulate -i scan.nii.gz -o again --record made/scan_motion-3_seed-1.json
    """
    if list_kinds:
        _list()
        return
    if scan is None or out is None:
        raise typer.BadParameter("needed unless --list is given", param_hint="--input, --out")
    if (artefact is None) == (record is None):
        raise typer.BadParameter("give one of the two", param_hint="--artefact, --record")
    from anomri.io import read, read_mask
    from anomri.preparation.mask import stripped_mask
    from anomri.simulate import corrupt, replay

    clean = read(scan)
    brain = stripped_mask(clean.voxels) if mask is None else read_mask(mask, clean).mask
    outside = clean.voxels[~brain]
    full_head = bool(outside.size and (outside == 0).mean() < _STRIPPED)
    if full_head and mask is None:
        raise typer.BadParameter("the scan is not skull-stripped: give its brain mask", param_hint="--mask")
    if record is not None:
        made = replay(clean, _read_record(record), brain)
    else:
        made = corrupt(clean, str(artefact), severity=severity, seed=seed, brain=brain, keep_outside=full_head)
    for path in _write(clean, made, out):
        say(str(path))


# A stripped image is exactly 0 nearly everywhere outside the brain; air in a full head is noise.
_STRIPPED = 0.9


def _list() -> None:
    from anomri.simulate import KINDS

    rows = [
        (kind, "1" if entry.levels == 1 else f"1–{entry.levels}", "local" if entry.local else "global", entry.summary)
        for kind, entry in KINDS.items()
    ]
    say_table(("kind", "severity", "extent", "what it is"), rows)


def _read_record(path: Path) -> Record:
    from pydantic import ValidationError

    from anomri.errors import InputError
    from anomri.simulate import Record

    try:
        return Record.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}", remedy="Check its path.", code="record") from error
    except ValidationError as error:
        raise InputError(
            f"{path} is not a record of a simulated scan",
            remedy="Give the .json that was written beside the scan.",
            code="record",
        ) from error


def _write(clean: Scan, made: Simulated, out: Path) -> list[Path]:
    """Write scan, masks and, last, the record; all named alike."""
    from anomri.io import write_json, write_nifti

    out.mkdir(parents=True, exist_ok=True)
    name = f"{made.scan.scan_id}_seed-{made.record.seed}"
    files = {f"{name}.nii.gz": made.scan.voxels, f"{name}_changed.nii.gz": made.changed}
    if made.core is not None:
        files[f"{name}_core.nii.gz"] = made.core
    for file, values in files.items():
        write_nifti(out / file, values, clean.geometry)
    write_json(out / f"{name}.json", made.record.model_dump(mode="json"))
    return [out / file for file in (*files, f"{name}.json")]
