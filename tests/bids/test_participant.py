"""The participant level, with a scorer that does what the files say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anomri.bids import find_scans, participant, score_participants, selection
from anomri.errors import InputError, ModelError, OutputConflict
from anomri.io.participants import Participants
from anomri.runs.lock import Lock

FAKE = "fake_scorer:open_fake"
THREE = {
    "sub-01/anat/sub-01": "score 0.2",
    "sub-02/ses-1/anat/sub-02_ses-1_run-1": "score 0.95",
    "sub-03/anat/sub-03": "bad",
}


def score(root: Path, out: Path, *, participants=(), sessions=(), model="fake", **options):
    return score_participants(
        find_scans(root, "T1w", participants=participants, sessions=sessions),
        model,
        out,
        dataset=root,
        selected=selection(participants, sessions),
        jobs=1,
        scorer=FAKE,
        **options,
    )


def test_every_scan_gets_its_derivatives_and_they_are_valid(dataset, files, complaints):
    root = dataset(THREE)
    before = files(root)
    out = root / "derivatives" / "anomri"
    summary = score(root, out)
    assert summary.counts() == {"fail": 1, "pass": 1, "unreadable": 1}
    assert summary.out == out
    made = files(out)
    verdicts = {name for name in made if name.endswith("_desc-anomri_T1w.json")}
    assert verdicts == {f"{place}_desc-anomri_T1w.json" for place in THREE}
    assert {name.split("/")[0] for name in made if name.endswith(".nii.gz")} == {"sub-01", "sub-02"}
    assert {name for name in made if "/" not in name} == {".bidsignore", "README.md", "dataset_description.json"}
    assert sorted(path.name for path in out.iterdir() if path.name not in made) == [
        "logs",
        "sub-01",
        "sub-02",
        "sub-03",
    ]
    assert [path.name for path in (out / "logs").iterdir()] == ["anomri_all.json"]
    assert "truncated" in json.loads(made["sub-03/anat/sub-03_desc-anomri_T1w.json"])["reason"]
    assert {name: content for name, content in files(root).items() if "derivatives" not in name} == before

    sidecar = json.loads(made["sub-02/ses-1/anat/sub-02_ses-1_run-1_desc-anomaly_statmap.json"])
    assert sidecar["Sources"] == ["bids:raw:sub-02/ses-1/anat/sub-02_ses-1_run-1_T1w.nii.gz"]
    link = json.loads(made["dataset_description.json"])["DatasetLinks"]["raw"]
    assert (out / link / "sub-02/ses-1/anat/sub-02_ses-1_run-1_T1w.nii.gz").is_file()

    assert complaints(out) == []
    # The validator can find fault with such a folder.
    (out / "sub-01" / "anat" / "sub-01_desc-brain_T1w.json").write_text("{}")
    (out / "sub-01" / "anat" / "sub-01_heat.nii.gz").touch()
    assert {line.split()[0] for line in complaints(out)} >= {"SIDECAR_KEY_REQUIRED", "NOT_INCLUDED"}


def test_keep_summary_writes_no_images(dataset, tmp_path, files):
    score(dataset(THREE), tmp_path / "out", keep="summary")
    assert not [name for name in files(tmp_path / "out") if name.endswith(".nii.gz")]


def test_a_second_run_does_only_what_changed(dataset, tmp_path, files):
    root, out = dataset(THREE), tmp_path / "out"
    score(root, out)
    before = files(out)
    dataset({"sub-01/anat/sub-01": "bad"})
    (out / "sub-02/ses-1/anat/sub-02_ses-1_run-1_desc-anomri_T1w.json").unlink()
    (out / "README.md").write_text("ours")
    assert score(root, out).skipped == 1
    after = files(out)
    assert {name for name in after if name.startswith("sub-01/")} == {
        f"sub-01/anat/sub-01_desc-anomri_T1w.{ending}" for ending in ("html", "json", "png")
    }
    unchanged = [name for name in before if name.startswith(("sub-02", "sub-03"))]
    assert all(after[name] == before[name] for name in unchanged)
    assert after["README.md"] == b"ours"


def test_a_run_that_was_killed_goes_on(dataset, tmp_path, files, monkeypatch):
    root, out = dataset(THREE), tmp_path / "out"
    with monkeypatch.context() as patch:
        # Everything is scored, nothing laid out, nothing cleared away.
        patch.setattr(participant, "lay_out", lambda *_, **__: None)
        patch.setattr(participant, "_clear", lambda *_: None)
        score(root, out)
    assert not list(out.glob("sub-*"))
    again = score(root, out)
    assert again.skipped == 3
    assert again.counts() == {"fail": 1, "pass": 1, "unreadable": 1}
    assert not (out / ".anomri").exists()
    assert len([name for name in files(out) if name.endswith("_desc-anomri_T1w.json")]) == 3


def test_one_participant_after_the_other_is_the_same_as_all_at_once(dataset, tmp_path, files):
    root = dataset(THREE)
    score(root, tmp_path / "one")
    for label in ("03", "01", "02"):
        score(root, tmp_path / "many", participants=[label])
    assert files(tmp_path / "many") == files(tmp_path / "one")
    assert score(root, tmp_path / "many").skipped == 3


def test_runs_over_different_participants_may_be_at_work_together(dataset, tmp_path):
    root, out = dataset(THREE), tmp_path / "out"
    busy = out / ".anomri" / selection(["01"])
    busy.mkdir(parents=True)
    with Lock(busy):
        assert score(root, out, participants=["02"]).counts() == {"fail": 1}
        with pytest.raises(OutputConflict, match="another run"):
            score(root, out, participants=["01"])


def test_other_settings_another_suffix_and_another_data_set_are_refused(dataset, tmp_path, files):
    root, out = dataset(THREE), tmp_path / "out"
    score(root, out)
    before = files(out)
    for options, said in (({"alarm_rate": 0.2}, "alarm rate"), ({"model": "other"}, "model fake 1")):
        with pytest.raises(OutputConflict, match=said) as caught:
            score(root, out, **options)
        assert caught.value.code == "other_settings"
    flair = root / "sub-01" / "anat" / "sub-01_FLAIR.nii.gz"
    flair.write_text("score 0.1")
    with pytest.raises(OutputConflict, match="T1w"):
        score_participants(find_scans(root, "FLAIR"), "fake", out, dataset=root, jobs=1, scorer=FAKE)
    with pytest.raises(OutputConflict, match="another data set"):
        score(root, root)
    assert files(out) == before


def test_a_model_that_cannot_be_loaded_leaves_no_trace(dataset, tmp_path):
    with pytest.raises(ModelError):
        score(dataset(THREE), tmp_path / "out", model="missing")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_leads_out_of_the_derivatives_is_refused(dataset, tmp_path):
    root, out = dataset(THREE), tmp_path / "out"
    out.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (out / "sub-01").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputConflict, match="leads out"):
        score(root, out)
    assert not any((tmp_path / "elsewhere").iterdir())


def test_age_and_sex_belong_to_the_result(dataset, tmp_path):
    root, out = dataset(THREE), tmp_path / "out"
    score(root, out)
    table = Participants({"01": {"age": 40.0}}, ())
    scans = find_scans(root, "T1w")
    summary = score_participants(scans, "fake", out, dataset=root, participants=table, jobs=1, scorer=FAKE)
    assert summary.skipped == 2


@pytest.mark.parametrize(
    ("description", "link"),
    [
        ({"Name": "A", "DatasetDOI": "doi:10.1/x"}, "https://doi.org/10.1/x"),
        ({"Name": "A", "DatasetDOI": "https://doi.org/10.1/x"}, "https://doi.org/10.1/x"),
        ({"Name": "A"}, None),
    ],
)
def test_the_source_is_named_but_no_path_to_it(dataset, tmp_path, files, description, link):
    root = dataset(THREE, description={**description, "License": "CC0"})
    out = tmp_path / "out"
    score(root, out)
    described = json.loads((out / "dataset_description.json").read_text())
    assert described["DatasetType"] == "derivative"
    assert described["License"] == "CC0"
    assert described["GeneratedBy"][0]["Name"] == "anomri"
    assert described["SourceDatasets"] == [{"Name": "A"} if link is None else {"Name": "A", "URL": link}]
    assert described.get("DatasetLinks") == (None if link is None else {"raw": link})
    sidecar = json.loads((out / "sub-01/anat/sub-01_desc-brain_mask.json").read_text())
    assert ("Sources" in sidecar) == (link is not None)
    marker = str(tmp_path).encode()
    assert not [name for name, content in files(out).items() if marker in content]


def test_a_damaged_description_is_an_error(dataset, tmp_path):
    root = dataset(THREE)
    (root / "dataset_description.json").write_text("[")
    with pytest.raises(InputError) as caught:
        score(root, tmp_path / "out")
    assert caught.value.code == "dataset_description"


def test_a_selection_has_a_name_that_does_not_depend_on_how_it_was_typed():
    assert selection() == "all"
    assert selection(["02", "sub-01"], ["b"]) == selection(["01", "02", "02"], ["ses-b"]) == "sub-01_sub-02_ses-b"
    many = [selection([f"{n:03d}" for n in range(count)]) for count in (30, 31)]
    assert len(set(many)) == 2
    assert all(len(name) < 100 for name in many)
