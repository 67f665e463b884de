"""Simulated cases: rotating subjects, and defects that hang on cell and scan alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from anomri.benchmark.cases import NORMAL, Case, simulated_cases
from anomri.benchmark.protocol import Artefacts, DataUse, Lesions, MethodRow, Protocol
from anomri.errors import InputError


def protocol(kinds: tuple[str, ...] = ("motion", "blur"), per_cell: int = 4) -> Protocol:
    return Protocol(
        name="x",
        title="",
        question="",
        data=(DataUse(set="ixi"),),
        recipe="brain-t1",
        artefacts=Artefacts(kinds=kinds, severities=(3, 5)),
        lesions=Lesions(volumes_ml=(5.0,)),
        subjects_per_cell=per_cell,
        methods=(MethodRow(name="a", methods=("zatlas",)),),
    )


def normals(count: int) -> list[Case]:
    return [
        Case(f"scan-{n}", f"person-{n}", "ixi", "here", NORMAL, Path(f"{n}.nii"), trains=True) for n in range(count)
    ]


def test_every_cell_has_its_number_of_subjects_and_all_subjects_are_used_alike() -> None:
    made = simulated_cases(protocol(), normals(8))
    assert Counter(case.cell for case in made) == {
        "motion-3": 4, "motion-5": 4, "blur-3": 4, "blur-5": 4, "lesion-bright-5ml-c1": 4, "lesion-dark-5ml-c1": 4,
    }  # fmt: skip
    used = Counter(case.subject for case in made)
    assert set(used.values()) == {3}
    assert len({case.case_id for case in made}) == len(made)
    assert all(case.abnormal and not case.trains for case in made)


def test_a_cell_has_all_subjects_where_there_are_fewer() -> None:
    made = simulated_cases(protocol(per_cell=20), normals(3))
    assert set(Counter(case.cell for case in made).values()) == {3}


def test_the_defect_of_a_scan_does_not_hang_on_which_other_cells_there_are() -> None:
    few = {c.case_id: c.defect for c in simulated_cases(protocol(("blur",), per_cell=8), normals(8))}
    many = {c.case_id: c.defect for c in simulated_cases(protocol(per_cell=8), normals(8))}
    assert few.items() <= many.items()


def test_two_scans_and_two_cells_have_different_seeds() -> None:
    made = simulated_cases(protocol(), normals(8))
    assert len({case.defect.seed for case in made if case.defect is not None}) == len(made)


def with_shapes(*shapes: str) -> Protocol:
    return protocol().model_copy(update={"lesions": Lesions(volumes_ml=(5.0, 2.0), shapes=shapes)})


def test_a_real_shape_has_cells_of_its_own_and_leaves_the_drawn_ones_as_they_were():
    shapes = [Path(f"shape-{n}.nii.gz") for n in range(5)]
    drawn = simulated_cases(with_shapes("drawn"), normals(8))
    both = simulated_cases(with_shapes("drawn", "real"), normals(8), shapes)
    assert both[: len(drawn)] == drawn
    real = both[len(drawn) :]
    assert {c.cell for c in real} == {f"real-lesion-{s}-{v}ml-c1" for s in ("bright", "dark") for v in (2, 5)}
    assert {c.outline for c in real} <= set(shapes)
    assert len({c.outline for c in real}) > 1
    assert all(c.outline is None for c in drawn)


def test_real_shapes_that_are_missing_are_asked_for():
    with pytest.raises(InputError, match="masks of real lesions"):
        simulated_cases(with_shapes("real"), normals(8))
