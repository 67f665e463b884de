from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from anomri.core.prepared import Prepared
from anomri.core.reading import Reading
from anomri.errors import InputError
from anomri.training.holdout import fingerprints, hold_out, read_by_the_others, set_apart
from anomri.training.placing import place_centred
from anomri.training.spread import SMALLEST_SPREAD, position_wise_spread
from synthetic import prepared_population, with_lesion

SIDE = st.integers(1, 9)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from("abcdefgh"), min_size=4, max_size=20), st.integers(0, 5), st.floats(0.05, 0.4))
def test_a_subject_is_on_one_side(subjects: list[str], seed: int, share: float) -> None:
    if len(set(subjects)) < 5:
        with pytest.raises(InputError, match="too few"):
            hold_out(subjects, share, seed=seed)
        return
    kept, out = hold_out(subjects, share, seed=seed)
    assert sorted(kept + out) == list(range(len(subjects)))
    names = {subjects[n] for n in out}
    assert names.isdisjoint({subjects[n] for n in kept})
    assert len(names) == max(3, round(share * len(set(subjects))))


def test_each_held_out_scan_is_read_by_statistics_of_the_other_subjects() -> None:
    scans = [replace(p, subject=s) for p, s in zip(prepared_population(5, seed=1), "aabcd", strict=True)]
    values = [1.0, 2.0, 4.0, 8.0, 16.0]
    known: list[float] = []

    def measure(_scans: Sequence[Prepared], seen: Sequence[float]) -> None:
        known[:] = seen

    readings = read_by_the_others(scans, values, measure, lambda _scan, own: Reading(own / sum(known)))
    assert [r.score for r in readings] == [1 / 28, 2 / 28, 4 / 27, 8 / 23, 16 / 15]
    assert known == values


def test_the_choice_does_not_hang_on_the_order() -> None:
    subjects = [f"s{n}" for n in range(20)]
    _, out = hold_out(subjects, 0.2, seed=1)
    _, reversed_out = hold_out(subjects[::-1], 0.2, seed=1)
    assert {subjects[n] for n in out} == {subjects[::-1][n] for n in reversed_out}
    assert out != hold_out(subjects, 0.2, seed=2)[1]


def test_scans_are_set_apart_whatever_their_order() -> None:
    scans = prepared_population(6, seed=1)
    trained, held_out = set_apart(scans, 0.3, seed=2)
    again = set_apart(scans[::-1], 0.3, seed=2)
    ids = [[p.scan.scan_id for p in part] for part in (trained, held_out)]
    assert ids == [[p.scan.scan_id for p in part] for part in again]
    assert all(part == sorted(part) for part in ids)
    assert sorted(ids[0] + ids[1]) == sorted(p.scan.scan_id for p in scans)
    assert len(held_out) == 3


def test_fingerprints_tell_other_voxels_and_not_another_order() -> None:
    scans = prepared_population(3, seed=1)
    known = fingerprints(scans)
    assert fingerprints(scans[::-1]) == known
    changed = fingerprints([with_lesion(scans[0], strength=1.0, seed=0), *scans[1:]])
    assert sum(a != b for a, b in zip(changed, known, strict=True)) == 1


@settings(deadline=None, max_examples=50)
@given(st.tuples(SIDE, SIDE, SIDE), st.tuples(SIDE, SIDE, SIDE))
def test_placing_there_and_back_returns_what_was_not_cut(
    one: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    source = np.arange(1.0, np.prod(one) + 1).reshape(one)
    there, back = np.zeros(other), np.zeros(one)
    place_centred(source, there)
    place_centred(there, back)
    assert np.array_equal(back[back != 0], source[back != 0])
    assert np.count_nonzero(back) == np.prod(np.minimum(one, other))


def test_placing_centres() -> None:
    target = np.zeros((5, 2))
    place_centred(np.array([[1.0, 2.0, 3.0, 4.0]]), target)
    assert np.array_equal(target, [[0, 0], [0, 0], [2, 3], [0, 0], [0, 0]])


def test_spread_is_mean_and_standard_deviation_of_the_scans_that_know_the_voxel() -> None:
    rng = np.random.default_rng(0)
    errors = [rng.random((4, 5, 3)) for _ in range(6)]
    regions = [rng.random((4, 5, 3)) < 0.9 for _ in range(6)]
    mean, spread = position_wise_spread(errors, regions, sigma_voxels=1e-3)
    for voxel in np.ndindex(4, 5, 3):
        known = [e[voxel] for e, r in zip(errors, regions, strict=True) if r[voxel]]
        if len(known) >= 2:
            assert mean[voxel] == pytest.approx(np.mean(known), rel=1e-5)
            assert spread[voxel] >= np.std(known, ddof=1) - 1e-6
    assert spread.dtype == mean.dtype == np.float32


def test_a_variance_of_few_scans_is_drawn_to_that_of_its_surroundings() -> None:
    rng = np.random.default_rng(0)
    shape, n = (24, 24, 24), 4
    errors = [rng.standard_normal(shape) for _ in range(n)]
    region = np.ones(shape, dtype=bool)
    region[:, :, :3] = False
    _, spread = position_wise_spread(errors, [region] * n, sigma_voxels=1.0)
    variance = np.var(errors, axis=0, ddof=1)
    weight = {s: ndimage.gaussian_filter(region.astype(float), s, truncate=3.0) for s in (1.0, 4.0)}
    here, around = (
        ndimage.gaussian_filter(np.where(region, variance, 0.0), s, truncate=3.0) / weight[s] for s in weight
    )
    expected = np.sqrt((3 * here + 14 * around) / 17)
    np.testing.assert_allclose(spread[region], expected[region], rtol=1e-4)
    # The truth is 1 everywhere.
    assert np.abs(spread[region] - 1).mean() < 0.5 * np.abs(np.sqrt(here[region]) - 1).mean()


def test_spread_has_a_floor_and_reaches_beyond_the_regions() -> None:
    errors = [np.full((3, 3, 5), float(n)) for n in range(3)]
    for error in errors:
        error[0, 0, 0] = 1.0
    region = np.ones((3, 3, 5), dtype=bool)
    region[:, :, 4] = False
    mean, spread = position_wise_spread(errors, [region] * 3, sigma_voxels=1e-3)
    assert spread[0, 0, 0] == pytest.approx(SMALLEST_SPREAD)
    assert spread[1, 1, 4] == pytest.approx(1.0)
    assert mean[1, 1, 4] == pytest.approx(1.0)


def test_spread_of_strangers_is_refused() -> None:
    region = np.zeros((2, 2, 2), dtype=bool)
    region[0] = True
    with pytest.raises(InputError, match="overlap"):
        position_wise_spread([np.ones((2, 2, 2))] * 2, [region, ~region], sigma_voxels=1.0)
    with pytest.raises(InputError, match="vary"):
        position_wise_spread([np.ones((2, 2, 2))] * 2, [region, region], sigma_voxels=1.0)
