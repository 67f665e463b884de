import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from anomri.report.quality_map import FRAME, principal_axes, quality_map


def table_of(n: int = 30, m: int = 6, seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) @ rng.normal(size=(2, m)) * 3.0 + rng.normal(size=(n, m))


@pytest.mark.parametrize("seed", range(5))
def test_the_axes_are_those_of_scikit_learn(seed: int) -> None:
    table = table_of(seed=seed)
    places, shares, axes = principal_axes(table)
    oracle = PCA(n_components=2, svd_solver="full").fit(table)
    signs = np.sign((oracle.components_ * axes).sum(axis=1))
    np.testing.assert_allclose(axes, oracle.components_ * signs[:, None], atol=1e-8)
    np.testing.assert_allclose(places, oracle.transform(table) * signs, atol=1e-8)
    np.testing.assert_allclose(shares, oracle.explained_variance_ratio_, atol=1e-10)


def test_the_sign_of_an_axis_does_not_hang_on_the_order_of_scans() -> None:
    table = table_of()
    _, _, axes = principal_axes(table)
    _, _, turned = principal_axes(table[::-1])
    np.testing.assert_allclose(axes, turned, atol=1e-10)
    assert all(axis[np.argmax(np.abs(axis))] > 0 for axis in axes)


def quality_of(table: NDArray[np.float64]) -> list[dict[str, float | None]]:
    return [{f"m{j}": float(value) for j, value in enumerate(row)} for row in table]


def test_neighbours_have_similar_metrics() -> None:
    rng = np.random.default_rng(1)
    table = np.vstack([rng.normal(0.0, 1.0, (20, 4)), rng.normal(6.0, 1.0, (20, 4))])
    found = quality_map(quality_of(table))
    assert found is not None
    first, second = (np.array([p.x for p in found.points[part]]) for part in (slice(0, 20), slice(20, 40)))
    assert max(first) < min(second) or max(second) < min(first)
    assert found.axes[0].share > 0.5 > found.axes[1].share


def test_one_scale_holds_for_both_axes() -> None:
    found = quality_map(quality_of(table_of()))
    assert found is not None
    x, y = (np.array([getattr(p, name) for p in found.points]) for name in "xy")
    assert max(np.ptp(x), np.ptp(y)) == pytest.approx(1.0, abs=1e-3)
    # Uncorrelated axes whose variances are the shares, once the frame's shape is taken out.
    assert np.var(x * FRAME) / np.var(y) == pytest.approx(found.axes[0].share / found.axes[1].share, rel=1e-2)


def test_scans_without_metrics_are_left_out_and_keep_the_numbers_of_the_others() -> None:
    quality = quality_of(table_of(8))
    quality.insert(3, {})
    quality.insert(0, {"m0": None})
    found = quality_map(quality)
    assert found is not None
    assert [point.index for point in found.points] == [1, 2, 3, 5, 6, 7, 8, 9]


def test_a_rare_metric_is_left_out_and_a_gap_counts_as_the_median() -> None:
    table = table_of(21)
    quality = quality_of(table)
    quality[0]["rare"] = 1.0
    quality[4]["m1"] = None
    found = quality_map(quality)
    table[4, 1] = np.median(np.delete(table[:, 1], 4))
    filled = quality_map(quality_of(table))
    assert found is not None
    assert filled is not None
    assert found.metrics == 6
    # The spread is that of all, the filled one among them.
    assert [(p.x, p.y) for p in found.points] == [(p.x, p.y) for p in filled.points]


def test_a_ruined_scan_stands_apart_without_taking_the_axes() -> None:
    quality = quality_of(table_of())
    axes = quality_map(quality)
    quality[5] = dict.fromkeys(quality[5], 1e9)
    found = quality_map(quality)
    assert axes is not None
    assert found is not None
    assert found.axes[0].share < 0.95


@pytest.mark.parametrize("quality", [[], [{"a": 1.0, "b": float(i)} for i in range(4)], [{"a": 1.0, "b": 2.0}] * 9])
def test_too_few_scans_or_nothing_that_varies_gives_no_map(quality: list[dict[str, float | None]]) -> None:
    assert quality_map(quality) is None
