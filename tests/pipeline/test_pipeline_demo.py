"""The demo's examples: from a seed, with known defects, and of nobody who trained its model."""

from __future__ import annotations

import numpy as np
import pytest

from anomri.pipeline import demo
from anomri.pipeline.demo import DEMO_SPACING_MM, Example, demo_normal, examples, tissue_maps

KINDS = ["normal-1", "normal-2", "motion", "ghosting", "missing-part", "lesion", "no-brain"]


@pytest.fixture(autouse=True, scope="module")
def _coarse():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "DEMO_SPACING_MM", (2.8, 3.2))
        yield


@pytest.fixture(scope="module")
def seven() -> list[Example]:
    return list(examples(5))


def test_there_are_seven_with_the_verdicts_that_would_be_right(seven):
    assert [e.name for e in seven] == KINDS
    expected = {e.name: set(e.expected) for e in seven}
    assert expected["normal-1"] == expected["normal-2"] == {"pass", "warn"}
    assert all(expected[name] == {"warn", "fail"} for name in KINDS[2:6])
    assert expected["no-brain"] == {"out_of_scope"}


def test_the_same_seed_gives_the_same_bytes(seven):
    for one, other in zip(seven, examples(5), strict=True):
        assert one.scan.voxels.tobytes() == other.scan.voxels.tobytes()
        assert one.scan.source.sha256 == other.scan.source.sha256


def test_every_example_and_every_seed_is_somebody_else(seven):
    digests = [e.scan.source.sha256 for e in seven]
    others = [next(iter(examples(seed))).scan.source.sha256 for seed in (4, 6)]
    assert len(set(digests + others)) == len(digests) + 2


def test_subjects_of_the_examples_never_trained_the_model(monkeypatch):
    drawn: list[int] = []

    def watched(maps, subject):
        drawn.append(subject)
        return demo_normal(maps, subject)

    monkeypatch.setattr(demo, "demo_normal", watched)
    for seed in (0, 1):
        list(examples(seed))
    assert len(set(drawn)) == len(drawn) == 12
    # The normals of demo-brain are numbered from 0.
    assert min(drawn) >= 1_000_000


def test_a_normal_has_a_voxel_size_of_the_demo_from_its_own_number(monkeypatch):
    monkeypatch.setattr(demo, "DEMO_SPACING_MM", (2.8, 3.2))
    one, same, other = (demo_normal(tissue_maps(), n).scan.geometry.spacing_mm[0] for n in (3, 3, 4))
    assert one == same != other
    assert 2.8 <= min(one, other) <= max(one, other) <= 3.2
    assert DEMO_SPACING_MM == (1.3, 1.7)


def test_the_lesion_lies_inside_the_brain_and_changes_its_signal(seven):
    lesion = seven[KINDS.index("lesion")].scan
    clean = demo_normal(tissue_maps(), 1_000_000 + 8 * 5 + 5)
    changed = lesion.voxels != clean.scan.voxels
    assert not (changed & ~clean.brain).any()
    # 15 ml, and the softness of its border around them.
    assert 10 < changed.sum() * lesion.geometry.voxel_ml < 80
    assert np.abs(lesion.voxels - clean.scan.voxels).max() > 0.1 * np.median(clean.scan.voxels[clean.brain])
