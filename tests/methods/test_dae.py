"""The denoising autoencoder: coarse noise inside the brain, what is changed without it, and how far that is unusual."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import ndimage, stats

from anomri.core.geometry import Geometry
from anomri.core.prepared import Prepared
from anomri.core.region import Region
from anomri.errors import CalibrationError, ModelError
from anomri.methods import METHODS, dae
from anomri.methods.autoencoder import AutoencoderConfig
from anomri.methods.dae import (
    DAE,
    PRESETS,
    DAEConfig,
    Network,
    StandardisedConv,
    coarse_noise,
    masked_squared_error,
    neighbours,
)
from anomri.training.holdout import hold_out
from anomri.training.loop import train
from anomri.training.spread import position_wise_spread
from synthetic import GRID, SHAPE, prepared_population, with_lesion


def tiny(**changes: object) -> DAEConfig:
    config = PRESETS["dae-tiny"].config
    assert isinstance(config, DAEConfig)
    return config.model_copy(update=changes)


def fitted(config: DAEConfig, count: int = 8) -> DAE:
    method = DAE(config)
    method.fit(prepared_population(count, seed=1), seed=0, fabric=None, resume=None)
    return method


@pytest.fixture(scope="module")
def method() -> DAE:
    return fitted(tiny())


@pytest.fixture(scope="module")
def person() -> Prepared:
    return prepared_population(1, seed=9)[0]


# Noise


@pytest.mark.parametrize(("shape", "axes"), [((40, 48, 3), 3), ((40, 48, 1), 2), ((60,), 1)])
@pytest.mark.parametrize("grain", [1.5, 4.0, 8.0])
def test_the_noise_has_mean_0_and_the_spread_that_is_said(shape: tuple[int, ...], axes: int, grain: float) -> None:
    rng = np.random.default_rng(0)
    many = np.stack([coarse_noise(shape, grain, rng) for _ in range(2000)])
    assert many.shape == (2000, *shape)
    assert many.dtype == np.float32
    assert np.abs(many.mean(axis=0)).max() < 0.12
    assert many.std() == pytest.approx((2 / 3) ** (axes / 2), rel=0.03)
    # The random beginning of the grid makes every place the same.
    assert np.abs(many.std(axis=0) / many.std() - 1).max() < 0.15


@given(st.integers(0, 1000), st.sampled_from([4, 8, 10]))
def test_the_noise_is_linear_between_nodes_a_grain_apart(seed: int, grain: int) -> None:
    bends = np.abs(np.diff(coarse_noise((90,), grain, np.random.default_rng(seed)), n=2)) > 1e-5
    where = np.flatnonzero(bends) % grain
    # A node between two voxels bends the line at both.
    assert len(set(where)) <= 2
    assert len(set(where)) < 2 or (max(where) - min(where)) in (1, grain - 1)


def test_the_noise_is_that_of_interpolated_nodes() -> None:
    noise = coarse_noise((9, 7), 4.0, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    first, second = rng.uniform(), rng.uniform()
    at_x, at_y = first + np.arange(9) / 4.0, second + np.arange(7) / 4.0
    nodes = rng.standard_normal((int(at_x[-1]) + 2, int(at_y[-1]) + 2), dtype=np.float32)
    x, y = np.meshgrid(at_x, at_y, indexing="ij")
    slow = ndimage.map_coordinates(nodes, [x, y], order=1, mode="nearest")
    np.testing.assert_allclose(noise, slow, atol=1e-5)


def test_the_noise_joins_neighbouring_slices_and_not_distant_places() -> None:
    rng = np.random.default_rng(1)
    many = np.stack([coarse_noise((40, 5, 3), 8.0, rng) for _ in range(3000)])
    between = [np.corrcoef(many[:, 4, 2, 1], many[:, x, y, z])[0, 1] for x, y, z in ((4, 2, 2), (5, 2, 1), (24, 2, 1))]
    assert between[0] > 0.9
    assert between[1] > 0.9
    assert abs(between[2]) < 0.1


# Batches


def numbered(context: int = 1) -> tuple[DAE, Prepared]:
    """A scan whose every voxel says where it lies, and a method that knows its grid."""
    method = fitted(tiny(context=context, epochs=1, steps_per_epoch=1), 5)
    one = prepared_population(1, seed=3)[0]
    where = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    voxels = np.where(one.inside.mask, where, np.float32(0.0))
    return method, dataclasses.replace(one, scan=dataclasses.replace(one.scan, voxels=voxels))


def test_neighbours_stand_in_the_order_of_the_slices() -> None:
    volume = np.broadcast_to(np.arange(1, 6), (3, 2, 5))
    assert neighbours(volume, 2, 1).shape == (3, 2, 3)
    assert neighbours(volume, 2, 1)[0, 0].tolist() == [2, 3, 4]
    assert neighbours(volume, 2, 0)[0, 0].tolist() == [3]
    assert neighbours(volume, 0, 2)[0, 0].tolist() == [0, 0, 1, 2, 3]
    assert neighbours(volume, 4, 1)[0, 0].tolist() == [4, 5, 0]


@pytest.mark.parametrize("context", [0, 1, 2])
def test_noise_is_added_in_the_brain_alone_and_the_middle_slice_is_the_answer(context: int) -> None:
    method, scan = numbered(context)
    rng = np.random.default_rng(0)
    noisy, clean, inside = (t.numpy() for t in method._noisy([(scan, 15), (scan, 20)], [rng, rng], flip=False))
    assert noisy.shape == (2, 2 * context + 1, *SHAPE[:2])
    for n, z in enumerate((15, 20)):
        assert np.array_equal(clean[n, 0], scan.scan.voxels[:, :, z])
        assert np.array_equal(inside[n, 0], scan.inside.mask[:, :, z])
        for channel in range(2 * context + 1):
            at = z + channel - context
            added = noisy[n, channel] - scan.scan.voxels[:, :, at]
            brain = scan.inside.mask[:, :, at]
            assert np.all(added[~brain] == 0)
            assert np.count_nonzero(added[brain]) > 0.9 * brain.sum()


@pytest.mark.parametrize(("varied", "low", "high"), [(0.0, 0.2, 0.2), (1.0, 0.1, 0.3)])
def test_the_noise_is_as_strong_as_set(varied: float, low: float, high: float) -> None:
    method = fitted(tiny(epochs=1, steps_per_epoch=1, varied=varied, noise_sd=0.2), 5)
    person = prepared_population(1, seed=3)[0]
    brain = person.inside.mask[:, :, 16]
    strengths = []
    for seed in range(300):
        noisy, clean, _ = method._noisy([(person, 16)], [np.random.default_rng(seed)], flip=False)
        strengths.append(float((noisy[:, 1] - clean[:, 0])[0].numpy()[brain].std()))
    mean_square = np.mean(np.square(strengths)) / (2 / 3) ** 3
    # The mean square of a standard deviation drawn evenly between low and high.
    assert mean_square == pytest.approx((low**2 + low * high + high**2) / 3, rel=0.2)


def test_a_flip_mirrors_left_and_right_of_everything() -> None:
    method, scan = numbered()
    seen = set()
    for seed in range(20):
        noisy, clean, inside = method._noisy([(scan, 15)], [np.random.default_rng(seed)], flip=True)
        straight, mirrored = scan.scan.voxels[:, :, 15], scan.scan.voxels[::-1, :, 15]
        is_mirrored = np.array_equal(clean[0, 0].numpy(), mirrored)
        assert is_mirrored or np.array_equal(clean[0, 0].numpy(), straight)
        brain = scan.inside.mask[:: -1 if is_mirrored else 1, :, 15]
        assert np.array_equal(inside[0, 0].numpy(), brain)
        assert np.array_equal(noisy[0, 1].numpy()[~brain], clean[0, 0].numpy()[~brain])
        seen.add(is_mirrored)
    assert seen == {True, False}


def test_the_loss_is_the_mean_squared_error_in_the_brain() -> None:
    expected, clean = torch.rand(2, 3, 1, 4, 4)
    inside = (torch.rand(3, 1, 4, 4) > 0.4).float()
    squares = [float((a - b) ** 2) for w, a, b in zip(*map(torch.flatten, (inside, expected, clean)), strict=True) if w]
    found = masked_squared_error(lambda _: expected, (torch.zeros(3, 3, 4, 4), clean, inside))
    assert float(found) == pytest.approx(np.mean(squares), rel=1e-5)


# Network


def test_a_network_that_has_learnt_nothing_changes_nothing() -> None:
    x = torch.rand(2, 5, 16, 24)
    assert torch.equal(Network(5, 4)(x), x[:, 2:3])


def learnt(channels: int = 3) -> Network:
    """A network of random weights, the last ones too."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network(channels, 4)
        torch.nn.init.normal_(network.change.weight)
    return network.eval()


