"""The whole method on small heads: what it learns from, what it promises, and how it goes on after a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from anomri.errors import ModelError
from anomri.methods import METHODS
from anomri.methods.itermask import PRESETS, IterMask, IterMaskConfig
from anomri.methods.itermask.masks import high_frequency
from anomri.training.seeding import generator
from synthetic import prepared_population, with_lesion

NORMALS = prepared_population(6, seed=1)
OTHER = prepared_population(1, seed=2)[0]


def tiny(**changes: object) -> IterMaskConfig:
    config = PRESETS["itermask-tiny"].config
    assert isinstance(config, IterMaskConfig)
    return IterMaskConfig.model_validate({**config.model_dump(), "epochs": 2, **changes})


def fitted(**changes: object) -> IterMask:
    method = IterMask(tiny(**changes))
    method.fit(NORMALS, seed=0, fabric=None, resume=None)
    return method


@pytest.fixture(scope="module")
def method() -> IterMask:
    return fitted()


# Training samples


def test_masks_and_noise_differ_between_epochs_and_between_samples(method: IterMask) -> None:
    samples = [(NORMALS[0], None)] * 2
    one, other = (method._batch(samples, [generator(0, epoch, n) for n in range(2)], flip=False) for epoch in (0, 1))
    again = method._batch(samples, [generator(0, 0, n) for n in range(2)], flip=False)
    hidden = [*one[2], *other[2]]
    assert not any(torch.equal(a, b) for i, a in enumerate(hidden) for b in hidden[:i])
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))


def test_a_sample_hides_noise_under_its_mask_and_nothing_else(method: IterMask) -> None:
    seen, clean, hidden = method._batch([(NORMALS[0], None)], [generator(0, 0, 0)], flip=False)
    shown = hidden == 0
    assert torch.equal(seen[:, :1][shown], clean[shown])
    assert not (seen[:, :1][~shown] == clean[~shown]).any()
    assert bool((clean[:, 0][:, ~torch.from_numpy(method._brain(NORMALS[0], None))] == -3.0).all())


def test_the_whole_brain_is_hidden_as_often_as_asked() -> None:
    always = fitted(full_mask=1.0, epochs=1)
    _, _, hidden = always._batch([(OTHER, None)], [generator(0, 0, 0)], flip=False)
    np.testing.assert_array_equal(hidden[0, 0].numpy() > 0, always._brain(OTHER, None))


def test_a_mirrored_sample_is_mirrored_in_all_its_parts(method: IterMask) -> None:
    keys = [generator(0, 0, n) for n in range(8)]
    straight = method._batch([(OTHER, None)] * 8, [generator(0, 0, n) for n in range(8)], flip=False)
    mirrored = method._batch([(OTHER, None)] * 8, keys, flip=True)
    turned = 0
    for n in range(8):
        one, other = [part[n] for part in straight], [part[n] for part in mirrored]
        if all(torch.equal(a, b) for a, b in zip(one, other, strict=True)):
            continue
        assert all(torch.equal(a.flip(1), b) for a, b in zip(one, other, strict=True))
        turned += 1
    assert 0 < turned < 8


def test_the_guide_of_a_corrupted_scan_comes_from_the_corrupted_scan(method: IterMask) -> None:
    corrupted = with_lesion(OTHER, 0.8, 0)
    clean, guide, _ = method._seen(corrupted, None)
    np.testing.assert_array_equal(guide, high_frequency(clean, spacing_mm=(2.0,) * 3))
    assert np.abs(guide - method._seen(OTHER, None)[1]).max() > 0.1


# Readings


def test_a_curve_that_never_crosses_leaves_an_empty_mask_and_says_so(method: IterMask) -> None:
    calm = IterMask.restore(method._config, {**method.state(), "gamma": np.array([1e9], dtype=np.float32)})
    reading = calm.examine(OTHER, seed=0)
    assert reading.values["crossed"] == 0
    assert reading.values["final_mask_size"] == 0
    assert reading.values["step"] == method._config.steps + 1
    assert np.nanmax(reading.maps["mask"]) == 0


def test_the_mask_is_what_lies_above_the_subjects_own_threshold(method: IterMask) -> None:
    low = IterMask.restore(method._config, {**method.state(), "gamma": np.array([1e-6], dtype=np.float32)})
    found = low.refined(OTHER, None, seed=0)
    assert found.found.threshold is not None
    brain = low._brain(OTHER, None)
    np.testing.assert_array_equal(found.mask, (found.errors > found.found.threshold) & brain)
    assert found.found.threshold == found.taus[found.found.step - 1]
    reading = low.examine(OTHER, seed=0)
    assert reading.values["final_mask_size"] == pytest.approx(found.mask.sum() / brain.sum())
    assert reading.values["mean_error"] == pytest.approx(found.errors[brain].mean(), rel=1e-5)
    assert reading.values["passes"] == found.passes


def test_scores_are_shares_that_do_not_hang_on_the_grid_around_the_brain(method: IterMask) -> None:
    reading = method.examine(OTHER, seed=0)
    assert 0 <= reading.values["final_mask_size"] <= 1
    shown = reading.maps["shown"][OTHER.region.mask]
    assert 0 <= shown.min() <= shown.max() < 1


def test_the_published_path_and_the_fast_one_agree_where_both_look(method: IterMask) -> None:
    _, _, fast = method._shrunk(OTHER, None, 0)
    slow = IterMask(tiny(path="published"))
    slow._network, slow._shape, slow._spacing_mm = method._network, method._shape, method._spacing_mm
    rebuild, _, full = slow._shrunk(OTHER, None, 0)
    assert rebuild.count == method._config.steps
    assert fast.taus[0] == full.taus[0]
    # Where thresholds are found; before that τ is small and few passes are made.
    np.testing.assert_allclose(fast.taus[11:], full.taus[11:], rtol=0.1)


def test_the_first_pass_of_both_phases_is_made_once(method: IterMask) -> None:
    rebuild, voxels = method._rebuilder(OTHER, None, 0)
    whole = np.ones(voxels, dtype=bool)
    first, image = rebuild(whole, 1), rebuild.last
    rebuild(~whole, 2)
    np.testing.assert_array_equal(rebuild(whole, 1), first)
    np.testing.assert_array_equal(rebuild.last, image)
    assert rebuild.count == 2


def test_one_scan_or_many_threads_give_the_same_reading(method: IterMask) -> None:
    one = method.examine(OTHER, seed=0)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        other = method.examine(OTHER, seed=0)
    finally:
        torch.set_num_threads(before)
    assert one.map is not None
    assert other.map is not None
    np.testing.assert_allclose(other.map, one.map, atol=1e-4 * np.nanmax(one.map))


def test_slices_are_read_one_at_a_time() -> None:
    flat = fitted(dimensions=2, grid=(32, 48, 1), width=4, epochs=1, batch_size=8, steps=10, holdout=0.34)
    reading = flat.examine(OTHER, seed=0)
    levels = OTHER.inside.mask.any(axis=(0, 1)).sum()
    assert reading.values["passes"] >= levels
    assert np.isfinite(reading.score)


# Fit


def test_a_training_that_was_killed_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fitted().state()
    broken = IterMask(tiny())
    loss, calls = broken._loss, []

    def failing(network: torch.nn.Module, batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return loss(network, batch)

    monkeypatch.setattr(broken, "_loss", failing)
    monkeypatch.setattr("anomri.training.loop._Run._save_if_due", lambda run: run._save())
    with pytest.raises(KeyboardInterrupt):
        broken.fit(NORMALS, seed=0, fabric=None, resume=tmp_path)
    again = IterMask(tiny())
    again.fit(NORMALS, seed=0, fabric=None, resume=tmp_path)
    for name, array in whole.items():
        np.testing.assert_array_equal(again.state()[name], array)


def test_the_order_of_the_scans_does_not_matter() -> None:
    shuffled = IterMask(tiny(epochs=1))
    shuffled.fit(NORMALS[::-1], seed=0, fabric=None, resume=None)
    for name, array in fitted(epochs=1).state().items():
        np.testing.assert_array_equal(shuffled.state()[name], array)


@pytest.mark.parametrize("grid", [(30, 32, 32), (0, 16, 16)])
def test_sides_that_cannot_be_halved_are_refused(grid: tuple[int, int, int]) -> None:
    with pytest.raises(ValidationError, match="multiple of 16"):
        IterMaskConfig(grid=grid)


def test_a_brain_beyond_the_grid_is_refused(method: IterMask) -> None:
    narrow = IterMask(tiny(grid=(16, 32, 32)))
    with pytest.raises(ModelError, match="outside"):
        narrow.fit(NORMALS, seed=0, fabric=None, resume=None)
    wrong = IterMask.restore(method._config, {**method.state(), "shape": np.array([40, 40, 40])})
    with pytest.raises(ModelError, match="shape"):
        wrong.examine(OTHER, seed=0)


# Published sizes


@pytest.mark.slow
@pytest.mark.parametrize("name", ["itermask3d", "itermask2d"])
def test_the_published_networks_build_and_step(name: str) -> None:
    config = PRESETS[name].config
    assert isinstance(config, IterMaskConfig)
    grid = (64, 64, 64) if config.dimensions == 3 else (128, 128, 1)
    method = IterMask(config.model_copy(update={"grid": grid}))
    method._shape = OTHER.scan.geometry.shape
    method._spacing_mm = OTHER.scan.geometry.spacing_mm
    network = method._new_network()
    level = None if config.dimensions == 3 else 16
    batch = method._batch([(OTHER, level)] * 2, [generator(0, 0, n) for n in range(2)], flip=False)
    optimizer = torch.optim.Adam(network.parameters(), config.learning_rate)
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = method._loss(network, batch)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.isfinite(losses).all()
    if config.dimensions == 3:
        few = IterMask(config.model_copy(update={"grid": grid, "steps": 10, "most_passes": 3}))
        few._network, few._shape, few._spacing_mm = network.eval(), method._shape, method._spacing_mm
        few._gamma = 0.05
        assert np.isfinite(few.examine(OTHER, seed=0).score)


def test_the_presets_are_those_of_the_table() -> None:
    assert tuple(PRESETS) == METHODS["itermask"].presets
    for preset in PRESETS.values():
        assert isinstance(preset.config, IterMaskConfig)
        # A copy with changes is not checked when it is made.
        assert IterMaskConfig(**preset.config.model_dump()) == preset.config
