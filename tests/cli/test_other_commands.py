"""The commands that judge nothing, and those that only hand over to the pipeline."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from anomri.calibration import Calibration, Normal
from anomri.core.geometry import Geometry
from anomri.errors import CalibrationError, EnvironmentProblem
from anomri.io.write import write_nifti
from anomri.methods import METHODS
from anomri.models import Card


@pytest.fixture
def brains(tmp_path):
    """A stripped and an unstripped image."""
    rng = np.random.default_rng(0)
    head = rng.uniform(1, 100, (32, 32, 32)).astype(np.float32)
    brain = np.zeros_like(head)
    brain[8:-8, 8:-8, 8:-8] = head[8:-8, 8:-8, 8:-8]
    folder = tmp_path / "images"
    folder.mkdir()
    for name, values in (("sub-01_head", head), ("sub-02_brain", brain)):
        write_nifti(folder / f"{name}.nii.gz", values, Geometry((32, 32, 32), np.diag([2.0, 2.0, 3.0, 1.0])))
    return folder


def test_help_answers_at_once():
    took = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "anomri", "--help"], check=True, capture_output=True)
        took.append(time.perf_counter() - started)
    # Half a second is the limit on an idle machine; a busy one gets four times as long.
    assert min(took) < 2.0


def test_version(anomri, capsys):
    assert anomri("--version") == 0
    assert capsys.readouterr().out.strip() == importlib.metadata.version("anomri")


def test_no_command_shows_the_help(anomri, capsys):
    assert anomri() == 2
    heard = capsys.readouterr()
    assert "anomri score -i scan.nii.gz" in heard.out + heard.err


def test_methods_lists_them_all(anomri, capsys):
    assert anomri("methods") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines[1:]] == list(METHODS)
    assert anomri("methods", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["zatlas"]["presets"] == list(METHODS["zatlas"].presets)


def test_models_lists_the_bundled_ones(anomri, capsys):
    assert anomri("models", "--json") == 0
    assert all({"name", "version", "summary"} <= set(entry) for entry in json.loads(capsys.readouterr().out))


def test_info_says_what_an_image_is(anomri, brains, capsys):
    assert anomri("info", brains / "sub-02_brain.nii.gz", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["shape"] == [32, 32, 32]
    assert facts["spacing_mm"] == [2.0, 2.0, 3.0]
    assert facts["orientation"] == "RAS"
    assert facts["looks_skull_stripped"] is True
    assert len(facts["sha256"]) == 64
    anomri("info", brains / "sub-01_head.nii.gz", "--json")
    assert json.loads(capsys.readouterr().out)["looks_skull_stripped"] is False


def test_info_counts_the_images_of_a_folder(anomri, brains, capsys):
    assert anomri("info", brains) == 0
    assert capsys.readouterr().out.startswith("images\t2\n")


def test_info_of_nothing_or_of_no_image(anomri, tmp_path, capsys):
    assert anomri("info", tmp_path / "nothing") == 2
    (tmp_path / "text.nii").write_text("this is no image")
    capsys.readouterr()
    assert anomri("info", tmp_path / "text.nii") == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "text.nii") in line


@pytest.fixture
def told(monkeypatch):
    """What `fit` and `calibrate` of the pipeline were asked; they answer as a small fit would."""
    asked = SimpleNamespace()
    calibration = SimpleNamespace(reference_scores=(1.0, 2.0, 3.0))

    class Loaded(str):
        __slots__ = ()

        def calibrated(self):
            return SimpleNamespace(normals=asked.normals)

    model = SimpleNamespace(folder="the-model", calibrated=lambda: calibration)
    dropped = (SimpleNamespace(scan_id="sub-09", reason="cut off"),)

    def fit(methods, scans, out, **settings):
        asked.methods, asked.scans, asked.out, asked.settings = methods, scans, out, settings
        settings["report"]("fold 1 of 5")
        return SimpleNamespace(
            model=model, dropped=dropped, outlying=(("sub-01", 4.2),), normals_needed={0.05: 59}, notes=()
        )

    def calibrate(model_given, scans, out, **settings):
        asked.model, asked.scans, asked.out, asked.settings = model_given, scans, out, settings
        limits = SimpleNamespace(warn=1.0, fail=2.0, warn_rate=0.1, fail_rate=0.05)
        return SimpleNamespace(
            model=model,
            n_normals=2,
            thresholds=limits,
            fail_interval=None,
            smallest_rate=1 / 3,
            approximate=True,
            dropped=(),
        )

    monkeypatch.setattr("anomri.pipeline.fit", fit)
    monkeypatch.setattr("anomri.pipeline.calibrate", calibrate)
    monkeypatch.setattr("anomri.runs.fit_report.write_fit_report", lambda _summary, folder: folder / "the-report")
    monkeypatch.setattr("anomri.models.Model.load", staticmethod(Loaded))
    return asked


def test_fit_hands_over_and_says_what_came_of_it(anomri, told, brains, tmp_path, capsys):
    table = tmp_path / "participants.tsv"
    table.write_text("participant_id\tage\tsex\nsub-01\t31\tF\n")
    code = anomri(
        *("fit", "zatlas+iqm1c", "-i", brains, "-o", tmp_path / "my-model", "--participants", table),
        *(
            "--preset",
            "+iqm1c-tiny",
            "--set",
            "sigma_mm=4",
            "--set",
            "zatlas.floor_percentile=5",
            "--seed",
            3,
            "--jobs",
            2,
        ),
    )
    assert code == 0
    assert told.methods == ["zatlas", "iqm1c"]
    assert told.settings["preset"] == [None, "iqm1c-tiny"]
    assert told.settings["settings"] == {"sigma_mm": "4", "zatlas.floor_percentile": "5"}
    assert (told.settings["name"], told.settings["seed"], told.settings["jobs"]) == ("my-model", 3, 2)
    assert [(scan.subject, scan.covariates) for scan in told.scans] == [
        ("sub-01", {"age": 31.0, "sex": 0.0}),
        ("sub-02", {}),
    ]
    heard = capsys.readouterr()
    assert heard.err.index("estimate:") < heard.err.index("fold 1 of 5")
    assert "model: the-model" in heard.out
    assert "sub-09: cut off" in heard.out
    assert "worth a look: sub-01" in heard.out
    assert "my-model/the-report" in heard.out


def test_fit_and_calibrate_take_a_rate(anomri, told, brains, tmp_path):
    assert anomri("fit", "zatlas", "-i", brains, "-o", tmp_path / "m") == 0
    assert told.settings["alarm_rate"] == 0.05
    assert anomri("fit", "zatlas", "-i", brains, "-o", tmp_path / "m", "--alarm-rate", 0.4) == 0
    assert told.settings["alarm_rate"] == 0.4
    told.normals = [None] * 19
    assert anomri("calibrate", "m", "-i", brains, "-o", tmp_path / "m", "--site", "Here", "--alarm-rate", 0.1) == 0
    assert told.settings["alarm_rate"] == 0.1


@pytest.mark.parametrize("command", [["fit", "zatlas"], ["calibrate", "m", "--site", "Here"]])
def test_a_rate_that_so_few_cannot_promise_is_refused_before_the_work(anomri, told, brains, tmp_path, capsys, command):
    told.normals = [None] * 3
    assert anomri(*command, "-i", brains, "-o", tmp_path / "m", "--alarm-rate", 0.05) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "0.05" in line
    assert "at least 19 normal scans" in line
    assert not hasattr(told, "scans")


@pytest.mark.parametrize("command", [["fit", "zatlas"], ["calibrate", "m", "--site", "Here"]])
def test_a_model_is_not_written_among_the_scans(anomri, told, brains, command):
    assert anomri(*command, "-i", brains, "-o", brains / "m") == 2
    assert not hasattr(told, "scans")


def test_info_of_a_model_says_what_it_is_calibrated_to(anomri, tmp_path, capsys):
    card = Card(
        name="tiny", version="1", cohort="c", validation="v", expects="e", licence="l", made_by="m", seed=0,
        training=(), branches=(), files={},
    )  # fmt: skip
    (tmp_path / "model.json").write_text(card.model_dump_json())
    normals = tuple(
        Normal(scan_id=str(i), subject=str(i), image_sha256=f"{i:064x}", score=float(i), fold=0) for i in range(24)
    )
    calibration = Calibration(
        normals=normals, model_sha256="m", recipe_sha256="r", site="Ward 3", kind="site", approximate=True
    )
    (tmp_path / "calibration.json").write_text(calibration.model_dump_json())
    assert anomri("info", tmp_path, "--json") == 0
    told = json.loads(capsys.readouterr().out)["calibration"]
    assert (told["site"], told["kind"], told["normals"], told["approximate"]) == ("Ward 3", "site", 24, True)
    assert (told["alarm_rate"], told["smallest_rate"]) == (0.05, None)  # approximate: nothing is promised
    assert (told["warn_from"], told["fail_from"]) == (22.0, 23.0)
    assert anomri("info", tmp_path) == 0
    assert "calibration fail_from\t23" in capsys.readouterr().out

    few = calibration.model_copy(update={"normals": normals[:5]})
    (tmp_path / "calibration.json").write_text(few.model_dump_json())
    assert anomri("info", tmp_path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["calibration"]["fail_from"] is None
    (tmp_path / "calibration.json").write_text("{}")
    assert anomri("info", tmp_path) == 6


def test_what_cannot_be_reached_is_no_bug(anomri, tmp_path, capsys):
    assert anomri("info", tmp_path / ("x" * 300)) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


EMPTY = [
    ["score", "-i", "", "-o", "out"],
    ["score", "-i", "x.nii", "-o", ""],
    ["score", "-i", "x.nii", "--out="],
    ["score", "-i", "x.nii", "-o", "out", "--model", " "],
    ["calibrate", "brain-t1", "-i", "x.nii", "-o", "out", "--site", ""],
    ["info", ""],
]


@pytest.mark.parametrize("arguments", EMPTY, ids=" ".join)
def test_an_empty_argument_is_a_mistake(anomri, tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.nii").touch()
    assert anomri(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is empty" in line
    assert [path.name for path in tmp_path.iterdir()] == ["x.nii"]


MISTAKES = [
    ["scor"],
    ["score"],
    ["score", "-i"],
    ["score", "--modl", "m"],
    ["score", "-i", "x.nii", "-o", "out", "--jobs", "none"],
    ["score", "-i", "x.nii", "-o", "out", "--keep", "nothing"],
    ["score", "-i", "x.nii", "-o", "out", "--alarm-rate", "nan"],
    ["score", "-i", "x.nii", "-o", "out", "--alarm-rate", "0.5"],
    ["score", "-i", "x.nii", "-o", "out", "--alarm-rate", "0"],
    ["score", "-i", "x.nii", "-o", "out", "--participants", "none.tsv"],
    ["score", "-i", "x.nii", "-o", "out", "--participants", "x.nii"],
    ["score", "-i", "x.nii", "-o", "out", "--mask", "none.nii"],
    ["fit", "zatlas", "-i", "x.nii", "-o", "out", "--set", "sigma"],
    ["fit", "-i", "x.nii", "-o", "out"],
    ["calibrate", "brain-t1", "-i", "x.nii", "-o", "out"],
    ["demo", "-i", "none.nii"],
]


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_a_mistake_of_usage_is_one_line(anomri, tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.nii").touch()
    assert anomri(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("anomri")
    assert line.endswith("--help.")
    assert [path.name for path in tmp_path.iterdir()] == ["x.nii"]


@pytest.mark.usefixtures("told")
def test_a_setting_that_cannot_be_is_refused_before_anything_is_said(anomri, brains, tmp_path, capsys):
    assert anomri("fit", "zatlas", "-i", brains, "-o", tmp_path / "m", "--set", "sigma=4") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "sigma" in line


def test_fit_refuses_what_does_not_add_up(anomri, told, brains, tmp_path):
    out = tmp_path / "m"
    assert anomri("fit", "zatlas+iqm1c", "--preset", "zatlas", "-i", brains, "-o", out) == 2
    assert anomri("fit", "zatlas", "--set", "sigma", "-i", brains, "-o", out) == 2
    assert anomri("fit", "zatla", "-i", brains, "-o", out) == 6
    assert not hasattr(told, "methods")


def test_calibrate_says_approximate(anomri, told, brains, tmp_path, capsys):
    assert anomri("calibrate", "brain-t1", "-i", brains, "-o", tmp_path / "m", "--site", "Here", "--jobs", 1) == 0
    assert (told.model, told.settings["site"], len(told.scans)) == ("brain-t1", "Here", 2)
    assert "approximate" in capsys.readouterr().out


@pytest.mark.parametrize("error", [CalibrationError, EnvironmentProblem])
@pytest.mark.usefixtures("told")
def test_an_error_of_the_pipeline_is_one_line_and_its_code(anomri, brains, tmp_path, monkeypatch, capsys, error):
    def fail(*_args, **_settings):
        raise error("something\x1b[31m with\nlines", remedy="Do this.")

    monkeypatch.setattr("anomri.pipeline.calibrate", fail)
    code = anomri("calibrate", "brain-t1", "-i", brains, "-o", tmp_path / "m", "--site", "Here", "--jobs", 1)
    assert code == error.exit_code
    heard = capsys.readouterr().err
    assert "\x1b" not in heard
    assert len(heard.splitlines()) == 1


def test_a_setting_out_of_its_range_is_an_error_of_usage(anomri, brains, tmp_path, capsys):
    assert anomri("fit", "zatlas", "-i", brains, "-o", tmp_path / "model", "--set", "sigma_mm=-4", "--jobs", 1) == 2
    assert "sigma_mm of zatlas is -4. Give a number at least 0 and at most 50." in capsys.readouterr().err
    assert not (tmp_path / "model.fit").exists()
