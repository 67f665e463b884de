"""What every method promises, whatever it is: one test a promise, run over `METHODS`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import get_args

import numpy as np
import pytest
from safetensors import numpy as safetensors

from anomri.core.prepared import Prepared
from anomri.core.reading import Reading
from anomri.errors import ModelError
from anomri.methods import METHODS, load_method, load_preset
from anomri.methods.method import Adaptable, Config, FitReport, Method
from anomri.models import Model
from anomri.training.holdout import set_apart
from synthetic import GRID, prepared_population, with_lesion

SEED = 3


@dataclass
class Fitted:
    """A method fitted on normals it must leave as they were, and people it has never seen."""

    config: Config
    method: Method
    kind: type[Method]
    normals: list[Prepared]
    before: list[bytes]
    report: FitReport
    others: list[Prepared] = field(default_factory=lambda: prepared_population(4, seed=2))


def preset_for_tests(name: str) -> str:
    """The preset made for tests, or the default one."""
    presets = METHODS[name].presets
    return next((p for p in presets if p.endswith("-tiny")), presets[0])


@pytest.fixture(scope="module", params=sorted(METHODS))
def fitted(request: pytest.FixtureRequest) -> Fitted:
    _, preset = load_preset(request.param, preset_for_tests(request.param))
    kind = load_method(request.param)
    normals = prepared_population(10, seed=1)
    before = [content(p) for p in normals]
    method = kind(preset.config)
    report = method.fit(normals, seed=SEED, fabric=None, resume=None)
    return Fitted(preset.config, method, kind, normals, before, report)


def content(prepared: Prepared) -> bytes:
    """Everything of a prepared scan that a method could have touched."""
    numbers = repr((sorted(prepared.quality.items()), sorted(prepared.covariates.items()), prepared.subject))
    arrays = (prepared.scan.voxels, prepared.region.mask, prepared.brain.mask)
    return b"".join([*(a.tobytes() for a in arrays), numbers.encode(), prepared.history.model_dump_json().encode()])


def assert_same(one: Reading, other: Reading) -> None:
    """Equal to the last bit."""
    assert one.score == other.score
    assert dict(one.values) == dict(other.values)
    assert set(one.maps) == set(other.maps)
    pairs = [(one.map, other.map), (one.expected, other.expected), *((one.maps[k], other.maps[k]) for k in one.maps)]
    for a, b in pairs:
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("name", "preset"), [(n, p) for n, e in METHODS.items() for p in e.presets])
def test_every_preset_of_the_table_builds_its_method(name, preset):
    _, content = load_preset(name, preset)
    method = load_method(name)(content.config)
    assert isinstance(content.config, method.config_type)
    assert content.claim
    assert type(content.config).model_validate_json(content.config.model_dump_json()) == content.config


def test_a_network_reads_the_normals_that_it_held_out(fitted):
    readings = fitted.report.held_out
    if not hasattr(fitted.config, "holdout"):
        assert readings == ()
        return
    _, held = set_apart(fitted.normals, fitted.config.holdout, seed=SEED)
    assert len(readings) == len(held) >= 3
    for reading, scan in zip(readings, held, strict=True):
        assert np.isfinite(reading.score)
        now = fitted.method.examine(scan, seed=SEED)
        if now.expected is not None:
            np.testing.assert_array_equal(reading.expected, now.expected)


def test_the_same_seed_gives_the_same_reading(fitted):
    for person in fitted.others:
        assert_same(fitted.method.examine(person, seed=SEED), fitted.method.examine(person, seed=SEED))


def test_fitting_again_with_the_same_seed_gives_the_same_state(fitted):
    again = fitted.kind(fitted.config)
    again.fit(fitted.normals, seed=SEED, fabric=None, resume=None)
    one, other = fitted.method.state(), again.state()
    assert set(one) == set(other)
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name])


def test_the_methods_of_the_bundled_models_can_be_adapted_and_no_others():
    adaptable = {name for name in METHODS if hasattr(load_method(name), "adapted")}
    bundled = {branch.method for name in ("brain-t1", "demo-brain") for branch in Model.load(name).card.branches}
    assert adaptable == bundled


def test_a_method_that_can_be_adapted_finds_a_site_more_normal_afterwards_and_is_itself_unchanged(fitted):
    if not isinstance(fitted.method, Adaptable):
        return
    site = [of_another_scanner(p) for p in prepared_population(12, seed=7)]
    before, stays = [content(p) for p in site], {n: a.copy() for n, a in fitted.method.state().items()}
    moved = fitted.method.adapted(site)
    assert [content(p) for p in site] == before
    for name, array in fitted.method.state().items():
        np.testing.assert_array_equal(array, stays[name])
    assert type(moved) is fitted.kind
    new = [of_another_scanner(p) for p in prepared_population(12, seed=8)]
    scores = [[m.examine(p, seed=SEED).score for p in new] for m in (fitted.method, moved)]
    assert np.median(scores[1]) < 0.9 * np.median(scores[0])
    again = fitted.kind.restore(fitted.config, dict(moved.state()))
    assert_same(again.examine(new[0], seed=SEED), moved.examine(new[0], seed=SEED))


def of_another_scanner(prepared: Prepared) -> Prepared:
    """Brighter in a part too small to be a scan's own unrest, and every quality metric a quarter higher."""
    part = np.where(np.arange(prepared.scan.voxels.shape[0]) < prepared.scan.voxels.shape[0] // 4, 1.5, 1.0)
    voxels = (prepared.scan.voxels * part[:, None, None]).astype(np.float32)
    quality = {name: None if value is None else 1.25 * value for name, value in prepared.quality.items()}
    return replace(prepared, scan=replace(prepared.scan, voxels=voxels), quality=quality)


def test_the_map_is_finite_inside_the_region_and_nan_outside(fitted):
    for person in fitted.others:
        reading = fitted.method.examine(person, seed=SEED)
        assert (reading.map is not None) == fitted.method.localises
        if reading.map is not None:
            assert reading.map.shape == GRID.shape
            assert reading.map.dtype == np.float32
            np.testing.assert_array_equal(np.isfinite(reading.map), person.region.mask)


def test_every_other_map_lies_on_the_prepared_grid(fitted):
    reading = fitted.method.examine(fitted.others[0], seed=SEED)
    expected = [] if reading.expected is None else [reading.expected]
    for array in (*expected, *reading.maps.values()):
        assert array.shape == GRID.shape
        assert array.dtype == np.float32
        assert np.isfinite(array).any()
        assert not np.isinf(array).any()
    assert all(np.isfinite(v) for v in reading.values.values())


def test_neither_fitting_nor_examining_changes_its_input(fitted):
    assert [content(p) for p in fitted.normals] == fitted.before
    before = [content(p) for p in fitted.others]
    for person in fitted.others:
        fitted.method.examine(person, seed=SEED)
    assert [content(p) for p in fitted.others] == before


def test_a_reading_does_not_depend_on_the_scans_before_it(fitted):
    first, second, *_ = fitted.others
    alone = fitted.method.examine(first, seed=SEED)
    fitted.method.examine(second, seed=SEED + 1)
    assert_same(fitted.method.examine(first, seed=SEED), alone)


def test_the_state_survives_a_file_exactly(fitted):
    state = fitted.method.state()
    assert all(isinstance(a, np.ndarray) and a.dtype.kind in "fiu" for a in state.values())
    stored = safetensors.load(safetensors.save(dict(state)))
    restored = fitted.kind.restore(fitted.config, stored)
    assert set(restored.state()) == set(state)
    for person in fitted.others:
        assert_same(restored.examine(person, seed=SEED), fitted.method.examine(person, seed=SEED))


# Another value of every setting that is said to be of the reading alone.
OTHER_READING = {
    "top_voxels": 1,
    "top_fraction": 0.3,
    "erosion_voxels": 1,
    "smallest_mm3": 800.0,
    "most_passes": 2,
    "fused": "union",
    "dilation_px": 3,
    "smallest_px": 1,
    "backflow": True,
    "edge_erosion": 1,
}


def test_settings_of_the_reading_alone_leave_the_fit_as_it_is(fitted):
    names = fitted.config.reading_only
    if not names:
        pytest.skip("every setting of this method may decide its fit")
    changes = {name: OTHER_READING[name] for name in names - {"score"}}
    if "score" in names:
        (known,) = (get_args(f.annotation) for n, f in type(fitted.config).model_fields.items() if n == "score")
        changes["score"] = next(score for score in known if score != fitted.config.model_dump()["score"])
    other = fitted.kind(type(fitted.config).model_validate(fitted.config.model_dump() | changes))
    other.fit(fitted.normals, seed=SEED, fabric=None, resume=None)
    state = fitted.method.state()
    assert all(np.array_equal(array, other.state()[name]) for name, array in state.items())
    person = fitted.others[0]
    assert other.examine(person, seed=SEED).score != fitted.method.examine(person, seed=SEED).score


def test_a_state_of_something_else_is_refused(fitted):
    with pytest.raises(ModelError):
        fitted.kind.restore(fitted.config, {"something_else": np.zeros((2, 3), np.float32)})


def test_the_settings_of_another_method_are_refused(fitted):
    class Other(Config):
        pass

    with pytest.raises(ModelError):
        fitted.kind(Other())


def test_a_method_that_has_learnt_nothing_yet_says_so(fitted):
    if not fitted.method.state():
        pytest.skip("there is nothing to learn for this method")
    with pytest.raises(ModelError):
        fitted.kind(fitted.config).examine(fitted.others[0], seed=SEED)


def test_a_stronger_lesion_scores_higher_on_average(fitted):
    if not fitted.method.localises:
        pytest.skip("this method does not look at the voxels")
    people = prepared_population(6, seed=4)
    means = [
        np.mean([fitted.method.examine(with_lesion(p, strength, i), seed=SEED).score for i, p in enumerate(people)])
        for strength in (0.0, 0.4, 0.8)
    ]
    assert means[0] < means[1] < means[2]
