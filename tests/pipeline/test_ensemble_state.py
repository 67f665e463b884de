"""What a fit keeps on disk restores every method that has a network; scalings rest on scans no branch has seen."""

from __future__ import annotations

import numpy as np
import pytest

from anomri.methods import load_preset
from anomri.methods.autoencoder import Autoencoder
from anomri.methods.zatlas import ZAtlas
from anomri.pipeline.ensemble import fit_branches
from anomri.pipeline.specs import BranchSpec, branch_specs
from measured import as_measured, drawn_features
from synthetic import prepared_population


def test_an_autoencoder_kept_by_a_fit_reads_as_the_one_that_was_fitted(tmp_path):
    name, preset = load_preset("autoencoder", "autoencoder-tiny")
    spec = BranchSpec("autoencoder", "autoencoder", name, preset.config)
    normals = prepared_population(6, seed=1)
    kept = {"seed": 0, "fabric": None, "folder": tmp_path, "recipe_sha256": "r"}
    first = fit_branches([spec], normals, **kept).read(normals[0], seed=0)
    again = fit_branches([spec], normals, **kept).read(normals[0], seed=0)
    assert first.score == again.score
    np.testing.assert_array_equal(first.map, again.map)


def test_the_scaling_of_a_branch_without_a_network_rests_on_every_scan_unseen(tmp_path, monkeypatch):
    normals = [as_measured(p, drawn_features(np.random.default_rng(i))) for i, p in enumerate(population())]
    specs, _ = branch_specs(["zatlas", "iqm1c"], ["zatlas-tiny", "iqm1c-tiny"], {})
    seen, judged = {}, []
    plain_fit, plain_examine = ZAtlas.fit, ZAtlas.examine

    def fit(self, prepared, **more):
        seen[id(self)] = (self, {p.subject for p in prepared})
        return plain_fit(self, prepared, **more)

    def examine(self, prepared, **more):
        assert prepared.subject not in seen[id(self)][1]
        judged.append((prepared.scan.scan_id, plain_examine(self, prepared, **more)))
        return judged[-1][1]

    monkeypatch.setattr(ZAtlas, "fit", fit)
    monkeypatch.setattr(ZAtlas, "examine", examine)
    kept = {"seed": 0, "fabric": None, "folder": tmp_path, "recipe_sha256": "r"}
    fitted = fit_branches(specs, normals, **kept)
    assert sorted(name for name, _ in judged) == sorted(p.scan.scan_id for p in normals)
    everyone = {p.subject for p in normals}
    assert sum(subjects == everyone for _, subjects in seen.values()) == 1
    logs = np.log([reading.score for _, reading in judged])
    scaling = fitted.scalings["zatlas"]
    assert scaling.location == pytest.approx(logs.mean())
    freedom = len(logs) - 1
    assert scaling.spread == pytest.approx(np.sqrt((freedom * logs.var(ddof=1) + 10 * 0.15**2) / (freedom + 10)))
    assert scaling.peak == pytest.approx(np.median([np.nanmax(reading.map) for _, reading in judged]))
    fits = len(seen)
    assert fit_branches(specs, normals, **kept).scalings == fitted.scalings
    assert len(seen) == fits == 6


def test_the_scaling_of_a_network_costs_no_further_training(tmp_path, monkeypatch):
    specs, _ = branch_specs(["autoencoder", "baseline-volume"], ["autoencoder-tiny", None], {"epochs": "1"})
    trained = []
    plain_fit = Autoencoder.fit

    def fit(self, prepared, **more):
        trained.append({p.subject for p in prepared})
        return plain_fit(self, prepared, **more)

    monkeypatch.setattr(Autoencoder, "fit", fit)
    normals = population()
    fitted = fit_branches(specs, normals, seed=0, fabric=None, folder=tmp_path, recipe_sha256="r")
    assert [len(subjects) for subjects in trained] == [10]
    assert set(fitted.scalings) == {"autoencoder", "baseline-volume"}
    # The same branch of another model, and alone, is the one that stands there.
    alone = fit_branches(specs[:1], normals, seed=0, fabric=None, folder=tmp_path, recipe_sha256="r")
    assert len(trained) == 1
    assert alone.folders["autoencoder"] == fitted.folders["autoencoder"]


def population():
    """Ten scans of ten people."""
    return prepared_population(10, seed=1)
