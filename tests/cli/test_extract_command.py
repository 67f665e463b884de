"""The command that finds the brain of a head."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from anomri.extraction import Extraction, hdbet
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


def test_it_is_said_that_a_head_was_defaced(anomri, tmp_path, capsys):
    head = made_head(1)
    z = np.indices(head.scan.voxels.shape)[2] - 0.4 * np.indices(head.scan.voxels.shape)[1]
    face = z < z[head.brain.mask].min() - 1.0
    write_nifti(tmp_path / "head.nii.gz", np.where(face, np.float32(0.0), head.scan.voxels), head.scan.geometry)
    assert anomri("extract", "-i", tmp_path / "head.nii.gz", "-o", tmp_path / "out") == 0
    assert "removed (defaced); nothing outside the brain is used" in capsys.readouterr().err


def test_with_hd_bet_its_mask_is_written(anomri, head, tmp_path, monkeypatch):
    brain = made_head(1).brain
    monkeypatch.setattr(hdbet, "extract_with_hdbet", lambda _: Extraction(brain, stripped=False, measured={}))
    assert anomri("extract", "-i", head, "-o", tmp_path / "out", "--with", "hd-bet") == 0
    assert np.array_equal(read_mask(tmp_path / "out" / "head_mask.nii.gz", read(head)).mask, brain.mask)


def test_where_hd_bet_is_absent_nothing_else_takes_its_place(anomri, head, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert anomri("extract", "-i", head, "-o", tmp_path / "out", "--with", "hd-bet") == 5
    assert "hdbet_missing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
