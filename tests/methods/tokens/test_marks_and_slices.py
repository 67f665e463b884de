"""The published post-processing, and slices out of a volume and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anomri.methods.tokens.config import TokensConfig
from anomri.methods.tokens.marks import dilated, eroded_edge, large_parts, pooled
from anomri.methods.tokens.perceptual import Denoiser, Lpips, perceptual_map, read_lpips
from anomri.methods.tokens.slices import Slicing
from synthetic import prepared_population


def test_pooling_counts_air() -> None:
    values = np.ones((9, 9, 2), dtype=np.float32)
    mean = pooled(values, 3)
    assert mean[4, 4, 0] == pytest.approx(1.0)
    assert mean[0, 4, 1] == pytest.approx(6 / 9)
    assert mean[0, 0, 0] == pytest.approx(4 / 9)
    assert np.array_equal(pooled(values, 1), values)


def test_parts_are_those_of_a_slice_joined_by_sides() -> None:
    mask = np.zeros((8, 8, 3), dtype=bool)
    mask[0:2, 0:2, 0] = True  # four pixels
    mask[2, 2, 0] = True  # by a corner
    mask[5, 2:7, 1] = True  # five in a row
    mask[6, 6, 0] = mask[6, 6, 2] = True  # a column across slices
    kept = large_parts(mask, 4)
    assert kept.sum() == 9
    assert not kept[2, 2, 0]
    assert not kept[:, :, 2].any()


def test_dilation_stays_within_a_slice() -> None:
    mask = np.zeros((5, 5, 3), dtype=bool)
    mask[2, 2, 1] = True
    assert dilated(mask, 3).sum() == 9
    assert np.array_equal(dilated(mask, 1), mask)


def test_the_edge_is_eroded_and_the_centre_is_not() -> None:
    mask = np.ones((65, 65, 1), dtype=bool)
    assert np.array_equal(eroded_edge(mask, 0), mask)
    eroded = eroded_edge(mask, 2)
    distance = np.hypot(*np.meshgrid(np.linspace(-1, 1, 65), np.linspace(-1, 1, 65), indexing="ij")) / np.sqrt(2)
    assert eroded[distance < 0.35 + 0.65 / 2].all()
    assert not eroded[0, 0, 0]
    for x, y in ((5, 30), (10, 8), (3, 3), (20, 20)):
        times = int(np.floor(np.clip((distance[x, y] - 0.35) / 0.65, 0, 1) * 2))
        # After n erosions by 13 × 13 the first 6 n rows and columns are gone.
        assert eroded[x, y, 0] == (min(x, y) >= 6 * times)


# Slices

PEOPLE = prepared_population(2, seed=3)
CONFIG = TokensConfig(image=None, patch=4, stem=16)


def test_slices_are_standardised_and_air_is_the_lowest_value() -> None:
    person = PEOPLE[0]
    slicing = Slicing.of(CONFIG, person.scan.geometry.shape)
    levels = slicing.levels(person)
    cut = slicing.cut(person, levels)
    assert cut.pixels.shape == (len(levels), 1, 32, 40)
    inside = np.stack([person.inside.mask[:, :, z] for z in levels])
    assert cut.pixels[:, 0][inside].mean() == pytest.approx(0.0, abs=0.05)
    assert (cut.pixels[:, 0][~inside] == -3.0).all()
    assert cut.positions[0] == pytest.approx(levels[0] / 31)


def test_a_slices_intensities_come_back() -> None:
    person = PEOPLE[0]
    slicing = Slicing.of(CONFIG.model_copy(update={"window": 100.0}), person.scan.geometry.shape)
    levels = slicing.levels(person)
    volume = slicing.stacked(slicing.cut(person, levels).own[:, 0], levels)
    back = slicing.in_intensities(volume, person)
    np.testing.assert_allclose(back, person.scan.voxels, atol=1e-5)


def test_neighbours_are_channels_and_the_ends_are_repeated() -> None:
    person = PEOPLE[0]
    slicing = Slicing.of(CONFIG.model_copy(update={"neighbours": 1}), person.scan.geometry.shape)
    cut = slicing.cut(person, range(32))
    assert np.array_equal(cut.pixels[5:9, 0], cut.pixels[4:8, 1])
    assert np.array_equal(cut.pixels[5:9, 2], cut.pixels[6:10, 1])
    assert np.array_equal(cut.pixels[0, 0], cut.pixels[0, 1])
    assert np.array_equal(cut.own[:, 0], cut.pixels[:, 1])


def test_a_smaller_image_must_hold_the_brain() -> None:
    shape = PEOPLE[0].scan.geometry.shape
    assert Slicing.of(CONFIG, shape).holds(PEOPLE[0])
    assert Slicing.of(CONFIG.model_copy(update={"image": (40, 48)}), shape).holds(PEOPLE[0])
    assert not Slicing.of(CONFIG.model_copy(update={"image": (16, 40)}), shape).holds(PEOPLE[0])


def test_touched_tokens_are_those_with_any_pixel() -> None:
    slicing = Slicing.of(CONFIG, (30, 40, 3))
    mask = np.zeros((30, 40, 3), dtype=bool)
    mask[0, 0, 1] = mask[13, 22, 1] = True
    touched = slicing.touched(mask, [1, 2]).reshape(2, 8, 10)
    # 30 pixels lie in 32 with one before them.
    assert [tuple(place) for place in np.argwhere(touched)] == [(0, 0, 0), (0, 14 // 4, 22 // 4)]


def test_tokens_are_upsampled_between_their_centres() -> None:
    slicing = Slicing.of(CONFIG, (32, 40, 2))
    tokens = np.arange(80, dtype=np.float32).reshape(1, 8, 10)
    fine = slicing.upsampled(tokens)
    assert fine.shape == (1, 32, 40)
    # Four pixels a token: its centre lies between the second and the third.
    assert fine[0, 5:7, 5:7].mean() == pytest.approx(tokens[0, 1, 1])


# Perceptual map


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 100))
def test_the_same_slice_looks_the_same_and_another_does_not(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    one, other = torch.randn(2, 2, 1, 16, 24, generator=generator)
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(0)
        network = Denoiser(2)
        assert float(perceptual_map(network, one, one).abs().max()) == 0.0
        different = perceptual_map(network, one, other)
    assert different.shape == (2, 1, 16, 24)
    assert float(different.min()) >= 0.0
    assert float(different.mean()) > 0.0


def test_the_perceptual_map_is_the_sum_over_stages() -> None:
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(0)
        network = Denoiser(2)
        one, other = torch.randn(2, 1, 1, 16, 16)
        total = torch.zeros(1, 1, 16, 16)
        for a, b in zip(network.features(one), network.features(other), strict=True):
            d = ((a / a.norm(dim=1, keepdim=True) - b / b.norm(dim=1, keepdim=True)) ** 2).mean(dim=1, keepdim=True)
            total += torch.nn.functional.interpolate(d, size=(16, 16), mode="bilinear")
        assert torch.allclose(perceptual_map(network, one, other), total, atol=1e-5)


def test_a_pixel_without_any_feature_has_a_slope() -> None:
    class Nothing(Denoiser):
        def features(self, slices: torch.Tensor) -> list[torch.Tensor]:
            return [torch.relu(slices - 100.0)]

    one = torch.zeros(1, 1, 8, 8, requires_grad=True)
    perceptual_map(Nothing(2), one, torch.ones(1, 1, 8, 8)).sum().backward()
    assert torch.isfinite(one.grad).all()


def test_weights_from_a_file_are_read_by_their_digest(tmp_path) -> None:
    import hashlib

    from safetensors.torch import save_file

    from anomri.errors import ModelError

    path = tmp_path / "lpips.safetensors"
    network = Lpips()
    save_file(network.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    read = read_lpips(path, digest)
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in read.state_dict().items())
    image = torch.zeros(1, 1, 32, 32)
    assert [f.shape[1] for f in read.features(image)] == [64, 128, 256, 512, 512]
    assert torch.equal(read_lpips(path, digest.upper()).factors[0], network.factors[0])
    with pytest.raises(ModelError, match="not the one"):
        read_lpips(path, "0" * 64)
    with pytest.raises(ModelError, match="digest alone"):
        read_lpips(None, digest)
    with pytest.raises(ModelError, match="cannot be read"):
        read_lpips(tmp_path / "none", digest)
    path.write_bytes(b"nothing")
    with pytest.raises(ModelError, match="does not hold"):
        read_lpips(path, hashlib.sha256(b"nothing").hexdigest())


def test_settings_that_make_no_sense_are_refused() -> None:
    bad = [
        ({"patch": 6}, "power of two"),
        ({"image": (30, 32)}, "not a multiple of 8"),
        ({"image": (36, 44)}, "not a multiple of 8"),
        ({"patterns": ()}, "checkerboards"),
        ({"patterns": (0,)}, "checkerboards"),
        ({"surprisal": "monte-carlo", "passes": 3}, "never hidden"),
        ({"score": "sum"}, "needs the union"),
        ({"second_width": 24, "second_heads": 8}, "multiple of its heads"),
        ({"stem": 20}, "stem"),
        ({"groups": 4, "sets": 3}, "different sets"),
        ({"pool": 2}, "odd"),
        ({"healing": False, "backflow": True}, "needs healing"),
        ({"perceptual_file": "lpips.safetensors"}, "needs its SHA-256"),
    ]
    for changes, message in bad:
        with pytest.raises(ValueError, match=message):
            TokensConfig(**{**CONFIG.model_dump(), **changes})
    assert replace(Slicing.of(CONFIG, (30, 40, 3)), patch=8).grid == (4, 5)
