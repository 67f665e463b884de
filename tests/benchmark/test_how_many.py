"""A protocol that varies the number of normals: who trains, who calibrates, and who cannot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from anomri.benchmark import curves, report, run, scoring
from anomri.benchmark.cases import NORMAL, Case
from anomri.benchmark.folds import Fold
from anomri.benchmark.preparing import Ready
from anomri.benchmark.protocol import MethodRow
from anomri.benchmark.results import Entry, Results
from anomri.benchmark.run import run_benchmark
from anomri.benchmark.scoring import fit_and_score, jobs_of
from anomri.core.prepared import Prepared
from anomri.errors import DataLeak
from small_benchmark import ROWS, Site, small_protocol
from synthetic import prepared_population


@pytest.mark.usefixtures("quick")
def test_training_and_calibration_see_the_drawn_normals_alone(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    real = scoring.fit_branches

    def watched(specs: object, prepared: Sequence[Prepared], **rest: object) -> object:
        seen.append({p.subject for p in prepared})
        return real(specs, prepared, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(scoring, "fit_branches", watched)
    monkeypatch.setattr(run, "rows_of", lambda protocol: protocol.methods)
    monkeypatch.setattr(report, "curves", lambda _protocol, _table: [])
    lone = MethodRow(name="fussy", methods=("zatlas",), settings={"least_normals": 4})
    protocol = small_protocol(
        normals=(4,), artefacts=None, lesions=None, rates=(0.2,), methods=(ROWS[0], lone), seeds=(0, 1)
    )
    run_benchmark(protocol, site.data, tmp_path, work=tmp_path / "work")
    # Three folds by two seeds, each with four inner fits on three of its four, which follow it.
    whole, inner = [who for who in seen if len(who) == 4], [who for who in seen if len(who) == 3]
    assert len(whole) == 6
    assert len(inner) == 24
    assert len(seen) == 30
    latest: set[str] = set()
    for who in seen:
        latest = who if len(who) == 4 else latest
        assert who <= latest
    assert len({frozenset(who) for who in whole}) > 3
    for path in (tmp_path / "work" / "scores").glob("*/scores-*.json"):
        assert len(json.loads(path.read_text())["calibration"]) == 4
    assert not list((tmp_path / "work" / "scores").glob("fussy-*"))
    assert "zatlas would learn from 3 normal scans and needs 4" in (tmp_path / "tables.md").read_text()


def test_an_image_that_trained_a_model_never_calibrates_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    people = {p.scan.scan_id: p for p in prepared_population(6, 5)}

    def ready(name: str, subject: str, key: str) -> Ready:
        case = Case(name, subject, "here", "one", NORMAL, Path(f"{name}.nii"), trains=True)
        return Ready(case, key, Path(f"{name}.safetensors"))

    train = [ready(name, f"p{i}", f"key-{max(1, i)}") for i, name in enumerate(people)]
    fold = Fold(0, tuple(train[:5]), tuple(train[5:]))
    monkeypatch.setattr(scoring, "load_ready", lambda one: people[one.case.case_id])
    jobs = jobs_of(small_protocol(normals=(5,), seeds=(0,)), ROWS[0], [fold], recipe_sha256="r", folder=tmp_path)
    with pytest.raises(DataLeak, match="one image"):
        fit_and_score(jobs, processes=1, fit_only=False, report=print)


@pytest.mark.parametrize(
    ("known", "rate"),
    [
        ({5: (0.2,), 20: (0.05, 0.1, 0.2)}, 0.2),
        ({10: (0.1, 0.2), 20: (0.05, 0.1, 0.2)}, 0.1),
        ({20: (0.05, 0.1, 0.2)}, 0.05),
        ({5: (), 20: (0.1,)}, 0.1),
        ({5: (), 10: (0.2,), 20: (0.05, 0.1, 0.2)}, 0.2),
        ({5: ()}, 0.05),
    ],
)
def test_the_headline_is_at_a_rate_that_the_most_numbers_of_normals_can_show(
    known: dict[int, tuple[float, ...]], rate: float
) -> None:
    protocol = small_protocol(normals=tuple(known), rates=(0.05, 0.1, 0.2))
    entries = [
        Entry("atlas", n, NORMAL, f"false alarms at {r:g}", 0.0 if r in can else float("nan"))
        for n, can in known.items()
        for r in protocol.rates
    ]
    # A row that is left out has no say.
    entries.append(Entry("fussy", 3, NORMAL, "left out", float("nan")))
    assert report.headlines(protocol, entries)[0][0] == f"sensitivity at {rate:g}"


def test_the_plots_show_the_models_that_learnt_from_the_most_normals(monkeypatch: pytest.MonkeyPatch) -> None:
    def results(normals: int | None) -> Results:
        return Results(ROWS[0], normals, (), {0: {}}, {}, {}, {}, {}, ())

    drawn: list[list[int | None]] = []
    monkeypatch.setattr(curves, "_plot", lambda table, *_rest: drawn.append([r.normals for r in table]))
    curves.curves(small_protocol(normals=(5, 10)), [results(5), results(10), results(None)])
    curves.curves(small_protocol(), [results(None)])
    assert drawn == [[10, None], [None]]
