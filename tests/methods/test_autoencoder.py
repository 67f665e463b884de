"""The residual autoencoder: layers as published, errors as described, readings that depend on the scan alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import ndimage
from torch import nn

from anomri.core.geometry import Geometry
from anomri.core.history import History
from anomri.core.prepared import Prepared
from anomri.core.region import Region
from anomri.core.scan import Scan, Source
from anomri.errors import CalibrationError, ModelError
from anomri.methods import METHODS
from anomri.methods.autoencoder import (
    PRESETS,
    Autoencoder,
    AutoencoderConfig,
    Network,
    Residual,
    keep_large_parts,
    median_error,
    slice_scores_published,
    weighted_squared_error,
)
from anomri.methods.method import Config

SHAPE = (28, 34, 22)
PUBLISHED = (160, 192, 96)


def head(number: int, *, lesion: float = 0.0, shape: tuple[int, int, int] = SHAPE, subject: str = "") -> Prepared:
    """An ellipsoid brain with a bright middle, a texture of its own, and a bright ball of `lesion` added."""
    rng = np.random.default_rng([17, number])
    at = [(np.arange(n) - (n - 1) / 2) / n for n in shape]
    x, y, z = np.meshgrid(*at, indexing="ij")
    radius = np.sqrt((x / (0.42 + rng.normal(0, 0.01))) ** 2 + (y / 0.43) ** 2 + (z / 0.42) ** 2)
    brain = radius < 1
    texture = ndimage.gaussian_filter(rng.normal(size=shape), 1.5)
    values = 0.6 + 0.3 * np.exp(-8 * radius**2) + 0.1 * texture / texture.std()
    ball = (x - 0.12) ** 2 + (y - 0.1) ** 2 + z**2 < 0.11**2
    voxels = np.where(brain, np.clip(values, 0.05, 1.2) + lesion * ball, 0.0).astype(np.float32)
    geometry = Geometry(shape, np.diag([2.0, 2.0, 2.0, 1.0]))
    digest = f"{number:064d}"
    source = Source(format="array", reader="test", sha256=digest, image_sha256=digest, orientation="RAS")
    region = Region(ndimage.binary_erosion(brain), geometry, "examined", "test")
    scan = Scan(voxels, geometry, f"scan-{number:02d}", source)
    whole = Region(brain, geometry, "brain", "test")
    return Prepared(scan, region, History(steps=()), {}, whole, whole, subject=subject)


def tiny(**changes: object) -> AutoencoderConfig:
    config = PRESETS["autoencoder-tiny"].config
    assert isinstance(config, AutoencoderConfig)
    return config.model_copy(update=changes)


def fitted(config: AutoencoderConfig, count: int = 8) -> Autoencoder:
    method = Autoencoder(config)
    method.fit([head(n) for n in range(count)], seed=0, fabric=None, resume=None)
    return method


@pytest.fixture(scope="module")
def method() -> Autoencoder:
    return fitted(tiny())


def count_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def published(bottleneck: str = "dense", latent: int = 512) -> Network:
    with torch.device("meta"):
        return Network(PUBLISHED, width=16, bottleneck=bottleneck, latent=latent)


# Layers


@pytest.mark.parametrize(
    ("bottleneck", "latent", "expected"),
    [
        ("dense", 128, 56_472_305),
        ("dense", 256, 103_658_353),
        ("dense", 512, 198_030_449),
        ("dense", 1024, 386_774_641),
        ("spatial", 1, 9_102_706),
        ("spatial", 8, 9_106_297),
        ("spatial", 16, 9_110_401),
        ("spatial", 64, 9_135_025),
    ],
)
def test_the_whole_has_the_published_number_of_parameters(bottleneck: str, latent: int, expected: int) -> None:
    assert count_of(published(bottleneck, latent)) == expected


def test_each_part_has_the_published_number_of_parameters() -> None:
    network = published()
    encoder = [480, 34_800, 138_720, 553_920, 2_213_760, 0, 94_372_352]
    decoder = [94_556_160, 0, 4_637_824, 1_159_744, 290_080, 72_592, 17]
    assert [count_of(part) for part in network.encoder] == encoder
    assert [count_of(part) for part in network.decoder] == decoder
    statistics = [b for name, b in network.named_buffers() if "running" in name]
    assert sum(b.numel() for b in statistics) == 3_872


def test_each_part_has_the_published_shape() -> None:
    x = torch.zeros(2, 1, *PUBLISHED, device="meta")
    shapes = []
    network = published().eval()
    for part in [*network.encoder, *network.decoder]:
        x = part(x)
        shapes.append(tuple(x.shape[1:]))
    ways = [(16, 160, 192, 96), (32, 80, 96, 48), (64, 40, 48, 24), (128, 20, 24, 12), (256, 10, 12, 6)]
    assert shapes == [*ways, (184_320,), (512,), (184_320,), *ways[:0:-1][:1], *ways[3::-1], (1, *PUBLISHED)]


@pytest.mark.parametrize("bottleneck", ["dense", "spatial"])
@pytest.mark.parametrize("sides", [(17, 20, 33), (48, 16, 5), (30, 17)])
def test_sides_that_16_does_not_divide_grow_to_the_next_multiple(sides: tuple[int, ...], bottleneck: str) -> None:
    network = Network(sides, width=2, bottleneck=bottleneck, latent=3).eval()
    assert network(torch.zeros(1, 1, *sides)).shape[2:] == tuple(-(-n // 16) * 16 for n in sides)


@pytest.mark.parametrize("sides", [(16, 16, 16), (16, 16)])
def test_the_activation_stands_before_the_norm_and_nothing_after_the_sum(sides: tuple[int, ...]) -> None:
    network = Network(sides, width=2, bottleneck="dense", latent=3)
    blocks = [part for part in [*network.encoder, *network.decoder] if isinstance(part, Residual)]
    assert len(blocks) == 8
    for block in blocks:
        for group in (*block.main, block.shortcut):
            kinds = [type(layer).__name__.rstrip("23d") for layer in group]
            assert kinds[1:] == ["LeakyReLU", "BatchNorm"]
            assert kinds[0] in ("Conv", "ConvTranspose")
            assert group[1].negative_slope == 0.2
    strides = [group[0].stride[0] for block in blocks[:4] for group in (*block.main, block.shortcut)]
    assert strides == [1, 2, 2] * 4
    x = torch.randn(2, blocks[0].main[0][0].in_channels, *sides)
    network.eval()
    assert torch.equal(blocks[0](x), blocks[0].main(x) + blocks[0].shortcut(x))


def test_the_output_may_be_negative() -> None:
    torch.manual_seed(0)
    network = Network((16, 16, 16), width=2, bottleneck="dense", latent=3).eval()
    with torch.no_grad():
        network.decoder[-1].bias.fill_(-5.0)
        assert network(torch.zeros(1, 1, 16, 16, 16)).max() < 0
    assert isinstance(network.decoder[-1], nn.Conv3d)


def test_the_loss_is_the_weighted_mean_squared_error() -> None:
    x, expected, weight = torch.rand(3, 2, 1, 4, 4, 4)
    slow = sum(
        w * (a - b) ** 2 for w, a, b in zip(weight.flatten(), x.flatten(), expected.flatten(), strict=True)
    ) / sum(weight.flatten())
    assert weighted_squared_error(lambda _: expected, (x, weight)) == pytest.approx(float(slow), rel=1e-5)
    plain = nn.functional.mse_loss(expected, x)
    assert weighted_squared_error(lambda _: expected, (x, torch.ones_like(x))) == pytest.approx(float(plain), rel=1e-5)


# Post-processing


def test_the_median_takes_away_what_is_thinner_than_half_its_window() -> None:
    scan, expected = np.zeros((9, 9, 9), dtype=np.float32), np.zeros((9, 9, 9), dtype=np.float32)
    scan[4, 4, 4], expected[1:6, 1:6, 1:6] = 9.0, 0.5
    assert np.array_equal(median_error(scan, expected, 1), np.abs(scan - expected))
    filtered = median_error(scan, expected, 5)
    assert filtered.max() == 0.5
    assert filtered[3, 3, 3] == 0.5
    assert filtered[0, 0, 0] == filtered[7, 7, 7] == 0.0


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.sampled_from([3, 5]))
def test_the_median_is_that_of_the_whole_volume(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    scan = rng.random((9, 8, 10)).astype(np.float32)
    scan[:, : int(rng.integers(0, 8))] = 0.0
    scan[int(rng.integers(1, 9)) :] = 0.0
    expected = np.zeros_like(scan)
    padded = np.pad(scan, size // 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size,) * 3)
    assert np.array_equal(median_error(scan, expected, size), np.median(windows, axis=(3, 4, 5)))


def test_only_large_parts_above_the_threshold_stay() -> None:
    values = np.full((12, 6, 6), 0.1, dtype=np.float32)
    values[0:2, 0:2, 0:2] = 0.5
    values[2, 2, 2] = 0.5  # touches the first part by a corner: nine voxels together
    values[6:8, 0:2, 0:2] = 0.9
    values[11, 5, 5] = 2.0
    kept = keep_large_parts(values, 0.5, smallest_mm3=18.0, voxel_mm3=2.0)
    expected = np.zeros_like(values)
    expected[0:2, 0:2, 0:2] = expected[2, 2, 2] = 0.5
    assert np.array_equal(kept, expected)
    assert np.array_equal(
        np.unique(keep_large_parts(values, 0.5, smallest_mm3=16.0, voxel_mm3=2.0)), np.float32([0.0, 0.5, 0.9])
    )


def test_a_volume_above_the_threshold_everywhere_stays() -> None:
    values = np.ones((3, 3, 3), dtype=np.float32)
    assert np.array_equal(keep_large_parts(values, 0.5, smallest_mm3=1.0, voxel_mm3=1.0), values)


def test_the_map_is_made_step_by_step() -> None:
    method = fitted(tiny(spread=False, erosion_voxels=2, threshold_quantile=0.9, smallest_mm3=40.0, score="mean"))
    scan = head(30, lesion=0.8)
    reading = method.examine(scan, seed=0)
    region = scan.region.mask
    error = ndimage.median_filter(np.abs(scan.scan.voxels - reading.expected), size=5, mode="nearest")
    error[~ndimage.binary_erosion(region, iterations=2)] = 0.0
    error[error < method.state()["threshold"].item()] = 0.0
    labels, count = ndimage.label(error > 0, structure=np.ones((3, 3, 3)))
    for part in range(1, count + 1):
        if (labels == part).sum() * 8.0 < 40.0:
            error[labels == part] = 0.0
    assert np.array_equal(reading.map[region], error[region])
    assert np.isnan(reading.map[~region]).all()
    assert reading.score == pytest.approx(error[region].mean(), rel=1e-5)
    assert 0 < (reading.map[region] > 0).mean() < 0.3


# Slice score


def test_the_slice_score_by_hand() -> None:
    error = np.zeros((2, 2, 4))
    error[:, :, 0], error[:, :, 1], error[:, :, 2] = 1.0, 2.0, 4.0
    error[:, :, 3] = 100.0
    mask = np.ones((2, 2, 4), dtype=bool)
    mask[1, :, 1] = False
    mask[:, :, 3] = False
    assert slice_scores_published(error, mask) == pytest.approx([1.0, 2.0, 4.0, np.nan], nan_ok=True)
    assert slice_scores_published(error, mask, as_published=True) == pytest.approx([12 / 16, 12 / 16, 0.0, 1.0])


def test_a_constant_error_is_all_normal() -> None:
    mask = np.ones((2, 3, 5), dtype=bool)
    assert np.array_equal(slice_scores_published(np.ones((2, 3, 5)), mask, as_published=True), np.ones(5))
    assert np.array_equal(slice_scores_published(np.zeros((2, 3, 5)), mask), np.zeros(5))


# Readings


def test_a_reading_keeps_its_promises(method: Autoencoder) -> None:
    scan = head(40)
    before = scan.scan.voxels.copy()
    reading = method.examine(scan, seed=0)
    assert reading.map.dtype == reading.expected.dtype == np.float32
    assert reading.map.shape == reading.expected.shape == SHAPE
    assert np.array_equal(np.isfinite(reading.map), scan.region.mask)
    assert np.array_equal(scan.scan.voxels, before)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_reading_depends_on_the_scan_alone(dimensions: int) -> None:
    method = fitted(tiny(dimensions=dimensions, batch_size=2 if dimensions == 3 else 32, epochs=2), 6)
    scans = [head(40), head(41, lesion=1.0), head(42)]
    alone = [method.examine(scan, seed=0) for scan in scans]
    again = [method.examine(scan, seed=5) for scan in reversed(scans)][::-1]
    for one, other in zip(alone, again, strict=True):
        assert np.array_equal(one.map, other.map, equal_nan=True)
        assert one.score == other.score


def test_the_running_statistics_are_those_of_training(method: Autoencoder) -> None:
    before = {name: array.copy() for name, array in method.state().items()}
    method.examine(head(43, lesion=3.0), seed=0)
    assert all(np.array_equal(array, before[name]) for name, array in method.state().items())


def test_the_number_of_threads_hardly_matters(method: Autoencoder) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = method.examine(head(44), seed=0).map
        torch.set_num_threads(2)
        other = method.examine(head(44), seed=0).map
    finally:
        torch.set_num_threads(threads)
    assert np.nanmax(np.abs(one - other)) <= 1e-4 * np.nanmax(np.abs(one))


def test_the_order_of_the_training_scans_does_not_matter() -> None:
    scans = [head(n) for n in range(6)]
    states = []
    for order in (scans, scans[::-1]):
        method = Autoencoder(tiny(epochs=2))
        method.fit(order, seed=1, fabric=None, resume=None)
        states.append(method.state())
    assert all(np.array_equal(array, states[1][name]) for name, array in states[0].items())


def test_scans_of_one_subject_stay_on_one_side() -> None:
    scans = [head(n, subject=f"sub-{n // 2}") for n in range(10)]
    report = Autoencoder(tiny(epochs=1)).fit(scans, seed=1, fabric=None, resume=None)
    assert "trained on 4 scans, measured on 6" in report.notes[0]


def test_a_fit_that_was_resumed_is_the_same(tmp_path: Path) -> None:
    scans = [head(n) for n in range(6)]
    whole, resumed = Autoencoder(tiny(epochs=3)), Autoencoder(tiny(epochs=3))
    report = whole.fit(scans, seed=1, fabric=None, resume=tmp_path)
    again = resumed.fit(scans, seed=1, fabric=None, resume=tmp_path)
    assert again.curves == report.curves
    assert all(np.array_equal(array, resumed.state()[name]) for name, array in whole.state().items())


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_planted_lesion_scores_higher_on_average(dimensions: int) -> None:
    method = fitted(tiny(dimensions=dimensions, batch_size=2 if dimensions == 3 else 16), 10)
    normal = [method.examine(head(n), seed=0).score for n in range(50, 55)]
    weak = [method.examine(head(n, lesion=0.4), seed=0).score for n in range(50, 55)]
    strong = [method.examine(head(n, lesion=0.8), seed=0).score for n in range(50, 55)]
    assert np.mean(normal) < np.mean(weak) < np.mean(strong)


def test_the_map_is_highest_where_the_lesion_is(method: Autoencoder) -> None:
    plain, lesion = head(60), head(60, lesion=0.8)
    where = (lesion.scan.voxels != plain.scan.voxels) & plain.region.mask
    values = method.examine(lesion, seed=0).map
    assert values[where].mean() > np.quantile(values[plain.region.mask & ~where], 0.95)


# State


def test_the_state_comes_back_exactly(method: Autoencoder) -> None:
    state = method.state()
    assert {array.dtype.name for array in state.values()} <= {"float32", "int64"}
    restored = Autoencoder.restore(tiny(), state)
    assert all(np.array_equal(array, state[name]) for name, array in restored.state().items())
    one, other = method.examine(head(45), seed=0), restored.examine(head(45), seed=0)
    assert np.array_equal(one.map, other.map, equal_nan=True)
    assert one.score == other.score


def test_float16_is_nearly_as_good(method: Autoencoder) -> None:
    halves = {n: a.astype(np.float16) if a.dtype == np.float32 else a for n, a in method.state().items()}
    restored = Autoencoder.restore(tiny(), halves)
    assert {array.dtype.name for array in restored.state().values()} <= {"float32", "int64"}
    one, other = method.examine(head(46), seed=0), restored.examine(head(46), seed=0)
    assert other.score == pytest.approx(one.score, rel=0.02)


def test_a_state_of_other_settings_is_refused(method: Autoencoder) -> None:
    state = dict(method.state())
    with pytest.raises(ModelError, match="does not fit"):
        Autoencoder.restore(tiny(width=4), state)
    with pytest.raises(ModelError, match="does not fit"):
        Autoencoder.restore(tiny(), {n: a for n, a in state.items() if n != "spread.sd"})
    with pytest.raises(ModelError, match="does not fit"):
        Autoencoder.restore(tiny(), {n: a for n, a in state.items() if n != "network.decoder.6.bias"})
    with pytest.raises(ModelError, match="does not fit"):
        Autoencoder.restore(tiny(), {**state, "spread.sd": np.ones((3, 3, 3), dtype=np.float32)})


# Refusals


def test_a_scan_on_another_grid_is_refused(method: Autoencoder) -> None:
    with pytest.raises(ModelError, match=r"trained on \(28, 34, 22\).*scan-47"):
        method.examine(head(47, shape=(28, 34, 24)), seed=0)


def test_a_grid_that_cuts_the_region_is_refused() -> None:
    with pytest.raises(ModelError, match="outside the"):
        Autoencoder(tiny(grid=(16, 32, 32))).fit([head(n) for n in range(5)], seed=0, fabric=None, resume=None)


def test_too_few_subjects_are_refused() -> None:
    with pytest.raises(CalibrationError, match="too few"):
        Autoencoder(tiny()).fit([head(n) for n in range(4)], seed=0, fabric=None, resume=None)


def test_an_unfitted_method_says_so() -> None:
    with pytest.raises(ModelError, match="not fitted"):
        Autoencoder(tiny()).state()
    with pytest.raises(ModelError, match="not fitted"):
        Autoencoder(tiny()).examine(head(1), seed=0)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValidationError, match="multiple of 16"):
        AutoencoderConfig(grid=(160, 190, 96))
    AutoencoderConfig(grid=(160, 192, 95), dimensions=2)
    with pytest.raises(ModelError, match="another method"):
        Autoencoder(Config())


# Presets


def test_the_presets_are_those_of_the_table_and_fit_their_recipes() -> None:
    from anomri.preparation.recipe import recipe_named

    assert tuple(PRESETS) == METHODS["autoencoder"].presets
    for preset in PRESETS.values():
        assert isinstance(preset.config, AutoencoderConfig)
        assert preset.config.grid in (None, recipe_named(preset.recipe).shape)


def test_the_published_preset_is_as_published() -> None:
    config = PRESETS["autoencoder"].config
    assert isinstance(config, AutoencoderConfig)
    assert (config.grid, config.width, config.bottleneck, config.latent) == (PUBLISHED, 16, "dense", 512)
    assert (config.learning_rate, config.weight_decay) == (1e-4, 1e-5)
    assert (config.batch_size, config.epochs, config.decay, config.background_weight) == (8, 200, "constant", 1.0)
    assert not config.flip
    assert config.median_voxels == 5


@pytest.mark.slow
def test_the_published_size_takes_a_step() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network(PUBLISHED, width=16, bottleneck="dense", latent=512).train()
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=1e-5)
        x = torch.rand(1, 1, *PUBLISHED)
        before = weighted_squared_error(network, (x, torch.ones_like(x)))
        before.backward()
        optimizer.step()
        with torch.no_grad():
            after = weighted_squared_error(network, (x, torch.ones_like(x)))
    assert after < before.detach()
