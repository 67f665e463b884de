"""How the mask shrinks, on errors that are known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomri.methods.itermask.refine import coarse_to_fine, keep_largest, refine, shrink


def errors_of(voxels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).exponential(size=voxels).astype(np.float32)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.integers(1, 3000), st.integers(0, 100))
def test_exactly_the_stated_share_of_the_largest_stays(voxels, percent):
    errors = np.random.default_rng(voxels).permutation(voxels).astype(np.float32) + 1
    share = 1.0 - percent / 100
    tau, kept = keep_largest(errors, share)
    rank = max(voxels * percent // 100, 1)
    assert tau == np.sort(errors)[rank - 1]
    assert kept.sum() == voxels - rank
    np.testing.assert_array_equal(kept, errors > tau)


def test_the_threshold_is_the_one_of_the_published_rank_over_the_whole_grid():
    # r = ⌊N − V(1 − t/n)⌋ of all voxels, those outside the brain being 0, is the rank r − (N − V) of the brain's.
    inside = errors_of(777)
    grid = np.r_[np.zeros(2223, dtype=np.float32), inside]
    for t in range(1, 101):
        published = np.sort(grid)[int(np.floor(grid.size - inside.size * (1 - 0.01 * t) + 1e-9)) - 1]
        assert keep_largest(inside, 1 - 0.01 * t)[0] == published


def test_each_step_hides_its_share_and_sees_the_mask_of_the_step_before():
    voxels, seen = 5431, []

    def reconstruct(mask, step):
        seen.append(int(mask.sum()))
        return errors_of(voxels, step)

    shrunk = shrink(reconstruct, voxels, steps=100)
    assert len(seen) == 100
    assert all(abs(hidden - voxels * (1 - t / 100)) <= 1 for t, hidden in enumerate(seen))
    for t in (1, 40, 100):
        assert shrunk.taus[t - 1] == keep_largest(errors_of(voxels, t), 1 - t / 100)[0]


def test_a_voxel_is_shown_by_the_step_that_hid_it_last():
    voxels = 1000
    errors = np.arange(voxels, dtype=np.float32)
    shown = shrink(lambda _mask, _step: errors, voxels, steps=10).shown
    # The largest hundred stay hidden until nine tenths are shown; the smallest go at once.
    np.testing.assert_allclose(shown, np.floor(errors / 100) / 10, atol=1e-6)


def test_the_short_schedule_begins_and_ends_as_the_long_one_and_grows_finer():
    for steps in (10, 20, 50, 100, 400):
        made = coarse_to_fine(steps)
        assert made[0] == 1
        assert made[-1] == steps
        assert len(made) <= 13
        assert list(made) == sorted(set(made))
    gaps = np.diff(coarse_to_fine(100))
    assert (np.diff(gaps) <= 0).all()
    assert gaps[-1] == 1


def test_the_short_schedule_follows_a_curve_that_does_not_hang_on_the_mask():
    voxels = 20_000
    errors = errors_of(voxels)
    full = shrink(lambda _mask, _step: errors, voxels, steps=100).taus
    short = shrink(lambda _mask, _step: errors, voxels, steps=100, passes=coarse_to_fine(100)).taus
    made = np.array(coarse_to_fine(100)) - 1
    np.testing.assert_allclose(short[made], full[made])
    np.testing.assert_allclose(short[40:], full[40:], rtol=0.06)
    assert (np.diff(short) >= 0).all()


def test_phase_b_shrinks_until_a_pass_takes_less_than_a_hundredth():
    voxels, sizes = 1000, []

    def reconstruct(mask, _step):
        sizes.append(int(mask.sum()))
        left = {1000: 400, 400: 200, 200: 199}[int(mask.sum())]
        return (np.arange(voxels) < left).astype(np.float32)

    mask, errors, grew = refine(reconstruct, voxels, 0.5)
    assert sizes == [1000, 400, 200]
    assert mask.sum() == errors.sum() == 199
    assert not grew


def test_phase_b_ends_where_the_mask_grows_and_says_so():
    answers = iter([300, 500])
    mask, _, grew = refine(lambda _m, _s: (np.arange(1000) < next(answers)).astype(np.float32), 1000, 0.5)
    assert grew
    assert mask.sum() == 500


def test_phase_b_ends_when_nothing_is_hidden_any_more():
    calls = []

    def reconstruct(mask, step):
        calls.append(step)
        return np.zeros(mask.size, dtype=np.float32)

    mask, _, grew = refine(reconstruct, 100, 0.5)
    assert calls == [1]
    assert not mask.any()
    assert not grew


def test_phase_b_never_takes_more_passes_than_allowed():
    left = iter(range(900, 0, -20))
    calls = []

    def reconstruct(_mask, step):
        calls.append(step)
        return (np.arange(1000) < next(left)).astype(np.float32)

    refine(reconstruct, 1000, 0.5, most=7)
    assert calls == list(range(1, 8))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_ends_of_the_scale(share):
    errors = errors_of(50)
    tau, kept = keep_largest(errors, share)
    assert tau == (errors.max() if share == 0 else errors.min())
    assert kept.sum() == (0 if share == 0 else 49)
