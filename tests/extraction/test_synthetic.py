"""Synthetic heads: a function of their seed, with a brain of people's size where the truth says it is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from anomri.extraction.smooth import smooth_field
from anomri.extraction.synthetic import SHAPE, SPACING_MM, SyntheticHead, synthetic_head

HEADS = 6


@pytest.fixture(scope="module")
def heads() -> list[SyntheticHead]:
    return [synthetic_head(np.random.default_rng(seed)) for seed in range(HEADS)]


def test_the_same_seed_gives_the_same_bytes(heads: list[SyntheticHead]):
    again = synthetic_head(np.random.default_rng(3))
    assert np.array_equal(again.values, heads[3].values)
    assert np.array_equal(again.brain, heads[3].brain)
    assert not np.array_equal(again.values, heads[4].values)


def test_values_and_shares_are_what_they_should_be(heads: list[SyntheticHead]):
    for head in heads:
        assert head.values.shape == head.brain.shape == SHAPE
        assert head.values.dtype == head.brain.dtype == np.float32
        assert np.isfinite(head.values).all()
        assert head.values.min() >= 0.0
        assert head.brain.min() >= 0.0
        assert head.brain.max() <= 1.0


def test_brains_are_as_large_as_peoples(heads: list[SyntheticHead]):
    volumes = [float(head.brain.sum()) * SPACING_MM**3 / 1000.0 for head in heads]
    assert 900.0 < np.median(volumes) < 1700.0


def test_the_brain_is_one_piece(heads: list[SyntheticHead]):
    for head in heads:
        labels, _ = ndimage.label(head.brain > 0.5)
        sizes = np.bincount(labels.ravel())[1:]
        assert sizes.max() > 0.97 * sizes.sum()


def test_beyond_the_field_of_view_there_is_neither_value_nor_brain(heads: list[SyntheticHead]):
    for head in heads:
        rows = ~(head.values > 0).any(axis=(0, 1))
        assert head.brain[:, :, rows].sum() == 0.0


def test_contrasts_differ(heads: list[SyntheticHead]):
    # Deep tissue against what lies just outside the brain: brighter in some heads, darker in others.
    ratios = []
    for head in heads:
        inside = head.brain > 0.99
        deep = ndimage.binary_erosion(inside, iterations=4)
        ring = ndimage.binary_dilation(inside, iterations=2) & ~inside
        ratios.append(float(np.median(head.values[deep]) / max(np.median(head.values[ring]), 1e-6)))
    assert min(ratios) < 1.0 < max(ratios)


def test_a_smooth_field_has_standard_deviation_one_everywhere():
    rng = np.random.default_rng(0)
    fields = np.stack([smooth_field((9, 12, 7), 4, rng) for _ in range(800)])
    assert np.allclose(fields.std(axis=0), 1.0, atol=0.12)
    assert np.allclose(fields.mean(axis=0), 0.0, atol=0.16)
