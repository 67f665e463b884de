"""The template is what the rest of the code takes it for."""

from __future__ import annotations

import numpy as np
import pytest
from nilearn import datasets

from anomri.core.geometry import apply_affine, orientation_code
from anomri.errors import MissingDependency
from anomri.io.template import icbm_template


def test_tissues_add_up_to_one_in_the_brain_and_to_nothing_outside():
    template = icbm_template()
    total = template.csf + template.grey + template.white
    np.testing.assert_allclose(total[template.brain], 1.0, atol=1e-5)
    for values in (template.t1w, template.csf, template.grey, template.white):
        assert values.shape == template.geometry.shape
        assert values.dtype == np.float32
        assert values.min() >= 0.0
        assert values.max() <= 1.0
        assert not values[~template.brain].any()


def test_it_is_what_nilearn_itself_loads():
    template = icbm_template()
    image = datasets.load_mni152_template(resolution=1)
    brain = np.asarray(datasets.load_mni152_brain_mask(resolution=1).dataobj) > 0
    np.testing.assert_array_equal(template.geometry.affine, image.affine)
    np.testing.assert_array_equal(template.brain, brain)
    np.testing.assert_array_equal(template.t1w[brain], np.asarray(image.dataobj)[brain])
    grey = np.asarray(datasets.load_mni152_gm_template(resolution=1).dataobj)
    white = np.asarray(datasets.load_mni152_wm_template(resolution=1).dataobj)
    np.testing.assert_allclose(template.grey[brain], (grey / np.maximum(grey + white, 1))[brain], atol=1e-6)
    np.testing.assert_allclose(template.white[brain], (white / np.maximum(grey + white, 1))[brain], atol=1e-6)


def test_without_its_files_the_package_to_install_is_named(monkeypatch):
    monkeypatch.setattr("anomri.io.template.find_spec", lambda _: None)
    with pytest.raises(MissingDependency, match="nilearn"):
        icbm_template.__wrapped__()


def test_the_grid_is_one_millimetre_upright_and_symmetric_about_its_middle():
    template = icbm_template()
    assert template.geometry.spacing_mm == pytest.approx((1.0, 1.0, 1.0))
    assert orientation_code(template.geometry.affine) == "RAS"
    middle = apply_affine(template.geometry.affine, np.argwhere(template.brain).mean(axis=0)[None])[0]
    assert abs(middle[0]) < 1.0
    assert 1500 < template.brain.sum() * template.geometry.voxel_ml < 2100


def test_t1w_shows_white_brighter_than_grey_brighter_than_fluid():
    template = icbm_template()
    means = [float(template.t1w[m > 0.9].mean()) for m in (template.csf, template.grey, template.white)]
    assert means == sorted(means)


def test_it_is_loaded_once_and_cannot_be_changed():
    template = icbm_template()
    assert icbm_template() is template
    with pytest.raises(ValueError, match="read-only"):
        template.t1w[0, 0, 0] = 1.0
