"""The source classifier marks a set whose abnormal scans come from elsewhere, and only such a set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from anomri.benchmark import source
from anomri.benchmark.cases import NORMAL, Case
from anomri.benchmark.preparing import Ready
from anomri.benchmark.protocol import MethodRow
from anomri.benchmark.results import Results
from anomri.benchmark.source import source_classifier
from anomri.core.prepared import Prepared
from synthetic import prepared_population, with_lesion


def judged(
    monkeypatch: pytest.MonkeyPatch,
    normals: list[Prepared],
    abnormal: list[Prepared],
    abnormal_source: str,
    lesions: Sequence[np.ndarray] = (),
) -> tuple[float, dict[str, str]]:
    scans = {f"c{i}": p for i, p in enumerate([*normals, *abnormal])}
    ready = tuple(
        Ready(
            Case(
                name, f"p{i}", "here" if i < len(normals) else abnormal_source, "one",
                NORMAL if i < len(normals) else "tumours", Path(f"{name}.nii"),
            ),
            name,
            Path(f"{name}.safetensors"),
        )
        for i, name in enumerate(scans)
    )  # fmt: skip
    monkeypatch.setattr(source, "load_ready", lambda one: scans[one.case.case_id])
    truths = dict(zip(list(scans)[len(normals) :], lesions, strict=False))
    monkeypatch.setattr(source, "load_truth", lambda one: truths.get(one.case.case_id))
    results = Results(
        row=MethodRow(name="a", methods=("zatlas",)), normals=None, ready=ready, scores={0: dict.fromkeys(scans, 0.0)},
        refused={}, calibration={}, fold_of={name: i % 3 for i, name in enumerate(scans)}, maps={0: ()}, costs=(),
    )  # fmt: skip
    (entry,), confounds = source_classifier(results)
    return entry.value, dict(confounds)


def test_scans_of_another_source_mark_the_column_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def brighter(p: Prepared) -> Prepared:
        voxels = (p.scan.voxels**0.7).astype(np.float32)
        noisier = {name: None if q is None else 1.3 * q for name, q in p.quality.items()}
        return replace(p, scan=replace(p.scan, voxels=voxels), quality=noisier)

    value, confounds = judged(
        monkeypatch, prepared_population(18, 1), [brighter(p) for p in prepared_population(18, 2)], "elsewhere"
    )
    assert value > 0.95
    assert "AUROC" in confounds["tumours"]
    assert "from here, these from elsewhere" in confounds["tumours"]


def test_scans_of_one_source_with_and_without_lesions_are_not_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    everyone = prepared_population(48, 4)
    ill = [with_lesion(p, 0.5, i) for i, p in enumerate(everyone[24:])]
    lesions = [abs(new.scan.voxels - old.scan.voxels) > 0.005 for new, old in zip(ill, everyone[24:], strict=True)]
    value, confounds = judged(monkeypatch, everyone[:24], ill, "here", lesions)
    assert value < 0.7
    assert confounds == {}
