"""`anomri demo`, with small examples and a run that only looks at what it is given."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from anomri.core.result import ModelRecord
from anomri.runs import run as run_module
from anomri.runs.run import RunSummary

FAKE_SCORER_LIVES_IN = Path(__file__).parents[1] / "runs"


@pytest.fixture
def ran(monkeypatch):
    """What the run was asked; one example is a miss."""
    monkeypatch.syspath_prepend(FAKE_SCORER_LIVES_IN)
    outcome_of = importlib.import_module("fake_scorer").outcome_of
    record = ModelRecord(name="demo-brain", version="1", sha256="0" * 64)
    outcomes = {
        name: outcome_of(name, value, record, sha256="1") for name, value in (("lesion", 0.95), ("motion", 0.1))
    }
    asked = SimpleNamespace()

    def examples(seed):
        asked.seed = seed
        for name, outcome in outcomes.items():
            yield SimpleNamespace(name=name, scan=outcome.scan, expected=frozenset({"warn", "fail"}))

    def run(found, model, out, **_settings):
        asked.found, asked.model, asked.out = found, model, out
        results = tuple(outcomes[scan.scan_id].result for scan in found if scan.scan_id in outcomes)
        return RunSummary(Path(out), results, 0)

    monkeypatch.setattr("anomri.pipeline.demo.examples", examples)
    monkeypatch.setattr(run_module, "run", run)
    return asked


def test_the_demo_judges_its_own_examples_and_says_what_it_missed(anomri, ran, tmp_path, capsys):
    assert anomri("demo", "-o", tmp_path / "demo", "--seed", 7) == 0
    assert (ran.seed, ran.model) == (7, "demo-brain")
    assert [scan.path.name for scan in ran.found] == ["lesion.nii.gz", "motion.nii.gz"]
    told = capsys.readouterr().out.splitlines()
    rows = {line.split("\t")[0]: line.split("\t") for line in told}
    assert rows["lesion"][1] == "fail"
    assert rows["lesion"][-1] == "fail or warn"
    assert rows["motion"][-1] == "fail or warn: missed"
    assert told[-1] == f"report: {tmp_path / 'demo' / 'results' / 'index.html'}"


def test_a_scan_of_ones_own_is_judged_by_the_model_of_real_scans(anomri, ran, tmp_path):
    mine = tmp_path / "mine.nii.gz"
    mine.touch()
    assert anomri("demo", "-i", mine, "-o", tmp_path / "demo") == 0
    assert ran.model == "brain-t1"
    assert ran.out == tmp_path / "demo" / "yours"
    assert not hasattr(ran, "seed")


@pytest.mark.usefixtures("ran")
def test_a_place_that_cannot_be_written_ends_with_5_and_one_line(anomri, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert anomri("demo", "-o", tmp_path / "file" / "demo") == 5
    assert len(capsys.readouterr().err.splitlines()) == 1
