"""The command that finds the brain of a head."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from anomri.io import read, read_mask
from anomri.io.write import write_nifti
from heads import made_head


@pytest.fixture
def head(tmp_path):
    """A made head as a file."""
    path = tmp_path / "head.nii.gz"
    scan = made_head(1).scan
    write_nifti(path, scan.voxels, scan.geometry)
    return path


def test_mask_scan_and_picture_are_written(anomri, head, tmp_path, capsys):
    out = tmp_path / "brains"
    assert anomri("extract", "-i", head, "-o", out, "--stripped") == 0
    said = capsys.readouterr()
    files = {"head_mask.nii.gz", "head_brain.nii.gz", "head_mask.png"}
    assert {path.name for path in out.iterdir()} == files
    assert {line.rsplit("/", 1)[-1] for line in said.out.split()} == files
    scan = read(head)
    mask = read_mask(out / "head_mask.nii.gz", scan).mask
    truth = made_head(1).brain.mask
    assert 2.0 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.95
    brain = read(out / "head_brain.nii.gz").voxels
    assert np.array_equal(brain != 0, mask & (scan.voxels != 0))
    with Image.open(out / "head_mask.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape[0] == 350
    # The outline is the only colour.
    assert (pixels[..., 0] - pixels[..., 2] > 80).sum() > 300


def test_what_is_no_head_leaves_nothing_behind(anomri, tmp_path, capsys):
    path = tmp_path / "noise.nii.gz"
    scan = made_head(1).scan
    write_nifti(path, np.random.default_rng(0).random(scan.voxels.shape, dtype=np.float32), scan.geometry)
    assert anomri("extract", "-i", path, "-o", tmp_path / "out") == 3
    assert "PreparationFailed" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
