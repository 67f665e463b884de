"""A whole benchmark on nine tiny brains: who stands in it, and what kills, new rows and refused scans change."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from anomri.benchmark import preparing, report, run
from anomri.benchmark.protocol import Lesions, MethodRow, Protocol
from anomri.benchmark.rows import BASELINES
from anomri.benchmark.run import run_benchmark, write_cases
from anomri.core.geometry import Geometry
from anomri.datasets.site_a import LOCKED
from anomri.errors import InputError, OutputConflict
from anomri.io.formats import read_image
from anomri.io.write import write_nifti
from small_benchmark import FREE, ROWS, Site, small_protocol

AWAY = Geometry((9, 9, 9), np.eye(4))
TABLES = ("figures.csv", "scores.csv", "tables.md", "tables.tex", "split.json", "method-1.html")


def figures(out: Path) -> dict[tuple[str, str, str], dict[str, str]]:
    with (out / "figures.csv").open(newline="", encoding="utf-8") as file:
        return {(row["method"], row["cell"], row["metric"]): row for row in csv.DictReader(file)}


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the protocol's own rows and one baseline, and no plots, which have their own test."""
    monkeypatch.setattr(report, "curves", lambda _protocol, _table: [])
    random = MethodRow(name="B0 random", methods=("baseline-constant",), presets=("baseline-random",), baseline=True)
    monkeypatch.setattr(run, "rows_of", lambda protocol: (*protocol.methods, random))


def test_every_baseline_stands_in_the_table(site: Site) -> None:
    rows = {row for row, _, _ in figures(site.out)}
    assert rows == {"atlas", "quality"} | {name for name, method, _ in BASELINES if method != "baseline-position"}


def test_locked_subjects_never_appear(site: Site) -> None:
    split = json.loads((site.out / "split.json").read_text())
    assert {entry["subject"].rpartition(":")[2] for entry in split.values()} == set(FREE)
    said = (site.out / "scores.csv").read_text() + (site.out / "index.html").read_text()
    assert not any(subject in said for subject in LOCKED)


def test_every_figure_that_is_always_reported_is_there(site: Site) -> None:
    found = {metric for row, cell, metric in figures(site.out) if (row, cell) == ("atlas", "lesion-bright-2ml-c3")}
    wanted = {
        "auroc", "auroc within sex", "auroc within decade of age", "average precision", "average precision lift",
        "average precision at prevalence 0.05", "average precision at prevalence 0.01", "prevalence",
        "oracle fpr at tpr 0.95", "oracle tpr at fpr 0.01", "oracle tpr at fpr 0.05", "oracle tpr at fpr 0.1",
        "sensitivity at 0.2", "ppv at 0.2, prevalence 0.05", "ppv at 0.2, prevalence 0.2", "refused",
        "voxel average precision, pooled", "voxel average precision, mean", "voxel prevalence",
        "voxel average precision outside a margin of 5 mm, mean",
        "oracle dice, pooled", "oracle dice, per subject", "oracle dice, per subject, median",
        "dice, threshold from normals", "dice, threshold from normals, median", "dice, threshold from normals, 0.1 ml",
        "dice, threshold from normals, 5 ml", "dice, scan's own threshold", "dice, scan's own threshold, otsu",
        "iou, threshold from normals", "surface distance 95 %, mm", "spro", "aupimo",
        "froc mean, false positives on normals", "froc mean, false positives on patients",
        "froc mean, false positives on normals, strict", "lesion sensitivity at 0.125 false positives, on normals",
        "lesion sensitivity at 8 false positives, on patients", "lesion sensitivity, volume 1–10 ml",
        "top finding in lesion", "chance of it", "distance of top finding, mm, median", "share of lesion not examined",
    }  # fmt: skip
    assert wanted <= found
    assert any(metric.startswith("lesion sensitivity, contrast") for metric in found)
    normal = {metric for row, cell, metric in figures(site.out) if (row, cell) == ("atlas", "normal")}
    assert {
        "false alarms at 0.2", "false alarms less 0.2", "alarms in 100 normals at 0.2", "p-value ks", "refused",
        "false positive ml a normal scan, 1 ml allowed",
    } <= normal  # fmt: skip


def test_an_undefined_figure_says_why(site: Site) -> None:
    row = figures(site.out)["atlas", "normal", "false alarms at 0.01"]
    assert row["value"] == ""
    assert "6 normals cannot promise" in row["note"]


