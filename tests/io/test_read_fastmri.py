"""HDF5 as fastMRI writes it: images as stored, images from k-space, and nothing fetched from elsewhere."""

from __future__ import annotations

import gzip
import io
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from anomri.core.geometry import orientation_code
from anomri.core.scan import Scan
from anomri.errors import AnomriError, InputError
from anomri.io import read

SLICES, COILS, ROWS, COLUMNS = 9, 3, 24, 20
IMAGES = np.random.default_rng(3).random((SLICES, ROWS, COLUMNS)).astype("f4")


def header(x: float = 24, y: float = 20, fields: tuple[float, ...] = (12.0, 15.0, 5.0), extra: str = "") -> str:
    space = "<matrixSize><x>{}</x><y>{}</y><z>1</z></matrixSize>"
    space += "<fieldOfView_mm><x>{}</x><y>{}</y><z>{}</z></fieldOfView_mm>"
    # The readout is measured twice as wide.
    encoded, recon = space.format(2 * x, y, 2 * fields[0], *fields[1:]), space.format(x, y, *fields)
    return (
        f'<?xml version="1.0"?>{extra}<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><subjectInformation>'
        f"<patientName>Somebody</patientName></subjectInformation><encoding><encodedSpace>{encoded}</encodedSpace>"
        f"<reconSpace>{recon}</reconSpace></encoding></ismrmrdHeader>"
    )


