"""Set-ups that would cheat are refused or cannot be expressed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from anomri.benchmark.cases import NORMAL, Case
from anomri.benchmark.evaluate import detection, p_values
from anomri.benchmark.folds import split, verify_apart
from anomri.benchmark.preparing import Ready
from anomri.benchmark.protocol import DataUse, MethodRow, Protocol
from anomri.benchmark.results import Results
from anomri.errors import DataLeak


def ready(name: str, subject: str, *, cell: str = NORMAL, key: str | None = None) -> Ready:
    case = Case(name, subject, "ixi", "here", cell, Path(f"{name}.nii"), trains=cell == NORMAL)
    return Ready(case, name if key is None else key, Path(f"{name}.safetensors"))


def protocol(folds: int = 3) -> Protocol:
    return Protocol(
        name="x", title="", question="", data=(DataUse(set="ixi"),), recipe="brain-t1", folds=folds,
        rates=(0.1,), methods=(MethodRow(name="a", methods=("zatlas",)),),
    )  # fmt: skip


def results(cases: list[Ready], scores: dict[str, float]) -> Results:
    return Results(
        row=MethodRow(name="a", methods=("zatlas",)),
        normals=None,
        ready=tuple(cases),
        scores={0: scores},
        refused={},
        calibration={},
        # A fold a person, unless a test says otherwise.
        fold_of={r.case.case_id: sorted({c.case.subject for c in cases}).index(r.case.subject) for r in cases},
        maps={0: ()},
        costs=(),
    )


def test_all_scans_of_a_subject_stand_in_one_fold_and_its_model_never_saw_it() -> None:
    cases = [ready(f"s{n}", f"p{n // 2}") for n in range(12)] + [ready("bad", "p0", cell="motion-3")]
    folds = split(protocol(), cases)
    for fold in folds:
        tested = {r.case.subject for r in fold.test}
        assert tested.isdisjoint(r.case.subject for r in fold.train)
        assert all(not r.case.abnormal for r in fold.train)
    assert sorted(r.case.case_id for fold in folds for r in fold.test) == sorted(r.case.case_id for r in cases)


def test_a_subject_on_both_sides_is_refused() -> None:
    with pytest.raises(DataLeak, match="training and test"):
        verify_apart([ready("a", "p1")], [ready("b", "p1")])


def test_one_image_under_two_names_on_both_sides_is_refused() -> None:
    with pytest.raises(DataLeak, match="one image"):
        verify_apart([ready("a", "p1", key="same")], [ready("b", "p2", key="same")])


def test_a_threshold_never_comes_from_the_scanned_subject() -> None:
    cases = [ready(f"s{n}", f"p{n}") for n in range(20)]
    scores = {f"s{n}": float(n) for n in range(20)}
    p = p_values(results(cases, scores), 0, [f"s{n}" for n in range(20)])
    # 19 others: the highest has none above it, the lowest all.
    assert p[19] == pytest.approx(1 / 20)
    assert p[0] == pytest.approx(20 / 20)


def test_a_fold_whose_model_scores_everybody_higher_is_seen_in_the_false_alarms() -> None:
    cases = [ready(f"s{n}", f"p{n}") for n in range(40)]
    scores = {f"s{n}": float(n % 20) + (100.0 if n < 20 else 0.0) for n in range(40)}
    folds = {f"s{n}": int(n < 20) for n in range(40)}
    found = detection(protocol(), replace(results(cases, scores), fold_of=folds))
    # Judged by all but themselves, 4 of 40 would be alarms at 0.1 whatever the scores.
    assert next(e.value for e in found if e.metric == "false alarms at 0.1") == pytest.approx(20 / 40)


def test_changing_abnormal_scores_moves_no_threshold() -> None:
    cases = [ready(f"s{n}", f"p{n}") for n in range(20)] + [ready(f"b{n}", f"p{n}", cell="motion-3") for n in range(20)]
    rng = np.random.default_rng(0)
    clean = {f"s{n}": float(v) for n, v in enumerate(rng.normal(size=20))}
    quiet = results(cases, clean | {f"b{n}": 0.0 for n in range(20)})
    loud = results(cases, clean | {f"b{n}": 100.0 for n in range(20)})
    names = [f"s{n}" for n in range(20)]
    assert p_values(quiet, 0, names).tolist() == p_values(loud, 0, names).tolist()
    alarms = [[e.value for e in detection(protocol(), r) if e.metric == "false alarms at 0.1"] for r in (quiet, loud)]
    assert alarms[0] == alarms[1]


def test_a_refused_normal_is_a_false_alarm_and_is_counted() -> None:
    cases = [ready(f"s{n}", f"p{n}") for n in range(30)]
    scores = {f"s{n}": float(n) for n in range(29)} | {"s29": float("inf")}
    found = {e.metric: e for e in detection(protocol(), results(cases, scores)) if e.cell == NORMAL}
    assert found["refused"].value == 1
    assert found["false alarms at 0.1"].value == pytest.approx(3 / 30)


def test_a_rate_the_normals_cannot_show_has_no_figure_but_a_reason() -> None:
    cases = [ready(f"s{n}", f"p{n}") for n in range(6)]
    scores = {f"s{n}": float(n) for n in range(6)}
    (found,) = [e for e in detection(protocol(), results(cases, scores)) if e.metric == "false alarms at 0.1"]
    assert np.isnan(found.value)
    assert "cannot promise" in found.note


def test_two_seeds_give_a_figure_between_their_own() -> None:
    cases = [ready(f"s{n}", f"p{n}") for n in range(20)] + [ready(f"b{n}", f"q{n}", cell="x") for n in range(20)]
    rng = np.random.default_rng(1)
    runs = {
        seed: {f"s{n}": float(rng.normal()) for n in range(20)} | {f"b{n}": float(rng.normal(1.0)) for n in range(20)}
        for seed in (0, 1)
    }
    both = replace(results(cases, runs[0]), scores=runs)
    (found,) = [e for e in detection(protocol(), both) if e.metric == "auroc"]
    assert found.least <= found.value <= found.most
    assert found.low < found.value < found.high