class Killed(BaseException):
    """The machine went away."""


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Set its first number to n: the n-th file from now on is never given its name."""
    left = [-1]
    real = os.replace

    def replace(*args: object, **kwargs: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", replace)
    return left


@pytest.mark.usefixtures("quick", "few_rows")
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_tables(
    site: Site, tmp_path: Path, kills: list[int]
) -> None:
    lesions = Lesions(volumes_ml=(2.0,), contrasts=(3.0,), signs=("bright",))
    protocol = small_protocol(artefacts=None, lesions=lesions, methods=ROWS[:1])
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    run_benchmark(protocol, site.data, whole)
    times = 0
    while True:
        # Some kills fall between the first and the second file of a stage, some between later ones.
        kills[0] = 3 + 5 * (times % 3)
        try:
            run_benchmark(protocol, site.data, torn)
            break
        except Killed:
            times += 1
        assert times < 60
    assert times > 4
    for name in TABLES:
        assert (torn / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.usefixtures("quick", "few_rows")
def test_a_new_row_leaves_scans_and_fits_alone(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    shutil.copytree(site.out, out)
    before = {path: path.stat().st_mtime_ns for path in (out / "work").rglob("*") if path.is_file()}

    def never(*_args: object, **_known: object) -> None:
        raise AssertionError("prepared again")

    monkeypatch.setattr(preparing, "prepare", never)
    smoother = MethodRow(name="smoother", methods=("zatlas",), presets=("zatlas-tiny",), settings={"sigma_mm": 4.0})
    run_benchmark(small_protocol(methods=(*ROWS, smoother)), site.data, out)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    new, old = figures(out), figures(site.out)
    assert ("smoother", "normal", "refused") in new
    kept = [key for key in old if key[0] == "quality" and key[2] != "holm p" and "best baseline" not in key[2]]
    assert all(new[key] == old[key] for key in kept)


@pytest.mark.usefixtures("quick")
def test_another_split_in_the_same_folder_is_refused(site: Site, tmp_path: Path) -> None:
    shutil.copytree(site.out, tmp_path / "out")
    with pytest.raises(OutputConflict, match="another split"):
        run_benchmark(small_protocol(split_seed=1), site.data, tmp_path / "out")


@pytest.fixture
def elsewhere(site: Site, tmp_path: Path) -> Path:
    """What a program elsewhere would hand in, had it done what the row `atlas` does."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    with (site.out / "scores.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == "atlas"]
    lines = [f"{row['case_id']},{row['score']}" for row in rows]
    (folder / "scores.csv").write_text("\n".join(["case_id,score", *lines]) + "\n")
    from safetensors.numpy import load_file

    known, own = {}, {row["case_id"]: row["score"] for row in rows}
    for path in (site.out / "work" / "scores").glob("zatlas-*/scores-*.json"):
        said = json.loads(path.read_text())["scores"]
        # The baseline of the same method has other scores.
        if all(f"{float(score):.9g}" == own[case] for case, score in said.items()):
            known |= load_file(path.with_suffix(".safetensors"))
    assert known
    split = json.loads((site.out / "split.json").read_text())
    for case, values in known.items():
        prepared = preparing.load_prepared(site.out / "work" / "prepared" / f"{split[case]['key']}.safetensors")
        assert prepared is not None
        grid = np.zeros(prepared.scan.geometry.shape, dtype=np.float32)
        grid[prepared.region.mask] = values
        write_nifti(folder / f"{case}.nii.gz", grid, prepared.scan.geometry)
    return folder


@pytest.mark.usefixtures("quick", "few_rows")
def test_a_folder_of_heatmaps_stands_as_the_same_method_run_inside(site: Site, tmp_path: Path, elsewhere: Path) -> None:
    out = tmp_path / "out"
    run_benchmark(small_protocol(), site.data, out, work=site.out / "work", heatmaps={"mine": elsewhere})
    found = figures(out)
    ours = {key[1:]: row for key, row in found.items() if key[0] == "atlas"}
    theirs = {key[1:]: row for key, row in found.items() if key[0] == "mine"}
    assert set(ours) == set(theirs)
    for key, row in ours.items():
        # Scores pass through nine digits of text.
        for column in ("value", "low", "high"):
            numbers = [float(found[column] or "nan") for found in (theirs[key], row)]
            assert numbers[0] == pytest.approx(numbers[1], abs=1e-5, nan_ok=True), (key, column)


