"""Where a simulated defect acts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from anomri.benchmark.cases import Case, Defect
from anomri.benchmark.preparing import Ready, made_scan
from anomri.io.write import write_nifti
from anomri.pipeline.store import save_prepared
from synthetic import GRID, prepared_population


@pytest.mark.parametrize(("name", "reaches"), [("brain", False), ("head", True), ("body", True)])
def test_an_artefact_reaches_the_air_around_a_head_or_body_and_nothing_around_a_stripped_brain(
    name: str, reaches: bool, tmp_path: Path
) -> None:
    (person,) = prepared_population(1, 2)
    write_nifti(tmp_path / "scan.nii.gz", person.scan.voxels, GRID)
    save_prepared(replace(person, brain=replace(person.brain, name=name)), tmp_path / "clean.safetensors")
    defect = Defect(kind="artefact", name="ghosting", severity=5, seed=1)
    case = Case("case", "p", "x", "a", "ghosting-5", tmp_path / "scan.nii.gz", defect=defect)
    made = made_scan(Ready(case, "key", None, clean="clean"), tmp_path)
    assert (made.voxels[person.brain.mask] != person.scan.voxels[person.brain.mask]).any()
    assert bool((made.voxels[~person.brain.mask] != 0).any()) == reaches
