from __future__ import annotations

import os

import pytest

from anomri.bids.find import find_scans, made_for
from anomri.errors import InputError, ModelError

PLACES = {
    "sub-02/ses-b/anat/sub-02_ses-b_run-2": "",
    "sub-02/ses-b/anat/sub-02_ses-b_run-1": "",
    "sub-02/ses-a/anat/sub-02_ses-a": "",
    "sub-01/anat/sub-01": "",
    "derivatives/x/sub-01/anat/sub-01": "",
    "sourcedata/sub-04/anat/sub-04": "",
    "sub-01/func/sub-01": "",
}


def names(scans):
    return [str(scan.name) for scan in scans]


def test_sessions_and_runs_are_found_and_nothing_else(dataset):
    root = dataset(PLACES)
    (root / "sub-01" / "anat" / "sub-01_T2w.nii.gz").touch()
    (root / "sub-01" / "anat" / "sub-01_T1w.json").touch()
    (root / "sub-03" / "anat").mkdir(parents=True)
    (root / "sub-03" / "anat" / "sub-03_T1w.nii").touch()
    scans = find_scans(root, "T1w")
    assert names(scans) == [
        "sub-01_T1w",
        "sub-02_ses-a_T1w",
        "sub-02_ses-b_run-1_T1w",
        "sub-02_ses-b_run-2_T1w",
        "sub-03_T1w",
    ]
    assert all(scan.path.is_file() for scan in scans)
    assert names(find_scans(root, "T2w")) == ["sub-01_T2w"]


@pytest.mark.parametrize(
    ("participants", "sessions", "found"),
    [
        (["01"], [], ["sub-01_T1w"]),
        (["sub-01", "01"], [], ["sub-01_T1w"]),
        ([], ["a"], ["sub-02_ses-a_T1w"]),
        (["02"], ["ses-b"], ["sub-02_ses-b_run-1_T1w", "sub-02_ses-b_run-2_T1w"]),
    ],
)
def test_labels_choose(dataset, participants, sessions, found):
    assert names(find_scans(dataset(PLACES), "T1w", participants=participants, sessions=sessions)) == found


@pytest.mark.parametrize(
    ("suffix", "choice", "code", "named"),
    [
        ("T1w", {"participants": ["01", "9"]}, "no_label", "sub-9"),
        ("T1w", {"sessions": ["a", "z"]}, "no_label", "ses-z"),
        ("FLAIR", {}, "no_scans", "FLAIR"),
    ],
)
def test_what_is_not_there_is_named(dataset, suffix, choice, code, named):
    with pytest.raises(InputError, match=named) as caught:
        find_scans(dataset(PLACES), suffix, **choice)
    assert caught.value.code == code


def test_no_data_set_is_refused(tmp_path):
    with pytest.raises(InputError) as caught:
        find_scans(tmp_path / "none", "T1w")
    assert caught.value.code == "read_failed"


def test_bidsignore_is_heeded(dataset):
    root = dataset(PLACES)
    (root / ".bidsignore").write_text("sub-01/\n*_run-2_*\n")
    assert names(find_scans(root, "T1w")) == ["sub-02_ses-a_T1w", "sub-02_ses-b_run-1_T1w"]


def test_odd_files_are_passed_over_and_told(dataset, tmp_path):
    root = dataset({"sub-01/anat/sub-01": "", "sub-01/anat/sub-02": "", "sub-01/anat/my-scan": ""})
    (tmp_path / "elsewhere.nii.gz").touch()
    (root / "sub-01" / "anat" / "sub-01_run-1_T1w.nii.gz").symlink_to(tmp_path / "elsewhere.nii.gz")
    os.mkfifo(root / "sub-01" / "anat" / "sub-01_run-2_T1w.nii.gz")
    told: list[str] = []
    assert names(find_scans(root, "T1w", report=told.append)) == ["sub-01_T1w"]
    assert told == [
        "skipped 1 folders, pipes, sockets or devices (sub-01/anat/sub-01_run-2_T1w.nii.gz)",
        "skipped 2 images whose names do not hold to BIDS (sub-01/anat/my-scan_T1w.nii.gz, "
        "sub-01/anat/sub-02_T1w.nii.gz)",
        "skipped 1 links that lead out of the data set (sub-01/anat/sub-01_run-1_T1w.nii.gz)",
    ]


def test_a_label_that_bids_does_not_allow_is_told(dataset):
    root = dataset({"sub-01/anat/sub-01": "", "sub-Müller/anat/sub-Müller": "", "sub-脑/anat/sub-脑": ""})
    told: list[str] = []
    assert names(find_scans(root, "T1w", report=told.append)) == ["sub-01_T1w"]
    assert len(told) == 1
    assert "sub-Müller" in told[0]


def test_a_link_within_the_data_set_is_followed_and_a_dead_one_kept(dataset):
    root = dataset({"sub-01/anat/sub-01": ""})
    anat = root / "sub-01" / "anat"
    (root / ".git").mkdir()
    (root / ".git" / "object").touch()
    (anat / "sub-01_run-1_T1w.nii.gz").symlink_to("../../.git/object")
    (anat / "sub-01_run-2_T1w.nii.gz").symlink_to("../../.git/not-fetched")
    assert names(find_scans(root, "T1w")) == ["sub-01_T1w", "sub-01_run-1_T1w", "sub-01_run-2_T1w"]


@pytest.mark.parametrize("second", ["sub-01_T1w.nii", "sub-01_desc-preproc_T1w.nii.gz"])
def test_two_images_with_one_name_for_their_results_are_refused(dataset, second):
    root = dataset({"sub-01/anat/sub-01": ""})
    (root / "sub-01" / "anat" / second).touch()
    with pytest.raises(InputError) as caught:
        find_scans(root, "T1w")
    assert caught.value.code == "scan_id"
    (root / ".bidsignore").write_text(second)
    assert names(find_scans(root, "T1w")) == ["sub-01_T1w"]


def test_a_model_tells_by_its_training_scans_what_it_was_made_for():
    assert made_for("brain-t1") == "T1w"
    with pytest.raises(InputError) as caught:
        made_for("demo-brain")
    assert caught.value.code == "no_suffix"
    with pytest.raises(ModelError):
        made_for("no-such-model")


def test_names_that_nearly_hold_to_bids_and_phase_images_are_told_by_name(tmp_path):
    for name in (
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-02/anat/sub-02_part-phase_T1w.nii.gz",
        "sub-02/anat/sub-02_part-mag_T1w.nii.gz",
        "sub-03/anat/sub-03_T1W.nii.gz",
        "sub-04/anat/sub-04_T1w.NII.GZ",
        "Sub-05/anat/Sub-05_T1w.nii.gz",
        "sub_06/anat/sub_06_T1w.nii.gz",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    said: list[str] = []
    found = find_scans(tmp_path, "T1w", report=said.append)
    assert [str(scan.name) for scan in found] == ["sub-01_T1w", "sub-02_part-mag_T1w"]
    told = "\n".join(said)
    for name in ("sub-02_part-phase_T1w", "sub-03_T1W.nii.gz", "sub-04_T1w.NII.GZ", "Sub-05", "sub_06"):
        assert name in told
