"""What a fit keeps on disk restores every method that has a network."""

from __future__ import annotations

import numpy as np

from anomri.methods import load_preset
from anomri.pipeline.ensemble import fit_branches
from anomri.pipeline.specs import BranchSpec
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
