"""What `brain-t1` takes for its own, and what it refuses, on real scans: judged from the image alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from anomri.core.geometry import Geometry
from anomri.core.result import JUDGED
from anomri.core.scan import Scan
from anomri.io import read
from anomri.models import Model
from anomri.pipeline import score
from anomri.simulate import phantom

pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load("brain-t1")


def verdict(scan: Scan, model: Model) -> str:
    result = score(scan, model).result
    assert result.reason
    return result.verdict


@pytest.fixture
def brain(shared_data: Path) -> Scan:
    return read(shared_data / "t1w_site_a" / "sub-05_T1w.nii.gz")


def test_a_stripped_t1w_of_the_models_own_scanner_is_in_scope(brain: Scan, model: Model) -> None:
    assert verdict(brain, model) in JUDGED


def test_a_stripped_t1w_of_another_scanner_is_in_scope(shared_data: Path, model: Model) -> None:
    assert verdict(read(shared_data / "ms_mni" / "patient26_T1.nii.gz"), model) in JUDGED


@pytest.mark.parametrize("name", ["patient26_FLAIR", "patient26_T2"])
def test_another_sequence_is_out_of_scope(name: str, shared_data: Path, model: Model) -> None:
    assert verdict(read(shared_data / "ms_mni" / f"{name}.nii.gz"), model) == "out_of_scope"


@pytest.mark.parametrize(
    ("path", "defaced"), [("t1w_site_b/sub-01_T1w.nii.gz", True), ("aged_2mm/Subj1_T1.nii.gz", False)]
)
def test_the_brain_of_a_t1w_head_is_judged_and_nothing_more_than_a_warning_said(
    path: str, defaced: bool, shared_data: Path, model: Model
) -> None:
    result = score(read(shared_data / path), model).result
    assert result.verdict in ("pass", "warn")
    assert result.brain_from == "extracted"
    assert any("defaced" in note for note in result.notes) == defaced


@pytest.mark.parametrize("path", ["t1w_site_b/sub-06_inplaneT2.nii.gz", "aged_2mm/Subj7_FL.nii.gz"])
def test_a_head_of_another_sequence_is_out_of_scope(path: str, shared_data: Path, model: Model) -> None:
    """Not every one is: see the page on limits."""
    assert verdict(read(shared_data / path), model) == "out_of_scope"


@pytest.mark.parametrize("name", ["T2_axial_series_03", "T2_axial_series_15"])
def test_a_pelvis_is_out_of_scope(name: str, shared_data: Path, model: Model) -> None:
    assert verdict(read(shared_data / "pelvis_t2" / f"{name}.mha"), model) == "out_of_scope"


@pytest.mark.parametrize("flips", [(2,), (1, 2), (1,)])
def test_a_brain_that_is_not_upright_is_out_of_scope(flips: tuple[int, ...], brain: Scan, model: Model) -> None:
    turned = np.ascontiguousarray(np.flip(brain.voxels, flips))
    assert verdict(replace(brain, voxels=turned), model) == "out_of_scope"


def test_noise_is_out_of_scope(brain: Scan, model: Model) -> None:
    rng = np.random.default_rng(0)
    everywhere = rng.rayleigh(100.0, brain.voxels.shape).astype(np.float32)
    inside = np.where(brain.voxels > 0, everywhere + 1.0, 0.0).astype(np.float32)
    assert verdict(replace(brain, voxels=everywhere), model) == "out_of_scope"
    assert verdict(replace(brain, voxels=inside), model) == "out_of_scope"


def test_a_phantom_is_out_of_scope(model: Model) -> None:
    assert verdict(phantom(3), model) == "out_of_scope"


def test_a_flip_of_left_and_right_is_not_seen(brain: Scan, model: Model) -> None:
    """The documented limit: the template is symmetric. If this ever fails, the page on limits is out of date."""
    flipped = replace(
        brain,
        voxels=np.ascontiguousarray(brain.voxels[::-1]),
        geometry=Geometry(brain.geometry.shape, brain.geometry.affine),
    )
    assert verdict(flipped, model) in JUDGED