def test_slices_do_not_see_each_other() -> None:
    network, x = learnt(), torch.rand(5, 3, 32, 40, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        alone = torch.cat([network(x[n : n + 1]) for n in range(5)])
        torch.testing.assert_close(network(x), alone, rtol=1e-5, atol=1e-5)


def test_the_neighbours_are_used() -> None:
    network, x = learnt(), torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    other = x.clone()
    other[:, 0] = 0.0
    with torch.inference_mode():
        assert not torch.allclose(network(x), network(other))


def test_the_weights_of_a_convolution_are_standardised() -> None:
    convolution = StandardisedConv(6, 4, 3, padding=1)
    with torch.no_grad():
        convolution.weight.mul_(7.0).add_(3.0)
    weights = convolution.weight.detach().numpy().astype(np.float64)
    weights = (weights - weights.mean(axis=(1, 2, 3), keepdims=True)) / weights.std(axis=(1, 2, 3), keepdims=True)
    x = torch.rand(2, 6, 8, 8)
    slow = torch.nn.functional.conv2d(
        x, torch.from_numpy((weights / np.sqrt(54)).astype(np.float32)), convolution.bias, padding=1
    )
    torch.testing.assert_close(convolution(x), slow, rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=10)
@given(st.integers(2, 3), st.integers(2, 4), st.integers(1, 9))
def test_any_width_and_any_sides_that_8_divides_will_do(x: int, y: int, width: int) -> None:
    assert Network(3, width)(torch.zeros(1, 3, 8 * x, 8 * y)).shape == (1, 1, 8 * x, 8 * y)


# Readings


def test_the_map_counts_spreads_of_the_residual_in_either_direction(method: DAE, person: Prepared) -> None:
    reading = method.examine(person, seed=0)
    region, state = person.region.mask, method.state()
    residual = person.scan.voxels - reading.expected
    slow = np.abs(residual - state["spread.mean"]) / state["spread.sd"]
    slow /= np.median(slow[region]) / stats.norm.ppf(0.75)
    np.testing.assert_allclose(reading.map[region], slow[region], rtol=1e-3, atol=1e-3)
    assert reading.map_scale == "z"


def test_a_scan_is_measured_by_its_own_unrest(method: DAE, person: Prepared) -> None:
    """A residual twice as large everywhere says nothing new; below a quarter of the usual size it says less."""
    state, region = method.state(), person.region.mask
    residual = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32) * state["spread.sd"]
    maps = [method._standardise(state["spread.mean"] + f * residual, region)[region] for f in (1.0, 2.0, 0.1, 0.05)]
    np.testing.assert_allclose(maps[1], maps[0], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(maps[3], maps[2] / 2, rtol=1e-3, atol=1e-3)
    assert np.median(maps[2]) < np.median(maps[0])


def test_mean_and_spread_are_those_of_the_held_out_residuals() -> None:
    normals = prepared_population(9, seed=1)
    method = DAE(tiny(spread_sigma_voxels=0.0, holdout=0.4))
    report = method.fit(normals, seed=0, fabric=None, resume=None)
    normals = sorted(normals, key=lambda p: p.scan.scan_id)
    held = [normals[n] for n in hold_out([p.subject for p in normals], 0.4, seed=0)[1]]
    assert len(held) == 4
    residuals = np.stack([p.scan.voxels - method.examine(p, seed=0).expected for p in held])
    everywhere = np.all([p.region.mask for p in held], axis=0)
    state = method.state()
    np.testing.assert_allclose(state["spread.mean"][everywhere], residuals.mean(axis=0)[everywhere], atol=1e-5)
    sd = residuals.std(axis=0, ddof=1)[everywhere]
    unfloored = sd > 0.5 * np.median(sd)
    np.testing.assert_allclose(state["spread.sd"][everywhere][unfloored], sd[unfloored], rtol=1e-4)
    assert state["spread.sd"].min() > 0
    for n, reading in enumerate(report.held_out):
        # By the three others, whose spread the fourth one is not in.
        others = np.delete(residuals, n, axis=0)[:, everywhere]
        z = np.abs(residuals[n][everywhere] - others.mean(axis=0)) / others.std(axis=0, ddof=1)
        sure = others.std(axis=0, ddof=1) > 0.5 * np.median(others.std(axis=0, ddof=1))
        ratio = reading.map[everywhere][sure] / z[sure]
        # One unit for the whole scan, which makes the median of its map that of a normal number's size.
        np.testing.assert_allclose(ratio, np.median(ratio), rtol=1e-3)
        assert np.median(reading.map[held[n].region.mask]) == pytest.approx(stats.norm.ppf(0.75), rel=1e-3)
    assert len(report.held_out) == len(held)


@pytest.mark.parametrize("count", [1, 100, 10**6])
def test_the_score_is_the_mean_of_the_largest_values(method: DAE, person: Prepared, count: int) -> None:
    other = DAE.restore(tiny(top_voxels=count), method.state())
    reading = other.examine(person, seed=0)
    largest = np.sort(reading.map[person.region.mask])[::-1][:count]
    assert reading.score == pytest.approx(largest.mean(dtype=np.float64), rel=1e-6)


def test_what_was_changed_is_shown_with_its_sign(method: DAE, person: Prepared) -> None:
    reading, region = method.examine(person, seed=0), person.region.mask
    residual = reading.maps["residual"]
    assert np.array_equal(np.isfinite(residual), region)
    np.testing.assert_array_equal(residual[region], (person.scan.voxels - reading.expected)[region])
    assert (residual[region] < 0).any()
    assert (residual[region] > 0).any()
    assert np.all(reading.expected[~person.inside.mask] == 0)


def test_what_lies_outside_the_region_does_not_count(method: DAE, person: Prepared) -> None:
    """The region of a few slices, and voxels far from them changed: nothing of the reading moves."""
    few = np.zeros(SHAPE, dtype=bool)
    few[:, :, 14:17] = person.region.mask[:, :, 14:17]
    part = dataclasses.replace(person, region=Region(few, GRID, "examined", "test"))
    voxels = person.scan.voxels.copy()
    voxels[:, :, :12] *= 3.0
    voxels[:, :, 19:] *= 0.3
    other = dataclasses.replace(part, scan=dataclasses.replace(part.scan, voxels=voxels))
    one, same = method.examine(part, seed=0), method.examine(other, seed=0)
    assert one.score == same.score
    assert np.array_equal(one.map, same.map, equal_nan=True)


@pytest.mark.parametrize("strength", [0.5, -0.5])
def test_bright_and_dark_lesions_score_higher_on_average(method: DAE, strength: float) -> None:
    people = prepared_population(5, seed=4)
    scores = [
        np.mean([method.examine(with_lesion(p, s, n), seed=0).score for n, p in enumerate(people)])
        for s in (0.0, strength / 2, strength)
    ]
    assert scores[0] < scores[1] < scores[2]


@pytest.mark.parametrize("strength", [0.6, -0.6])
def test_the_map_is_highest_and_the_residual_signed_where_the_lesion_is(method: DAE, strength: float) -> None:
    plain = prepared_population(1, seed=6)[0]
    lesion = with_lesion(plain, strength, seed=1)
    core = (np.abs(lesion.scan.voxels - plain.scan.voxels) > 0.8 * abs(strength)) & plain.region.mask
    reading = method.examine(lesion, seed=0)
    assert core.sum() > 10
    assert reading.map[core].mean() > np.quantile(reading.map[plain.region.mask & ~core], 0.95)
    assert np.sign(reading.maps["residual"][core].mean()) == np.sign(strength)


def test_the_number_of_threads_hardly_matters(method: DAE, person: Prepared) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = method.examine(person, seed=0).map
        torch.set_num_threads(2)
        other = method.examine(person, seed=0).map
    finally:
        torch.set_num_threads(threads)
    assert np.nanmax(np.abs(one - other)) <= 1e-4 * np.nanmax(np.abs(one))


def on_grid(person: Prepared, shape: tuple[int, int, int]) -> Prepared:
    """The corner of a person that this many voxels hold."""
    geometry = Geometry(shape, GRID.affine)
    cut = tuple(slice(0, n) for n in shape)
    region = Region(person.region.mask[cut].copy(), geometry, "examined", "test")
    inside = Region(person.inside.mask[cut].copy(), geometry, "brain", "test")
    scan = dataclasses.replace(person.scan, voxels=person.scan.voxels[cut].copy(), geometry=geometry)
    return dataclasses.replace(person, scan=scan, region=region, inside=inside, brain=inside)


def test_sides_that_8_does_not_divide_are_padded() -> None:
    people = [on_grid(p, (29, 37, 20)) for p in prepared_population(6, seed=1)]
    method = DAE(tiny(epochs=1, steps_per_epoch=3))
    method.fit(people[:5], seed=0, fabric=None, resume=None)
    reading = method.examine(people[5], seed=0)
    assert np.array_equal(np.isfinite(reading.map), people[5].region.mask)


def test_single_slices_are_read_alone() -> None:
    people = []
    for p in prepared_population(6, seed=1):
        geometry = Geometry((*SHAPE[:2], 1), GRID.affine)
        region = Region(p.region.mask[:, :, 16:17].copy(), geometry, "examined", "test")
        inside = Region(p.inside.mask[:, :, 16:17].copy(), geometry, "brain", "test")
        scan = dataclasses.replace(p.scan, voxels=p.scan.voxels[:, :, 16:17].copy(), geometry=geometry)
        people.append(dataclasses.replace(p, scan=scan, region=region, inside=inside, brain=inside))
    method = DAE(tiny(context=0, epochs=1, steps_per_epoch=5))
    method.fit(people[:5], seed=0, fabric=None, resume=None)
    reading = method.examine(people[5], seed=0)
    assert reading.map.shape == (*SHAPE[:2], 1)
    assert np.isfinite(reading.map[people[5].region.mask]).all()


# Training


def test_the_order_of_the_training_scans_does_not_matter() -> None:
    scans = prepared_population(5, seed=1)
    states = []
    for order in (scans, scans[::-1]):
        method = DAE(tiny(epochs=1, steps_per_epoch=4))
        method.fit(order, seed=1, fabric=None, resume=None)
        states.append(method.state())
    assert all(np.array_equal(array, states[1][name]) for name, array in states[0].items())


@pytest.mark.parametrize("killed_at", [3, 8])
def test_a_training_that_was_killed_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    scans, config = prepared_population(5, seed=1), tiny(epochs=2, steps_per_epoch=6)
    whole = DAE(config)
    whole.fit(scans, seed=1, fabric=None, resume=None)
    steps = 0

    def dies(module: torch.nn.Module, batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
        nonlocal steps
        steps += module.training
        if steps == killed_at:
            raise KeyboardInterrupt
        return masked_squared_error(module, batch)

    with monkeypatch.context() as patch:
        patch.setattr(dae, "train", functools.partial(train, save_every_s=0.0))
        patch.setattr(dae, "masked_squared_error", dies)
        with pytest.raises(KeyboardInterrupt):
            DAE(config).fit(scans, seed=1, fabric=None, resume=tmp_path)
    resumed = DAE(config)
    resumed.fit(scans, seed=1, fabric=None, resume=tmp_path)
    assert all(np.array_equal(array, resumed.state()[name]) for name, array in whole.state().items())


def test_more_scans_do_not_make_a_training_longer() -> None:
    config = tiny(epochs=3, steps_per_epoch=2)
    for count in (5, 7):
        report = DAE(config).fit(prepared_population(count, seed=1), seed=0, fabric=None, resume=None)
        assert len(report.curves["train_loss"]) == len(report.curves["validation_loss"]) == 3


def test_training_takes_noise_away() -> None:
    report = DAE(tiny(epochs=4, steps_per_epoch=20)).fit(
        prepared_population(8, seed=1), seed=0, fabric=None, resume=None
    )
    validated = report.curves["validation_loss"]
    # A network that changes nothing has the noise's own mean square left, which the first epoch is already below.
    assert validated[-1] < 0.8 * report.curves["train_loss"][0]
    assert validated[-1] < validated[0]


def test_scans_of_one_subject_stay_on_one_side() -> None:
    scans = [dataclasses.replace(p, subject=f"sub-{n // 2}") for n, p in enumerate(prepared_population(10, seed=1))]
    report = DAE(tiny(epochs=1, steps_per_epoch=1)).fit(scans, seed=1, fabric=None, resume=None)
    assert "trained on 4 scans, measured on 6" in report.notes[0]


# State


def test_the_state_comes_back_exactly(method: DAE, person: Prepared) -> None:
    state = method.state()
    assert {array.dtype.name for array in state.values()} <= {"float32", "int64"}
    assert all(array.flags.c_contiguous for array in state.values())
    restored = DAE.restore(tiny(), state)
    assert all(np.array_equal(array, state[name]) for name, array in restored.state().items())
    one, other = method.examine(person, seed=0), restored.examine(person, seed=0)
    assert np.array_equal(one.map, other.map, equal_nan=True)
    assert one.score == other.score


def test_float16_is_nearly_as_good(method: DAE, person: Prepared) -> None:
    halves = {n: a.astype(np.float16) if a.dtype == np.float32 else a for n, a in method.state().items()}
    restored = DAE.restore(tiny(), halves)
    assert {array.dtype.name for array in restored.state().values()} <= {"float32", "int64"}
    assert restored.examine(person, seed=0).score == pytest.approx(method.examine(person, seed=0).score, rel=0.02)


def test_a_state_of_other_settings_is_refused(method: DAE) -> None:
    state = dict(method.state())
    with pytest.raises(ModelError, match="does not fit"):
        DAE.restore(tiny(width=8), state)
    with pytest.raises(ModelError, match="does not fit"):
        DAE.restore(tiny(context=0), state)
    with pytest.raises(ModelError, match="does not fit"):
        DAE.restore(tiny(), {n: a for n, a in state.items() if n != "spread.sd"})
    with pytest.raises(ModelError, match="does not fit"):
        DAE.restore(tiny(), {**state, "spread.sd": np.ones((3, 3, 3), dtype=np.float32)})


# Refusals


def test_a_scan_on_another_grid_is_refused(method: DAE, person: Prepared) -> None:
    with pytest.raises(ModelError, match=r"trained on \(32, 40, 32\)"):
        method.examine(on_grid(person, (32, 40, 30)), seed=0)


def test_too_few_subjects_are_refused() -> None:
    with pytest.raises(CalibrationError, match="too few"):
        DAE(tiny()).fit(prepared_population(4, seed=1), seed=0, fabric=None, resume=None)


def test_an_unfitted_method_says_so(person: Prepared) -> None:
    with pytest.raises(ModelError, match="not fitted"):
        DAE(tiny()).state()
    with pytest.raises(ModelError, match="not fitted"):
        DAE(tiny()).examine(person, seed=0)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValidationError):
        DAEConfig(noise_sd=0.0)
    with pytest.raises(ValidationError):
        DAEConfig(noise_grain_voxels=0.5)
    with pytest.raises(ModelError, match="another method"):
        DAE(AutoencoderConfig())


# Presets


def test_the_presets_are_those_of_the_table_and_fit_their_recipes() -> None:
    from anomri.preparation.recipe import recipe_named

    assert tuple(PRESETS) == METHODS["dae"].presets
    for name, preset in PRESETS.items():
        assert isinstance(preset.config, DAEConfig)
        recipe = recipe_named(preset.recipe)
        assert (preset.config.context == 0) == recipe.for_slices, name
        assert recipe.shape[0] % 8 == recipe.shape[1] % 8 == 0


def test_the_small_preset_is_small() -> None:
    config = PRESETS["dae-small"].config
    assert isinstance(config, DAEConfig)
    assert config.width == 16
    assert 2000 <= config.epochs * config.steps_per_epoch <= 3000
    assert sum(weights.numel() for weights in Network(3, 16).parameters()) == 483_441


# Adapting


def test_how_far_a_site_moves_the_mean_residual_is_decided_inside_the_brain_alone(method: DAE) -> None:
    site = prepared_population(30, seed=7)
    own, moved = method.state(), method.adapted(site).state()
    residuals = [p.scan.voxels - method.examine(p, seed=0).expected for p in site]
    here, _ = position_wise_spread(residuals, [p.region.mask for p in site], sigma_voxels=2.0)
    known = np.sum([p.region.mask for p in site], axis=0) >= 2
    weights = []
    for where in (known, np.ones_like(known)):
        distance = ((here - own["spread.mean"]) / own["spread.sd"])[where] ** 2
        weights.append(1.0 - np.pi / 60.0 / distance.mean())
    # What stands outside the brain, values of its edge spread as far as the grid goes, would say something else.
    assert 0.1 < weights[0] < weights[1] - 0.3
    expected = own["spread.mean"] + weights[0] * (here - own["spread.mean"])
    np.testing.assert_allclose(moved["spread.mean"][known], expected[known], atol=1e-5)
    for name in ("spread.mean", "spread.sd"):
        np.testing.assert_array_equal(moved[name][~known], own[name][~known])
