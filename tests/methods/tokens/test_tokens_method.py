"""The whole method: fits that go on after a kill, readings that hang on the scan alone, presets that work."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy import ndimage

from anomri.core.prepared import Prepared
from anomri.errors import CalibrationError, ModelError
from anomri.methods import METHODS
from anomri.methods import tokens as tokens_module
from anomri.methods.tokens import PRESETS, Cuts, Raw, Tokens, TokensConfig, scoring
from anomri.methods.tokens.fitting import Course, fit_features, fit_tokenizer, fit_transformer
from anomri.methods.tokens.marks import pooled
from anomri.methods.tokens.perceptual import Lpips
from anomri.methods.tokens.scoring import Networks, read_slices
from anomri.methods.tokens.slices import Slices, Slicing
from anomri.methods.tokens.transformer import TokenTransformer
from anomri.training.fabric import make_fabric
from anomri.training.seeding import seeded_torch
from synthetic import prepared_population, with_lesion

TINY = PRESETS["tokens-tiny"].config
PEOPLE = prepared_population(6, seed=11)
OTHERS = prepared_population(3, seed=12)


def tiny(**changes: object) -> TokensConfig:
    assert isinstance(TINY, TokensConfig)
    return TokensConfig(**{**TINY.model_dump(), **changes})


def quick(**changes: object) -> TokensConfig:
    return tiny(**{"first_epochs": 1, "second_epochs": 1, "every": 4, **changes})


def fitted(config: TokensConfig, people: list[Prepared] = PEOPLE) -> Tokens:
    method = Tokens(config)
    method.fit(people, seed=1, fabric=None, resume=None)
    return method


@pytest.fixture(scope="module")
def method() -> Tokens:
    return fitted(tiny())


def same_state(one: Tokens, other: Tokens) -> bool:
    first, second = one.state(), other.state()
    return set(first) == set(second) and all(np.array_equal(array, second[name]) for name, array in first.items())


# Fit


def test_a_fit_that_was_killed_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    script = f"""
        import os, signal, sys
        from pathlib import Path
        sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[2])]!r}
        import test_tokens_method as here
        import anomri.training.loop as loop
        import anomri.methods.tokens.fitting as fitting
        here.torch.set_num_threads({torch.get_num_threads()})
        step, count = loop._Run.one_step, []
        def deadly(run):
            step(run)
            run._save()
            count.append(type(run.module).__name__)
            if count.count("TokenTransformer") == 2:
                os.kill(os.getpid(), signal.SIGKILL)
        loop._Run.one_step = deadly
        here.Tokens(here.quick()).fit(here.PEOPLE, seed=1, fabric=None, resume=Path({str(tmp_path)!r}))
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, env=dict(os.environ))
    assert killed.returncode == -signal.SIGKILL
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["features", "tokenizer", "transformer"]
    resumed = Tokens(quick())
    report = resumed.fit(PEOPLE, seed=1, fabric=None, resume=tmp_path)
    assert same_state(resumed, fitted(quick()))
    assert len(report.curves["transformer train_loss"]) == 1


def test_the_losses_fall() -> None:
    again = Tokens(quick(first_epochs=3, second_epochs=3))
    curves = again.fit(PEOPLE, seed=1, fabric=None, resume=None).curves
    assert curves["tokenizer train_loss"][-1] < curves["tokenizer train_loss"][0]
    assert curves["transformer train_loss"][-1] < curves["transformer train_loss"][0]


def test_the_order_of_the_scans_does_not_matter_and_the_seed_does() -> None:
    one, other = Tokens(quick()), Tokens(quick())
    other.fit(PEOPLE[::-1], seed=1, fabric=None, resume=None)
    one.fit(PEOPLE, seed=1, fabric=None, resume=None)
    assert same_state(one, other)
    other.fit(PEOPLE, seed=2, fabric=None, resume=None)
    assert not same_state(one, other)


