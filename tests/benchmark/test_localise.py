"""The figures of localisation beside those of the plain definitions, on small maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save
from scipy import ndimage

import plain_localisation as plain
from anomri.benchmark.cases import Case
from anomri.benchmark.grounds import Grounds
from anomri.benchmark.localise import localisation
from anomri.benchmark.maps import SLICES, VOLUMES
from anomri.benchmark.preparing import Ready
from anomri.benchmark.protocol import MethodRow
from anomri.benchmark.results import Entry, Results
from anomri.io.write import write_bytes
from anomri.metrics.thresholds import thresholds_at_false_positive
from anomri.pipeline.store import save_prepared
from plain_localisation import Plain
from synthetic import GRID, prepared_population

FOLDS, NORMALS = 3, 6
SPACING = (2.0, 2.0, 2.0)
PEOPLE = prepared_population(NORMALS, 5)


def truth_of(number: int) -> np.ndarray:
    """A ball of some ml; one with a second, a speck and a part outside the examined region; one small."""
    at = np.indices(GRID.shape)
    away = [np.linalg.norm(2.0 * (at - np.reshape(c, (3, 1, 1, 1))), axis=0) for c in ((14, 18, 16), (20, 24, 14))]
    if number == 0:
        return away[0] <= 9.0
    if number == 1:
        truth = (away[0] <= 7.0) | (away[1] <= 4.5)
        truth[3:6, 20:22, 16] = True
        truth[16, 8, 20] = True
        return truth
    return away[1] <= 4.5


def map_values(seed: int, number: int, truth: np.ndarray | None) -> np.ndarray:
    """Smooth noise in steps, so that many voxels share a value; the lesion shows, more or less."""
    rng = np.random.default_rng([seed, number, truth is not None])
    noise = ndimage.gaussian_filter(rng.normal(size=GRID.shape), 1.0)
    values = noise / noise.std()
    if truth is not None:
        values = values + 1.5 * ndimage.gaussian_filter(truth.astype(float), 1.0)
    return np.round(values, 1).astype(np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, dict[tuple[int, str], Plain]]:
    """Six normals, of whom one was refused, and three lesions, of which one has no map; two seeds."""
    folder = tmp_path_factory.mktemp("maps")
    ready: list[Ready] = []
    grids: dict[tuple[int, str], Plain] = {}
    maps: dict[int, dict[str, np.ndarray]] = {0: {}, 1: {}}
    for number, person in enumerate(PEOPLE):
        save_prepared(person, folder / f"{number}.safetensors")
        for cell in ("normal", "lesion") if number < 4 else ("normal",):
            name = f"{cell}-{number}"
            truth = truth_of(number) if cell == "lesion" else np.zeros(GRID.shape, bool)
            case = Case(name, f"p{number}", "x", "a", cell, Path("x"), trains=cell == "normal")
            one = Ready(case, name, folder / f"{number}.safetensors")
            if cell == "lesion":
                kept = {"truth": np.packbits(truth), "shape": np.array(GRID.shape)}
                write_bytes(folder / f"{number}.truth", save(kept))
                one = replace(one, truth=folder / f"{number}.truth", truth_ml=1.0, truth_seen_ml=0.5)
            ready.append(one)
            for seed in (0, 1):
                values = np.full(GRID.shape, np.nan, np.float32)
                if name not in ("normal-5", "lesion-3"):
                    region = person.region.mask
                    values[region] = map_values(seed, number, truth if cell == "lesion" else None)[region]
                    maps[seed][name] = values[region]
                grids[seed, name] = Plain(values, truth, SPACING)
    for seed, found in maps.items():
        write_bytes(folder / f"maps-{seed}.safetensors", save(found))
    results = Results(
        row=MethodRow(name="row", methods=("zatlas",)),
        normals=None,
        ready=tuple(ready),
        scores={0: {}, 1: {}},
        refused={},
        calibration={},
        fold_of={r.case.case_id: int(r.case.subject[1:]) % FOLDS for r in ready},
        maps={seed: (folder / f"maps-{seed}.safetensors",) for seed in (0, 1)},
        costs=(),
    )
    return results, grids


def one_seed(results: Results, seed: int) -> dict[tuple[str, str], Entry]:
    alone = replace(results, maps={seed: results.maps[seed]}, scores={seed: {}})
    return {(e.cell, e.metric): e for e in localisation(alone, Grounds(alone.ready), VOLUMES)}


@pytest.mark.parametrize("seed", [0, 1])
def test_every_figure_is_that_of_its_plain_definition(made, seed) -> None:
    results, grids = made
    found = {metric: e.value for (cell, metric), e in one_seed(results, seed).items() if cell == "lesion"}
    normal = [f"normal-{i}" for i in range(NORMALS - 1)]
    lesions = [f"lesion-{i}" for i in range(4)]
    levels = {
        (fold, ml): plain.level([grids[seed, n] for n in normal if results.fold_of[n] != fold], ml)
        for fold in range(FOLDS)
        for ml in (0.1, 1.0, 5.0)
    }
    cases, healthy = [grids[seed, i] for i in lesions], [grids[seed, n] for n in normal]
    own = [tuple(levels[results.fold_of[i], ml] for ml in (0.1, 1.0, 5.0)) for i in lesions]
    rows = [plain.case_figures(case, mine) for case, mine in zip(cases, own, strict=True)]
    wanted = {metric: mean_of([row[metric] for row in rows]) for metric in rows[0]}
    wanted["aupimo"] = mean_of([plain.aupimo(case, healthy) for case in cases])
    wanted["voxel average precision, pooled"], wanted["oracle dice, pooled"] = plain.pooled(cases)
    wanted["spro"] = plain.spro(cases, healthy)
    low = min(levels[fold, 5.0] for fold in range(FOLDS))
    loose, strict = (
        [plain.matched(grids[seed, i], low, strict=hard) for i in (*lesions, *normal)] for hard in (False, True)
    )
    on_normals = [false for _, false in loose[4:]] + [[np.inf]]
    for on, counted in (("normals", on_normals), ("patients", [false for _, false in loose[:4]])):
        shares = plain.froc(loose[:4], counted)
        wanted[f"froc mean, false positives on {on}"] = float(np.mean(shares))
        for rate, share in zip((0.125, 0.25, 0.5, 1, 2, 4, 8), shares, strict=True):
            wanted[f"lesion sensitivity at {rate:g} false positives, on {on}"] = share
    hard_normals = [false for _, false in strict[4:]] + [[np.inf]]
    wanted["froc mean, false positives on normals, strict"] = float(np.mean(plain.froc(strict[:4], hard_normals)))
    wanted["lesions below 10 mm³, ignored"] = 1.0
    shares_by_volume = plain.strata(cases, [honest for _, honest, _ in own])
    wanted |= {f"lesion sensitivity, volume {name}": share for name, share in shares_by_volume.items()}
    assert {m: found[m] for m in wanted} == pytest.approx(wanted, abs=1e-9, nan_ok=True)
    assert 0.0 < wanted["froc mean, false positives on normals"] < 1.0
    assert 0.0 < wanted["dice, threshold from normals"] < 1.0


def mean_of(values: Sequence[float]) -> float:
    kept = [v for v in values if not np.isnan(v)]
    return float(np.mean(kept)) if kept else float("nan")


def test_realised_false_positive_is_that_at_the_level_of_the_other_folds(made) -> None:
    results, grids = made
    normal = [f"normal-{i}" for i in range(NORMALS - 1)]
    found = one_seed(results, 0)
    for ml in (0.1, 1.0, 5.0):
        spilt = []
        for name in normal:
            others = [grids[0, o] for o in normal if results.fold_of[o] != results.fold_of[name]]
            spilt.append((grids[0, name].values > plain.level(others, ml)).sum() * 0.008)
        metric = f"false positive ml a normal scan, {ml:g} ml allowed"
        assert found["normal", metric].value == pytest.approx(np.mean(spilt))


def test_what_is_allowed_on_slices_is_a_share_of_what_was_examined(made) -> None:
    results, grids = made
    found = {e.metric: e.value for e in localisation(results, Grounds(results.ready), SLICES) if e.cell == "normal"}
    assert set(found) == {
        f"false positive % of pixels a normal scan, {share} % of pixels allowed" for share in ("0.01", "0.1", "1")
    }
    # At the level that some normals set for themselves, as many lie above it as are allowed, or one voxel fewer.
    values = [g.values[~np.isnan(g.values)] for (seed, name), g in grids.items() if seed == 0 and "normal" in name][:5]
    (own,) = thresholds_at_false_positive(values, [100.0 / v.size for v in values], allowed=(1.0,))
    shares = [100.0 * (v > own).mean() for v in values]
    assert np.mean(shares) <= 1.0 < np.mean([100.0 * (v >= own).mean() for v in values])


def test_a_row_without_maps_has_no_figure(made) -> None:
    results, _ = made
    assert localisation(replace(results, maps={0: ()}), Grounds(results.ready), VOLUMES) == []


def test_over_seeds_lesion_figures_have_an_interval_and_pooled_voxels_say_why_not(made) -> None:
    results, _ = made
    found = {e.metric: e for e in localisation(results, Grounds(results.ready), VOLUMES) if e.cell == "lesion"}
    alone = [one_seed(results, seed) for seed in (0, 1)]
    for metric in (
        "froc mean, false positives on normals",
        "froc mean, false positives on normals, strict",
        "lesion sensitivity at 2 false positives, on patients",
        "lesion sensitivity, volume 0.1–1 ml",
    ):
        entry, values = found[metric], [one["lesion", metric].value for one in alone]
        assert entry.value == pytest.approx(np.mean(values))
        assert (entry.least, entry.most) == pytest.approx((min(values), max(values)))
        assert entry.low <= entry.value <= entry.high
        assert entry.low < entry.high
    for metric in ("spro", "oracle dice, pooled", "voxel average precision, pooled"):
        assert np.isnan(found[metric].low)
        assert "the mean over scans has one" in found[metric].note
