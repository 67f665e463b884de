"""The brain of a head by HD-BET, where a user has it: a program of its own, run here on this machine alone.

Of HD-BET 2.0 the program `hd-bet` is on the search path and the weights lie where it looks for them. It would fetch
absent ones itself, so without them it is not started; and should another version look elsewhere, it finds no network.

References
----------
Isensee F. et al., "Automated brain extraction of multisequence MRI using artificial neural networks", Human Brain
Mapping 40, 4952–4964, 2019.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from anomri.core.geometry import carry, ras_axes
from anomri.core.region import Region
from anomri.core.scan import Scan
from anomri.errors import EnvironmentProblem
from anomri.extraction.extract import Extraction
from anomri.extraction.judge import measure_mask, verify_mask
from anomri.extraction.locate import locate
from anomri.extraction.outline import template_outline
from anomri.extraction.working import on_working_grid
from anomri.io import read_mask, write_nifti
from anomri.preparation.itk import one_thread

__all__ = ["extract_with_hdbet"]

_WEIGHTS = Path("hd-bet_params", "release_2.0.0", "fold_all", "checkpoint_final.pth")
_OPTIONS = ("-device", "cpu", "--disable_tta", "--save_bet_mask", "--no_bet_image")
# Nobody listens there.
_NO_NETWORK = dict.fromkeys(
    ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9"
)


def extract_with_hdbet(scan: Scan) -> Extraction:
    """The brain of a scan as HD-BET finds it, judged like our own.

    Parameters
    ----------
    scan : a head with its axes as the header says.

    Raises
    ------
    EnvironmentProblem : HD-BET or its weights are absent (`hdbet_missing`, `hdbet_weights`), or it failed
        (`hdbet_failed`).
    PreparationFailed : what it found cannot be a brain.
    InputError : it found nothing.
    """
    brain = _found_by(_program(), scan)
    with one_thread():
        values, geometry = on_working_grid(scan)
        location = locate(values, geometry)
    mask = carry(brain.mask.astype(np.float32), scan.geometry, geometry) > 0.5
    measured = measure_mask(mask, geometry, location, template_outline(location, geometry))
    verify_mask(measured)
    return Extraction(brain, stripped=False, measured=measured)


def _program() -> str:
    """Where the program is, once it can run offline."""
    program = shutil.which("hd-bet")
    if program is None:
        raise EnvironmentProblem(
            "HD-BET is not installed: there is no program hd-bet on the search path",
            remedy="Install HD-BET 2 in an environment of its own and put its hd-bet on PATH, or leave out --with.",
            code="hdbet_missing",
        )
    if not (Path.home() / _WEIGHTS).is_file():
        raise EnvironmentProblem(
            "the weights of HD-BET are absent, and anomri lets nothing be downloaded",
            remedy="Unpack release_v1.5.0.zip of https://zenodo.org/records/14445620 into "
            "~/hd-bet_params/release_2.0.0, so that fold_all/checkpoint_final.pth lies there; "
            "or run hd-bet once by itself.",
            code="hdbet_weights",
        )
    return program


def _found_by(program: str, scan: Scan) -> Region:
    """HD-BET's mask on the scan's grid; it is shown the scan with axes in the order of its training's."""
    order, flips, geometry = ras_axes(scan.geometry)
    turned = Scan(np.flip(scan.voxels.transpose(order), flips), geometry, scan.scan_id, scan.source, scan.sequence)
    with TemporaryDirectory(prefix="anomri-") as name:
        folder = Path(name)
        write_nifti(folder / "head.nii.gz", turned.voxels, geometry)
        files = ("-i", str(folder / "head.nii.gz"), "-o", str(folder / "brain.nii.gz"))
        ended = subprocess.run(
            (program, *files, *_OPTIONS),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env={**os.environ, **_NO_NETWORK, "no_proxy": "", "NO_PROXY": ""},
        )
        made = folder / "brain_bet.nii.gz"
        if ended.returncode != 0 or not made.is_file():
            failed = EnvironmentProblem(
                f"HD-BET ended with status {ended.returncode} and left no mask",
                remedy="Run hd-bet by itself on the scan to see why, or leave out --with.",
                code="hdbet_failed",
            )
            failed.add_note((ended.stderr.strip().splitlines() or ["it said nothing"])[-1])
            raise failed
        found = read_mask(made, turned).mask
    mask = np.flip(found, flips).transpose(np.argsort(order))
    return Region(np.ascontiguousarray(mask), scan.geometry, "brain", "hd-bet")