def test_the_codes_do_not_move_while_the_transformer_learns() -> None:
    config = quick()
    slicing = Slicing.of(config, PEOPLE[0].scan.geometry.shape)
    slices = slicing.gather(PEOPLE[:2])
    course = Course(1, make_fabric("cpu"), None, {})
    features, _ = fit_features(slices, config, course)
    tokenizer, _ = fit_tokenizer(slices, slices, features, config, course)
    before = {name: tensor.clone() for name, tensor in tokenizer.state_dict().items()}
    fit_transformer(slices, slices, tokenizer, config, course)
    assert all(torch.equal(tensor, before[name]) for name, tensor in tokenizer.state_dict().items())
    assert not tokenizer.training


def test_too_few_normals_are_refused() -> None:
    with pytest.raises(CalibrationError, match="too few"):
        Tokens(tiny()).fit(PEOPLE[:3], seed=0, fabric=None, resume=None)


# Readings


def networks_of(method: Tokens) -> tuple[Networks, Slices]:
    networks, slicing = method._fitted()
    return networks, slicing.cut(OTHERS[0], slicing.levels(OTHERS[0])[:9])


def test_one_slice_at_a_time_reads_the_same_as_many(method: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    networks, slices = networks_of(method)
    many = read_slices(networks, slices, tiny(), seed=0)
    monkeypatch.setitem(scoring._TOKENS_AT_ONCE, "cpu", 1)
    one = read_slices(networks, slices, tiny(), seed=0)
    alone = [
        read_slices(networks, Slices(slices.pixels[n : n + 1], slices.positions[n : n + 1]), tiny(), seed=0)
        for n in range(9)
    ]
    for name in ("surprisal", "difference", "healed"):
        values = getattr(many, name)
        scale = np.abs(values).max()
        np.testing.assert_allclose(getattr(one, name), values, atol=1e-4 * scale)
        np.testing.assert_allclose(np.concatenate([getattr(a, name) for a in alone]), values, atol=1e-4 * scale)


def test_the_cover_has_no_seed_and_the_monte_carlo_has(method: Tokens) -> None:
    networks, slices = networks_of(method)
    one, other = (read_slices(networks, slices, tiny(healing=False), seed=seed).surprisal for seed in (1, 2))
    assert np.array_equal(one, other)
    assert method.examine(OTHERS[0], seed=1).score == method.examine(OTHERS[0], seed=2).score
    published = tiny(surprisal="monte-carlo", healing=False, passes=30)
    drawn = [read_slices(networks, slices, published, seed=seed).surprisal for seed in (1, 1, 2)]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_a_symmetric_slice_has_a_symmetric_healing_map(method: Tokens) -> None:
    networks, slices = networks_of(method)
    mirrored = Slices(np.ascontiguousarray(slices.pixels[:, :, ::-1]), slices.positions)
    one, other = (read_slices(networks, s, tiny(), seed=0).difference for s in (slices, mirrored))
    np.testing.assert_allclose(one, other[:, ::-1], atol=1e-5 * np.abs(one).max())


def test_the_number_of_threads_hardly_matters(method: Tokens) -> None:
    threads = torch.get_num_threads()
    try:
        maps = []
        for count in (1, 2):
            torch.set_num_threads(count)
            maps.append(method.examine(OTHERS[0], seed=0).map)
    finally:
        torch.set_num_threads(threads)
    assert np.nanmax(np.abs(maps[0] - maps[1])) <= 1e-4 * np.nanmax(np.abs(maps[0]))


def test_both_maps_are_named_and_the_fused_one_counts_spreads(method: Tokens) -> None:
    reading = method.examine(OTHERS[0], seed=0)
    assert set(reading.maps) == {"surprisal", "healing"}
    assert reading.map_scale == "z"
    assert reading.expected is not None
    alone = fitted(quick(healing=False)).examine(OTHERS[0], seed=0)
    assert set(alone.maps) == {"surprisal"}
    assert alone.expected is None


def test_the_union_marks_a_lesion_and_its_area_hangs_on_the_head_alone() -> None:
    config = tiny(fused="union", score="area", backflow=True, cut_quantile=0.99)
    method, gains = fitted(config), []
    for person in OTHERS:
        plain, lesion = (method.examine(p, seed=0) for p in (person, with_lesion(person, 1.5, 1)))
        assert set(np.unique(plain.map[person.region.mask])) <= {0.0, 1.0}
        assert plain.map_scale == "raw"
        gains.append(lesion.score - plain.score)
        assert plain.score == pytest.approx(plain.map[person.region.mask].mean(), rel=1e-5)
    assert np.mean(gains) > 0


def test_the_autoregressive_variant_finds_a_lesion_and_comes_back_from_its_state() -> None:
    config = tiny(surprisal="autoregressive", orderings=2, unlikely=1.0, mirrored=False)
    method = fitted(config)
    scores = [[method.examine(p, seed=0).score for p in (o, with_lesion(o, 1.5, 1))] for o in OTHERS]
    assert np.mean([lesion - plain for plain, lesion in scores]) > 0
    restored = Tokens.restore(config, method.state())
    assert restored.examine(OTHERS[0], seed=5).score == scores[0][0]
    with pytest.raises(ModelError, match="does not fit"):
        Tokens.restore(tiny(), method.state())


def test_the_clamped_score_counts_surprising_tokens_alone() -> None:
    method = fitted(quick(score="clamped", cut_surprisal=3.0))
    networks, slicing = method._fitted()
    levels = slicing.levels(OTHERS[0])
    tokens = read_slices(networks, slicing.cut(OTHERS[0], levels), method._config, seed=0).surprisal
    patch, region = slicing.patch, OTHERS[0].region.mask
    # The slices are as large as the grid, so that every voxel has its token.
    nats = np.array([tokens[levels.index(z), x // patch, y // patch] for x, y, z in np.argwhere(region)], dtype=float)
    assert method.examine(OTHERS[0], seed=0).score == pytest.approx(nats[nats > 3.0].sum() / nats.size)


def test_a_single_surprising_token_counts_whole_though_its_map_is_drawn_to_its_neighbours() -> None:
    person = OTHERS[0]
    method, raw = by_hand(person, score="clamped")
    slicing, (x, y, z) = method._fitted()[1], three_places(person)[1]
    tokens = np.full((1, *slicing.grid), 2.0, dtype=np.float32)
    tokens[0, x // slicing.patch, y // slicing.patch] = 4.2
    raw.tokens[:], raw.surprisal[:] = 2.0, 2.0
    raw.tokens[:, :, [z]], raw.surprisal[:, :, [z]] = (
        slicing.stacked(each(tokens), [z])[:, :, [z]] for each in (slicing.repeated, slicing.upsampled)
    )
    seen = person.region.mask & (raw.tokens > 4.0)
    assert seen.any()
    assert not (raw.surprisal > 4.0).any()
    assert method._reading(person, raw).score == pytest.approx(4.2 * seen.sum() / person.region.mask.sum())


def test_each_cut_is_the_quantile_of_its_own_map_and_comes_back_from_the_state(method: Tokens) -> None:
    raw = [method._raw(person, 0) for person in OTHERS]
    again = Tokens.restore(method._config, method.state())
    again._measure(OTHERS, raw)
    inside = [person.region.mask for person in OTHERS]
    maps = {
        "tokens": [r.tokens for r in raw],
        "surprisal": [r.surprisal for r in raw],
        "z": [again._z("perceptual", pooled(r.perceptual, again._config.pool)) for r in raw],
        "perceptual": [r.perceptual for r in raw],
    }
    expected = {
        name: np.quantile(np.concatenate([m[region] for m, region in zip(values, inside, strict=True)]), 0.999)
        for name, values in maps.items()
    }
    assert again._cuts._asdict() == pytest.approx(expected)
    assert len(set(expected.values())) == 4
    assert Tokens.restore(again._config, again.state())._cuts == again._cuts


# Maps, by hand


def by_hand(person: Prepared, **changes: object) -> tuple[Tokens, Raw]:
    """A method whose spreads are 0 ± 1 and whose cuts are 4 nats, 3 spreads, 0.5; and flat maps below all of them."""
    method = Tokens(tiny(pool=1, smallest_px=1, **changes))
    shape = person.scan.geometry.shape
    flat = (np.zeros(shape, np.float32), np.ones(shape, np.float32))
    method._slicing = Slicing.of(method._config, shape)
    method._networks = Networks(None, None, None)  # type: ignore[arg-type]  # no map of these is computed
    method._spread = {"surprisal": flat, "perceptual": flat}
    method._cuts = Cuts(4.0, 4.0, 3.0, 0.5)
    low = np.full(shape, 0.25, np.float32)
    return method, Raw(low, low.copy(), low.copy(), low)


def three_places(person: Prepared) -> list[tuple[int, int, int]]:
    # Apart from one another and within.
    places = np.argwhere(ndimage.binary_erosion(person.region.mask, iterations=4))
    return [(int(x), int(y), int(z)) for x, y, z in places[[0, len(places) // 2, -1]]]


def test_the_union_marks_what_is_surprising_or_looks_different_and_stands_out() -> None:
    person = OTHERS[0]
    surprising, both, common = three_places(person)
    method, raw = by_hand(person, fused="union")
    assert raw.perceptual is not None
    raw.surprisal[surprising] = 4.5
    raw.perceptual[both] = 3.5
    # Looks different, as normals do there: 1 is above the cut of the map, below that of its spreads.
    raw.perceptual[common] = 1.0
    marked = method._reading(person, raw).map
    assert marked is not None
    assert {tuple(place) for place in np.argwhere(marked == 1.0)} == {surprising, both}


def test_the_union_leaves_out_what_stands_out_but_hardly_differs() -> None:
    person = OTHERS[0]
    place = three_places(person)[0]
    method, raw = by_hand(person, fused="union")
    method._spread["perceptual"] = (np.zeros_like(raw.tokens), np.full_like(raw.tokens, 0.1))
    assert raw.perceptual is not None
    raw.perceptual[:] = 0.0
    raw.perceptual[place] = 0.4  # four spreads, below 0.5
    assert not (method._reading(person, raw).map == 1.0).any()
    raw.perceptual[place] = 0.6
    assert (method._reading(person, raw).map == 1.0).sum() == 1


@pytest.mark.parametrize("difference", [0.4, 0.6])
def test_backflow_marks_what_healing_the_masked_tokens_once_more_changes(
    difference: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = OTHERS[0]
    x, y, z = three_places(person)[0]
    method, raw = by_hand(person, fused="union", backflow=True)
    image, healed = method._fitted()[1].image, []

    def inpainted(*given: Any) -> np.ndarray:
        healed.append(given[2])
        return np.full((len(given[2]), *image), difference, np.float32)

    monkeypatch.setattr(tokens_module, "inpainted_difference", inpainted)
    assert raw.perceptual is not None
    raw.perceptual[x, y, z] = 3.5
    marked = method._reading(person, raw).map == 1.0
    # One token of one slice is healed, and the cut is that of the perceptual map, 0.5.
    assert [touched.sum() for touched in healed] == [1]
    changed = person.region.mask[:, :, z].sum() if difference > 0.5 else 1
    assert marked.sum() == marked[:, :, z].sum() == changed


def test_the_continuous_map_is_the_mean_of_both_in_spreads() -> None:
    person = OTHERS[0]
    place = three_places(person)[0]
    method, raw = by_hand(person)
    method._spread = {
        "surprisal": (np.full_like(raw.tokens, 1.0), np.full_like(raw.tokens, 2.0)),
        "perceptual": (np.full_like(raw.tokens, 0.5), np.full_like(raw.tokens, 0.1)),
    }
    raw.surprisal[place] = 7.0
    assert raw.perceptual is not None
    raw.perceptual[place] = 0.9
    found = method._reading(person, raw).map
    assert found is not None
    assert found[place] == pytest.approx(((7.0 - 1.0) / 2.0 + (0.9 - 0.5) / 0.1) / 2.0, rel=1e-5)
    other = three_places(person)[1]
    assert found[other] == pytest.approx(((0.25 - 1.0) / 2.0 + (0.25 - 0.5) / 0.1) / 2.0, rel=1e-5)


def test_the_published_sum_counts_marked_voxels() -> None:
    config = quick(fused="union", score="sum", edge_erosion=1)
    reading = fitted(config).examine(OTHERS[0], seed=0)
    assert reading.score == np.nansum(reading.map)


# State


def test_a_model_with_weights_of_a_file_keeps_them_and_not_where_the_file_lay(tmp_path: Path) -> None:
    path = tmp_path / "lpips.safetensors"
    with seeded_torch(0, 0):
        save_file(Lpips().state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    method = fitted(quick(perceptual_file=path, perceptual_sha256=digest))
    path.unlink()
    kept = TokensConfig.model_validate_json(method._config.model_dump_json())
    assert str(tmp_path) not in method._config.model_dump_json()
    restored = Tokens.restore(kept, method.state())
    assert restored.examine(OTHERS[0], seed=0).score == method.examine(OTHERS[0], seed=0).score
    with pytest.raises(ModelError, match="digest alone"):
        fitted(kept)


def test_the_state_of_other_settings_is_refused(method: Tokens) -> None:
    state = dict(method.state())
    for changes in ({"width": 32}, {"codes": 8}, {"second_depth": 2}):
        with pytest.raises(ModelError, match="does not fit"):
            Tokens.restore(tiny(**changes), state)
    with pytest.raises(ModelError, match="does not fit"):
        Tokens.restore(tiny(), {name: array for name, array in state.items() if name != "spread.perceptual.sd"})
    with pytest.raises(ModelError, match="does not fit"):
        Tokens.restore(tiny(), {**state, "spread.perceptual.sd": np.ones((3, 3, 3), dtype=np.float32)})


def test_a_scan_on_another_grid_is_refused(method: Tokens) -> None:
    small = Tokens.restore(tiny(), {**method.state()})
    small._slicing = replace(small._fitted()[1], shape=(32, 40, 30))
    with pytest.raises(ModelError, match="trained on"):
        small.examine(OTHERS[0], seed=0)


def test_a_slice_that_would_cut_the_brain_is_refused() -> None:
    with pytest.raises(ModelError, match="brain outside"):
        Tokens(tiny(image=(16, 40))).fit(PEOPLE, seed=0, fabric=None, resume=None)


def test_an_unfitted_method_says_so() -> None:
    with pytest.raises(ModelError, match="not fitted"):
        Tokens(tiny()).state()


# Presets


def test_the_presets_are_those_of_the_table() -> None:
    assert tuple(PRESETS) == METHODS["tokens"].presets
    for preset in PRESETS.values():
        assert isinstance(preset.config, TokensConfig)
        # A copy with changes is not checked when it is made.
        assert TokensConfig(**preset.config.model_dump()) == preset.config


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tokens-brain", "tokens-pelvis"])
def test_a_published_size_is_built_takes_a_step_and_scores(name: str) -> None:
    config = PRESETS[name].config
    assert isinstance(config, TokensConfig)
    config = config.model_copy(
        update={
            "feature_epochs": 1, "first_epochs": 1, "second_epochs": 1, "first_batch": 2, "second_batch": 2,
            "warm_up": 0.0,
        }
    )  # fmt: skip
    rng = np.random.default_rng(0)
    slices = Slices(rng.normal(size=(2, 1, 256, 256)).astype(np.float32), np.float32([0.4, 0.6]))
    course = Course(0, make_fabric("cpu"), None, {})
    features, _ = fit_features(slices, config, course)
    tokenizer, first = fit_tokenizer(slices, slices, features, config, course)
    transformer, second = fit_transformer(slices, slices, tokenizer, config, course)
    with seeded_torch(course.seed, 3):
        before = TokenTransformer(config.transformer((256, 256))).state_dict()
    assert any(not torch.equal(tensor, before[name]) for name, tensor in transformer.state_dict().items())
    assert all(np.isfinite(curve).all() for t in (first, second) for curve in t.curves.values())
    one = Slices(slices.pixels[:1], slices.positions[:1])
    maps = read_slices(Networks(features, tokenizer, transformer), one, config, seed=0)
    assert maps.surprisal.shape == (1, 32, 32)
    assert maps.healed is not None
    assert maps.healed.shape == (1, 256, 256)
    assert np.isfinite(maps.surprisal).all()
