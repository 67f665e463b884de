"""Where a simulated defect acts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from anomri.benchmark import preparing
from anomri.benchmark.cases import Case, Defect
from anomri.benchmark.preparing import Ready, made_scan, prepare_cases
from anomri.extraction import EXTRACTION
from anomri.io.write import write_nifti
from anomri.pipeline.brain import FoundBrain
from anomri.pipeline.store import save_prepared
from anomri.preparation import recipe_named
from synthetic import GRID, prepared_population


@pytest.mark.parametrize(
    ("name", "made_by", "reaches"),
    [("brain", "stripped_mask", False), ("head", "head_mask", True), ("body", "b", True), ("brain", EXTRACTION, True)],
)
def test_an_artefact_reaches_the_air_around_a_head_or_body_and_nothing_around_a_stripped_brain(
    name: str, made_by: str, reaches: bool, tmp_path: Path
) -> None:
    (person,) = prepared_population(1, 2)
    write_nifti(tmp_path / "scan.nii.gz", person.scan.voxels, GRID)
    save_prepared(
        replace(person, brain=replace(person.brain, name=name, made_by=made_by)), tmp_path / "clean.safetensors"
    )
    defect = Defect(kind="artefact", name="ghosting", severity=5, seed=1)
    case = Case("case", "p", "x", "a", "ghosting-5", tmp_path / "scan.nii.gz", defect=defect)
    made = made_scan(Ready(case, "key", None, clean="clean"), tmp_path)
    assert (made.voxels[person.brain.mask] != person.scan.voxels[person.brain.mask]).any()
    assert bool((made.voxels[~person.brain.mask] != 0).any()) == reaches


def test_a_head_is_prepared_anew_where_brains_are_cut_out_in_another_way_and_a_stripped_scan_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (person,) = prepared_population(1, 2)
    write_nifti(tmp_path / "scan.nii.gz", person.scan.voxels, GRID)
    case, made = Case("case", "p", "x", "a", "normal", tmp_path / "scan.nii.gz"), []

    def prepared_again(head: bool) -> int:
        monkeypatch.setattr(preparing, "brain_of", lambda _scan, _recipe: FoundBrain(None, None, head, ()))
        monkeypatch.setattr(preparing, "prepare", lambda *_args, **_more: made.append(1) or person)
        folder = tmp_path / str(head)
        for version in (EXTRACTION, EXTRACTION, "extraction-0"):
            monkeypatch.setattr(preparing, "EXTRACTION", version)
            prepare_cases([case], recipe_named("brain-t1"), folder, jobs=1, report=lambda _line: None)
        return len(made)

    assert prepared_again(head=False) == 1
    made.clear()
    assert prepared_again(head=True) == 2
