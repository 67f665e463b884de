"""The whole way with the bundled model, on a BIDS copy of real scans."""

from __future__ import annotations

import csv
import json
import shutil

import pytest

from anomri.bids import find_scans, made_for, score_participants, write_group
from anomri.io.participants import read_participants

LABELS = ("05", "15")


@pytest.mark.slow
@pytest.mark.data
def test_two_real_scans_become_valid_derivatives(shared_data, tmp_path, complaints):
    source, root = shared_data / "t1w_site_a", tmp_path / "study"
    for label in LABELS:
        (root / f"sub-{label}" / "anat").mkdir(parents=True)
        shutil.copy(source / f"sub-{label}_T1w.nii.gz", root / f"sub-{label}" / "anat")
    shutil.copy(source / "participants.tsv", root)
    described = {"Name": "ds002748", "BIDSVersion": "1.10.0", "License": "CC0"}
    (root / "dataset_description.json").write_text(json.dumps(described))
    out = tmp_path / "out"
    scans = find_scans(root, made_for("brain-t1"))
    table = read_participants(root / "participants.tsv")
    summary = score_participants(scans, "brain-t1", out, dataset=root, participants=table, jobs=1)
    assert [(result.scan_id, result.in_training) for result in summary.results] == [
        (f"sub-{label}_T1w", True) for label in LABELS
    ]
    shutil.rmtree(root)
    group = write_group(out)
    with group.table.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [float(row["score"]) for row in rows] == [result.score for result in summary.results]
    assert complaints(out) == []
