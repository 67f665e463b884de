"""Whatever is done to a NIfTI file, it is read soundly or refused by an error of ours, in little time and memory."""

from __future__ import annotations

import hashlib
import itertools
import warnings
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from anomri.core.scan import Scan
from anomri.errors import InputError
from anomri.io import read
from fuzzing import FIXED_SEED, fresh_seed, fuzz
from nifti_mutations import mutated

COUNT = 20_000
MAX_VOXELS = 100_000
# Codes that a search through the whole format must have met.
DEEP = {
    "bad_header", "checksum", "compression_bomb", "empty", "geometry", "geometry_conflict", "no_signal", "nonfinite",
    "not_nifti", "not_one_volume", "sheared", "too_large", "too_thin", "truncated", "units", "unknown_format",
    "unsupported_type",
}  # fmt: skip


def read_soundly(path: Path) -> Scan:
    scan = read(path, max_voxels=MAX_VOXELS)
    assert np.isfinite(scan.voxels).all()
    assert scan.voxels.dtype == np.float32
    assert scan.voxels.size <= MAX_VOXELS
    assert all(0.1 <= side <= 20 for side in scan.geometry.spacing_mm)
    assert np.isfinite(scan.geometry.affine).all()
    stored = path.read_bytes()
    if scan.source.format == "nifti" and ".hdr" not in path.name:
        assert scan.source.sha256 == hashlib.sha256(stored).hexdigest()
    return scan


@pytest.mark.slow
@pytest.mark.parametrize("seed", [lambda: FIXED_SEED, fresh_seed], ids=["fixed", "fresh"])
def test_a_mutated_file_is_read_soundly_or_refused(tmp_path: Path, seed: Callable[[], int]) -> None:
    found = fuzz(mutated, read_soundly, tmp_path / "files", seed=seed(), count=COUNT // 2)
    assert found.read > COUNT // 20
    assert set(found.refused) >= DEEP


def test_what_is_read_of_a_mutated_file_is_what_nibabel_reads(tmp_path: Path) -> None:
    compared = 0
    for number in range(400):
        files = mutated(np.random.default_rng([FIXED_SEED, 1, number]))
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        path = folder / next(iter(files))
        try:
            scan = read(path, max_voxels=MAX_VOXELS)
        except InputError:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image = nib.load(path)
                theirs = image.get_fdata()
        # It takes fewer files, for instance none whose extensions are odd.
        except Exception:
            continue
        # An offset of 0 means "right behind the header" to us; nibabel takes the header for voxels.
        if image.dataobj.offset == 0 and ".hdr" not in path.name:
            continue
        theirs = np.nan_to_num(theirs, posinf=0.0, neginf=0.0).reshape(scan.voxels.shape, order="F")
        np.testing.assert_allclose(scan.voxels, theirs, rtol=1e-6, atol=1e-30)
        # It takes a code that the standard does not know for "no orientation".
        if image.header["sform_code"] > 0 or image.header["qform_code"] > 0:
            np.testing.assert_allclose(scan.geometry.affine, image.affine, atol=0.15)
        compared += 1
    assert compared > 40


def test_a_failure_names_its_mutation_and_leaves_its_file(tmp_path: Path) -> None:
    sizes = itertools.count()

    def broken(path: Path) -> None:
        if path.stat().st_size == 3:
            raise KeyError("nobody foresaw this")

    with pytest.raises(AssertionError, match=r"mutation 3 of seed 7 gave KeyError"):
        fuzz(lambda _rng: {"x": bytes(next(sizes))}, broken, tmp_path / "files", seed=7, count=9)
    assert (tmp_path / "files" / "x").stat().st_size == 3


@pytest.mark.parametrize("wrong", ["memory", "time"])
def test_what_takes_too_much_memory_or_time_is_a_failure(tmp_path: Path, wrong: str) -> None:
    def greedy(_path: Path) -> None:
        if wrong == "memory":
            np.zeros(300 << 20, np.uint8)
        while wrong == "time":
            pass

    with pytest.raises(AssertionError, match="MemoryError" if wrong == "memory" else "TimeoutError"):
        fuzz(lambda _rng: {"x": b""}, greedy, tmp_path, seed=1, count=1, cpu_s=0.1)
