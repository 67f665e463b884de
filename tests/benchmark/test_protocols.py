"""Protocols: what is shipped can be read, what cannot run is refused with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomri.benchmark.protocol import MethodRow, Protocol, read_protocol, shipped_protocols
from anomri.benchmark.rows import BASELINES, rows_of
from anomri.datasets.catalogue import DATASETS
from anomri.errors import InputError
from anomri.methods import load_preset
from anomri.models import Model
from anomri.simulate import KINDS

SHIPPED = sorted(shipped_protocols())


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_protocol_names_what_exists(name: str) -> None:
    protocol = read_protocol(name)
    assert protocol.name == name
    assert {use.set for use in protocol.data} <= set(DATASETS)
    for row in rows_of(protocol):
        for method, preset in zip(row.methods, row.presets or [None] * len(row.methods), strict=True):
            load_preset(method, preset)
    if protocol.artefacts is not None:
        assert set(protocol.artefacts.kinds) <= set(KINDS)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_baseline_stands_in_every_table(name: str) -> None:
    protocol = read_protocol(name)
    rows = rows_of(protocol)
    assert len({row.name for row in rows}) == len(rows)
    stand = {row.name: row for row in rows}
    for name, method, preset in BASELINES:
        if protocol.unit == "slice" or method != "baseline-position":
            (spec,) = stand[name].specs()
            assert (spec.method, spec.preset, stand[name].baseline) == (method, preset, True)


def test_a_row_by_the_name_of_a_baseline_stands_for_it_and_no_other_row_does() -> None:
    shipped = read_protocol("t1-lesions")
    smooth = MethodRow(name="atlas, smooth", methods=("zatlas",), settings={"sigma_mm": 4.0})
    own = MethodRow(name="B5 atlas", methods=("zatlas",), settings={"least_normals": 4}, baseline=True)
    rows = rows_of(shipped.model_copy(update={"methods": (smooth, own)}))
    assert len(rows) == len(rows_of(shipped)) - len(shipped.methods) + 1
    assert [row.settings for row in rows if row.name == "B5 atlas"] == [{"least_normals": 4}]
    assert next(row for row in rows_of(shipped.model_copy(update={"methods": (smooth,)})) if row.name == "B5 atlas")


def test_both_t1_protocols_share_scans_split_and_methods_so_that_one_training_serves_both() -> None:
    artefacts, lesions = read_protocol("t1-artefacts"), read_protocol("t1-lesions")
    for field in ("data", "recipe", "folds", "split_seed", "seeds", "methods"):
        assert getattr(artefacts, field) == getattr(lesions, field)


def test_the_full_grid_shares_scans_split_and_fits_with_the_first_table() -> None:
    first, full = read_protocol("t1-artefacts"), read_protocol("t1-full")
    for field in ("data", "recipe", "folds", "split_seed"):
        assert getattr(first, field) == getattr(full, field)
    assert full.seeds == first.seeds[:1]
    assert full.artefacts is not None
    assert first.artefacts is not None
    assert full.artefacts.kinds == first.artefacts.kinds
    assert full.artefacts.severities == (1, 2, 3, 4, 5)
    assert full.lesions is not None
    assert set(full.lesions.volumes_ml) == {0.5, 2.0, 5.0}
    assert set(full.lesions.contrasts) == {1.0, 0.5}
    rows = {row.methods for row in rows_of(full)}
    assert {("autoencoder",), ("dae",), ("zatlas",), ("iqm1c",), ("zatlas", "iqm1c", "dae")} <= rows
    assert tuple(branch.method for branch in Model.load("brain-t1").card.branches) in rows
    assert next(row for row in full.methods if row.name == "autoencoder-small") in first.methods


def test_the_published_recipes_are_all_tried_with_the_trainings_of_the_first_table() -> None:
    first, recipes = read_protocol("t1-artefacts"), read_protocol("t1-published-artefacts")
    for field in ("data", "recipe", "folds", "split_seed", "seeds"):
        assert getattr(first, field) == getattr(recipes, field)
    assert recipes.artefacts is not None
    assert set(recipes.artefacts.kinds) == {name for name in KINDS if name.startswith(("tokens-", "itermask3d-"))}
    assert all(row in first.methods for row in recipes.methods)


MINIMAL = 'name = "x"\ntitle = ""\nquestion = ""\ndata = [{ set = "ixi" }]\nrecipe = "brain-t1"\n'
ROW = '[[methods]]\nname = "a"\nmethods = ["zatlas"]\n'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name = ", "TOML"),
        (MINIMAL, "methods"),
        (MINIMAL + ROW + ROW, "same name"),
        (MINIMAL + '[[methods]]\nname = "a"\n', "methods or heatmaps"),
        (MINIMAL + ROW + 'presets = ["zatlas", "zatlas"]\n', "one preset a method"),
        (MINIMAL + ROW + 'recipe = "nowhere"\n', "no recipe"),
        (MINIMAL + "folds = 1\n" + ROW, "folds"),
        (MINIMAL + "colour = 1\n" + ROW, "colour"),
    ],
)
def test_a_protocol_that_cannot_run_is_refused(text: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=why):
        read_protocol(str(file))


def test_a_protocol_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(InputError) as caught:
        read_protocol("t1-lesion")
    assert "t1-lesions" in caught.value.remedy


def test_a_recipe_of_the_protocol_is_a_shipped_one_with_changes() -> None:
    protocol = read_protocol("pipeline-context")
    assert isinstance(protocol, Protocol)
    changed, base = protocol.recipe_of("no-bias"), protocol.recipe_of("brain-t1")
    assert not changed.bias
    assert base.bias
    assert changed.sha256 != base.sha256
