"""Whatever is done to a DICOM file, it is read soundly or refused by an error of ours, in little time and memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from anomri.core.scan import Scan
from anomri.io import find_images, read
from dicom_mutations import mutated, mutated_pixels, mutated_series
from fuzzing import FIXED_SEED, fresh_seed, fuzz

COUNT = 20_000
# One in so many is a whole series, which takes as long as all its files.
SERIES = 25
# Decoders run in a child each, which takes a few tenths of a second to start.
DECODED = 24
MAX_VOXELS = 100_000
SEEDS = pytest.mark.parametrize("seed", [lambda: FIXED_SEED, fresh_seed], ids=["fixed", "fresh"])


def sound(scan: Scan) -> None:
    assert np.isfinite(scan.voxels).all()
    assert scan.voxels.size <= MAX_VOXELS
    assert all(0.1 <= side <= 20 for side in scan.geometry.spacing_mm)


def read_file(path: Path) -> None:
    sound(read(path, max_voxels=MAX_VOXELS))


def read_folder(first: Path) -> None:
    for found in find_images([first.parent], report=lambda _line: None):
        sound(read(found.path, members=found.members, max_voxels=MAX_VOXELS))


@pytest.mark.slow
@SEEDS
def test_a_mutated_file_is_read_soundly_or_refused(tmp_path: Path, seed: Callable[[], int]) -> None:
    found = fuzz(mutated, read_file, tmp_path / "files", seed=seed(), count=COUNT // 2)
    assert found.read > COUNT // 20
    assert set(found.refused) >= {
        "bad_header", "checksum", "geometry", "no_pixels", "not_mri", "too_deep", "too_large", "too_many_elements",
        "transfer_syntax", "truncated", "unknown_format", "unsupported_type",
    }  # fmt: skip


@pytest.mark.slow
@SEEDS
def test_a_series_with_mutated_files_is_read_soundly_or_refused(tmp_path: Path, seed: Callable[[], int]) -> None:
    found = fuzz(mutated_series, read_folder, tmp_path / "files", seed=seed(), count=COUNT // 2 // SERIES)
    assert found.read > 20
    assert set(found.refused) >= {"bad_header", "missing_slices"}


@pytest.mark.slow
@SEEDS
def test_pixels_that_break_a_decoder_cost_their_file_alone(tmp_path: Path, seed: Callable[[], int]) -> None:
    found = fuzz(mutated_pixels, read_file, tmp_path / "files", seed=seed(), count=DECODED // 2)
    assert found.read + sum(found.refused.values()) == DECODED // 2
    assert set(found.refused) <= {"bad_header", "crashed", "damaged", "no_signal", "timed_out", "truncated"}