@pytest.mark.usefixtures("quick", "few_rows")
@pytest.mark.parametrize(
    ("spoilt", "why"),
    [
        (lambda folder: (folder / "scores.csv").unlink(), "no scores.csv"),
        (lambda folder: (folder / "scores.csv").write_text("case_id,score\n"), "no line for 25 cases"),
        (lambda folder: (folder / "scores.csv").write_text("case_id,score\nx,low\n"), "not a number"),
        (lambda folder: write_nifti(next(folder.glob("*.nii.gz")), np.zeros((9, 9, 9)), AWAY), "does not cover"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(
    site: Site, tmp_path: Path, elsewhere: Path, spoilt: Callable[[Path], object], why: str
) -> None:
    spoilt(elsewhere)
    with pytest.raises(InputError, match=why):
        run_benchmark(
            small_protocol(), site.data, tmp_path / "out", work=site.out / "work", heatmaps={"mine": elsewhere}
        )


@pytest.mark.usefixtures("quick")
def test_the_cases_for_programs_elsewhere_are_all_there_and_say_who_may_train(site: Site, tmp_path: Path) -> None:
    protocol = small_protocol()
    count = write_cases(protocol, site.data, tmp_path, work=site.out / "work", jobs=1, report=print)
    with (tmp_path / "folds.csv").open(newline="") as file:
        rows = {row["case_id"]: row for row in csv.DictReader(file)}
    split = json.loads((site.out / "split.json").read_text())
    assert count == len(rows) == len(split)
    assert {case: int(row["fold"]) for case, row in rows.items()} == {c: e["fold"] for c, e in split.items()}
    assert {case for case, row in rows.items() if row["may_train_other_folds"] == "1"} == {f"{s}_T1w" for s in FREE}
    clean = read_image(tmp_path / f"{FREE[0]}_T1w.nii.gz").voxels
    assert np.array_equal(clean, read_image(site.data["t1w-site-a"] / f"{FREE[0]}_T1w.nii.gz").voxels)
    changed = next(case for case in rows if "lesion-bright" in case)
    base = read_image(tmp_path / f"{changed.split('.')[0]}.nii.gz").voxels
    assert (read_image(tmp_path / f"{changed}.nii.gz").voxels != base).any()


def with_refusals() -> Protocol:
    """Beside a lesion that is seen, one so bright that preparation refuses the scan."""
    lesions = Lesions(volumes_ml=(2.0,), contrasts=(3.0, 1000.0), signs=("bright",))
    return small_protocol(artefacts=None, lesions=lesions, methods=ROWS[:1])


@pytest.mark.usefixtures("quick", "few_rows")
def test_a_refused_scan_is_an_alarm_whose_lesions_are_missed(site: Site, tmp_path: Path) -> None:
    run_benchmark(with_refusals(), site.data, tmp_path, work=site.out / "work")
    found = figures(tmp_path)
    gone, both = ({m: row for (r, c, m), row in found.items() if (r, c) == ("atlas", cell)} for cell in (
        "lesion-bright-2ml-c1000", "all lesions",
    ))  # fmt: skip
    assert float(gone["auroc"]["value"]) == 1.0
    assert float(gone["sensitivity at 0.2"]["value"]) == 1.0
    assert float(gone["refused"]["value"]) == 4
    for metric in (
        "dice, threshold from normals", "oracle dice, pooled", "oracle dice, per subject", "top finding in lesion",
        "froc mean, false positives on normals", "froc mean, false positives on patients", "spro",
        "lesion sensitivity, volume 1–10 ml", "lesion sensitivity at 8 false positives, on normals",
    ):  # fmt: skip
        assert float(gone[metric]["value"]) == 0.0, metric
    assert float(gone["share of lesion not examined"]["value"]) == 1.0
    assert gone["voxel average precision, pooled"]["value"] == ""
    # Half of the lesions of both cells were refused: they halve every mean, and stay in what is pooled.
    seen = found["atlas", "lesion-bright-2ml-c3", "dice, threshold from normals"]
    assert float(both["dice, threshold from normals"]["value"]) == pytest.approx(float(seen["value"]) / 2, rel=1e-4)
    sensitivity = "lesion sensitivity, volume 1–10 ml"
    assert int(both[sensitivity]["n"]) == 8
    assert float(both["oracle dice, pooled"]["value"]) < float(
        found["atlas", "lesion-bright-2ml-c3", "oracle dice, pooled"]["value"]
    )


@pytest.mark.usefixtures("quick")
@pytest.mark.usefixtures("few_rows")
def test_lesions_of_a_real_shape_are_made_and_two_rows_with_one_branch_fit_it_once(site: Site, tmp_path: Path) -> None:
    bar = np.zeros((30, 30, 30), dtype=np.float32)
    bar[5:25, 12:16, 12:16] = 1
    (tmp_path / "shapes" / "stroke").mkdir(parents=True)
    write_nifti(tmp_path / "shapes" / "stroke" / "sub-1_lesion.nii.gz", bar, Geometry((30, 30, 30), np.eye(4)))
    rows = (
        MethodRow(name="one", methods=("dae",), presets=("dae-tiny",)),
        MethodRow(name="both", methods=("dae", "zatlas"), presets=("dae-tiny", "zatlas-tiny")),
    )
    protocol = small_protocol(
        artefacts=None, seeds=(0,), lesions=Lesions(volumes_ml=(2.0,), contrasts=(3.0,), shapes=("real",)), methods=rows
    )
    data = site.data | {"lesion-shapes": tmp_path / "shapes"}
    run_benchmark(protocol, data, tmp_path / "out")
    found = figures(tmp_path / "out")
    assert found["both", "real-lesion-bright-2ml-c3", "refused"]["value"] == "0"
    assert len(list((tmp_path / "out" / "work" / "branches").glob("dae-*"))) == protocol.folds