def hdf(path: Path, xml: str | None = None, **arrays: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
        if xml is not None:
            file["ismrmrd_header"] = xml
        file.attrs["patient_id"] = "Somebody"
    return path


def kspace(images: np.ndarray) -> np.ndarray:
    """The centred Fourier transform, written out as sums over all pixels: slow, and nobody's but this test's."""

    def waves(n: int) -> np.ndarray:
        place = np.arange(n) - n // 2
        return np.exp(-2j * np.pi * np.outer(place, place) / n) / np.sqrt(n)

    return np.einsum("ur,...rc,vc->...uv", waves(images.shape[-2]), images, waves(images.shape[-1])).astype("c8")


@pytest.mark.parametrize("name", ["reconstruction_rss", "reconstruction_esc"])
def test_a_reconstruction_is_read_as_stored(tmp_path, name):
    scan = read(hdf(tmp_path / "file1.h5", header(), **{name: IMAGES}))
    # The first row lies behind, the first column on the patient's right, the first slice below.
    np.testing.assert_array_equal(scan.voxels, IMAGES.transpose(2, 1, 0))
    assert orientation_code(scan.geometry.affine) == "LAS"
    np.testing.assert_allclose(scan.geometry.spacing_mm, (15 / 20, 12 / 24, 5))
    assert scan.source.format == "hdf5"
    assert f"read from {name}" in scan.source.notes
    assert any("left and right are unknown" in note for note in scan.source.notes)
    assert "Somebody" not in repr(scan)
    assert scan.scan_id == "file1"


def test_the_root_of_the_sum_of_squares_comes_before_the_single_coil_and_k_space_last(tmp_path):
    arrays = {"reconstruction_rss": IMAGES, "reconstruction_esc": 2 * IMAGES, "kspace": kspace(3 * IMAGES)}
    np.testing.assert_array_equal(read(hdf(tmp_path / "x", **arrays)).voxels, IMAGES.transpose(2, 1, 0))
    del arrays["reconstruction_rss"]
    np.testing.assert_array_equal(read(hdf(tmp_path / "y", **arrays)).voxels, 2 * IMAGES.transpose(2, 1, 0))


def test_k_space_of_several_coils_becomes_the_root_of_the_sum_of_squares(tmp_path):
    rng = np.random.default_rng(1)
    sensitivity = rng.normal(size=(COILS, ROWS, COLUMNS)) + 1j * rng.normal(size=(COILS, ROWS, COLUMNS))
    coils = IMAGES[:, None] * sensitivity
    scan = read(
        hdf(
            tmp_path / "x",
            header(fields=(24, 15, 5)).replace("48.0", "24").replace(">48<", ">24<"),
            kspace=kspace(coils),
        )
    )
    # 20 columns of a field of 15 mm, 24 rows of the 24 mm that were measured.
    np.testing.assert_allclose(scan.geometry.spacing_mm, (0.75, 1, 5))
    expected = np.sqrt((np.abs(coils) ** 2).sum(axis=1))
    np.testing.assert_allclose(scan.voxels, expected.transpose(2, 1, 0), rtol=1e-4, atol=1e-5)
    assert any("root of the sum of squares of 3 coils" in note for note in scan.source.notes)
    assert not any("aliased" in note or "cut from" in note for note in scan.source.notes)


def test_k_space_of_one_coil_is_cut_to_the_reconstructed_field_of_view(tmp_path):
    wide = np.zeros((SLICES, 2 * ROWS, COLUMNS), dtype="f4")
    wide[:, ROWS // 2 : -ROWS // 2] = IMAGES
    scan = read(hdf(tmp_path / "x", header(), kspace=kspace(wide)))
    np.testing.assert_allclose(scan.voxels, IMAGES.transpose(2, 1, 0), atol=1e-5)
    assert "cut from 48 × 20 to 24 × 20 pixels" in scan.source.notes
    np.testing.assert_allclose(scan.geometry.spacing_mm, (0.75, 0.5, 5))
    # A scanner that interpolates its pictures changes neither the cut nor the size of a pixel.
    finer = read(hdf(tmp_path / "y", header(x=96, y=80), kspace=kspace(wide)))
    np.testing.assert_array_equal(finer.voxels, scan.voxels)
    np.testing.assert_array_equal(finer.geometry.affine, scan.geometry.affine)


def test_lines_that_were_not_measured_are_told(tmp_path):
    lines = kspace(IMAGES)
    lines[:, :, 5:8] = 0
    lines[:, :, -3:] = 0  # a partial Fourier acquisition is no aliasing
    notes = read(hdf(tmp_path / "x", kspace=lines)).source.notes
    assert "3 of 20 lines of k-space were not measured: the image is aliased" in notes


def test_without_header_voxels_of_1_mm_are_assumed_and_it_is_noted(tmp_path):
    scan = read(hdf(tmp_path / "x", reconstruction_rss=IMAGES))
    assert scan.geometry.spacing_mm == (1, 1, 1)
    assert any("1 mm are assumed" in note for note in scan.source.notes)


def test_compressed_and_chunked_data_are_read(tmp_path):
    with h5py.File(tmp_path / "x", "w") as file:
        file.create_dataset("reconstruction_rss", data=IMAGES, chunks=(2, 8, 8), compression="gzip", shuffle=True)
    np.testing.assert_array_equal(read(tmp_path / "x").voxels, IMAGES.transpose(2, 1, 0))


def test_a_header_that_defines_entities_is_refused(tmp_path, code_of):
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    outside = '<!DOCTYPE x SYSTEM "file:///etc/passwd">'
    for xml in (
        header(extra=bomb),
        header(extra=outside),
        header()[:-5],
        "<a>" * 100_000,
        header(fields=(-1, 1, 1)),
        "?",
    ):
        hdf(tmp_path / "y", xml, reconstruction_rss=IMAGES)
        assert code_of((tmp_path / "y").read_bytes()) == "bad_header"


@pytest.mark.parametrize("which", ["external link", "soft link", "virtual", "external storage"])
def test_data_that_lie_elsewhere_are_refused(tmp_path, which):
    source = hdf(tmp_path / "other.h5", reconstruction_rss=IMAGES)
    (tmp_path / "raw").write_bytes(IMAGES.tobytes())
    with h5py.File(tmp_path / "x.h5", "w") as file:
        if which == "external link":
            file["reconstruction_rss"] = h5py.ExternalLink(str(source), "reconstruction_rss")
        elif which == "soft link":
            file["x"] = IMAGES
            file["reconstruction_rss"] = h5py.SoftLink("/x")
        elif which == "virtual":
            layout = h5py.VirtualLayout(shape=IMAGES.shape, dtype="f4")
            layout[...] = h5py.VirtualSource(source, "reconstruction_rss", shape=IMAGES.shape)
            file.create_virtual_dataset("reconstruction_rss", layout)
        else:
            place = [(str(tmp_path / "raw"), 0, IMAGES.nbytes)]
            file.create_dataset("reconstruction_rss", IMAGES.shape, "f4", external=place)
    with pytest.raises(InputError) as caught:
        read(tmp_path / "x.h5")
    assert caught.value.code == "outside_folder"
    assert str(tmp_path) not in str(caught.value)


def test_a_link_to_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.h5")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name in ("reconstruction_rss", "ismrmrd_header"):
            file[name] = h5py.ExternalLink(str(tmp_path / "pipe.h5"), "x")
    with pytest.raises(InputError, match="outside itself"):
        read(tmp_path / "x.h5")


def content(**options: object) -> bytes:
    """A file whose data set is made by `create_dataset` with these options."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.create_dataset(**options)  # type: ignore[arg-type]
    return memory.getvalue()


RSS = {"name": "reconstruction_rss"}
SOUND = content(**RSS, data=IMAGES)
BAD = {
    "another layout": (content(name="image", data=IMAGES), "unsupported_layout"),
    "a group": (content(name="kspace/x", data=IMAGES), "unsupported_layout"),
    "packed by gzip": (gzip.compress(SOUND), "unsupported_layout"),
    "a signature alone": (SOUND[:8], "damaged"),
    "cut at half": (SOUND[: len(SOUND) // 2], "damaged"),
    "cut in its last byte": (SOUND[:-1], "damaged"),
    "declares terabytes": (content(**RSS, shape=(5000, 30000, 30000), dtype="f4", chunks=(1, 64, 64)), "too_large"),
    "declares 1 GB and holds none": (content(**RSS, shape=(300, 900, 900), dtype="f4", chunks=(1, 9, 9)), "truncated"),
    "was never written": (content(**RSS, shape=(20, 30, 30), dtype="f4"), "truncated"),
    "one chunk of a gigabyte": (
        content(**RSS, shape=(20, 30, 30), dtype="f4", chunks=(1024, 1024, 512), maxshape=(None,) * 3), "too_large"
    ),
    "two axes": (content(**RSS, data=IMAGES[0]), "not_one_volume"),
    "four axes": (content(**RSS, data=IMAGES[None]), "not_one_volume"),
    "five axes of k-space": (content(name="kspace", data=np.zeros((1, 1, 9, 24, 20), "c8")), "not_one_volume"),
    "two slices": (content(**RSS, data=IMAGES[:2]), "too_thin"),
    "complex images": (content(**RSS, data=IMAGES.astype("c8")), "unsupported_type"),
    "k-space of real numbers": (content(name="kspace", data=IMAGES), "unsupported_type"),
    "words": (content(**RSS, data=np.array([[[b"a"] * 9] * 9] * 9)), "unsupported_type"),
    "constant": (content(**RSS, data=np.zeros_like(IMAGES)), "no_signal"),
    "2 % NaN": (content(**RSS, data=np.where(IMAGES < 0.02, np.nan, IMAGES)), "nonfinite"),
    "beyond float32": (content(**RSS, data=IMAGES.astype("f8") * 1e300), "nonfinite"),
}  # fmt: skip


@pytest.mark.parametrize(("broken", "code"), BAD.values(), ids=BAD)
def test_what_cannot_be_is_refused_by_its_code(code_of, broken, code):
    assert code_of(broken, "x.h5") == code


def test_one_slice_of_too_many_coils_is_refused_before_it_is_read(tmp_path):
    hdf(tmp_path / "x", kspace=np.ones((9, 50, 10, 10), "c8"))
    with pytest.raises(InputError) as caught:
        read(tmp_path / "x", max_voxels=4000)
    assert caught.value.code == "too_large"


def test_a_filter_that_would_have_to_be_loaded_is_refused(tmp_path):
    with h5py.File(tmp_path / "x", "w") as file:
        file.create_dataset("reconstruction_rss", data=IMAGES, chunks=(1, 8, 8), scaleoffset=3)
    with pytest.raises(InputError) as caught:
        read(tmp_path / "x")
    assert caught.value.code == "unsupported_layout"


def test_a_mutated_file_is_read_soundly_or_refused(tmp_path):
    for seed in range(150):
        rng = np.random.default_rng(seed)
        changed = bytearray(SOUND)
        for _ in range(rng.integers(1, 6)):
            changed[int(rng.integers(min(len(changed), 3000)))] = rng.integers(256)
        if rng.random() < 0.1:
            del changed[int(rng.integers(1, len(changed))) :]
        (tmp_path / "x").write_bytes(changed)
        try:
            scan = read(tmp_path / "x", max_voxels=100_000)
        except AnomriError:
            continue
        assert isinstance(scan, Scan)
        assert np.isfinite(scan.voxels).all()
