"""HD-BET is run offline where a user has it, and judged; a stand-in takes the options of its version 2.0.1."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from anomri.core.geometry import Geometry
from anomri.core.scan import Scan
from anomri.errors import EnvironmentProblem, PreparationFailed
from anomri.extraction.hdbet import extract_with_hdbet
from heads import made_head

WEIGHTS = Path("hd-bet_params", "release_2.0.0", "fold_all", "checkpoint_final.pth")

# What it was given, and the mask that lies beside it; the grid of what it writes is that of what it read.
STAND_IN = """#!{python}
import argparse, os, pathlib, sys
import nibabel, numpy
parser = argparse.ArgumentParser()
parser.add_argument("-i", "--input", required=True)
parser.add_argument("-o", "--output")
parser.add_argument("-device", default="cuda")
for flag in ("disable_tta", "save_bet_mask", "no_bet_image", "verbose"):
    parser.add_argument("--" + flag, action="store_true")
given = parser.parse_args()
here = pathlib.Path(__file__).parent
(here / "started").write_text(f"{{given.device}} {{given.disable_tta}} {{os.environ['https_proxy']}}")
if (here / "fails").is_file():
    sys.exit("first line\\nout of memory")
head = nibabel.load(given.input)
assert nibabel.aff2axcodes(head.affine) == ("R", "A", "S")
mask = numpy.load(here / "mask.npy")
assert mask.shape == head.shape
assert given.save_bet_mask and given.output.endswith(".nii.gz")
nibabel.save(nibabel.Nifti1Image(mask, head.affine), given.output[:-7] + "_bet.nii.gz")
"""


@pytest.fixture
def hdbet(tmp_path, monkeypatch) -> Path:
    """The folder of a stand-in that answers with the true mask of a made head, its weights in place."""
    folder, home = tmp_path / "bin", tmp_path / "home"
    folder.mkdir()
    program = folder / "hd-bet"
    program.write_text(STAND_IN.format(python=sys.executable))
    program.chmod(0o755)
    np.save(folder / "mask.npy", made_head(1).brain.mask.astype(np.uint8))
    (home / WEIGHTS).parent.mkdir(parents=True)
    (home / WEIGHTS).write_bytes(b"weights")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("HOME", str(home))
    return folder


def turned_head() -> tuple[Scan, np.ndarray]:
    """A made head and its brain, in an array whose axes run up, left and back."""
    head = made_head(1)
    scan = head.scan
    voxels, mask = (np.flip(a.transpose(2, 0, 1), (1, 2)).copy() for a in (scan.voxels, head.brain.mask))
    turn = np.zeros((4, 4))
    turn[2, 0] = turn[3, 3] = 1.0
    turn[0, 1] = turn[1, 2] = -1.0
    turn[:2, 3] = np.array(scan.geometry.shape[:2]) - 1
    geometry = Geometry(voxels.shape, scan.geometry.affine @ turn)
    return Scan(voxels, geometry, scan.scan_id, scan.source, scan.sequence), mask


def test_its_mask_comes_back_on_the_grid_of_the_scan(hdbet):
    scan, truth = turned_head()
    found = extract_with_hdbet(scan)
    assert np.array_equal(found.brain.mask, truth)
    assert found.brain.geometry is scan.geometry
    assert found.brain.made_by == "hd-bet"
    assert found.measured["agreement"] > 0.8
    # On this machine's processor, and without a way to the network.
    assert (hdbet / "started").read_text() == "cpu True http://127.0.0.1:9"


def test_without_the_program_it_says_how_to_get_it(hdbet):
    (hdbet / "hd-bet").unlink()
    with pytest.raises(EnvironmentProblem, match="Install HD-BET") as caught:
        extract_with_hdbet(made_head(1).scan)
    assert caught.value.code == "hdbet_missing"


def test_without_weights_it_is_not_even_started(hdbet):
    (hdbet.parent / "home" / WEIGHTS).unlink()
    with pytest.raises(EnvironmentProblem, match="~/hd-bet_params/") as caught:
        extract_with_hdbet(made_head(1).scan)
    assert caught.value.code == "hdbet_weights"
    assert not (hdbet / "started").exists()


def test_where_it_fails_its_last_words_are_passed_on(hdbet):
    (hdbet / "fails").touch()
    with pytest.raises(EnvironmentProblem, match="status 1") as caught:
        extract_with_hdbet(made_head(1).scan)
    assert caught.value.code == "hdbet_failed"
    assert caught.value.__notes__ == ["out of memory"]


def test_what_cannot_be_a_brain_is_refused(hdbet):
    half = made_head(1).brain.mask.copy()
    half[: half.shape[0] // 2] = False
    np.save(hdbet / "mask.npy", half.astype(np.uint8))
    with pytest.raises(PreparationFailed, match="halves"):
        extract_with_hdbet(made_head(1).scan)
