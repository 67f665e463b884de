"""The command that gives a scan a known defect."""

from __future__ import annotations

import json

import numpy as np
import pytest

from anomri.core.geometry import Geometry
from anomri.io import read, read_mask
from anomri.io.write import write_nifti
from anomri.simulate import KINDS


@pytest.fixture
def scan(tmp_path):
    """A stripped ball with two tissues."""
    rng = np.random.default_rng(0)
    radius = np.linalg.norm((np.indices((40, 44, 36)) - np.array([20, 22, 18])[:, None, None, None]), axis=0)
    voxels = np.where(radius < 10, 1000.0, 600.0) + 20.0 * rng.standard_normal(radius.shape)
    path = tmp_path / "ball.nii.gz"
    values = np.where(radius < 16, voxels, 0.0).astype(np.float32)
    write_nifti(path, values, Geometry((40, 44, 36), np.diag([3.0, 3.0, 3.0, 1.0])))
    return path


def test_the_list_holds_every_kind(anomri, capsys):
    assert anomri("simulate", "--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines[1:]] == list(KINDS)


@pytest.mark.parametrize("kind", ["motion", "dark-lesion"])
def test_scan_masks_and_record_are_written_and_the_record_makes_the_same_bytes(kind, anomri, scan, tmp_path, capsys):
    out = tmp_path / "made"
    assert anomri("simulate", "-i", scan, "-o", out, "--artefact", kind, "--severity", 4, "--seed", 1) == 0
    said = capsys.readouterr().out.split()
    name = f"ball_{kind}-4_seed-1"
    expected = {f"{name}.nii.gz", f"{name}_changed.nii.gz", f"{name}.json"}
    expected |= {f"{name}_core.nii.gz"} if KINDS[kind].local else set()
    assert {path.name for path in out.iterdir()} == expected == {path.rsplit("/", 1)[-1] for path in said}
    clean, made = read(scan), read(out / f"{name}.nii.gz")
    changed = read_mask(out / f"{name}_changed.nii.gz", clean).mask
    np.testing.assert_array_equal(changed, clean.voxels != made.voxels)
    assert not made.voxels[clean.voxels == 0].any()
    assert json.loads((out / f"{name}.json").read_text())["kind"] == kind
    again = tmp_path / "again"
    assert anomri("simulate", "-i", scan, "-o", again, "--record", out / f"{name}.json") == 0
    for path in out.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes()


def test_a_full_head_needs_its_brain_mask_and_changes_everywhere(anomri, scan, tmp_path, capsys):
    clean = read(scan)
    air = np.abs(np.random.default_rng(1).normal(0, 20, clean.voxels.shape)).astype(np.float32) + 0.1
    head, mask = tmp_path / "head.nii.gz", tmp_path / "mask.nii.gz"
    write_nifti(head, np.maximum(clean.voxels, air), clean.geometry)
    write_nifti(mask, clean.voxels > 0, clean.geometry)
    assert anomri("simulate", "-i", head, "-o", tmp_path / "out", "--artefact", "noise") == 2
    assert "brain mask" in capsys.readouterr().err
    assert anomri("simulate", "-i", head, "-o", tmp_path / "out", "--artefact", "noise", "--mask", mask) == 0
    assert read_mask(tmp_path / "out" / "head_noise-3_seed-0_changed.nii.gz", clean).mask.mean() > 0.99


def test_what_cannot_be_done_is_said_in_one_line(anomri, scan, tmp_path, capsys):
    assert anomri("simulate", "-i", scan, "-o", tmp_path / "out", "--artefact", "moton") == 2
    assert "Did you mean 'motion'" in capsys.readouterr().err
    assert anomri("simulate", "-i", scan, "-o", tmp_path / "out") == 2
    assert anomri("simulate") == 2
    assert anomri("simulate", "-i", scan, "-o", tmp_path / "out", "--artefact", "flip", "--severity", 2) == 2
    capsys.readouterr()
    (tmp_path / "bad.json").write_text("{}")
    assert anomri("simulate", "-i", scan, "-o", tmp_path / "out", "--record", tmp_path / "bad.json") == 3
    assert "not a record" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
