"""`anomri bids`, with a scorer that does what the files say."""

from __future__ import annotations

import functools
import json
import shutil
import sys
from pathlib import Path

import pytest

import anomri.bids
from anomri.bids import participant

FAKE_SCORER_LIVES_IN = Path(__file__).parents[1] / "runs"


@pytest.fixture(autouse=True)
def _faked(monkeypatch):
    monkeypatch.syspath_prepend(FAKE_SCORER_LIVES_IN)
    faked = functools.partial(participant.score_participants, scorer="fake_scorer:open_fake")
    monkeypatch.setattr(anomri.bids, "score_participants", faked)
    yield
    sys.modules.pop("fake_scorer", None)


@pytest.fixture
def study(tmp_path) -> Path:
    root = tmp_path / "study"
    for label, command in {"01": "score 0.2", "02": "score 0.95", "03": "bad"}.items():
        file = root / f"sub-{label}" / "anat" / f"sub-{label}_T1w.nii.gz"
        file.parent.mkdir(parents=True)
        file.write_text(command)
    (root / "participants.tsv").write_text("participant_id\tage\tsex\nsub-01\t45Y\tf\nsub-02\t30\tm\n")
    return root


def test_both_levels_from_the_terminal(anomri, study, tmp_path, capsys):
    out = study / "derivatives" / "anomri"
    assert anomri("bids", study, out, "participant", "--participant-label", "01", "02", "--jobs", 1) == 0
    told = capsys.readouterr()
    assert told.out == f"1 fail, 1 pass\nderivatives: {out}\n"
    assert "'45Y'" in told.err
    assert len(json.loads((out / "logs" / "anomri_sub-01_sub-02.json").read_text())["notes"]) == 1
    assert anomri("bids", study, out, "participant", "--jobs", 1) == 3
    assert "3 scans, 2 finished earlier" in capsys.readouterr().err
    assert anomri("bids", study, out, "participant", "--jobs", 1, "--fail-on", "fail") == 4

    out = Path(shutil.copytree(out, tmp_path / "out"))
    shutil.rmtree(study)
    capsys.readouterr()
    assert anomri("bids", study, out, "group") == 0
    told = capsys.readouterr().out.splitlines()
    assert told == ["1 fail, 1 pass, 1 unreadable", f"table: {out}/group_T1w.tsv", f"report: {out}/group_T1w.html"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["participant", "--participant-label", "9"], "no sub-9"),
        (["participant", "--suffix", "FLAIR"], "no FLAIR image"),
        (["participant", "01"], "it is not plain which option '01' belongs to"),
        (["participant", "--participant-label", "01", "--session-id", "a", "b"], "it is not plain"),
        (["participant", "--model", "demo-brain"], "--suffix T1w"),
        (["group", "--participant-label", "01"], "belong to the participant level"),
        (["group"], "Run the participant level first"),
        (["both"], "'both'"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(anomri, study, tmp_path, capsys, arguments, said):
    assert anomri("bids", study, tmp_path / "out", *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "out").exists()


def test_derivatives_among_the_raw_data_are_refused(anomri, study):
    assert anomri("bids", study, study / "out", "participant") == 2
    assert anomri("bids", study, study, "participant") == 2
